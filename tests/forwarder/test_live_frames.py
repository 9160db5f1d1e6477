"""Real frames through two forwarders, over every transport."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.forwarder.ends import INTERFACE, TRANSPORTS, Wire, frame, joined, make_tap
from tests.support.netns import poll, veth_pair

if TYPE_CHECKING:
    from tests.forwarder.ends import End

pytestmark = pytest.mark.root

SHAPES: dict[str, dict[str, object]] = {
    "udp4": {"local_cookie": b"", "peer_cookie": b""},
    "udp6": {"send_sublayer": 1, "receive_sublayer": 1, "send_sequencing": 2, "receive_sequencing": 2},
    "ip4": {"local_cookie": b"8 octets", "peer_cookie": b"8 octets", "send_sublayer": 1, "receive_sublayer": 1},
    "ip6": {},
}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_frames_of_every_size_arrive_as_they_were(transport: str) -> None:
    with veth_pair("h3size", mtu=1600) as hosts, joined(hosts, transport, SHAPES[transport]) as (left, right):
        with Wire(left.host) as here, Wire(right.host) as there:
            for sizes in (range(first, min(first + 100, 1515)) for first in range(14, 1515, 100)):
                sent = [frame(size, size) for size in sizes]
                for one in sent:
                    here.send(one)
                assert [there.receive() for _ in sent] == sent
                for one in sent:
                    there.send(one)
                assert [here.receive() for _ in sent] == sent
        octets = sum(range(14, 1515))
        for end in (left, right):
            end.wait_for(tx_frames=1501, rx_frames=1501, tx_octets=octets, rx_octets=octets, tx_dropped=0)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_pings_of_the_shortest_and_the_longest(transport: str) -> None:
    with veth_pair("h3ping", mtu=1600) as hosts, joined(hosts, transport) as (left, right):
        for size in (0, 1, 2, 16, 17, 18, 19, 56, 1000, 1471, 1472):
            left.host.ping("198.51.100.2", "-s", size, count=5)
        assert left.counters().tx_dropped == right.counters().tx_dropped == 0


@pytest.mark.parametrize(
    "tags",
    [b"\x81\x00\x00\x05", b"\x81\x00\xef\xff", b"\x88\xa8\x00\x64\x81\x00\x00\x05"],
    ids=["vlan", "priority", "stacked"],
)
def test_tagged_frames_keep_their_tags(tags: bytes) -> None:
    with veth_pair("h3tag", mtu=1600) as hosts, joined(hosts, "udp4") as (left, right):
        # Linux lets a stack send 4 octets more than the MTU allows for a customer's tag only.
        longest = 1518 if tags.startswith(b"\x81") else 1514
        sent = [frame(size, size, tags) for size in (60, 200, 1514, longest)]
        with Wire(left.host) as here, Wire(right.host) as there:
            for one in sent:
                here.send(one)
            assert [there.receive() for _ in sent] == sent
        right.wait_for(rx_frames=4, rx_octets=sum(map(len, sent)))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_outer_packets_are_fragmented(transport: str) -> None:
    """Jumbo frames through a path of the smallest MTU that IPv6 allows, next to frames that fit."""
    with veth_pair("h3frag", mtu=1280) as hosts, joined(hosts, transport, mtu=9000) as (left, right):
        sent = [frame(size, size) for size in (60, 1200, 1514, 1514, 1514, 4000, 9014, 9014, 60)]
        with Wire(left.host) as here, Wire(right.host) as there:
            for one in sent:
                here.send(one)
            assert [there.receive() for _ in sent] == sent
        left.wait_for(tx_frames=len(sent), tx_dropped=0)
        assert _snmp(right, "Ip6ReasmOKs" if transport.endswith("6") else "Ip", "ReasmOKs") >= 6


def test_what_no_datagram_can_hold_is_dropped_and_counted() -> None:
    with veth_pair("h3long") as hosts, joined(hosts, "udp4", mtu=65521) as (left, right):
        with Wire(left.host) as here, Wire(right.host) as there:
            # 65,507 octets of UDP payload less 8 of header and 4 of cookie.
            for size in (65496, 65495, 65535, 65494, 65495):
                here.send(frame(size, size))
            assert [len(there.receive()) for _ in range(3)] == [65495, 65494, 65495]
        left.wait_for(tx_frames=3, tx_dropped=2)


def test_without_a_route_frames_are_dropped_and_counted() -> None:
    with veth_pair("h3route") as hosts, joined(hosts, "udp4") as (left, _):
        left.host.ip("link set outer down")
        with Wire(left.host) as here:
            for size in (60, 60, 60, 1514, 100):
                here.send(frame(size))
        left.wait_for(tx_dropped=5, tx_frames=0)
        left.host.ip("link set outer up")
        left.host.ip("addr replace 192.0.2.1/24 dev outer")
        left.host.ping("198.51.100.2")


def test_a_full_socket_drops_and_never_blocks() -> None:
    """A peer that answers no ARP keeps the datagrams queued, and they fill a small socket buffer."""
    with veth_pair("h3full") as hosts, joined(hosts, "udp4") as (left, _):
        left.pair.data.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        left.change(peer_address=socket.inet_aton("192.0.2.99"), local_address=bytes(4))
        with Wire(left.host) as here:
            for number in range(20):
                here.send(frame(1000 + number))  # each longer than the last, so that each is sent by itself
        poll(lambda: sum(_sent_and_dropped(left)) == 20, "frames sent or dropped")
        assert all(_sent_and_dropped(left))


def test_a_session_that_is_down_passes_nothing() -> None:
    with (
        veth_pair("h3down") as hosts,
        joined(hosts, "udp4") as (left, right),
        Wire(left.host) as here,
        Wire(right.host) as there,
    ):
        left.change(up=False)
        here.send(frame(60, 1))
        there.send(frame(60, 2))
        left.wait_for(tx_dropped=1, tx_frames=0, rx_frames=0)
        right.wait_for(tx_frames=1)
        left.change(up=True)
        here.send(frame(60, 3))
        assert there.receive() == frame(60, 3)
        there.send(frame(60, 4))
        assert here.receive() == frame(60, 4)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_bursts_arrive_complete_and_in_order(transport: str) -> None:
    """10,000 frames in bursts of mixed sizes, so that runs end early, late and in the middle."""
    total, burst = 10_000, 250
    with veth_pair("h3burst", mtu=1600) as hosts, joined(hosts, transport, SHAPES[transport]) as (left, right):
        left.host.ip(f"link set {INTERFACE} txqueuelen 5000")
        with Wire(left.host) as here, Wire(right.host) as there:
            for first in range(0, total, burst):
                sent = [frame(_size_of(number), number) for number in range(first, first + burst)]
                for one in sent:
                    here.send(one)
                assert [there.receive() for _ in sent] == sent
        left.wait_for(tx_frames=total, tx_dropped=0)
        right.wait_for(rx_frames=total, rx_sequence=0)


def test_one_busy_session_does_not_starve_another() -> None:
    with veth_pair("h3fair", mtu=1600) as hosts, joined(hosts, "udp4") as (left, right):
        for end, number in ((left, 11), (right, 12)):
            tap = make_tap(end.host, "pw1")
            param = dataclasses.replace(
                end.param, interface="pw1", local_session_id=number, peer_session_id=23 - number
            )
            end.forwarder.set_session(param, tap)
            os.close(tap)
            end.host.ip(f"addr add 203.0.113.{number}/24 dev pw1")
        enough = threading.Event()

        def flood() -> None:
            with Wire(left.host) as here, contextlib.suppress(OSError):
                while not enough.is_set():
                    here.send(frame(1514))

        busy = threading.Thread(target=flood)
        busy.start()
        try:
            done = left.host.run("ping", "-n", "-c50", "-i0.01", "-W3", "203.0.113.12")
            poll(lambda: left.counters().tx_frames > 1000, "the other session is busy")
        finally:
            enough.set()
            busy.join()
        assert " 0% packet loss" in done.stdout


def _size_of(number: int) -> int:
    """Runs of equal frames, then one shorter, one longer, and some of no pattern at all."""
    if number % 250 < 150:
        return 1514 if number % 50 else 700
    return 60 + number * 37 % 1400


def _sent_and_dropped(end: End) -> tuple[int, int]:
    counts = end.counters()
    return counts.tx_frames, counts.tx_dropped


def _snmp(end: End, protocol: str, name: str) -> int:
    """A counter of the host's own stack."""
    text = end.host.run("cat", "/proc/net/snmp", "/proc/net/snmp6").stdout
    if protocol != "Ip":
        return int(re.findall(rf"^{protocol}\s+(\d+)", text, re.MULTILINE)[0])
    names, values = re.findall(rf"^{protocol}: (.*)$", text, re.MULTILINE)
    return int(values.split()[names.split().index(name)])
