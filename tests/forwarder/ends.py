"""Two hosts whose forwarders join their interfaces ``pw0``, and raw Ethernet frames on these."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from l2tp_kernel.forwarder.control import Forwarder
from l2tp_kernel.schema import Encapsulation, Listener, Plane, PweParam
from l2tp_kernel.sockets import open_pair
from tests.support.netns import PATIENCE, poll

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from l2tp_kernel.schema import Counters
    from l2tp_kernel.sockets import SocketPair
    from tests.support.netns import Namespace

USER = "nobody"
PORT = 1701
HANDLE = 7
INTERFACE = "pw0"
TRANSPORTS = {
    "udp4": (Encapsulation.UDP, socket.AF_INET),
    "udp6": (Encapsulation.UDP, socket.AF_INET6),
    "ip4": (Encapsulation.IP, socket.AF_INET),
    "ip6": (Encapsulation.IP, socket.AF_INET6),
}
TYPE = b"\x88\xb5"
"""Local experimental EtherType: nobody else on the link speaks it."""

_TUNSETIFF = 0x400454CA
_IFF_TAP_NO_PI = 0x1002
_SOL_PACKET, _PACKET_AUXDATA = 263, 8
_TP_STATUS_VLAN_VALID = 1 << 4


def address_of(host: Namespace, family: int) -> bytes:
    return socket.inet_pton(family, host.ipv4 if family == socket.AF_INET else host.ipv6)


def listener(transport: str, address: bytes | None = None) -> Listener:
    encapsulation, family = TRANSPORTS[transport]
    anywhere = bytes(4 if family == socket.AF_INET else 16)
    port = PORT if encapsulation is Encapsulation.UDP else 0
    return Listener(Plane.USERSPACE, encapsulation, anywhere if address is None else address, port)


def make_tap(host: Namespace, name: str, mtu: int = 1500) -> int:
    """A TAP that is up and on which only the test speaks."""
    with host.inside():
        tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP_NO_PI))
    host.run("sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6")
    host.ip(f"link set {name} mtu {mtu} up")
    return tap


@dataclass
class End:
    """One host's forwarder, its sockets and its pw0."""

    host: Namespace
    forwarder: Forwarder
    pair: SocketPair
    param: PweParam
    tap: int

    def change(self, **values: object) -> None:
        self.param = dataclasses.replace(self.param, **values)  # type: ignore[arg-type]  # a test names real fields
        self.forwarder.set_session(self.param, None)

    def counters(self) -> Counters:
        return self.forwarder.stats()[INTERFACE]

    def wait_for(self, **counts: int) -> Counters:
        """Wait for these counters; AssertionError with what they were."""

        def reached() -> bool:
            return all(getattr(self.counters(), name) >= count for name, count in counts.items())

        with contextlib.suppress(AssertionError):
            poll(reached, "counters", timeout=5.0)
        seen = self.counters()
        assert counts.items() <= dataclasses.asdict(seen).items(), seen
        return seen


@contextlib.contextmanager
def joined(
    hosts: tuple[Namespace, Namespace], transport: str, shape: Mapping[str, object] | None = None, *, mtu: int = 1500
) -> Iterator[tuple[End, End]]:
    """Join pw0 of both; ``shape`` is what parameters both have instead of a 4 octet cookie alone."""
    encapsulation, family = TRANSPORTS[transport]
    with contextlib.ExitStack() as stack:
        ends = []
        for number, (host, peer) in enumerate((hosts, hosts[::-1]), start=1):
            with host.inside():
                pair = open_pair(listener(transport))
            stack.callback(pair.close)
            tap = make_tap(host, INTERFACE, mtu)
            stack.callback(os.close, tap)
            host.ip(f"addr add 198.51.100.{number}/24 dev {INTERFACE}")
            param = PweParam(
                plane=Plane.USERSPACE,
                interface=INTERFACE,
                listener=HANDLE,
                local_address=address_of(host, family),
                peer_address=address_of(peer, family),
                peer_port=PORT if encapsulation is Encapsulation.UDP else 0,
                local_connection_id=0,
                peer_connection_id=0,
                local_session_id=number,
                peer_session_id=3 - number,
                local_cookie=b"cook",
                peer_cookie=b"cook",
                receive_sublayer=0,
                send_sublayer=0,
                receive_sequencing=0,
                send_sequencing=0,
                mtu=mtu,
                bridge="",
                up=True,
            )
            forwarder = Forwarder(USER)
            forwarder.start()
            stack.callback(forwarder.close)
            forwarder.add_socket(HANDLE, pair.data, pair.flavour)
            forwarder.set_session(param, tap)
            ends.append(End(host, forwarder, pair, param, tap))
            ends[-1].change(**shape or {})
        yield ends[0], ends[1]


def open_descriptors() -> set[str]:
    """What this process has open, by what it is: numbers are used again."""
    there = Path("/proc/self/fd")
    return {str(name.readlink()) for name in there.iterdir() if name.is_symlink() and "fd" not in name.readlink().parts}


class Wire:
    """Frames to and from an interface, tags and all, as the host's own stack would exchange them."""

    def __init__(self, host: Namespace, interface: str = INTERFACE) -> None:
        with host.inside():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
            self._socket.bind((interface, 0))
            self._socket.settimeout(5 * PATIENCE)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def receive(self) -> bytes:
        """The next frame of a test that came in from outside."""
        while True:
            frame, ancillary, _, address = self._socket.recvmsg(1 << 17, 64)
            if address[2] == socket.PACKET_OUTGOING:
                continue
            frame = _with_tag(frame, ancillary)
            if TYPE in (frame[12:14], frame[16:18], frame[20:22]):
                return frame


def _with_tag(frame: bytes, ancillary: list[tuple[int, int, bytes]]) -> bytes:
    """Put the outer VLAN tag back that the kernel keeps beside a received frame."""
    for level, kind, data in ancillary:
        if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
            status, _, _, _, _, tci, tpid = struct.unpack_from("=IIIHHHH", data)
            if status & _TP_STATUS_VLAN_VALID:
                return frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
    return frame


def frame(size: int, number: int = 0, tags: bytes = b"") -> bytes:
    """A broadcast frame of ``size`` octets, whose content depends on ``number``."""
    head = b"\xff" * 6 + b"\x02\x00\x5e\x10\x00\x01" + tags + TYPE
    body = struct.pack("!I", number) + bytes((number + at) & 255 for at in range(max(0, size - len(head) - 4)))
    return (head + body)[:size]
