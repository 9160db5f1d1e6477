"""What there is to complain about in a received message that is used all the same, or refused for its AVPs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from l2tp_ctl.catalogue import Entry, Field
from l2tp_ctl.core.attributes import BY_TYPE, COOKIE_LENGTHS
from l2tp_ctl.core.avp import AVP_HEADER_LENGTH, CISCO, IETF, RawAvp
from l2tp_ctl.core.message import Message, MessageType
from l2tp_ctl.core.presence import fault, unexpected
from l2tp_ctl.core.results import in_range

_KNOWN_VENDORS = frozenset({IETF, CISCO})

Complaint = tuple[Entry, Mapping[str, Field]]


def complaints(message: Message) -> Iterator[Complaint]:
    """Yield a log entry and its fields for each AVP that is unknown, malformed or out of place.

    Last comes the one that tells that the message cannot be used because of them.
    """
    if not isinstance(message.type, MessageType):
        return
    name = message.type.text
    for avp in message.unrecognised:
        yield _of_unrecognised(avp, name)
    for attribute in unexpected(message):
        yield Entry.AVP_INVALID, {"AVP_name": attribute, "msg_type": name}
    result = message.result
    if result is not None and not in_range(message.type, result):
        yield Entry.RESULT_CODE_OUT_OF_RANGE, {"result": result.code, "error": result.error or 0}
    if fault(message) is not None:
        yield Entry.AVP_HANDLER_FAILED, {"msg_type": name}


def _of_unrecognised(avp: RawAvp, message_name: str) -> Complaint:
    fields: dict[str, Field] = {"vendor_code": avp.vendor, "type": avp.type, "len": AVP_HEADER_LENGTH + len(avp.value)}
    attribute = BY_TYPE.get((avp.vendor, avp.type))
    if avp.vendor not in _KNOWN_VENDORS:
        return Entry.UNKNOWN_VENDOR_ID, fields
    if attribute is None:
        return (Entry.NO_HANDLER if avp.mandatory else Entry.NO_HANDLER_M_BIT_NOT_SET), fields
    if attribute.field == "cookie" and not avp.hidden and len(avp.value) not in COOKIE_LENGTHS:
        return Entry.INVALID_COOKIE_LENGTH, {"func": message_name, "len": len(avp.value)}
    return Entry.AVP_INVALID, {"AVP_name": attribute.name, "msg_type": message_name}
