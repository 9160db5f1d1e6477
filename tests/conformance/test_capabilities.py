"""Pseudowire types: what is offered, asked for and refused (RFC 3931, section 5.4.4; RFC 4719, section 2.1)."""

from __future__ import annotations

import pytest

from l2tp_ctl.core.message import MessageType
from l2tp_ctl.core.settings import PseudowireType
from tests.core.bench import Bench, FarEnd, answering, session, tunnel

SESSIONS = (session("port"), session("vlan", pseudowire_type=PseudowireType.ETHERNET_VLAN))


@pytest.mark.parametrize("initiate", [False, True])
def test_no_type_is_asked_for_that_the_peer_does_not_offer(initiate: bool) -> None:  # noqa: FBT001 - a parameter
    bench = Bench(tunnel(*SESSIONS, initiate=initiate))
    far = FarEnd(bench)
    if initiate:
        far.reply(pseudowire_capabilities=(1, 5))
    else:
        far.establish(pseudowire_capabilities=(1, 5))
        bench.run(4.0)
    assert far.pop(MessageType.ICRQ).octets(68) == b"\0\x05"
    bench.run(600.0)
    assert {one.octets(68) for one in far.inbox if one.type is MessageType.ICRQ} <= {b"\0\x05"}
    vlan = bench.tunnel.sessions[1]
    assert vlan.state in ("idle", "wait-control-conn")
    assert vlan.last_error.endswith("the peer does not offer pseudowire type 4")


def test_the_peer_may_still_ask_for_a_type_that_it_did_not_offer() -> None:
    """It knows best what it can do; our own offer binds it, and that has the type."""
    bench = Bench(tunnel(*SESSIONS))
    far = answering(bench)
    far.connect("vlan", pseudowire_type=4)
    assert bench.tunnel.sessions[1].state == "established"


@pytest.mark.parametrize("kind", [1, 6, 7, 0xFFFF])
def test_a_type_that_we_do_not_offer_gets_cdn_14(kind: int) -> None:
    bench = Bench(tunnel(*SESSIONS))
    far = answering(bench)
    far.call("port", pseudowire_type=kind)
    assert far.result(MessageType.CDN).code == 14


@pytest.mark.parametrize("name", ["port", "vlan"])
def test_port_and_vlan_do_not_mix(name: str) -> None:
    bench = Bench(tunnel(*SESSIONS))
    far = answering(bench)
    far.call(name, pseudowire_type={"port": 4, "vlan": 5}[name])
    assert far.result(MessageType.CDN).code == 14
    far.connect(name, 0x77, pseudowire_type={"port": 5, "vlan": 4}[name])
    assert {view.name: view.state for view in bench.tunnel.sessions}[name] == "established"
