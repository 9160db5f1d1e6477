"""The one error that bytes from the network may raise, and why."""

from __future__ import annotations

from enum import Enum


class Drop(Enum):
    """Why a datagram, or a message, was not used; the value is the counter's name."""

    SHORT = "short"
    """Fewer octets than a control header."""
    NOT_CONTROL = "not-control"
    """T bit clear: not a control message."""
    NO_LENGTH = "no-length"
    """L bit clear."""
    NO_SEQUENCE = "no-sequence"
    """S bit clear."""
    VERSION = "version"
    """Neither version 3 nor a version 2 probe."""
    LENGTH = "length"
    """The header's Length does not fit the datagram."""
    AVP_LENGTH = "avp-length"
    """An AVP is shorter than its header or runs past the message."""
    AVP_COUNT = "avp-count"
    """More AVPs than the limit."""
    FIRST_AVP = "first-avp"
    """The first AVP is not the Message Type."""
    MESSAGE_TYPE = "message-type"
    """The Message Type AVP itself cannot be read."""
    RESERVED = "reserved"
    """An AVP has a reserved bit set, where the configuration says to discard such messages."""
    AUTHENTICATION = "authentication"
    """Digest or nonce missing or wrong."""
    CONNECTION_ID = "connection-id"
    """No such Control Connection ID here."""
    SOURCE = "source"
    """The Control Connection ID belongs to another peer."""
    UNKNOWN_PEER = "unknown-peer"
    """An SCCRQ from an address with no tunnel configured."""
    HALF_OPEN = "half-open"
    """Too many half-open control connections."""
    REFLECTED = "reflected"
    """An SCCRQ of ours, sent back to us."""
    DUPLICATE = "duplicate"
    """Ns was received before; acknowledged again."""
    WINDOW = "window"
    """Ns is beyond the receive window."""
    ACKNOWLEDGEMENT = "acknowledgement"
    """Nr acknowledges what was never sent."""
    STATIC = "static"
    """Neither a HELLO nor an acknowledgement, and the tunnel is a static one."""


class ProtocolError(Exception):
    """Octets that do not make a usable control message.

    The one exception that decoding raises.  ``detail`` is text for people and never holds secret octets; ``size`` is
    the length in octets that does not fit, where that is what is wrong.
    """

    def __init__(self, drop: Drop, detail: str = "", *, size: int = 0) -> None:
        super().__init__(f"{drop.value}: {detail}" if detail else drop.value)
        self.drop = drop
        self.detail = detail
        self.size = size
