"""Every message, whole, faulty or empty, with every kind of identifiers, in every stage: none of them raises.

A state table without a row for what a peer can cause would let it end the daemon with one message.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2tp_ctl.core.avp import RawAvp
from l2tp_ctl.core.message import Message, MessageType, Result
from tests.core.bench import HIGHEST, LOWEST, Bench, FarEnd
from tests.core.stages import STAGES, settles

FAULT = RawAvp(mandatory=True, hidden=False, reserved=0, vendor=0, type=999, value=b"")
OPENING = {"host_name": b"far", "router_id": 1, "pseudowire_capabilities": (5, 4)}
CALL = {"remote_end_id": b"s1", "serial_number": 1, "pseudowire_type": 5, "circuit_status": 3}
FIELDS: dict[MessageType, dict[str, Any]] = {
    MessageType.SCCRQ: OPENING,
    MessageType.SCCRP: OPENING,
    MessageType.STOPCCN: {"result": Result(1)},
    MessageType.OCRQ: CALL,
    MessageType.ICRQ: CALL,
    MessageType.ICRP: {"circuit_status": 3},
    MessageType.CDN: {"result": Result(3)},
    MessageType.SLI: {"circuit_status": 0},
}
SETUP = (MessageType.SCCRQ, MessageType.SCCRP)
OF_A_TUNNEL = (*SETUP, MessageType.SCCCN, MessageType.STOPCCN, MessageType.HELLO, MessageType.ACK)
CONTENTS = ("whole", "faulty", "sequencing without sublayer", "empty")
OURS, ANOTHER = -1, 0x1234567
LOCAL_IDS, REMOTE_IDS = (0, 0x55, 0x66), (0, OURS, ANOTHER)
TIE_BREAKERS = (None, LOWEST, HIGHEST, b"ours")


def messages() -> Iterator[Message]:
    """Every message; OURS stands for what only the stage knows."""
    for mandatory in (True, False):
        yield Message(type=28, message_type_mandatory=mandatory)
    for message_type, content in product(MessageType, CONTENTS):
        fields = {} if content == "empty" else dict(FIELDS.get(message_type, {}))
        if content == "faulty":
            fields["extra"] = (FAULT,)
        if content == "sequencing without sublayer":
            fields["sequencing"] = 1
        ids: list[dict[str, Any]] = [
            {"local_session_id": local, "remote_session_id": remote} for local, remote in product(LOCAL_IDS, REMOTE_IDS)
        ]
        if message_type in OF_A_TUNNEL:
            ids = [{"assigned_connection_id": one} for one in (None, 0x7700, ANOTHER)]
        ties = TIE_BREAKERS if message_type in (MessageType.SCCRQ, MessageType.ICRQ) else (None,)
        for some_ids, tie in product(ids, ties):
            yield Message(type=message_type, tie_breaker=tie, **(fields | some_ids))


EVERY = tuple(messages())


def send(bench: Bench, far: FarEnd, message: Message, *, addressed: bool) -> None:
    """Send a message to the endpoint's Control Connection ID, or to 0."""
    fields: dict[str, Any] = {name: getattr(message, name) for name in Message.__slots__}
    if message.remote_session_id == OURS:
        fields["remote_session_id"] = bench.session.local_session_id
    if message.tie_breaker == b"ours":
        ours = [one.message.tie_breaker for one in far.received if one.type is message.type]
        fields["tie_breaker"] = ours[0] if ours else None  # of the session that is called first
    made = Message(**fields)
    if not addressed:
        first = message.type is MessageType.SCCRQ
        far.send_octets(far.octets(made, ns=0 if first else far.ns, nr=0 if first else far.nr, connection_id=0))
    elif message.type is MessageType.ACK:
        far.acknowledge()
    else:
        far.send(made)


@pytest.mark.parametrize("stage", STAGES)
def test_every_message_in_every_stage(stage: str) -> None:
    for message in EVERY:
        bench, far = STAGES[stage]()
        before = bench.endpoint.counters["datagrams"]
        send(bench, far, message, addressed=True)
        assert bench.endpoint.counters["datagrams"] > before
        settles(bench, far)


@pytest.mark.parametrize("stage", STAGES)
def test_every_message_to_control_connection_0_in_every_stage(stage: str) -> None:
    for message in EVERY:
        if message.type in (MessageType.SCCRQ, MessageType.STOPCCN):
            bench, far = STAGES[stage]()
            send(bench, far, message, addressed=False)
            settles(bench, far)


@pytest.mark.parametrize("stage", STAGES)
@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=40)
def test_stories_of_several_messages(stage: str, seed: int) -> None:
    random = Random(seed)
    bench, far = STAGES[stage]()
    bench.helper = random.random() < 0.7
    for _ in range(random.randint(2, 8)):
        send(bench, far, random.choice(EVERY), addressed=random.random() < 0.9)
        if random.random() < 0.2:
            bench.run(random.choice([0.1, 1.1, 5.0, 61.0]))
        if random.random() < 0.2 and bench.made:
            bench.answer(error=random.choice(["", "EPERM"]))
    settles(bench, far)
