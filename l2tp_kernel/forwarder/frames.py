"""Frames in and out of L2TPv3 data messages (RFC 3931, sections 4.1 and 4.6): octets only, no sockets and no clock.

Over UDP a data message begins ``0x0003 0x0000``, then everywhere: Session ID, cookie of 0, 4 or 8 octets, the default
L2-Specific Sublayer if there is one, and the Ethernet frame without preamble and FCS (RFC 4719, section 3.1).  A
frame passes as it is: short ones are not padded, padding that came with one is not taken off, tags are left alone.
"""

from __future__ import annotations

import socket
import struct
from hmac import compare_digest
from typing import TYPE_CHECKING

from l2tp_kernel.schema import Counters, Flavour

if TYPE_CHECKING:
    from collections.abc import Callable

    from l2tp_kernel.schema import PweParam

ETHERNET_HEADER = 14
"""Octets of the shortest frame: two addresses and a type."""

NON_IP = 1
"""Sequencing of frames that are neither IPv4 nor IPv6 (RFC 3931, section 5.4.4, Data Sequencing)."""

RESYNCHRONISE = 5
"""That many old numbers in strict order are a peer that counts anew, not stray frames (RFC 3931, appendix C)."""

_UDP_HEADER = struct.pack("!HH", 0x0003, 0)
_T_AND_VERSION = 0x800F
_VERSION_3 = 0x0003

_VCCV = 1 << 31
_SEQUENCED = 1 << 30
_SEQUENCE_MASK = (1 << 24) - 1
_HALF = 1 << 23
_SUBLAYER = 4

_IP_TYPES = (b"\x08\x00", b"\x86\xdd")
_TAG_TYPES = (b"\x81\x00", b"\x88\xa8")

_WORD = struct.Struct("!I")
_UDP_START = struct.Struct("!HHI")


def _parse_udp(datagram: memoryview) -> tuple[int, int]:
    if len(datagram) < 8:
        return 0, 0
    flags, _, session_id = _UDP_START.unpack_from(datagram)
    return (session_id, 8) if flags & _T_AND_VERSION == _VERSION_3 else (0, 0)


def _parse_raw4(datagram: memoryview) -> tuple[int, int]:
    start = (datagram[0] & 15) * 4 if datagram else 0
    return (_WORD.unpack_from(datagram, start)[0], start + 4) if 20 <= start <= len(datagram) - 4 else (0, 0)


def _parse_raw6(datagram: memoryview) -> tuple[int, int]:
    return (_WORD.unpack_from(datagram)[0], 4) if len(datagram) >= 4 else (0, 0)


PARSERS: dict[Flavour, Callable[[memoryview], tuple[int, int]]] = {
    Flavour.UDP: _parse_udp,
    Flavour.RAW4: _parse_raw4,
    Flavour.RAW6: _parse_raw6,
}
"""What tells the Session ID of a received datagram and where its cookie starts; ID 0 if it is no data message."""


class Pseudowire:
    """One end of a pseudowire: how its frames are wrapped and unwrapped, in which order, and how many there were."""

    __slots__ = (
        "_expected", "_header", "_local_cookie", "_next", "_old_next", "_old_run", "_overhead", "_peer_host",
        "_receive_sequencing", "_receive_sublayer", "_send_sequencing", "header_length", "param", "rx_cookie",
        "rx_frames", "rx_malformed", "rx_octets", "rx_sequence", "rx_source", "tx_dropped", "tx_frames", "tx_octets",
    )  # fmt: skip

    def __init__(self, param: PweParam, flavour: Flavour) -> None:
        self.rx_frames = self.rx_octets = self.tx_frames = self.tx_octets = self.tx_dropped = 0
        self.rx_cookie = self.rx_malformed = self.rx_sequence = self.rx_source = 0
        self._next = 0
        self._expected: int | None = None
        self._old_next = self._old_run = 0
        self.set(param, flavour)

    def set(self, param: PweParam, flavour: Flavour) -> None:
        """Work with these parameters from now on.

        Counters go on; sequence numbers start anew with another session.  ValueError if sequencing is wanted without
        the sublayer that carries the numbers.
        """
        for sublayer, sequencing in (
            (param.send_sublayer, param.send_sequencing),
            (param.receive_sublayer, param.receive_sequencing),
        ):
            if sequencing and not sublayer:
                raise ValueError("sequencing needs the default L2-Specific Sublayer")
        if self._session(param) != self._session(getattr(self, "param", param)):
            self._next, self._expected, self._old_run = 0, None, 0
        self.param = param
        family = socket.AF_INET if len(param.peer_address) == 4 else socket.AF_INET6
        self._peer_host = socket.inet_ntop(family, param.peer_address)
        self._local_cookie = param.local_cookie
        self._receive_sublayer = param.receive_sublayer
        self._receive_sequencing = param.receive_sequencing
        self._overhead = len(param.local_cookie) + _SUBLAYER * param.receive_sublayer
        self._send_sequencing = param.send_sequencing
        start = _UDP_HEADER if flavour is Flavour.UDP else b""
        self._header = b"".join(
            (start, _WORD.pack(param.peer_session_id), param.peer_cookie, bytes(_SUBLAYER * param.send_sublayer))
        )
        self.header_length = len(self._header)

    def header(self, frame: memoryview) -> bytes:
        """Make what precedes ``frame`` on the wire, ``header_length`` octets; a sequenced one takes the next number."""
        if not self._send_sequencing or (self._send_sequencing == NON_IP and is_ip(frame)):
            return self._header
        number, self._next = self._next, (self._next + 1) & _SEQUENCE_MASK
        return self._header[:-_SUBLAYER] + _WORD.pack(_SEQUENCED | number)

    def unwrap(self, datagram: memoryview, cookie_at: int, source: str) -> int:
        """Where in ``datagram`` the frame starts, 0 if it must be dropped (and was counted so).

        ``cookie_at`` is the end of the Session ID, ``source`` the sender's address in the notation of inet_ntop.  The
        peer's port is its own affair: it may answer from any (RFC 3931, section 4.1.2.1).
        """
        if source != self._peer_host:
            self.rx_source += 1
            return 0
        start = cookie_at + self._overhead
        if len(datagram) < start + ETHERNET_HEADER:
            self.rx_malformed += 1
            return 0
        cookie = self._local_cookie
        if cookie and not compare_digest(datagram[cookie_at : cookie_at + len(cookie)], cookie):
            self.rx_cookie += 1
            return 0
        if self._receive_sublayer:
            (sublayer,) = _WORD.unpack_from(datagram, start - _SUBLAYER)
            if sublayer & _VCCV:  # a message of connectivity verification, not a frame (RFC 5085)
                self.rx_malformed += 1
                return 0
            required = self._receive_sequencing
            if required and not (required == NON_IP and is_ip(datagram[start:])) and not self._in_order(sublayer):
                self.rx_sequence += 1
                return 0
        return start

    def counters(self) -> Counters:
        """Return the counts so far."""
        return Counters(
            tx_frames=self.tx_frames,
            tx_octets=self.tx_octets,
            rx_frames=self.rx_frames,
            rx_octets=self.rx_octets,
            tx_dropped=self.tx_dropped,
            rx_cookie=self.rx_cookie,
            rx_malformed=self.rx_malformed,
            rx_sequence=self.rx_sequence,
            rx_source=self.rx_source,
        )

    def _in_order(self, sublayer: int) -> bool:
        """Is this number new: up to half the number space ahead of the last one (RFC 3931, section 4.6.1)."""
        if not sublayer & _SEQUENCED:
            return False
        number = sublayer & _SEQUENCE_MASK
        following = (number + 1) & _SEQUENCE_MASK
        if self._expected is None or (number - self._expected) & _SEQUENCE_MASK < _HALF:
            self._expected, self._old_run = following, 0
            return True
        self._old_run = self._old_run + 1 if number == self._old_next else 1
        self._old_next = following
        if self._old_run < RESYNCHRONISE:
            return False
        self._expected, self._old_run = following, 0
        return True

    @staticmethod
    def _session(param: PweParam) -> tuple[bytes, int, int]:
        return param.peer_address, param.local_session_id, param.peer_session_id


def is_ip(frame: memoryview) -> bool:
    """Tell whether the frame carries IPv4 or IPv6, behind any number of VLAN tags."""
    at = ETHERNET_HEADER - 2
    while (kind := frame[at : at + 2]) in _TAG_TYPES:
        at += 4
    return kind in _IP_TYPES
