"""The kernel plane between two hosts on a real kernel, with itself and with the userspace plane."""

from __future__ import annotations

import json
from dataclasses import astuple, replace
from typing import TYPE_CHECKING

import pytest

from l2tp_kernel.schema import EventKind, Plane, Reason, Verb
from tests.guest.ends import SHAPES, SUBLAYER, End, join, ping
from tests.support.helper_client import FailedError, RefusedError
from tests.support.netns import poll

if TYPE_CHECKING:
    from l2tp_kernel.schema import PweParam
    from tests.support.planes import Planes

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


def refused(end: End, wanted: PweParam) -> Reason:
    with pytest.raises(RefusedError) as no:
        end.client.set_pwe(wanted)
    return no.value.reason


def test_both_planes_are_told_and_auto_means_the_kernel(ends: tuple[End, End]) -> None:
    left, _ = ends
    assert left.client.planes == [Plane.KERNEL, Plane.USERSPACE]
    left.listen("udp4", Plane.AUTO)
    left.set(left.param("udp4"))
    assert left.plane() is Plane.KERNEL
    assert left.client.request(Verb.LIST)[1][0][0] == Plane.KERNEL


def test_the_same_again_and_sequencing_keep_the_interface(ends: tuple[End, End]) -> None:
    left, right = ends
    join(ends, "udp4", local_cookie=b"1234", peer_cookie=b"5678", **SUBLAYER)
    wanted = left.param("udp4", local_cookie=b"1234", peer_cookie=b"5678", **SUBLAYER)
    _, index = left.set(wanted)
    assert left.set(wanted)[1] == index
    numbered = replace(wanted, receive_sequencing=2, send_sequencing=2)
    assert left.set(numbered)[1] == index
    assert left.client.request(Verb.LIST)[1] == [list(astuple(replace(numbered, plane=Plane.KERNEL)))]
    right.set(right.param("udp4", local_cookie=b"5678", peer_cookie=b"1234", **SHAPES["sequenced"]))
    ping(left, 100)


def test_what_is_immutable_is_replaced(ends: tuple[End, End]) -> None:
    left, right = ends
    join(ends, "udp4")
    _, index = left.set(left.param("udp4"))
    for change in (
        {"local_cookie": b"1234"},
        {"local_cookie": b"1234", "local_session_id": 77},
        {"local_cookie": b"1234", "local_session_id": 77, **SUBLAYER},
        {"local_connection_id": 99, "peer_connection_id": 98, "peer_session_id": 76},
    ):
        _, again = left.set(left.param("udp4", **change))
        assert again != index
        index = again
    right.set(right.param("udp4", local_session_id=76))
    ping(left, 100)
    shown = json.loads(left.host.ip("-j l2tp show session") or "[]")
    assert [(each["session_id"], each["interface"]) for each in shown] == [(left.number + 0x2000, "pw0")]


def test_a_change_that_fails_brings_the_old_state_back(ends: tuple[End, End]) -> None:
    left, _ = ends
    join(ends, "ip4")
    left.host.ip("l2tp add tunnel tunnel_id 50 peer_tunnel_id 51 encap ip local 192.0.2.1 remote 192.0.2.9")
    left.host.ip("l2tp add session tunnel_id 50 session_id 555 peer_session_id 556 name theirs0")
    try:
        good = left.param("ip4")
        assert refused(left, replace(good, local_session_id=555)) is Reason.NOT_OWNED
        assert left.client.request(Verb.LIST)[1] == [list(astuple(replace(good, plane=Plane.KERNEL)))]
        left.host.ip("addr replace 198.51.100.1/24 dev pw0")
        ping(left, 100)
    finally:
        left.host.ip("l2tp del tunnel tunnel_id 50")


def test_what_others_made_is_not_touched(ends: tuple[End, End]) -> None:
    left, _ = ends
    left.listen("udp4", Plane.KERNEL)
    left.host.ip(
        "l2tp add tunnel tunnel_id 5 peer_tunnel_id 6 encap udp local 192.0.2.1 remote 192.0.2.2 "
        "udp_sport 5000 udp_dport 5000"
    )
    left.host.ip("l2tp add session tunnel_id 5 session_id 7 peer_session_id 8 name pw5")
    try:
        before = left.host.ip("l2tp show session") + left.host.ip("l2tp show tunnel")
        assert refused(left, left.param("udp4", "pw5")) is Reason.NOT_OWNED
        assert refused(left, left.param("udp4", local_connection_id=5)) is Reason.NOT_OWNED
        with pytest.raises(RefusedError, match="NOT_FOUND"):
            left.client.delete_pwe("pw5", 7)
        assert left.host.ip("l2tp show session") + left.host.ip("l2tp show tunnel") == before
        assert left.client.request(Verb.LIST)[1] == []
        left.set(left.param("udp4"))
    finally:
        left.host.ip("l2tp del tunnel tunnel_id 5")


def test_what_linux_cannot_do_is_refused(ends: tuple[End, End]) -> None:
    left, _ = ends
    left.listen("udp4", Plane.KERNEL)
    for change, reason in (
        ({"receive_sublayer": 1}, Reason.PLANE),
        ({**SUBLAYER, "send_sequencing": 2}, Reason.PLANE),
        ({**SUBLAYER, "receive_sequencing": 1}, Reason.PLANE),
        ({"receive_sequencing": 2}, Reason.MALFORMED),
        ({"plane": Plane.USERSPACE}, Reason.PLANE),
    ):
        assert refused(left, left.param("udp4", **change)) is reason
    assert left.plane() is None
    left.host.ip("link add br-none type veth peer name br-peer")
    with pytest.raises(FailedError, match="Operation not supported"):
        left.client.set_pwe(left.param("udp4", bridge="br-none"))
    left.host.ip("link del br-none")
    assert left.plane() is None
    assert left.host.ip("l2tp show tunnel") == ""


def test_sessions_share_a_tunnel_and_the_last_one_takes_it_away(ends: tuple[End, End]) -> None:
    for end in ends:
        end.listen("udp6", Plane.KERNEL)
        for number in range(4):
            peer = 3 - end.number
            ids = {"local_session_id": 10 * end.number + number, "peer_session_id": 10 * peer + number}
            end.client.set_pwe(end.param("udp6", f"pw{number}", **ids))
            end.host.ip(f"addr add 198.51.{number}.{end.number}/24 dev pw{number}")
    left, _ = ends
    for number in range(4):
        ping(left, 100, address=f"198.51.{number}.2")
    assert left.host.ip("l2tp show tunnel").count("Tunnel ") == 1
    for number in range(4):
        assert left.host.ip("l2tp show tunnel") != ""
        left.client.delete_pwe(f"pw{number}", 10 + number)
    assert left.host.ip("l2tp show tunnel") == ""


def test_vlan_interfaces_work_on_it(ends: tuple[End, End], planes: Planes) -> None:
    join(ends, "udp4", planes, mtu=1500)
    for end in ends:
        end.host.ip("link add link pw0 name pw0.7 type vlan id 7")
        end.host.ip(f"addr add 203.0.113.{end.number}/24 dev pw0.7")
        end.host.ip("link set pw0.7 up")
    ping(ends[0], 100, 1472, address="203.0.113.2")


def test_deleted_behind_our_back_it_is_told_and_made_again(ends: tuple[End, End]) -> None:
    left, _ = ends
    join(ends, "udp4")
    for line in ("l2tp del session tunnel_id 4097 session_id 8193", "l2tp del tunnel tunnel_id 4097"):
        left.client.events.clear()
        left.host.ip(line)
        assert left.client.event() == [EventKind.PWE_GONE, "pw0"]
        assert left.client.request(Verb.LIST)[1] == []
        left.set(left.param("udp4"))
        ping(left, 100)


@pytest.mark.parametrize("transport", ["udp4", "ip6"])
def test_a_killed_helper_leaves_the_traffic_and_the_next_one_adopts_it(ends: tuple[End, End], transport: str) -> None:
    left, _ = ends
    join(ends, transport, local_cookie=b"1234", peer_cookie=b"5678", **SUBLAYER)
    before = left.host.ip("link show pw0")
    left.helper.process.kill()
    ping(left, 100, count=10)
    left.close()
    old = left.client
    left.start()
    (adopted,) = left.client.request(Verb.LIST)[1]
    left.listen(transport, Plane.KERNEL)
    wanted = left.param(transport, local_cookie=b"1234", peer_cookie=b"5678", **SUBLAYER)
    known = replace(wanted, plane=Plane.KERNEL, listener=0, local_address=left.address(transport), mtu=adopted[16])
    assert adopted == list(astuple(known))
    _, index = left.set(wanted)
    assert f"{index}: pw0" in before
    ping(left, 100, count=10)
    left.client.delete_pwe("pw0", wanted.local_session_id)
    assert left.plane() is None
    old.close()


def test_the_last_descriptor_takes_everything_away(ends: tuple[End, End]) -> None:
    left, _ = ends
    join(ends, "udp4")
    left.helper.process.kill()
    assert left.plane() is Plane.KERNEL
    left.client.close()
    poll(lambda: left.plane() is None, "the interface has gone")
    assert left.host.ip("l2tp show tunnel") == ""
    left.close()
    left.start()
