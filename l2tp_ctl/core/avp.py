"""AVPs as octets (RFC 3931, section 5.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from l2tp_ctl.core.errors import Drop, ProtocolError
from l2tp_ctl.core.header import HEADER_LENGTH, Header

IETF = 0
"""Vendor ID of the AVPs that RFCs define."""

CISCO = 9
"""Vendor ID of Cisco's AVPs, from before RFC 3931 had numbers of its own."""

AVP_HEADER_LENGTH = 6
"""Octets before an AVP's value."""

MAX_VALUE_LENGTH = 0x3FF - AVP_HEADER_LENGTH
"""Octets that one AVP can carry."""

_M = 0x8000
_H = 0x4000
_RESERVED_SHIFT = 10
_RESERVED_MASK = 0xF
_LENGTH_MASK = 0x3FF
_LAYOUT = struct.Struct("!HHH")


@dataclass(frozen=True, slots=True)
class RawAvp:
    """One AVP before its meaning is known.  ``offset`` is where it starts in its message, flags word first."""

    mandatory: bool
    hidden: bool
    reserved: int
    """The four reserved bits, 0 on everything we send."""
    vendor: int
    type: int
    value: bytes = field(repr=False)
    offset: int = 0


def split_avps(data: bytes, header: Header, limit: int) -> tuple[RawAvp, ...]:
    """Cut a message's body into its AVPs.

    Raises ProtocolError where an AVP is shorter than its own header, runs past the message, or is one more than
    ``limit``.
    """
    avps: list[RawAvp] = []
    offset = HEADER_LENGTH
    while offset < header.length:
        if len(avps) == limit:
            raise ProtocolError(Drop.AVP_COUNT, f"more than {limit}")
        if header.length - offset < AVP_HEADER_LENGTH:
            left = header.length - offset
            raise ProtocolError(Drop.AVP_LENGTH, f"{left} octets left at {offset}", size=left)
        word, vendor, number = _LAYOUT.unpack_from(data, offset)
        end = offset + (word & _LENGTH_MASK)
        if not offset + AVP_HEADER_LENGTH <= end <= header.length:
            length = word & _LENGTH_MASK
            raise ProtocolError(Drop.AVP_LENGTH, f"length {length} at {offset}", size=length)
        value = data[offset + AVP_HEADER_LENGTH : end]
        reserved = word >> _RESERVED_SHIFT & _RESERVED_MASK
        avps.append(RawAvp(bool(word & _M), bool(word & _H), reserved, vendor, number, value, offset))
        offset = end
    return tuple(avps)


def encode_avp(avp: RawAvp) -> bytes:
    """Return one AVP's octets.  Raises ValueError where the value is longer than an AVP can say."""
    if len(avp.value) > MAX_VALUE_LENGTH:
        raise ValueError(f"AVP {avp.vendor}/{avp.type} of {len(avp.value)} octets")
    word = avp.mandatory * _M | avp.hidden * _H | avp.reserved << _RESERVED_SHIFT
    return _LAYOUT.pack(word | AVP_HEADER_LENGTH + len(avp.value), avp.vendor, avp.type) + avp.value
