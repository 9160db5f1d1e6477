"""Control messages as values: what RFC 3931 lets a message say, without its octets."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from l2tp_ctl.core.avp import RawAvp


class MessageType(IntEnum):
    """Message types (RFC 3931, section 3.1)."""

    SCCRQ = 1
    SCCRP = 2
    SCCCN = 3
    STOPCCN = 4
    HELLO = 6
    OCRQ = 7
    OCRP = 8
    OCCN = 9
    ICRQ = 10
    ICRP = 11
    ICCN = 12
    CDN = 14
    WEN = 15
    SLI = 16
    ACK = 20

    @property
    def text(self) -> str:
        """The name as RFC 3931 writes it."""
        return "StopCCN" if self is MessageType.STOPCCN else self.name


@dataclass(frozen=True, slots=True)
class Result:
    """Result Code AVP (RFC 3931, section 5.4.2).  ``error`` is None where the AVP ends before it."""

    code: int
    error: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class CircuitErrors:
    """Circuit Errors AVP (RFC 3931, section 5.4.5)."""

    hardware_overruns: int
    buffer_overruns: int
    timeout_errors: int
    alignment_errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One control message.  A field is None where the message has no such AVP.

    Integers have the AVP's own range; texts and identifiers are the AVP's octets as they came.
    """

    type: MessageType | int
    """A plain int where the type is not one of ours, a vendor's with the Vendor ID in its upper 16 bits.

    The message then has no other field.
    """
    message_type_mandatory: bool = True
    result: Result | None = None
    tie_breaker: bytes | None = None
    host_name: bytes | None = None
    vendor_name: bytes | None = None
    receive_window: int | None = None
    serial_number: int | None = None
    physical_channel: int | None = None
    circuit_errors: CircuitErrors | None = None
    random_vector: bytes | None = None
    router_id: int | None = None
    assigned_connection_id: int | None = None
    pseudowire_capabilities: tuple[int, ...] | None = None
    local_session_id: int | None = None
    remote_session_id: int | None = None
    cookie: bytes | None = field(default=None, repr=False)
    remote_end_id: bytes | None = None
    pseudowire_type: int | None = None
    sublayer: int | None = None
    sequencing: int | None = None
    circuit_status: int | None = None
    preferred_language: bytes | None = None
    nonce: bytes | None = None
    tx_speed: int | None = None
    rx_speed: int | None = None
    attachment_group_id: bytes | None = None
    """RFC 4667, AVP 89."""
    local_end_id: bytes | None = None
    """RFC 4667, AVP 90."""
    interface_mtu: int | None = None
    """RFC 4667, AVP 91."""
    ecn_capable: bool | None = None
    """RFC 9601, AVP 103."""
    extra: tuple[RawAvp, ...] = ()
    """AVPs sent as they are after all others; a received message has none."""
    unrecognised: tuple[RawAvp, ...] = ()
    """Received AVPs that are unknown or malformed: the M bit decides what becomes of the message."""
    cisco: bool = False
    """Received with Cisco's vendor AVPs (vendor 9): the peer speaks that dialect.
    Sent: with those beside RFC 3931's."""
