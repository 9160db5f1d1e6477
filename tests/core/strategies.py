"""Messages for hypothesis: of every type, with any of the AVPs that the type may have."""

from __future__ import annotations

from hypothesis import strategies as st

from l2tp_ctl.core.message import CircuitErrors, Message, MessageType, Result
from l2tp_ctl.core.presence import PRESENCE

U16 = st.integers(0, 0xFFFF)
U32 = st.integers(0, 0xFFFFFFFF)
IDENTIFIERS = st.integers(1, 0xFFFFFFFF)
U64 = st.integers(0, (1 << 64) - 1)
OCTETS = st.binary(max_size=64)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)

FIELDS: dict[str, st.SearchStrategy[object]] = {
    "result": st.one_of(st.builds(Result, U16), st.builds(Result, U16, U16, TEXTS)),
    "tie_breaker": st.binary(min_size=8, max_size=8),
    "host_name": OCTETS,
    "vendor_name": OCTETS,
    "receive_window": U16,
    "serial_number": U32,
    "physical_channel": U32,
    "circuit_errors": st.builds(CircuitErrors, U32, U32, U32, U32),
    "random_vector": st.binary(min_size=16, max_size=16),
    "router_id": U32,
    "assigned_connection_id": IDENTIFIERS,
    "pseudowire_capabilities": st.lists(U16, max_size=12).map(tuple),
    "local_session_id": IDENTIFIERS,
    "remote_session_id": U32,
    "cookie": st.sampled_from([0, 4, 8]).flatmap(lambda length: st.binary(min_size=length, max_size=length)),
    "remote_end_id": OCTETS,
    "pseudowire_type": U16,
    "sublayer": U16,
    "sequencing": U16,
    "circuit_status": U16,
    "preferred_language": OCTETS,
    "nonce": OCTETS,
    "tx_speed": U64,
    "rx_speed": U64,
    "attachment_group_id": OCTETS,
    "local_end_id": OCTETS,
    "interface_mtu": U16,
    "ecn_capable": st.just(True),  # noqa: FBT003 - the AVP's presence is its value
}


@st.composite
def messages(draw: st.DrawFn, *, complete: bool = False) -> Message:
    """Draw a usable message; with ``complete``, one that has every AVP that it may have."""
    message_type = draw(st.sampled_from(MessageType))
    presence = PRESENCE[message_type]
    fields = {name: draw(FIELDS[name]) for name in presence.mandatory}
    for name in (*presence.expected, *presence.optional, "random_vector"):
        if complete or draw(st.booleans()):
            fields[name] = draw(FIELDS[name])
    return Message(type=message_type, **fields)  # type: ignore[arg-type]  # each field has its own strategy
