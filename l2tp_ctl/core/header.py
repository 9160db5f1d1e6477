"""The control message header (RFC 3931, section 3.2.1).

Octets are counted from the flags word: over IP, the four zero octets before it are already gone.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from l2tp_ctl.core.errors import Drop, ProtocolError

HEADER_LENGTH = 12
"""Octets of the header; a message of this Length carries no AVPs."""

_T = 0x8000
_L = 0x4000
_S = 0x0800
_VERSION_MASK = 0x000F
_VERSION = 3
_PROBE_VERSION = 2
_LAYOUT = struct.Struct("!HHIHH")


@dataclass(frozen=True, slots=True)
class Header:
    """One control message's header.

    ``length`` counts octets from the flags word; ``connection_id`` is the receiver's Control Connection ID, 0 where
    it is not known yet; ``ns`` and ``nr`` are 16-bit.
    """

    version: int
    """3; or 2 on an SCCRQ from a peer that would also speak L2TPv2, then answered with 3 (section 4.7.3)."""
    length: int
    connection_id: int
    ns: int
    nr: int


def parse_header(data: bytes) -> Header:
    """Read the header of one datagram; octets beyond its Length are none of the message's.

    Reserved bits are ignored.  Raises ProtocolError where this is no control message of ours.
    """
    if len(data) < HEADER_LENGTH:
        raise ProtocolError(Drop.SHORT, f"{len(data)} octets")
    flags, length, connection_id, ns, nr = _LAYOUT.unpack_from(data)
    if not flags & _T:
        raise ProtocolError(Drop.NOT_CONTROL)
    version = flags & _VERSION_MASK
    # An L2TPv2 header has Tunnel ID and Session ID in the place of our identifier: a probe names neither.
    if version != _VERSION and (version != _PROBE_VERSION or connection_id):
        raise ProtocolError(Drop.VERSION, f"version {version}")
    if not flags & _L:
        raise ProtocolError(Drop.NO_LENGTH)
    if not flags & _S:
        raise ProtocolError(Drop.NO_SEQUENCE)
    if not HEADER_LENGTH <= length <= len(data):
        raise ProtocolError(Drop.LENGTH, f"Length {length} in a datagram of {len(data)} octets", size=length)
    return Header(version, length, connection_id, ns, nr)


def build_header(length: int, connection_id: int, ns: int, nr: int) -> bytes:
    """Return the header of a message of ``length`` octets, itself included; ``struct.error`` if out of range."""
    return _LAYOUT.pack(_T | _L | _S | _VERSION, length, connection_id, ns, nr)


def is_zlb(header: Header) -> bool:
    """Whether the message has no AVPs: an acknowledgement alone (RFC 3931, section 4.2)."""
    return header.length == HEADER_LENGTH
