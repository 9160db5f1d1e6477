"""Circuit Status: what either end's circuit does to the frames (RFC 3931, section 5.4.5; RFC 4719; RFC 5641)."""

from __future__ import annotations

from typing import Any

import pytest

from l2tp_ctl.core.message import MessageType
from tests.core.bench import Bench, FarEnd, answering, initiated, tunnel, up

ACTIVE, NEW, RECEIVE_FAULT, STANDBY = 0x01, 0x02, 0x04, 0x40


def ups(bench: Bench) -> list[bool]:
    """Whether frames might pass, by each request to the helper."""
    return [one.pseudowire.up for one in bench.made]


def link(bench: Bench, *, up: bool) -> None:
    """Let an operator set the interface, as the helper tells it."""
    bench.endpoint.link_changed("if-s1", up, bench.now)
    bench.settle()


def test_frames_stop_while_the_peers_circuit_is_not_active() -> None:
    bench, far, ours = up()
    for status in (0, 0, ACTIVE, ACTIVE):
        far.of_session(MessageType.SLI, 0x55, ours, circuit_status=status)
    assert ups(bench) == [True, False, True]
    assert {one.pseudowire.local_session_id for one in bench.made} == {ours}
    assert (bench.session.state, far.inbox) == ("established", [])


@pytest.mark.parametrize("status", [NEW, RECEIVE_FAULT, 0xFFFE])
def test_every_bit_but_active_is_ignored(status: int) -> None:
    bench, far, ours = up()
    far.of_session(MessageType.SLI, 0x55, ours, circuit_status=status)
    far.of_session(MessageType.SLI, 0x55, ours, circuit_status=status | ACTIVE)
    assert ups(bench) == [True, False, True]


@pytest.mark.parametrize("role", ["sender", "recipient"])
def test_a_session_may_come_up_before_the_peers_circuit(role: str) -> None:
    if role == "sender":
        bench, far = initiated()
        ours = far.pop(MessageType.ICRQ).message.local_session_id or 0
        far.of_session(MessageType.ICRP, 0x55, ours, circuit_status=NEW)
        far.inbox.clear()
    else:
        bench, far, ours = _called(circuit_status=NEW)
    assert (bench.session.state, ups(bench)) == ("established", [False])
    far.of_session(MessageType.SLI, 0x55, ours, circuit_status=ACTIVE)
    assert ups(bench) == [False, True]


def _called(**changes: Any) -> tuple[Bench, FarEnd, int]:
    bench = Bench(tunnel())
    far = answering(bench)
    return bench, far, far.connect(**changes)


def test_a_circuit_that_becomes_active_with_iccn() -> None:
    bench = Bench(tunnel())
    far = answering(bench)
    far.call(circuit_status=NEW)
    far.of_session(MessageType.ICCN, 0x55, bench.session.local_session_id, circuit_status=ACTIVE)
    assert (bench.session.state, ups(bench)) == ("established", [False, True])


def test_a_circuit_that_goes_down_while_the_helper_works() -> None:
    bench = Bench(tunnel())
    far = answering(bench)
    bench.helper = False
    far.call()
    far.of_session(MessageType.SLI, 0x55, bench.session.local_session_id, circuit_status=0)
    assert ups(bench) == [True, False]
    bench.answer(0)
    assert far.inbox == [], "only the last answer counts"
    bench.answer()
    assert far.types == [MessageType.ICRP]


def test_our_own_circuit_is_the_operators() -> None:
    """What an operator set down stays down whatever the peer's circuit and the helper do."""
    bench, far, ours = up()
    link(bench, up=False)
    assert far.pop(MessageType.SLI).octets(71) == b"\0\0"
    for status in (0, ACTIVE):
        far.of_session(MessageType.SLI, 0x55, ours, circuit_status=status)
    assert ups(bench) == [True]
    bench.endpoint.helper_back(bench.now)
    bench.settle()
    assert ups(bench) == [True, False]
    link(bench, up=True)
    assert far.pop(MessageType.SLI).octets(71) == b"\0\x01"
    bench.endpoint.helper_back(bench.now)
    bench.settle()
    assert ups(bench) == [True, False, True]


def test_an_interface_set_up_under_an_inactive_circuit_is_set_down_again() -> None:
    bench, far, ours = up()
    far.of_session(MessageType.SLI, 0x55, ours, circuit_status=0)
    link(bench, up=True)
    assert ups(bench) == [True, False, False]
    far.of_session(MessageType.SLI, 0x55, ours, circuit_status=ACTIVE)
    assert ups(bench) == [True, False, False, True]
    assert far.inbox == [], "our circuit was never down"


def test_an_interface_set_up_while_the_helper_still_works_stays_up() -> None:
    """What was asked of the helper before would set it down again."""
    bench, _, _ = up()
    link(bench, up=False)
    bench.helper = False
    bench.endpoint.helper_back(bench.now)
    bench.settle()
    link(bench, up=True)
    assert ups(bench) == [True, False, True]
    bench.answer()
    assert bench.session.state == "established"


def test_what_we_say_of_our_circuit() -> None:
    """N in ICRQ and ICRP alone; no fault bit ever, so A may be set (RFC 5641, section 3)."""
    bench, far = initiated()
    assert far.inbox[0].octets(71) == b"\0\x03"
    far.accept(0x55)
    far.inbox.clear()
    for state in (False, True):
        link(bench, up=state)
    assert [one.octets(71) for one in far.inbox] == [b"\0\0", b"\0\x01"]
    bench = Bench(tunnel())
    far = answering(bench)
    far.call()
    assert far.pop(MessageType.ICRP).octets(71) == b"\0\x03"


def test_standby_is_signalled_and_stays_up() -> None:
    """The standby end drops what comes; it may have told that it is active all the same (RFC 5641, section 3)."""
    bench, far, ours = up()
    far.of_session(MessageType.SLI, 0x55, ours, circuit_status=ACTIVE | STANDBY)
    assert (bench.session.peer_circuit_up, ups(bench)) == (True, [True])
