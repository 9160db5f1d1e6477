"""AVPs as octets (RFC 3931, section 5.1)."""

from __future__ import annotations

from dataclasses import dataclass, field

IETF = 0
"""Vendor ID of the AVPs that RFCs define."""


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
