"""What is counted and logged of datagrams that are not used."""

from __future__ import annotations

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.context import Context
from l2tp_ctl.core.errors import Drop, ProtocolError
from l2tp_ctl.core.settings import Address

_HEADER_LOG = {
    Drop.NOT_CONTROL: Entry.T_BIT_IS_NOT_SET,
    Drop.NO_LENGTH: Entry.L_BIT_IS_NOT_SET,
    Drop.NO_SEQUENCE: Entry.S_BIT_IS_NOT_SET,
    Drop.VERSION: Entry.SUPPORT_ONLY_L2TPV3,
}
"""Header faults with a line of their own."""

_MESSAGE_LOG = {
    Drop.LENGTH: Entry.WRONG_SIZE,
    Drop.AVP_LENGTH: Entry.WRONG_SIZE,
    Drop.FIRST_AVP: Entry.FIRST_AVP_IS_NOT_MESSAGE_TYPE,
    Drop.MESSAGE_TYPE: Entry.AVP_HANDLER_FAILED,
    Drop.RESERVED: Entry.RESERVED_BIT_IS_SET,
}
"""Faults of a whole message with a line of their own."""

_QUIET = frozenset({Drop.DUPLICATE, Drop.WINDOW, Drop.ACKNOWLEDGEMENT, Drop.AUTHENTICATION, Drop.REFLECTED})
"""Drops of everyday life, or logged where they were found."""


def tell(context: Context, error: ProtocolError, data: bytes, address: Address, now: float) -> None:
    """Count a datagram that was dropped for ``error``, and log it where that is due."""
    context.counters[f"dropped-{error.drop.value}"] += 1
    if error.drop in _HEADER_LOG:
        context.log(_HEADER_LOG[error.drop], func="receive")
    elif error.drop in _QUIET or not context.complains((error.drop, address.peer), now):
        return
    elif error.drop in _MESSAGE_LOG:
        _tell_message(context, error, int.from_bytes(data[4:8], "big"), address)
    else:
        context.log(Entry.DATAGRAM_MALFORMED, address=str(address), problem=str(error))


def _tell_message(context: Context, error: ProtocolError, connection_id: int, address: Address) -> None:
    """Log a message that is dropped as a whole, under the tunnel that it says it is for."""
    peer = context.places.find(address)
    context.log(
        _MESSAGE_LOG[error.drop],
        tunnel=peer.settings.name if peer else "",
        tunnel_id=connection_id,
        func="receive",
        len=error.size,
        address=str(address),
    )
