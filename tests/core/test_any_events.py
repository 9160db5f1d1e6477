"""Whatever a peer, an operator, the helper or the system does, in whatever stage: nothing raises, nothing is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2tp_ctl.core.message import Message, MessageType
from tests.core.bench import ADDRESS, HIGHEST, LOWEST, Bench, FarEnd, session, tunnel
from tests.core.stages import STAGES, settles
from tests.core.strategies import messages

Step = Callable[[Bench, FarEnd], None]

_IDS = st.sampled_from(["zero", "ours", "theirs", "any"])


@st.composite
def peer_messages(draw: st.DrawFn) -> Step:
    """Send one message that a peer could send, its identifiers and numbers likely ones or any."""
    numbers = st.integers(17, 300).filter(lambda number: number != MessageType.ACK)
    unknown = st.builds(Message, type=numbers, message_type_mandatory=st.booleans())
    message = draw(st.one_of(messages(), messages(), messages(), unknown))
    local, remote, header = draw(_IDS), draw(_IDS), draw(_IDS)
    end_id = draw(st.sampled_from([b"s1", b"2", bytes([0, 0, 0, 2]), b"nobody"]))
    tie_breaker = draw(st.sampled_from([None, LOWEST, HIGHEST, "ours"]))
    ns, nr = (
        draw(st.sampled_from([0, 0, 0, 0, 1, -1, 2, 9, 0x8000])),
        draw(st.sampled_from([0, 0, 0, 0, 1, -1, 0x8000])),
    )
    any_id = draw(st.integers(1, 0xFFFFFFFF))

    def send(bench: Bench, far: FarEnd) -> None:
        ids = {"zero": 0, "ours": bench.session.local_session_id, "theirs": 0x55, "any": any_id}
        connections = {"zero": 0, "ours": far.peer_id, "theirs": far.peer_id, "any": far.peer_id}
        changes: dict[str, object] = {"nonce": None}
        if message.local_session_id is not None:
            changes["local_session_id"] = ids[local]
        if message.remote_session_id is not None:
            changes["remote_session_id"] = ids[remote]
        if message.remote_end_id is not None:
            changes["remote_end_id"] = end_id
        if message.type in (MessageType.SCCRQ, MessageType.ICRQ):
            ours = [one.message.tie_breaker for one in far.received if one.type is message.type]
            changes["tie_breaker"] = (ours or [None])[-1] if tie_breaker == "ours" else tie_breaker
        if message.type in (MessageType.SCCRQ, MessageType.SCCRP):
            changes["assigned_connection_id"] = far.local_id if any_id % 2 else any_id
        opening = message.type is MessageType.SCCRQ and header != "ours"
        far.send_octets(
            far.octets(
                replace(message, **changes),  # type: ignore[arg-type]  # each is one of Message's fields
                ns=0 if opening else (far.ns + ns) % 65536,
                nr=0 if opening else (far.nr + nr) % 65536,
                connection_id=0 if opening else connections[header],
            )
        )
        if not opening and not ns and message.type is not MessageType.ACK:
            far.ns = (far.ns + 1) % 65536

    return send


def _time(seconds: float) -> Step:
    return lambda bench, far: bench.run(seconds)


def _helper(*, answers: bool) -> Step:
    def change(bench: Bench, far: FarEnd) -> None:
        bench.helper = answers

    return change


def _answer(error: str) -> Step:
    def answer(bench: Bench, far: FarEnd) -> None:
        for index in range(len(bench.made)):
            bench.answer(index, error=error)

    return answer


def _event(action: Callable[[Bench], object]) -> Step:
    def act(bench: Bench, far: FarEnd) -> None:
        action(bench)
        bench.settle()

    return act


def _silence(bench: Bench, far: FarEnd) -> None:
    far.acks = not far.acks


OTHER_EVENTS = st.one_of(
    st.sampled_from([0.1, 1.5, 5.0, 61.0]).map(_time),
    st.sampled_from(["", "EPERM"]).map(_answer),
    st.sampled_from(
        [
            _helper(answers=True),
            _helper(answers=False),
            _silence,
            _event(lambda bench: bench.endpoint.start(bench.now)),
            _event(lambda bench: bench.endpoint.clear_tunnel("all", bench.now)),
            _event(lambda bench: bench.endpoint.clear_session("s1", bench.now)),
            _event(lambda bench: bench.endpoint.pwe_gone("if-s1", bench.now)),
            _event(lambda bench: bench.endpoint.link_changed("if-s1", up=False, now=bench.now)),
            _event(lambda bench: bench.endpoint.link_changed("if-s1", up=True, now=bench.now)),
            _event(lambda bench: bench.endpoint.helper_lost(bench.now)),
            _event(lambda bench: bench.endpoint.helper_back(bench.now)),
            _event(lambda bench: bench.endpoint.put_down("t1", bench.now)),
            _event(lambda bench: bench.endpoint.put_up("t1", bench.now)),
            _event(lambda bench: bench.endpoint.reload([tunnel(session("s1"), initiate=True)], bench.now)),
            _event(lambda bench: bench.endpoint.reload([tunnel(session("s1"), session("s3"))], bench.now)),
        ]
    ),
)


@pytest.mark.parametrize("stage", STAGES)
@given(steps=st.lists(peer_messages(), min_size=1, max_size=6), answers=st.booleans())
@settings(max_examples=20)
def test_any_messages_of_the_peer_in_any_stage(stage: str, steps: list[Step], answers: bool) -> None:  # noqa: FBT001 - drawn
    bench, far = STAGES[stage]()
    bench.helper = answers
    for step in steps:
        step(bench, far)
    settles(bench, far)


@pytest.mark.parametrize("stage", STAGES)
@given(steps=st.lists(st.one_of(peer_messages(), OTHER_EVENTS), min_size=3, max_size=15))
@settings(max_examples=20)
def test_any_events_in_any_stage(stage: str, steps: list[Step]) -> None:
    bench, far = STAGES[stage]()
    for step in steps:
        step(bench, far)
    settles(bench, far)


@given(data=st.binary(max_size=80), known=st.booleans())
@settings(max_examples=200)
def test_any_octets_in_an_established_tunnel(data: bytes, known: bool) -> None:  # noqa: FBT001 - drawn
    bench, far = STAGES["established_recipient"]()
    if known:
        header = far.octets(Message(type=MessageType.HELLO), ns=far.ns, nr=far.nr)[:12]
        data = header[:2] + (12 + len(data)).to_bytes(2, "big") + header[4:] + data
    bench.deliver(data, ADDRESS)
    assert bench.endpoint.counters["datagrams"] > 1
    settles(bench, far)
