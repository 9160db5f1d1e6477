"""Netlink (netlink(7)): octets of messages and of attributes, and a socket whose requests go out in bursts.

The helper packs and reads these octets itself.  It needs four layouts of numbers, and a library for all of netlink
would bring hundreds of modules into the one process that holds the privilege.  Numbers are in the machine's own order.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, NamedTuple

from l2tp_kernel.sockets import attach_filter, set_buffers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from l2tp_kernel.sockets import Instruction

BURST = 128
"""Requests in one packet; their errors fit in the receive buffer, even if every one of them fails."""
RECEIVE_BUFFER = 8 << 20
"""Octets of messages, with what the kernel adds, that may wait to be read before some are lost."""
ANSWER_SECONDS = 5
"""In which the kernel must answer: it does at once, and the helper must not hang if it does not."""

_ERROR, _DONE = 2, 3
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_HEADER = struct.Struct("=IHHII")  # length, kind, flags, sequence number, port
HEADER = _HEADER.size
"""Octets before the body of a message."""
_ATTRIBUTE, _U8, _U16, _U32 = (struct.Struct(f"=HH{value}") for value in ("", "B3x", "H2x", "I"))
_ATTRIBUTE_KIND = 0x3FFF  # without the flags for nested ones and for network byte order
_SEQUENCE = 0xFFFFFFFF
_PACKET = 1 << 16
_SOL_NETLINK, _ADD_MEMBERSHIP, _CAP_ACK = 270, 1, 10


class Request(NamedTuple):
    """One request: the kind of message, and what follows its header."""

    kind: int
    body: bytes


def u8(kind: int, value: int) -> bytes:
    """Lay out an attribute that is an octet, padded to the next as all of them are; likewise ``u16`` and ``u32``."""
    return _U8.pack(5, kind, value)


def u16(kind: int, value: int) -> bytes:
    """Lay out an attribute of 16 bits."""
    return _U16.pack(6, kind, value)


def u32(kind: int, value: int) -> bytes:
    """Lay out an attribute of 32 bits."""
    return _U32.pack(8, kind, value)


def octets(kind: int, value: bytes) -> bytes:
    """Lay out an attribute that is octets as they are."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) & 3)


def text(kind: int, value: str) -> bytes:
    """Lay out an attribute that is a text, ended by a zero octet."""
    return octets(kind, value.encode() + b"\0")


def attributes(body: bytes, offset: int = 0) -> dict[int, bytes]:
    """Values of the attributes from ``offset`` on, by kind."""
    found = {}
    while offset + 4 <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        found[kind & _ATTRIBUTE_KIND] = body[offset + 4 : offset + length]
        offset += max(4, (length + 3) & ~3)
    return found


def integer(value: bytes | None) -> int:
    """Read the value of an attribute that is a number of any size; 0 if it is missing."""
    return int.from_bytes(value or b"", sys.byteorder)


def string(value: bytes | None) -> str:
    """Read the value of an attribute that is a text; empty if it is missing."""
    return (value or b"").rstrip(b"\0").decode(errors="replace")


def messages(packet: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, sequence number and body of every message in a packet."""
    offset = 0
    while offset + _HEADER.size <= len(packet):
        length, kind, _, sequence, _ = _HEADER.unpack_from(packet, offset)
        yield kind, sequence, packet[offset + _HEADER.size : offset + length]
        offset += max(_HEADER.size, (length + 3) & ~3)


class Netlink:
    """A socket for requests of one protocol; every call may raise OSError with the kernel's errno."""

    def __init__(self, protocol: int) -> None:
        self._sequence = 0
        self._socket = _open(protocol)
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)  # errors do not repeat the request

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def fileno(self) -> int:
        """Return its descriptor, which also takes the ioctls of network interfaces."""
        return self._socket.fileno()

    def burst(self, kind: int, bodies: Sequence[bytes]) -> list[OSError | None]:
        """Have many requests of a kind carried out in order, and give the error of each, None where it was done.

        Only the last one of a packet asks to be acknowledged.  The kernel tells every error all the same, and goes on.
        """
        errors: list[OSError | None] = []
        for start in range(0, len(bodies), BURST):
            part = bodies[start : start + BURST]
            try:
                told = {position: _error(code) for position, code, _ in self._exchange(kind, part, _ACK) if code}
            except OSError as error:  # no answer: nobody knows what was done
                errors += [error] * len(part)
            else:
                errors += map(told.get, range(len(part)))
        return errors

    def ask(self, request: Request) -> bytes:
        """Send a request that has one answer, and give its body."""
        (answer,) = self._answers(request, _ACK)
        return answer

    def dump(self, request: Request) -> list[bytes]:
        """Ask for everything, and give the bodies."""
        return self._answers(request, _DUMP)

    def _answers(self, request: Request, flags: int) -> list[bytes]:
        answers = []
        for _, code, body in self._exchange(request.kind, [request.body], flags):
            if code:
                raise _error(code)
            answers.append(body)
        return answers[:-1]

    def _exchange(self, kind: int, bodies: Sequence[bytes], flags: int) -> Iterator[tuple[int, int, bytes]]:
        """Send requests in one packet; give position, errno and body of every answer up to the end of the last one's.

        ``flags`` are the last request's.  What ends one has an errno, which is 0 when it was done.
        """
        first, last = self._sequence, len(bodies) - 1
        self._sequence = first + len(bodies) & _SEQUENCE
        packet: list[bytes] = []
        for position, body in enumerate(bodies):
            asked = _REQUEST | (flags if position == last else 0)
            packet += _HEADER.pack(_HEADER.size + len(body), kind, asked, first + position & _SEQUENCE, 0), body
        self._socket.send(b"".join(packet))
        while True:
            for answer, sequence, body in messages(_receive(self._socket)):
                position = sequence - first & _SEQUENCE
                if position > last:
                    continue  # the answer to a request that was given up
                end = answer in (_ERROR, _DONE)
                yield position, -int.from_bytes(body[:4], sys.byteorder, signed=True) if end else 0, body
                if end and position == last:
                    return


class Monitor:
    """A socket that hears what happens; the kernel sends each message in a packet of its own."""

    def __init__(self, protocol: int, *, groups: int = 0, keep: list[Instruction] | None = None) -> None:
        """Hear from ``groups`` what the filter keeps, or all."""
        self._socket = _open(protocol, groups)
        if keep:
            attach_filter(self._socket, keep)
        self._socket.settimeout(0)

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def fileno(self) -> int:
        """Readable when there are news."""
        return self._socket.fileno()

    def join(self, group: int) -> None:
        """Hear from a group of generic netlink too."""
        self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    def packets(self) -> list[bytes]:
        """Give all that has come; OSError ENOBUFS if some was lost: what waited is older, and dropped too."""
        packets = []
        lost = None
        while True:
            try:
                packets.append(_receive(self._socket))
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = error
        if lost:
            raise lost
        return list(filter(None, packets))


def _receive(opened: socket.socket) -> bytes:
    """Receive a packet, empty if it is not the kernel's: others with the privilege may send here too."""
    packet, (port, _) = opened.recvfrom(_PACKET)
    return packet if port == 0 else b""


def _open(protocol: int, groups: int = 0) -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    opened.settimeout(ANSWER_SECONDS)
    opened.bind((0, groups))
    set_buffers(opened, RECEIVE_BUFFER)
    return opened


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
