"""Which AVPs a message has, may have and must not have (RFC 3931, section 3.1 and chapter 6), as one literal table.

The RFC demands more than real peers send.  What some leave out is ``expected``: it is missed, and the message used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from l2tp_ctl.core.attributes import ATTRIBUTES, BY_TYPE
from l2tp_ctl.core.avp import IETF, RawAvp
from l2tp_ctl.core.message import Message, MessageType
from l2tp_ctl.core.results import GeneralError


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a message cannot be used: the Error Code for the peer and words for both ends."""

    error: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """The Message's fields in one message type; every field that is in none of the three is forbidden there.

    Digests and a Random Vector may be in every message.
    """

    mandatory: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    """Demanded by the RFC, and yet left out by peers that work."""
    optional: tuple[str, ...] = ()


_IDENTITY = ("host_name", "assigned_connection_id", "pseudowire_capabilities")
_OPENING = ("nonce", "vendor_name", "receive_window", "preferred_language", "ecn_capable")
_SESSION = ("local_session_id", "remote_session_id")
_CIRCUIT = ("sublayer", "sequencing", "tx_speed", "rx_speed")
_REQUEST = Presence(
    mandatory=("local_session_id", "remote_end_id"),
    expected=("remote_session_id", "serial_number", "pseudowire_type", "circuit_status"),
    optional=(
        *_CIRCUIT, "cookie", "tie_breaker", "physical_channel",
        "attachment_group_id", "local_end_id", "interface_mtu",
    ),
)  # fmt: skip
_REPLY = Presence(
    mandatory=_SESSION,
    expected=("circuit_status",),  # SoftEther's Cisco dialect has none, and tells the Pseudowire Type
    optional=(*_CIRCUIT, "cookie", "physical_channel", "interface_mtu", "pseudowire_type"),
)
_CONNECTED = Presence(mandatory=_SESSION, optional=(*_CIRCUIT, "circuit_status"))

PRESENCE: Mapping[MessageType, Presence] = {
    MessageType.SCCRQ: Presence(
        mandatory=_IDENTITY,
        expected=("router_id",),
        optional=(*_OPENING, "tie_breaker"),
    ),
    MessageType.SCCRP: Presence(
        mandatory=_IDENTITY,
        expected=("router_id",),  # SoftEther's Cisco dialect has none
        optional=_OPENING,
    ),
    MessageType.SCCCN: Presence(),
    MessageType.STOPCCN: Presence(expected=("result",), optional=("assigned_connection_id",)),
    MessageType.HELLO: Presence(),
    MessageType.OCRQ: _REQUEST,
    MessageType.OCRP: _REPLY,
    MessageType.OCCN: _CONNECTED,
    MessageType.ICRQ: _REQUEST,
    MessageType.ICRP: _REPLY,
    MessageType.ICCN: _CONNECTED,
    MessageType.CDN: Presence(expected=("result", *_SESSION)),
    MessageType.WEN: Presence(mandatory=_SESSION, expected=("circuit_errors",)),
    MessageType.SLI: Presence(mandatory=_SESSION, optional=("circuit_status",)),
    MessageType.ACK: Presence(),
}

_NAMES = {attribute.field: attribute.name for attribute in ATTRIBUTES if attribute.vendor == IETF}

_NOT_ZERO: Mapping[MessageType, str] = {
    MessageType.SCCRQ: "assigned_connection_id",
    MessageType.SCCRP: "assigned_connection_id",
    MessageType.OCRQ: "local_session_id",
    MessageType.OCRP: "local_session_id",
    MessageType.ICRQ: "local_session_id",
    MessageType.ICRP: "local_session_id",
}
"""Identifiers that the peer would then be reached by: 0 means something else."""

_FINAL = frozenset({MessageType.STOPCCN, MessageType.CDN, MessageType.ACK})
"""Messages that are used whatever they hold: they end something, or only acknowledge."""


def missing(message: Message) -> tuple[str, ...]:
    """Return the names of the AVPs that RFC 3931 demands of the message and that it has not."""
    if not isinstance(message.type, MessageType):
        return ()
    presence = PRESENCE[message.type]
    return _absent(message, presence.mandatory + presence.expected)


def unexpected(message: Message) -> tuple[str, ...]:
    """Return the names of the AVPs that have no place in the message; they are ignored."""
    if not isinstance(message.type, MessageType):
        return ()
    presence = PRESENCE[message.type]
    allowed = {"random_vector", *presence.mandatory, *presence.expected, *presence.optional}
    return tuple(name for field, name in _NAMES.items() if field not in allowed and getattr(message, field) is not None)


def fault(message: Message) -> Fault | None:
    """Return why the message cannot be used, None if it can.

    The Result Code that goes with it is 2, general error, in a StopCCN or a CDN by what the message is about.
    """
    if not isinstance(message.type, MessageType):
        if message.message_type_mandatory:
            return Fault(GeneralError.UNKNOWN_AVP, f"unknown Message Type {message.type}")
        return None
    if message.type in _FINAL:
        return None
    for avp in message.unrecognised:
        if avp.mandatory:
            return Fault(GeneralError.UNKNOWN_AVP, _describe(avp))
    for name in _absent(message, PRESENCE[message.type].mandatory):
        return Fault(GeneralError.VENDOR, f"{name} AVP is missing")
    field = _NOT_ZERO.get(message.type)
    if field is not None and not getattr(message, field):
        return Fault(GeneralError.VALUE, f"{_NAMES[field]} is 0")
    return None


def _absent(message: Message, fields: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_NAMES[field] for field in fields if getattr(message, field) is None)


def _describe(avp: RawAvp) -> str:
    attribute = BY_TYPE.get((avp.vendor, avp.type))
    if attribute is None:
        return f"unknown AVP, vendor {avp.vendor} type {avp.type}"
    return f"{attribute.name} AVP cannot be read"
