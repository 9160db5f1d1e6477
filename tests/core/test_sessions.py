"""Sessions' lives: messages at any time, the circuit's status, and beginning anew (RFC 3931, sections 6.6 to 6.14)."""

from __future__ import annotations

from typing import Any

import pytest

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.avp import RawAvp
from l2tp_ctl.core.message import CircuitErrors, MessageType, Result
from l2tp_ctl.core.settings import Compatibility
from tests.core.bench import Bench, FarEnd, answering, initiated, session, tunnel, up

MANDATORY_UNKNOWN = RawAvp(mandatory=True, hidden=False, reserved=0, vendor=0, type=999, value=b"")


def _responder() -> tuple[Bench, FarEnd]:
    bench = Bench(tunnel())
    return bench, answering(bench)


# ---- What comes while the helper works.


def test_a_second_icrp_while_the_helper_works() -> None:
    bench, far = initiated()
    bench.helper = False
    ours = far.accept()
    far.of_session(MessageType.ICRP, 0x66, ours, circuit_status=3)
    assert far.result(MessageType.CDN) == Result(16, 0, "second ICRP")
    assert bench.session.state == "idle"
    bench.answer()
    assert bench.session.state == "idle", "its answer comes too late"
    assert bench.endpoint._context.requests == {}


def test_a_second_iccn_while_the_helper_works() -> None:
    bench, far = _responder()
    far.call()
    bench.helper = False
    ours = far.pop(MessageType.ICRP).message.local_session_id or 0
    far.of_session(MessageType.ICCN, 0x55, ours, sublayer=1)
    far.of_session(MessageType.ICCN, 0x55, ours, sublayer=1)
    assert far.result(MessageType.CDN) == Result(16, 0, "second ICCN")
    assert bench.session.state == "idle"


@pytest.mark.parametrize("role", ["sender", "recipient"])
def test_a_cdn_while_the_helper_works(role: str) -> None:
    bench, far = initiated() if role == "sender" else _responder()
    bench.helper = False
    far.accept(0x55) if role == "sender" else far.call()
    far.of_session(MessageType.CDN, 0x55, 0, result=Result(3))
    assert bench.session.state == "idle"
    bench.answer()
    assert (bench.session.state, far.inbox) == ("idle", [])
    assert len(bench.deleted) == 1


def test_an_icrp_or_iccn_before_our_icrp() -> None:
    for message_type, answers in ((MessageType.ICRP, [MessageType.CDN]), (MessageType.ICCN, [])):
        bench, far = _responder()
        bench.helper = False
        far.call()
        far.of_session(message_type, 0x55, bench.session.local_session_id)
        assert far.types == answers
        assert bench.endpoint._context.sessions == {}


def test_an_sli_before_our_icrp_finds_its_session() -> None:
    """RFC 4719, section 2.3: it may be sent any time after ICRQ; the peer knows its own id alone."""
    bench, far = _responder()
    bench.helper = False
    far.call()
    far.of_session(MessageType.SLI, 0x55, 0, circuit_status=0)
    far.of_session(MessageType.WEN, 0x55, 0, circuit_errors=CircuitErrors(1, 2, 3, 4))
    assert far.inbox == []
    assert not bench.session.peer_circuit_up
    bench.answer()
    assert far.types == [MessageType.ICRP]
    far.of_session(MessageType.SLI, 0x99, 0, circuit_status=0)
    assert far.inbox[-1].message.result == Result(2, 5, "no such session")


def test_a_faulty_sli_while_the_helper_works() -> None:
    bench, far = _responder()
    bench.helper = False
    far.call()
    far.of_session(MessageType.SLI, 0x55, bench.session.local_session_id, extra=(MANDATORY_UNKNOWN,))
    assert far.result(MessageType.CDN).error == 8
    assert bench.endpoint._context.sessions == {}


# ---- ICRQ again.


@pytest.mark.parametrize("stage", ["helper works", "wait-connect", "established", "our call", "our call, helper works"])
def test_a_new_icrq_replaces_what_there_was(stage: str) -> None:
    bench, far = initiated() if stage.startswith("our call") else _responder()
    bench.helper = "helper works" not in stage
    if stage == "our call, helper works":
        far.accept(0x55)
    elif stage == "our call":
        far.accept(0x55)
        far.pop(MessageType.ICCN)
    else:
        far.call()
        if stage == "established":
            far.of_session(MessageType.ICCN, 0x55, bench.session.local_session_id)
    before = bench.session.local_session_id
    far.inbox.clear()
    bench.helper = True
    far.call(local_id=0x77)
    cdn = far.pop(MessageType.CDN)
    assert cdn.message.result == Result(16, 0, "replaced by a new ICRQ")
    assert (cdn.message.local_session_id, cdn.message.remote_session_id) == (before, 0x55)
    assert [one.local_session_id for one in bench.deleted] == [before]
    icrp = far.pop(MessageType.ICRP)
    assert icrp.message.remote_session_id == 0x77
    far.of_session(MessageType.ICCN, 0x77, icrp.message.local_session_id or 0)
    assert bench.session.state == "established"


@pytest.mark.parametrize("message_type", [MessageType.ICRP, MessageType.ICCN])
def test_an_icrp_or_iccn_of_an_established_session_ends_it(message_type: MessageType) -> None:
    bench, far, ours = up()
    far.of_session(message_type, 0x55, ours)
    assert far.result(MessageType.CDN) == Result(16, 0, f"unexpected {message_type.name}")
    assert bench.session.state == "idle"
    assert len(bench.deleted) == 1


def test_an_iccn_for_our_own_call_ends_it_without_a_word() -> None:
    bench, far = initiated()
    ours = far.pop(MessageType.ICRQ).message.local_session_id or 0
    far.of_session(MessageType.ICCN, 0x55, ours)
    assert (bench.session.state, far.inbox) == ("idle", [])


# ---- Outgoing calls.


@pytest.mark.parametrize(
    ("message_type", "entry"),
    [
        (MessageType.OCRQ, Entry.NOT_SUPPORT_OCRQ),
        (MessageType.OCRP, Entry.NOT_SUPPORT_OCRP),
        (MessageType.OCCN, Entry.NOT_SUPPORT_OCCN),
    ],
)
def test_outgoing_calls_are_refused(message_type: MessageType, entry: Entry) -> None:
    bench, far, ours = up()
    far.of_session(message_type, 0x99, 0, remote_end_id=b"s1")
    cdn = far.pop(MessageType.CDN)
    assert cdn.message.result == Result(5, 0, "outgoing calls are not used")
    assert cdn.message.remote_session_id == 0x99
    assert len(bench.logged(entry)) == 1
    assert (bench.session.state, bench.session.local_session_id) == ("established", ours)


# ---- SLI and WEN.


def test_the_peers_circuit_status_is_shown() -> None:
    bench, far, ours = up()
    assert bench.session.peer_circuit_up
    far.of_session(MessageType.SLI, 0x55, ours, circuit_status=0)
    assert not bench.session.peer_circuit_up
    far.of_session(MessageType.SLI, 0x55, ours)
    assert not bench.session.peer_circuit_up
    far.of_session(MessageType.SLI, 0x55, ours, circuit_status=1)
    assert bench.session.peer_circuit_up
    assert [log.fields["state"] for log in bench.logged(Entry.PEER_CIRCUIT)] == ["down", "up"]
    assert far.inbox == []


def test_errors_on_the_peers_circuit_are_counted() -> None:
    bench, far, ours = up()
    far.of_session(MessageType.WEN, 0x55, ours, circuit_errors=CircuitErrors(1, 2, 3, 4))
    assert bench.endpoint.counters["received-wen"] == 1
    assert (bench.session.state, far.inbox) == ("established", [])


@pytest.mark.parametrize("message_type", [MessageType.SLI, MessageType.WEN])
def test_an_unknown_mandatory_avp_ends_the_session_alone(message_type: MessageType) -> None:
    bench, far, ours = up()
    far.of_session(message_type, 0x55, ours, extra=(MANDATORY_UNKNOWN,))
    assert far.result(MessageType.CDN) == Result(2, 8, "unknown AVP, vendor 0 type 999")
    assert (bench.session.state, bench.tunnel.state) == ("idle", "established")


def test_link_changes_are_told_by_sli() -> None:
    bench, far, ours = up()
    for up_now in (False, False, True):
        bench.endpoint.link_changed("if-s1", up_now, bench.now)
        bench.endpoint.link_changed("if-other", up_now, bench.now)
        bench.settle()
    sli = [far.pop(MessageType.SLI), far.pop(MessageType.SLI)]
    assert [one.octets(71) for one in sli] == [b"\0\0", b"\0\x01"]
    assert {(one.message.local_session_id, one.message.remote_session_id) for one in sli} == {(ours, 0x55)}
    assert far.inbox == []


def test_a_link_that_went_down_during_setup_is_told_afterwards() -> None:
    bench, far = _responder()
    far.call()
    bench.endpoint.link_changed("if-s1", up=False, now=bench.now)
    bench.settle()
    ours = far.pop(MessageType.ICRP).message.local_session_id or 0
    assert far.inbox == []
    far.of_session(MessageType.ICCN, 0x55, ours)
    assert far.pop(MessageType.SLI).octets(71) == b"\0\0"


# ---- Beginning anew.


def test_the_responder_leaves_the_calling_to_the_initiator_for_three_seconds() -> None:
    bench, far = _responder()
    bench.run(2.9)
    assert far.inbox == []
    bench.run(0.2)
    far.accept()
    assert bench.session.state == "established"


def test_a_call_of_the_peer_within_that_time_is_the_only_one() -> None:
    bench, far = _responder()
    bench.run(2.0)
    far.connect()
    bench.run(30.0)
    assert far.inbox == []
    assert bench.session.state == "established"


@pytest.mark.parametrize("role", ["sender", "recipient"])
def test_a_session_that_ended_is_called_anew(role: str) -> None:
    if role == "sender":
        bench, far = initiated()
        ours = far.accept(0x55)
        far.inbox.clear()
    else:
        bench, far, ours = up()
    far.of_session(MessageType.CDN, 0x55, ours, result=Result(1))
    bench.run(4.1 if role == "recipient" else 1.1)
    far.accept(0x56)
    assert bench.session.state == "established"
    assert bench.session.local_session_id != ours


def test_sessions_of_a_tunnel_that_ended_are_called_in_the_next_one() -> None:
    bench, far = initiated(session("s1"), session("s2"))
    far.accept(0x55)
    far.inbox.clear()
    far.send(MessageType.STOPCCN, result=Result(6), assigned_connection_id=far.local_id)
    assert {view.state for view in bench.tunnel.sessions} == {"idle"}
    assert len(bench.deleted) == 1
    other = FarEnd(bench, 0x8800)
    bench.run(10.1)
    other.reply()
    assert other.types == [MessageType.ICRQ, MessageType.ICRQ]


def test_a_type_that_the_peer_does_not_offer_is_not_called_and_tried_again_later() -> None:
    """RFC 3931, section 5.4.4: an ICRQ asks for no type that the peer's capabilities lack."""
    bench = Bench(tunnel(initiate=True, hello_interval=None, reconnect_interval=10.0))
    far = FarEnd(bench)
    far.reply(pseudowire_capabilities=(4,))
    assert (far.types, bench.session.state) == ([], "idle")
    assert "the peer does not offer pseudowire type 5" in bench.session.last_error
    changes = len(bench.states)
    bench.run(100.0)
    assert far.types == []
    assert 2 < len(bench.states) - changes < 40, "tried again, with pauses"
    far.connect()
    assert bench.session.state == "established"


# ---- Cisco.


@pytest.mark.parametrize(
    ("compatibility", "shows", "cisco"),
    [
        (Compatibility.AUTO, False, False),
        (Compatibility.AUTO, True, True),
        (Compatibility.STRICT, True, False),
        (Compatibility.CISCO, False, True),
    ],
)
def test_ciscos_dialect_is_spoken_to_those_who_speak_it(compatibility: Compatibility, shows: bool, cisco: bool) -> None:  # noqa: FBT001 - columns
    bench = Bench(tunnel(compatibility=compatibility))
    far = FarEnd(bench)
    fields: dict[str, Any] = {"cisco": True} if shows else {}
    far.begin(**fields)
    vendors = {avp.vendor for avp in far.pop(MessageType.SCCRP).avps}
    assert (9 in vendors) == cisco
    far.send(MessageType.SCCCN)
    far.connect()
    icrps = [one for one in far.received if one.type is MessageType.ICRP]
    assert [avp.vendor for avp in icrps[0].avps if avp.type == 68] == ([0] if cisco else [])
    assert far.types == ([MessageType.SLI] if cisco else [])
