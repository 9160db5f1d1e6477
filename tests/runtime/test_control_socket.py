"""Control messages through real sockets: which address they were sent to, and which one they are sent from."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from l2tp_ctl.core.settings import Address, Encapsulation
from l2tp_ctl.runtime.config_file import ListenAddress
from l2tp_ctl.runtime.control_socket import BATCH, ControlSocket, ControlSockets
from l2tp_kernel.schema import Flavour
from tests.support.netns import namespace, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

L2TP = 115
IP_PKTINFO = 8
MESSAGE = bytes.fromhex("c803000c000000000000 0000".replace(" ", ""))


def told_destination(kind: int, protocol: int, address: str) -> socket.socket:
    """A bound socket, made as the helper makes them."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    if family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    sock.bind((address, 0))
    return sock


def over_udp(address: str) -> ControlSocket:
    sock = told_destination(socket.SOCK_DGRAM, 0, address)
    return ControlSocket(sock, Flavour.UDP, 7, ListenAddress(Encapsulation.UDP, address, sock.getsockname()[1]))


def received(control: ControlSocket) -> list[tuple[bytes, Address]]:
    return poll(lambda: [*control.receive()], "a datagram")


@pytest.mark.parametrize(
    ("listen", "ours", "peer"),
    [("0.0.0.0", "127.0.0.2", "127.0.0.1"), ("127.0.0.2", "127.0.0.2", "127.0.0.1"), ("::", "::1", "::1")],
)
def test_udp_tells_both_addresses_and_answers_from_the_same(listen: str, ours: str, peer: str) -> None:
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    with closing(over_udp(listen)) as control, socket.socket(family, socket.SOCK_DGRAM) as other:
        other.bind((peer, 0))
        other.settimeout(5)
        port = other.getsockname()[1]
        other.sendto(MESSAGE, (ours, control.listen.port))
        ((data, address),) = received(control)
        assert data == MESSAGE
        assert address == Address(Encapsulation.UDP, ours, control.listen.port, peer, port)
        control.send(MESSAGE[::-1], address)
        data, source = other.recvfrom(100)
        assert (data, source[:2]) == (MESSAGE[::-1], (ours, control.listen.port))


def test_without_a_source_the_routing_table_chooses() -> None:
    with closing(over_udp("0.0.0.0")) as control, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.3", 0))
        other.settimeout(5)
        control.send(MESSAGE, Address(Encapsulation.UDP, "", 0, "127.0.0.3", other.getsockname()[1]))
        assert other.recvfrom(100) == (MESSAGE, ("127.0.0.1", control.listen.port))


def test_other_work_gets_its_turn_between_batches() -> None:
    with closing(over_udp("127.0.0.1")) as control, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        for number in range(BATCH + 1):
            other.sendto(number.to_bytes(2, "big"), ("127.0.0.1", control.listen.port))
        first = [int.from_bytes(data, "big") for data, _ in control.receive()]
        assert first == [*range(BATCH)]
        assert [int.from_bytes(data, "big") for data, _ in control.receive()] == [BATCH]
        assert [*control.receive()] == []


def test_an_address_that_is_not_ours_cannot_be_the_source() -> None:
    with closing(over_udp("0.0.0.0")) as control, pytest.raises(OSError, match=r"Invalid argument|unreachable"):
        control.send(MESSAGE, Address(Encapsulation.UDP, "192.0.2.77", 0, "127.0.0.1", 9))


@pytest.fixture(scope="module")
def alone() -> Iterator[None]:
    """Raw sockets of this test see only what it sends itself."""
    with namespace("raw") as host, host.inside():
        yield


@pytest.mark.root
@pytest.mark.parametrize(
    ("address", "flavour", "options"),
    [("127.0.0.1", Flavour.RAW4, b""), ("127.0.0.1", Flavour.RAW4, bytes([1] * 8)), ("::1", Flavour.RAW6, b"")],
)
def test_over_ip_the_session_id_zero_is_put_on_and_taken_off(
    alone: None, address: str, flavour: Flavour, options: bytes
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = told_destination(socket.SOCK_RAW, L2TP, address)
    with (
        closing(ControlSocket(sock, flavour, 1, ListenAddress(Encapsulation.IP, address, 0))) as control,
        socket.socket(family, socket.SOCK_RAW, L2TP) as other,
    ):
        if options:
            other.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, options)
        other.sendto(bytes.fromhex("00000001") + MESSAGE, (address, 0))  # data of session 1
        other.sendto(bytes(4) + MESSAGE, (address, 0))
        ((data, peer),) = received(control)
        assert data == MESSAGE
        assert peer == Address(Encapsulation.IP, address, 0, address, 0)
        control.send(MESSAGE[::-1], peer)
        other.settimeout(5)
        answer = other.recv(100)
        while answer.endswith(MESSAGE):
            answer = other.recv(100)  # it sees what it has sent itself, too
        assert answer.endswith(bytes(4) + MESSAGE[::-1])


def test_the_socket_for_a_connection_is_the_one_that_gets_its_answers() -> None:
    sockets = ControlSockets()
    with (
        closing(over_udp("127.0.0.1")) as first,
        closing(over_udp("127.0.0.2")) as second,
        closing(over_udp("::")) as six,
    ):
        for sock in (first, second, six):
            sockets.add(sock)
        cases = [("127.0.0.2", "127.0.0.9", second), ("", "127.0.0.9", first), ("::1", "::2", six), ("", "::2", six)]
        for local, peer, expected in cases:
            assert sockets.find(Address(Encapsulation.UDP, local, expected.listen.port, peer, 0)) is expected
        port = first.listen.port
        assert sockets.find(Address(Encapsulation.UDP, "127.0.0.1", port - 1, "127.0.0.9", 0)) is None
        assert sockets.find(Address(Encapsulation.UDP, "127.0.0.3", port, "127.0.0.9", 0)) is None
        assert sockets.find(Address(Encapsulation.IP, "127.0.0.1", 0, "127.0.0.9", 0)) is None
        assert sockets.remove(second.listen) is second
        assert sockets.missing((first.listen, second.listen)) == [second.listen]
