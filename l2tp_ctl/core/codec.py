"""Messages to octets and back (RFC 3931, section 5).

Reading is total: any AVPs whatsoever make a Message, or raise ProtocolError.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from l2tp_ctl.core.attributes import ATTRIBUTES, BY_TYPE, CISCO_SENT, IGNORED, Attribute
from l2tp_ctl.core.avp import CISCO, IETF, RawAvp, encode_avp
from l2tp_ctl.core.digest import MESSAGE_DIGEST, Signer, sign
from l2tp_ctl.core.errors import Drop, ProtocolError
from l2tp_ctl.core.header import HEADER_LENGTH, build_header
from l2tp_ctl.core.hiding import hide, reveal
from l2tp_ctl.core.message import Message, MessageType

_MESSAGE_TYPE = 0
_EXTENDED_VENDOR_ID = 58


def _raw(number: int, value: bytes, *, vendor: int = IETF, mandatory: bool = True) -> RawAvp:
    return RawAvp(mandatory=mandatory, hidden=False, reserved=0, vendor=vendor, type=number, value=value)


_CISCO_OPENING = (
    _raw(2, b"\x01\x00"),
    _raw(3, bytes(4)),
    _raw(10, b"\x00\x01", vendor=CISCO),
)
"""Protocol Version, Framing Capabilities and Draft AVP Version: what a Cisco router itself opens with."""


def interpret(avps: Sequence[RawAvp], hide_keys: Sequence[bytes] = ()) -> Message:
    """Return what a message's AVPs say; none at all are an acknowledgement.

    The first of a repeated AVP counts.  Hidden values are revealed with whichever of ``hide_keys`` fits.  Unknown and
    malformed AVPs are kept for their M bit to decide.  Raises ProtocolError where the Message Type cannot be read.
    """
    if not avps:
        return Message(type=MessageType.ACK)
    first = avps[0]
    if (first.vendor, first.type) == (CISCO, _MESSAGE_TYPE):
        return Message(type=MessageType.ACK, cisco=True)  # the one message that Cisco's own Message Type makes
    if first.type != _MESSAGE_TYPE:
        raise ProtocolError(Drop.FIRST_AVP, f"{first.vendor}/{first.type}")
    if first.hidden or len(first.value) != 2:
        raise ProtocolError(Drop.MESSAGE_TYPE, f"{len(first.value)} octets")
    number = first.vendor << 16 | int.from_bytes(first.value, "big")
    try:
        message_type = MessageType(number)
    except ValueError:
        return Message(type=number, message_type_mandatory=first.mandatory)
    fields, unrecognised = _read(avps[1:], hide_keys)
    return Message(
        type=message_type,
        message_type_mandatory=first.mandatory,
        unrecognised=tuple(unrecognised),
        cisco=any(avp.vendor == CISCO for avp in avps),
        **fields,
    )


def encode(
    message: Message,
    *,
    connection_id: int,
    ns: int,
    nr: int,
    signers: Sequence[Signer] = (),
    hide_key: bytes | None = None,
) -> bytes:
    """Return a message's octets from its flags word on.

    ``connection_id`` is the peer's.  There is one digest for each signer.  With ``hide_key`` every value that may be
    hidden is, which needs a Random Vector in the message.  Raises ValueError without one, and where a value is too
    long for its AVP; ``struct.error`` where an integer is out of its range.
    """
    avps = tuple(_avps(message))
    if hide_key is not None:
        if message.random_vector is None:
            raise ValueError("hiding needs a Random Vector")
        avps = tuple(_hidden(avp, hide_key, message.random_vector) for avp in avps)
    opening = encode_avp(_raw(_MESSAGE_TYPE, message.type.to_bytes(2, "big"), mandatory=message.message_type_mandatory))
    digests = b"".join(encode_avp(_raw(MESSAGE_DIGEST, signer.placeholder)) for signer in signers)
    body = opening + digests + b"".join(encode_avp(avp) for avp in (*avps, *message.extra))
    data = build_header(HEADER_LENGTH + len(body), connection_id, ns, nr) + body
    return sign(data, HEADER_LENGTH + len(opening), signers)


def encode_zlb(connection_id: int, ns: int, nr: int) -> bytes:
    """Return the acknowledgement that has no AVPs."""
    return build_header(HEADER_LENGTH, connection_id, ns, nr)


def _read(avps: Sequence[RawAvp], hide_keys: Sequence[bytes]) -> tuple[dict[str, Any], list[RawAvp]]:
    """Return a Message's fields, and the AVPs that make none."""
    fields: dict[str, Any] = {}
    unrecognised: list[RawAvp] = []
    random_vector: bytes | None = None
    for avp in avps:
        if (avp.vendor, avp.type) in IGNORED:
            continue
        attribute = BY_TYPE.get((avp.vendor, avp.type))
        if attribute is None:
            unrecognised.append(_extended(avp))
            continue
        try:
            value = _value(attribute, avp, random_vector, hide_keys)
        except ProtocolError:
            unrecognised.append(avp)
            continue
        if attribute.field == "random_vector":
            random_vector = value  # for the hidden AVPs up to the next one
        fields.setdefault(attribute.field, value)
    return fields, unrecognised


def _value(attribute: Attribute, avp: RawAvp, random_vector: bytes | None, hide_keys: Sequence[bytes]) -> Any:  # noqa: ANN401 - as many types as kinds of AVP
    """Return one AVP's value, revealed if need be."""
    if not avp.hidden:
        return attribute.kind.decode(avp.value)
    if attribute.hideable and random_vector is not None:
        for key in hide_keys:
            try:
                return attribute.kind.decode(reveal(avp.type, avp.value, key, random_vector))
            except ProtocolError:
                continue  # hidden with another of our secrets, perhaps
    raise ProtocolError(Drop.AVP_LENGTH, f"{attribute.name} is hidden")


def _extended(avp: RawAvp) -> RawAvp:
    """Return what an Extended Vendor ID AVP carries; any other AVP as it is (RFC 3931, section 5.4.1).

    It gives vendors whose number has more than 16 bits AVPs of their own, none of which is known here.
    """
    if (avp.vendor, avp.type) != (IETF, _EXTENDED_VENDOR_ID) or avp.hidden or len(avp.value) < 6:
        return avp
    vendor = int.from_bytes(avp.value[:4], "big")
    number = int.from_bytes(avp.value[4:6], "big")
    return RawAvp(avp.mandatory, avp.hidden, avp.reserved, vendor, number, avp.value[6:], avp.offset)


def _avps(message: Message) -> Iterator[RawAvp]:
    """Yield the AVPs of a message's fields, in the order of the table."""
    for attribute in ATTRIBUTES:
        if attribute.vendor == CISCO and not (message.cisco and attribute.type in CISCO_SENT):
            continue
        value = getattr(message, attribute.field)
        if value is not None and value is not False:
            octets = attribute.kind.encode(value)
            yield _raw(attribute.type, octets, vendor=attribute.vendor, mandatory=attribute.mandatory)
    if message.cisco and message.type in (MessageType.SCCRQ, MessageType.SCCRP):
        yield from _CISCO_OPENING


def _hidden(avp: RawAvp, key: bytes, random_vector: bytes) -> RawAvp:
    """Return the AVP hidden, or as it is where it must not be."""
    attribute = BY_TYPE.get((avp.vendor, avp.type))
    if attribute is None or not attribute.hideable:
        return avp
    return replace(avp, hidden=True, value=hide(avp.type, avp.value, key, random_vector))
