"""Control messages in and out of the sockets that the helper opened.

What a datagram looks like depends on the socket's flavour; from here on inwards it begins with the control header's
flags word.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from l2tp_ctl.core.settings import Address
from l2tp_ctl.runtime.config_file import ListenAddress
from l2tp_ctl.runtime.config_schema import same_family
from l2tp_ctl.runtime.config_tunnel import covers
from l2tp_kernel.schema import Flavour

BATCH = 32
"""Datagrams taken before other work gets its turn."""
SESSION_ID_ZERO = bytes(4)
"""Precedes the control header over IP (RFC 3931, section 4.1.1.2)."""

_IP_PKTINFO = 8  # ip(7); the socket module of Python 3.11 does not name it
_PKTINFO4 = struct.Struct("=i4s4s")
_PKTINFO6 = struct.Struct("=16si")
_ANCILLARY = socket.CMSG_SPACE(max(_PKTINFO4.size, _PKTINFO6.size))
_MAX_DATAGRAM = 65535


class ControlSocket:
    """One listener's control socket; ``handle`` is the helper's name for it.  Closing the object closes the socket."""

    def __init__(self, sock: socket.socket, flavour: Flavour, handle: int, listen: ListenAddress) -> None:
        sock.settimeout(0)
        self._socket = sock
        self._flavour = flavour
        self._buffer = bytearray(_MAX_DATAGRAM)
        self.handle = handle
        self.listen = listen

    def fileno(self) -> int:
        """Return the descriptor, for the event loop."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def receive(self) -> Iterator[tuple[bytes, Address]]:
        """Go through what has arrived, at most BATCH datagrams; raises OSError as recvmsg(2) does."""
        for _ in range(BATCH):
            try:
                length, ancillary, _, source = self._socket.recvmsg_into([self._buffer], _ANCILLARY)
            except BlockingIOError:
                return
            data = self._unwrap(bytes(self._buffer[:length]))
            if data is not None:
                port = source[1] if self._flavour is Flavour.UDP else 0
                yield (
                    data,
                    Address(
                        encapsulation=self.listen.encapsulation,
                        local=_destination(ancillary) or self.listen.address,
                        local_port=self.listen.port,
                        peer=source[0],
                        peer_port=port,
                    ),
                )

    def send(self, data: bytes, address: Address) -> None:
        """Send one control message; raises OSError as sendmsg(2) does, BlockingIOError included."""
        if self._flavour in {Flavour.RAW4, Flavour.RAW6}:
            data = SESSION_ID_ZERO + data
        self._socket.sendmsg([data], _source(address.local), 0, (address.peer, address.peer_port))

    def _unwrap(self, data: bytes) -> bytes | None:
        """Return what follows the encapsulation; None where it is no control message."""
        if self._flavour is Flavour.RAW4:
            data = data[(data[0] & 0x0F) * 4 :]
        if self._flavour in {Flavour.RAW4, Flavour.RAW6}:
            return data[4:] if data.startswith(SESSION_ID_ZERO) else None
        return data


class ControlSockets:
    """The control sockets that are open now."""

    def __init__(self) -> None:
        self._open: dict[ListenAddress, ControlSocket] = {}

    def __iter__(self) -> Iterator[ControlSocket]:
        return iter([*self._open.values()])

    def add(self, sock: ControlSocket) -> None:
        """Take a new one."""
        self._open[sock.listen] = sock

    def remove(self, listen: ListenAddress) -> ControlSocket | None:
        """Take one out, if it is there."""
        return self._open.pop(listen, None)

    def missing(self, wanted: tuple[ListenAddress, ...]) -> list[ListenAddress]:
        """Return those of ``wanted`` that are not open."""
        return [listen for listen in wanted if listen not in self._open]

    def find(self, address: Address) -> ControlSocket | None:
        """Return the socket for a control connection, None while it is not open."""
        for listen, sock in self._open.items():
            fits = covers(listen.address, address.local) if address.local else same_family(listen.address, address.peer)
            if fits and (listen.encapsulation, listen.port) == (address.encapsulation, address.local_port):
                return sock
        return None


def _destination(ancillary: list[tuple[int, int, bytes]]) -> str:
    """Return the address that a datagram was sent to; empty where the kernel did not tell."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(data) >= _PKTINFO4.size:
            return socket.inet_ntop(socket.AF_INET, _PKTINFO4.unpack_from(data)[2])
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and len(data) >= _PKTINFO6.size:
            return socket.inet_ntop(socket.AF_INET6, _PKTINFO6.unpack_from(data)[0])
    return ""


def _source(local: str) -> list[tuple[int, int, bytes]]:
    """Return the ancillary data that makes ``local`` the source; none leaves it to the routing table."""
    if not local:
        return []
    if ":" in local:
        octets = socket.inet_pton(socket.AF_INET6, local)
        return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _PKTINFO6.pack(octets, 0))]
    octets = socket.inet_pton(socket.AF_INET, local)
    return [(socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO4.pack(0, octets, bytes(4)))]
