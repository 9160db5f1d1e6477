"""The kernel tells control from data, whatever the transport and whatever arrives."""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from l2tp_kernel.schema import Encapsulation, Flavour
from l2tp_kernel.sockets import CONTROL_BUFFER, DATA_BUFFER, IPPROTO_L2TP, SocketPair, open_pair
from tests.forwarder.ends import PORT, TRANSPORTS, address_of, listener, open_descriptors
from tests.support.netns import namespace, poll, veth_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.netns import Namespace

pytestmark = pytest.mark.root

FLAVOURS = {"udp4": Flavour.UDP, "udp6": Flavour.UDP, "ip4": Flavour.RAW4, "ip6": Flavour.RAW6}


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Namespace, Namespace]]:
    with veth_pair("h3pair") as both:
        yield both


def open_at(host: Namespace, transport: str, address: bytes | None = None) -> SocketPair:
    with host.inside():
        return open_pair(listener(transport, address))


def sender(host: Namespace, transport: str) -> socket.socket:
    encapsulation, family = TRANSPORTS[transport]
    with host.inside():
        if encapsulation is Encapsulation.UDP:
            return socket.socket(family, socket.SOCK_DGRAM)
        return socket.socket(family, socket.SOCK_RAW, IPPROTO_L2TP)


def destination(host: Namespace, transport: str) -> tuple[str, int]:
    encapsulation, family = TRANSPORTS[transport]
    address = socket.inet_ntop(family, address_of(host, family))
    return address, PORT if encapsulation is Encapsulation.UDP else 0


def message(transport: str, number: int, *, control: bool) -> bytes:
    """A numbered message's first octets; session IDs with every octet set somewhere."""
    if TRANSPORTS[transport][0] is Encapsulation.UDP:
        return struct.pack("!HHI", 0xC803 if control else 0x0003, 0, number)
    return struct.pack("!II", 0 if control else 1 << number % 32, number)


def received(sock: socket.socket, count: int) -> list[int]:
    """The numbers of all messages that come, at least ``count``."""
    numbers: list[int] = []

    def all_here() -> bool:
        while True:
            try:
                numbers.append(int.from_bytes(sock.recv(1 << 16)[-4:]))
            except BlockingIOError:
                return len(numbers) >= count

    poll(all_here, "messages", timeout=3)
    return numbers


@pytest.mark.parametrize("anywhere", [True, False], ids=["any", "bound"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_each_message_reaches_its_socket_alone(
    hosts: tuple[Namespace, Namespace], transport: str, *, anywhere: bool
) -> None:
    here, there = hosts
    address = None if anywhere else address_of(there, TRANSPORTS[transport][1])
    pair = open_at(there, transport, address)
    try:
        assert pair.flavour is FLAVOURS[transport]
        for group in range(8):  # eight source ports over UDP
            with sender(here, transport) as out:
                if transport == "ip4" and group % 2:
                    out.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\1" * 4 * group)
                for number in range(group * 32, group * 32 + 32):
                    out.sendto(message(transport, number, control=number % 3 == 0), destination(there, transport))
        control = [number for number in range(256) if number % 3 == 0]
        data = [number for number in range(256) if number % 3]
        assert received(pair.control, len(control)) == control
        assert received(pair.data, len(data)) == data
    finally:
        pair.close()


def test_no_train_of_data_takes_a_control_message_along(hosts: tuple[Namespace, Namespace]) -> None:
    """A device that merges (GRO) the datagrams of one flow, as network cards do."""
    here, there = hosts
    # A veth device merges nothing that could have come to it as one, and flushes late only if told so.
    for host in hosts:
        host.run("ethtool", "-K", "outer", "tso", "off", "gso", "off", "gro", "on")
    settings = (
        "echo 200000 > /sys/class/net/outer/gro_flush_timeout; echo 20 > /sys/class/net/outer/napi_defer_hard_irqs"
    )
    there.run("sh", "-c", settings)
    pair = open_at(there, "udp4")
    try:
        for _ in range(12):
            with sender(here, "udp4") as out:
                for number in range(140):
                    last = number % 7 == 6
                    filler = b"" if last else bytes(500)
                    octets = message("udp4", number, control=last)
                    out.sendto(octets[:4] + filler + octets[4:], destination(there, "udp4"))
                assert received(pair.control, 20) == [number for number in range(140) if number % 7 == 6]
                assert received(pair.data, 120) == [number for number in range(140) if number % 7 != 6]
    finally:
        pair.close()


def test_a_port_in_use_is_refused_and_nothing_stays_open() -> None:
    with namespace("h3busy") as host:
        before = open_descriptors()
        pair = open_at(host, "udp4")
        for taken in ("udp4", "udp4"):
            with pytest.raises(OSError, match="in use") as error:
                open_at(host, taken)
            assert error.value.errno == errno.EADDRINUSE
        pair.close()
        open_at(host, "udp4").close()
        with host.inside(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
            other.bind(("::1", PORT))
            open_pair(listener("udp4")).close()  # IPv4 and IPv6 do not meet
            with pytest.raises(OSError, match="in use"):
                open_pair(listener("udp6"))
        assert open_descriptors() == before


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_address_of_another_host_is_refused(transport: str) -> None:
    family = TRANSPORTS[transport][1]
    with namespace("h3alien") as host:
        before = open_descriptors()
        with pytest.raises(OSError, match="assign") as error:
            open_at(
                host, transport, socket.inet_pton(family, "192.0.2.9" if family == socket.AF_INET else "2001:db8::9")
            )
        assert error.value.errno == errno.EADDRNOTAVAIL
        assert open_descriptors() == before


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_sockets_tell_the_local_address_and_wait_for_nothing(
    hosts: tuple[Namespace, Namespace], transport: str
) -> None:
    here, there = hosts
    family = TRANSPORTS[transport][1]
    pair = open_at(there, transport)
    try:
        with sender(here, transport) as out:
            out.sendto(message(transport, 1, control=True), destination(there, transport))
        poll(lambda: _peek(pair.control), "control message")
        _, ancillary, _, _ = pair.control.recvmsg(2048, 128)
        level, kind = (socket.IPPROTO_IP, 8) if family == socket.AF_INET else (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)
        (info,) = (data for *what, data in ancillary if what == [level, kind])
        assert address_of(there, family) in info
        for sock, octets in ((pair.control, CONTROL_BUFFER), (pair.data, DATA_BUFFER)):
            assert not sock.getblocking()
            assert not sock.get_inheritable()
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * octets
    finally:
        pair.close()


def _peek(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
