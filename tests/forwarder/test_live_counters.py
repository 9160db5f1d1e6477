"""What does not belong is dropped, and each kind moves its own counter by exactly the number sent."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from l2tp_kernel.schema import Encapsulation
from l2tp_kernel.sockets import IPPROTO_L2TP
from tests.forwarder.ends import HANDLE, PORT, TRANSPORTS, Wire, address_of, frame, joined
from tests.support.netns import poll, veth_pair

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.forwarder.ends import End
    from tests.support.netns import Namespace

pytestmark = pytest.mark.root

RIGHT_SESSION = 2
RECORD_ROUTE = bytes((7, 7, 4, 0, 0, 0, 0, 0))
"""An IPv4 option, so that the header is longer than usual."""


class Stranger:
    """Sends whatever it likes to a host, from a socket that is nobody's."""

    def __init__(self, host: Namespace, to: Namespace, transport: str, source: str = "") -> None:
        self._encapsulation, family = TRANSPORTS[transport]
        kind, protocol = (
            (socket.SOCK_DGRAM, 0) if self._encapsulation is Encapsulation.UDP else (socket.SOCK_RAW, IPPROTO_L2TP)
        )
        with host.inside():
            self._socket = socket.socket(family, kind, protocol)
            self._socket.bind((source, 0))
        if transport == "ip4":
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, RECORD_ROUTE)
        self._to = (socket.inet_ntop(family, address_of(to, family)), 0 if protocol else PORT)

    def __enter__(self) -> Stranger:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, session_id: int, rest: bytes) -> None:
        """A data message of any contents."""
        start = struct.pack("!HH", 3, 0) if self._encapsulation is Encapsulation.UDP else b""
        self.send_octets(start + struct.pack("!I", session_id) + rest)

    def send_octets(self, octets: bytes) -> None:
        self._socket.sendto(octets, self._to)


@contextlib.contextmanager
def attacked(transport: str, shape: Mapping[str, object] | None = None) -> Iterator[tuple[Stranger, End, Wire]]:
    """A stranger at the left host's own address, the right end, and the frames that get through to it."""
    with (
        veth_pair("h3count", mtu=1600) as hosts,
        joined(hosts, transport, shape) as (left, right),
        Stranger(left.host, right.host, transport) as stranger,
        Wire(right.host) as there,
    ):
        yield stranger, right, there


def settled(end: End, stranger: Stranger, good: bytes, there: Wire, frames: int) -> None:
    """One good frame behind the bad ones: when it has come, they have been dealt with."""
    stranger.send(RIGHT_SESSION, good)
    assert there.receive() == good[-60:]
    assert end.wait_for(rx_frames=frames).rx_octets == 60 * frames


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_each_counter_moves_by_the_number_sent(transport: str) -> None:
    good = b"cook" + frame(60)
    with attacked(transport) as (stranger, right, there):
        settled(right, stranger, good, there, 1)
        for _ in range(3):
            stranger.send(99, good)
        for wrong in (b"cool", b"xook", bytes(4), b"COOK", frame(60)[:4]):
            stranger.send(RIGHT_SESSION, wrong + frame(60))
        for short in (b"", b"c", b"cook", b"cook" + frame(13), b"coo", b"none", b"cook" + frame(1)):
            stranger.send(RIGHT_SESSION, short)
        settled(right, stranger, good, there, 2)
        with Stranger(right.host, right.host, transport) as own:
            for _ in range(2):
                own.send(RIGHT_SESSION, good)
        counts = right.wait_for(rx_source=2, rx_frames=2)
        assert (counts.rx_cookie, counts.rx_malformed, counts.rx_sequence) == (5, 7, 0)
        strays = right.forwarder.strays(HANDLE)
        assert (strays.unknown, strays.malformed) == (3, 0)


@pytest.mark.parametrize("transport", ["udp4", "udp6"])
def test_datagrams_of_another_protocol_are_malformed(transport: str) -> None:
    with attacked(transport) as (stranger, right, there):
        for octets in (b"\0", b"\0\3\0\0\0\0\0", b"\0\2\0\0\0\0\0\2" + frame(60), b"\0\0\0\0\0\0\0\2" + frame(60)):
            stranger.send_octets(octets)
        stranger.send(0, b"cook" + frame(60))
        settled(right, stranger, b"cook" + frame(60), there, 1)
        strays = right.forwarder.strays(HANDLE)
        assert (strays.unknown, strays.malformed) == (0, 5)


def test_the_source_address_counts_and_its_port_does_not() -> None:
    with veth_pair("h3source") as hosts:
        hosts[0].ip("addr add 192.0.2.77/24 dev outer")
        with joined(hosts, "udp4") as (left, right), Wire(right.host) as there:
            good = b"cook" + frame(60)
            with Stranger(left.host, right.host, "udp4", "192.0.2.77") as other:
                for _ in range(4):
                    other.send(RIGHT_SESSION, good)
            for _ in range(2):  # each from a port of its own
                with Stranger(left.host, right.host, "udp4", "192.0.2.1") as same:
                    same.send(RIGHT_SESSION, good)
                    assert there.receive() == frame(60)
            right.wait_for(rx_source=4, rx_frames=2)


def test_frames_leave_from_the_given_address() -> None:
    with veth_pair("h3from") as hosts:
        hosts[0].ip("addr add 192.0.2.77/24 dev outer")
        with joined(hosts, "udp4") as (left, right), Wire(left.host) as here, Wire(right.host) as there:
            left.change(local_address=socket.inet_aton("192.0.2.77"))
            right.change(peer_address=socket.inet_aton("192.0.2.77"))
            here.send(frame(60))
            assert there.receive() == frame(60)
            for number in range(20):  # in runs too
                here.send(frame(1000, number))
            assert [there.receive() for _ in range(20)] == [frame(1000, number) for number in range(20)]
            assert right.counters().rx_source == 0


def test_numbers_in_order_are_required_where_asked_for() -> None:
    with attacked("udp4", {"receive_sublayer": 1, "receive_sequencing": 2}) as (stranger, right, there):

        def numbered(number: int, flags: int = 0x40) -> bytes:
            return b"cook" + struct.pack("!I", flags << 24 | number) + frame(60)

        for number in (5, 6, 6, 5, 9, 7, 0xFFFFFF, 10):
            stranger.send(RIGHT_SESSION, numbered(number))
        stranger.send(RIGHT_SESSION, numbered(11, flags=0))
        stranger.send(RIGHT_SESSION, numbered(12, flags=0xC0))
        assert [there.receive() for _ in range(4)] == [frame(60)] * 4
        counts = right.wait_for(rx_sequence=5, rx_frames=4)
        assert counts.rx_malformed == 1


def test_only_frames_that_are_not_ip_are_numbered_if_so_asked() -> None:
    only = {"send_sublayer": 1, "receive_sublayer": 1, "send_sequencing": 1, "receive_sequencing": 1}
    with veth_pair("h3nonip") as hosts, joined(hosts, "udp4", only) as (left, right):
        left.host.ping("198.51.100.2", count=3)
        with Wire(left.host) as here, Wire(right.host) as there:
            here.send(frame(60))
            assert there.receive() == frame(60)
        assert right.counters().rx_sequence == left.counters().rx_sequence == 0
        with Stranger(left.host, right.host, "udp4") as stranger:
            stranger.send(RIGHT_SESSION, b"cook" + bytes(4) + frame(60))
            right.wait_for(rx_sequence=1)


def test_a_new_session_on_the_same_interface_counts_on() -> None:
    with veth_pair("h3anew") as hosts, joined(hosts, "udp4") as (left, right):
        with Wire(left.host) as here, Wire(right.host) as there:
            here.send(frame(60, 1))
            assert there.receive() == frame(60, 1)
            left.change(peer_session_id=41, peer_cookie=b"8 octets")
            right.change(local_session_id=41, local_cookie=b"8 octets")
            here.send(frame(60, 2))
            assert there.receive() == frame(60, 2)
            right.wait_for(rx_frames=2)
            with Stranger(left.host, right.host, "udp4") as stranger:
                stranger.send(RIGHT_SESSION, b"cook" + frame(60))
                poll(lambda: right.forwarder.strays(HANDLE).unknown == 1, "the old session is unknown")
        assert right.counters().rx_frames == 2
