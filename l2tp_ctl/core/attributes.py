"""Every AVP that this daemon knows, as one literal table.

The table's order is the order in which a message's AVPs are sent.  What is in neither ``ATTRIBUTES`` nor ``IGNORED``
is unrecognised.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from l2tp_ctl.core.avp import CISCO, IETF
from l2tp_ctl.core.errors import Drop, ProtocolError
from l2tp_ctl.core.message import CircuitErrors, Result

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How an AVP's value stands in octets.

    ``decode`` raises ProtocolError for octets that are no such value; ``encode`` raises ``struct.error`` for an
    integer out of range.
    """

    decode: Callable[[bytes], T]
    encode: Callable[[T], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One AVP: what it is called, where its value goes in a Message, and how it is sent."""

    vendor: int = IETF
    type: int
    name: str
    """As RFC 3931 writes it."""
    field: str
    """The Message's field."""
    kind: Kind[Any]
    mandatory: bool
    """The M bit that we send; what is received is known whatever its M bit says."""
    hideable: bool
    """Whether RFC 3931 lets the value be hidden."""


def _integer(code: str) -> Kind[int]:
    layout = struct.Struct(f"!{code}")

    def decode(value: bytes) -> int:
        _expect(value, layout.size)
        return int(layout.unpack(value)[0])

    return Kind(decode, layout.pack)


def _octets(*lengths: int) -> Kind[bytes]:
    """Octets as they are, of one of ``lengths``; without any, of every length."""

    def decode(value: bytes) -> bytes:
        if lengths:
            _expect(value, *lengths)
        return value

    return Kind(decode, bytes)


def _expect(value: bytes, *lengths: int) -> None:
    if len(value) not in lengths:
        raise ProtocolError(Drop.AVP_LENGTH, f"a value of {len(value)} octets")


def _decode_types(value: bytes) -> tuple[int, ...]:
    if len(value) % 2:
        raise ProtocolError(Drop.AVP_LENGTH, f"a list of {len(value)} octets")
    return struct.unpack(f"!{len(value) // 2}H", value)


def _encode_types(types: Collection[int]) -> bytes:
    return struct.pack(f"!{len(types)}H", *types)


def _decode_result(value: bytes) -> Result:
    if len(value) == 2:
        return Result(int.from_bytes(value, "big"))
    if len(value) < 4:
        raise ProtocolError(Drop.AVP_LENGTH, f"a Result Code of {len(value)} octets")
    code, error = struct.unpack_from("!HH", value)
    # SoftEther ends with zero octets where RFC 3931 has the text.
    return Result(code, error, value[4:].decode("utf-8", "replace").rstrip("\0"))


def _encode_result(result: Result) -> bytes:
    if result.error is None and not result.text:
        return struct.pack("!H", result.code)
    return struct.pack("!HH", result.code, result.error or 0) + result.text.encode()


def _decode_circuit_errors(value: bytes) -> CircuitErrors:
    _expect(value, 18, 26)
    return CircuitErrors(*struct.unpack("!4I", value[-16:]))


def _encode_circuit_errors(errors: CircuitErrors) -> bytes:
    # RFC 3931 draws four counters and gives the length of RFC 2661's six: with two zeros both readings agree.
    counters = (errors.hardware_overruns, errors.buffer_overruns, errors.timeout_errors, errors.alignment_errors)
    return struct.pack("!H6I", 0, 0, 0, *counters)


def _decode_flag(value: bytes) -> bool:
    _expect(value, 0)
    return True


def _encode_flag(_present: bool) -> bytes:  # noqa: FBT001 - the shape that every Kind has
    return b""


U16 = _integer("H")
U32 = _integer("I")
U64 = _integer("Q")
OCTETS = _octets()
COOKIE_LENGTHS = (0, 4, 8)
COOKIE = _octets(*COOKIE_LENGTHS)
TIE_BREAKER = _octets(8)
TYPES = Kind(_decode_types, _encode_types)
RESULT = Kind(_decode_result, _encode_result)
CIRCUIT_ERRORS = Kind(_decode_circuit_errors, _encode_circuit_errors)
FLAG = Kind(_decode_flag, _encode_flag)

# fmt: off
ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute(type=36, name="Random Vector", field="random_vector",
              kind=OCTETS, mandatory=True, hideable=False),
    Attribute(type=1, name="Result Code", field="result",
              kind=RESULT, mandatory=True, hideable=False),
    Attribute(type=7, name="Host Name", field="host_name",
              kind=OCTETS, mandatory=True, hideable=False),
    Attribute(type=60, name="Router ID", field="router_id",
              kind=U32, mandatory=True, hideable=False),
    Attribute(type=61, name="Assigned Control Connection ID", field="assigned_connection_id",
              kind=U32, mandatory=True, hideable=True),
    Attribute(type=62, name="Pseudowire Capabilities List", field="pseudowire_capabilities",
              kind=TYPES, mandatory=True, hideable=True),
    Attribute(type=73, name="Control Message Authentication Nonce", field="nonce",
              kind=OCTETS, mandatory=True, hideable=False),
    Attribute(type=63, name="Local Session ID", field="local_session_id",
              kind=U32, mandatory=True, hideable=True),
    Attribute(type=64, name="Remote Session ID", field="remote_session_id",
              kind=U32, mandatory=True, hideable=True),
    Attribute(type=15, name="Serial Number", field="serial_number",
              kind=U32, mandatory=False, hideable=True),
    Attribute(type=68, name="Pseudowire Type", field="pseudowire_type",
              kind=U16, mandatory=True, hideable=True),
    Attribute(type=66, name="Remote End ID", field="remote_end_id",
              kind=OCTETS, mandatory=True, hideable=True),
    Attribute(type=71, name="Circuit Status", field="circuit_status",
              kind=U16, mandatory=True, hideable=True),
    Attribute(type=65, name="Assigned Cookie", field="cookie",
              kind=COOKIE, mandatory=True, hideable=True),
    Attribute(type=5, name="Tie Breaker", field="tie_breaker",
              kind=TIE_BREAKER, mandatory=True, hideable=False),
    Attribute(type=69, name="L2-Specific Sublayer", field="sublayer",
              kind=U16, mandatory=True, hideable=True),
    Attribute(type=70, name="Data Sequencing", field="sequencing",
              kind=U16, mandatory=True, hideable=True),
    Attribute(type=10, name="Receive Window Size", field="receive_window",
              kind=U16, mandatory=True, hideable=False),
    Attribute(type=8, name="Vendor Name", field="vendor_name",
              kind=OCTETS, mandatory=False, hideable=True),
    Attribute(type=72, name="Preferred Language", field="preferred_language",
              kind=OCTETS, mandatory=False, hideable=True),
    Attribute(type=25, name="Physical Channel ID", field="physical_channel",
              kind=U32, mandatory=False, hideable=True),
    Attribute(type=74, name="Tx Connect Speed", field="tx_speed",
              kind=U64, mandatory=False, hideable=True),
    Attribute(type=75, name="Rx Connect Speed", field="rx_speed",
              kind=U64, mandatory=False, hideable=True),
    Attribute(type=34, name="Circuit Errors", field="circuit_errors",
              kind=CIRCUIT_ERRORS, mandatory=False, hideable=True),
    # RFC 4667
    Attribute(type=89, name="Attachment Group Identifier", field="attachment_group_id",
              kind=OCTETS, mandatory=False, hideable=True),
    Attribute(type=90, name="Local End ID", field="local_end_id",
              kind=OCTETS, mandatory=False, hideable=True),
    Attribute(type=91, name="Interface Maximum Transmission Unit", field="interface_mtu",
              kind=U16, mandatory=False, hideable=True),
    # RFC 9601
    Attribute(type=103, name="ECN Capability", field="ecn_capable",
              kind=FLAG, mandatory=False, hideable=True),
    # Cisco's own, in use before RFC 3931 had numbers; old routers send some of these alone.
    Attribute(vendor=CISCO, type=1, name="Cisco Assigned Control Connection ID", field="assigned_connection_id",
              kind=U32, mandatory=True, hideable=True),
    Attribute(vendor=CISCO, type=2, name="Cisco Pseudowire Capabilities List", field="pseudowire_capabilities",
              kind=TYPES, mandatory=True, hideable=True),
    Attribute(vendor=CISCO, type=3, name="Cisco Local Session ID", field="local_session_id",
              kind=U32, mandatory=True, hideable=True),
    Attribute(vendor=CISCO, type=4, name="Cisco Remote Session ID", field="remote_session_id",
              kind=U32, mandatory=True, hideable=True),
    Attribute(vendor=CISCO, type=5, name="Cisco Assigned Cookie", field="cookie",
              kind=COOKIE, mandatory=True, hideable=True),
    Attribute(vendor=CISCO, type=6, name="Cisco Remote End ID", field="remote_end_id",
              kind=OCTETS, mandatory=True, hideable=True),
    Attribute(vendor=CISCO, type=7, name="Cisco Pseudowire Type", field="pseudowire_type",
              kind=U16, mandatory=True, hideable=True),
    Attribute(vendor=CISCO, type=8, name="Cisco Circuit Status", field="circuit_status",
              kind=U16, mandatory=True, hideable=True),
    Attribute(vendor=CISCO, type=9, name="Cisco Session Tie Breaker", field="tie_breaker",
              kind=TIE_BREAKER, mandatory=True, hideable=False),
    Attribute(vendor=CISCO, type=14, name="Cisco Interface MTU", field="interface_mtu",
              kind=U16, mandatory=True, hideable=True),
)
# fmt: on

BY_TYPE: Mapping[tuple[int, int], Attribute] = {(row.vendor, row.type): row for row in ATTRIBUTES}
"""The table by vendor and type."""

CISCO_SENT = frozenset({1, 2, 3, 4, 7, 14})
"""Cisco's AVPs that we send beside RFC 3931's: those which Cisco's routers are known to take."""

IGNORED = frozenset(
    {
        (IETF, 0),  # Message Type: the first one is read before all else
        (IETF, 59),  # Message Digest: judged over the octets, before anything is interpreted
        # RFC 2661's, of which every Cisco router sends some
        (IETF, 2),  # Protocol Version
        (IETF, 3),  # Framing Capabilities
        (IETF, 4),  # Bearer Capabilities
        (IETF, 6),  # Firmware Revision
        (IETF, 9),  # Assigned Tunnel ID
        (IETF, 11),  # Challenge
        (IETF, 12),  # Q.931 Cause Code
        (IETF, 13),  # Challenge Response
        (IETF, 14),  # Assigned Session ID
        (IETF, 16),  # Minimum BPS
        (IETF, 17),  # Maximum BPS
        (IETF, 18),  # Bearer Type
        (IETF, 19),  # Framing Type
        (IETF, 21),  # Called Number
        (IETF, 22),  # Calling Number
        (IETF, 23),  # Sub-Address
        (IETF, 24),  # Tx Connect Speed BPS
        (IETF, 26),  # Initial Received LCP CONFREQ
        (IETF, 27),  # Last Sent LCP CONFREQ
        (IETF, 28),  # Last Received LCP CONFREQ
        (IETF, 29),  # Proxy Authen Type
        (IETF, 30),  # Proxy Authen Name
        (IETF, 31),  # Proxy Authen Challenge
        (IETF, 32),  # Proxy Authen ID
        (IETF, 33),  # Proxy Authen Response
        (IETF, 35),  # ACCM
        (IETF, 37),  # Private Group ID
        (IETF, 38),  # Rx Connect Speed BPS
        (IETF, 39),  # Sequencing Required
        # Unassigned; Cisco routers send them empty
        (IETF, 56),
        (IETF, 57),
        # Cisco's
        (CISCO, 0),  # Message Type
        (CISCO, 10),  # Draft AVP Version
        (CISCO, 12),  # Message Digest
        (CISCO, 13),  # Nonce
        (CISCO, 110),  # meaning unknown, sent empty
        (CISCO, 111),
    }
)
"""AVPs that are recognised, whatever their M bit, and say nothing to a Message."""
