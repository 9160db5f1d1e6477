"""Calls: ICRQ, ICRP, ICCN and CDN from either side, octet by octet (RFC 3931, sections 3.4 and 6.6 to 6.12)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.avp import RawAvp
from l2tp_ctl.core.message import Message, MessageType, Result
from l2tp_ctl.core.settings import PseudowireType, Sequencing, SessionSettings, Sublayer
from tests.core.bench import Bench, FarEnd, answering, initiated, session, tunnel, up

MANDATORY_UNKNOWN = RawAvp(mandatory=True, hidden=False, reserved=0, vendor=0, type=999, value=b"")


def responder(*sessions: SessionSettings, **changes: Any) -> tuple[Bench, FarEnd]:
    bench = Bench(tunnel(*sessions, **changes))
    return bench, answering(bench)


# ---- Contents.


def test_icrq_and_iccn() -> None:
    bench, far = initiated(cookie_length=4)
    icrq = far.pop(MessageType.ICRQ)
    assert icrq.types == (0, 63, 64, 15, 68, 66, 71, 65, 5)
    ours = int.from_bytes(icrq.octets(63), "big")
    assert ours == bench.session.local_session_id != 0
    assert icrq.octets(64) == bytes(4)
    assert icrq.octets(15) == b"\0\0\0\x01"
    assert icrq.octets(68) == b"\0\x05"
    assert icrq.octets(66) == b"s1"
    assert icrq.octets(71) == b"\0\x03"
    assert len(icrq.octets(65)) == 4
    assert len(icrq.octets(5)) == 8
    far.of_session(MessageType.ICRP, 0x66, ours, circuit_status=3, cookie=b"theirs88")
    iccn = far.pop(MessageType.ICCN)
    assert iccn.types == (0, 63, 64)
    assert (iccn.octets(63), iccn.octets(64)) == (icrq.octets(63), b"\0\0\0\x66")
    pseudowire = bench.made[0].pseudowire
    assert (pseudowire.local_cookie, pseudowire.peer_cookie) == (icrq.octets(65), b"theirs88")
    assert (pseudowire.local_session_id, pseudowire.peer_session_id) == (ours, 0x66)
    assert (pseudowire.local_connection_id, pseudowire.peer_connection_id) == (far.peer_id, far.local_id)
    assert [change.state for change in bench.states if change.session] == [
        "wait-control-conn", "wait-reply", "established",
    ]  # fmt: skip
    assert (bench.session.mtu, bench.session.peer_cookie_length) == (1400, 8)


def test_icrp() -> None:
    bench, far = responder(cookie_length=8)
    far.call(cookie=b"1234")
    icrp = far.pop(MessageType.ICRP)
    assert icrp.types == (0, 63, 64, 71, 65)
    assert icrp.octets(64) == b"\0\0\0\x55"
    assert icrp.octets(71) == b"\0\x03"
    assert bench.session.state == "wait-connect"
    assert bench.logged(Entry.SESSION_UP) == []
    far.of_session(MessageType.ICCN, 0x55, bench.session.local_session_id)
    assert bench.session.state == "established"
    pseudowire = bench.made[0].pseudowire
    assert (pseudowire.local_cookie, pseudowire.peer_cookie) == (icrp.octets(65), b"1234")
    assert len(bench.made) == 1, "ICCN changed nothing"


def test_what_we_require_is_said_in_icrq_and_icrp() -> None:
    settings = session(pseudowire_type=PseudowireType.ETHERNET_VLAN, sequencing=Sequencing.ALL, mtu=1380, bridge="br0")
    bench, far = initiated(settings)
    icrq = far.pop(MessageType.ICRQ)
    assert (icrq.octets(68), icrq.octets(69), icrq.octets(70), icrq.octets(91)) == (
        b"\0\x04", b"\0\x01", b"\0\x02", (1380).to_bytes(2, "big"),
    )  # fmt: skip
    far.of_session(MessageType.ICRP, 0x66, bench.session.local_session_id, sublayer=1, sequencing=1)
    pseudowire = bench.made[0].pseudowire
    assert (pseudowire.receive_sublayer, pseudowire.receive_sequencing) == (Sublayer.DEFAULT, Sequencing.ALL)
    assert (pseudowire.send_sublayer, pseudowire.send_sequencing) == (Sublayer.DEFAULT, Sequencing.NON_IP)
    assert (pseudowire.mtu, pseudowire.bridge, pseudowire.interface) == (1380, "br0", "if-s1")


def test_serial_numbers_rise() -> None:
    _, far = initiated(session("s1"), session("s2"))
    assert [one.octets(15)[3] for one in far.inbox] == [1, 2]


@pytest.mark.parametrize(
    ("length", "cookie", "entry"), [(4, None, Entry.COOKIE_NOT_FOUND), (0, b"1234", Entry.COOKIE_IS_OFF_BUT_FOUND)]
)
def test_a_cookie_against_the_setting_is_told_and_works(length: int, cookie: bytes | None, entry: Entry) -> None:
    bench, far = responder(cookie_length=length)
    far.connect(cookie=cookie)
    assert bench.session.state == "established"
    assert [log.fields["msg_type"] for log in bench.logged(entry)] == ["ICRQ"]


def test_a_missing_serial_number_is_told_and_works() -> None:
    bench, far = responder()
    far.connect(serial_number=None)
    assert bench.session.state == "established"
    assert len(bench.logged(Entry.SERIAL_NUMBER_NOT_FOUND)) == 1


def test_several_sessions_in_one_control_connection() -> None:
    bench, far = responder(*(session(f"s{number}") for number in range(5)))
    for number in range(5):
        far.connect(f"s{number}", 0x100 + number)
    assert {view.state for view in bench.tunnel.sessions} == {"established"}
    assert len({view.local_session_id for view in bench.tunnel.sessions}) == 5


# ---- Remote End IDs.


@pytest.mark.parametrize(
    ("configured", "sent"), [(b"100", bytes([0, 0, 0, 100])), (bytes([0, 0, 0, 100]), b"100"), (b"100", b"100")]
)
def test_a_remote_end_id_as_digits_and_as_four_octets(configured: bytes, sent: bytes) -> None:
    bench, far = responder(session(remote_end_id=configured))
    far.connect(remote_end_id=sent)
    assert bench.session.state == "established"


def test_an_unknown_remote_end_id_gets_cdn_24() -> None:
    bench, far = responder()
    far.call("s\x002")
    cdn = far.pop(MessageType.CDN)
    assert cdn.message.result == Result(24, 0, "unknown Remote End ID")
    assert cdn.message.remote_session_id == 0x55
    assert bench.session.state == "idle"
    assert len(bench.logged(Entry.REMOTE_END_ID_MISMATCH)) == 1
    assert len(bench.logged(Entry.CANNOT_FIND_SESSION_CONFIG)) == 1


# ---- Refusals.

REFUSALS: list[tuple[dict[str, Any], Result]] = [
    ({"sequencing": 1}, Result(15)),
    ({"sublayer": 2}, Result(2, 3, "L2-Specific Sublayer 2 is not supported")),
    ({"sequencing": 3, "sublayer": 1}, Result(2, 3, "Data Sequencing 3 is not supported")),
    ({"interface_mtu": 1399}, Result(23, 0, "interface MTU is 1400 here")),
    ({"extra": (MANDATORY_UNKNOWN,)}, Result(2, 8, "unknown AVP, vendor 0 type 999")),
]


@pytest.mark.parametrize(
    ("fields", "result"),
    [*REFUSALS, ({"pseudowire_type": 7}, Result(14, 0, "pseudowire type 7 is not the configured one"))],
)
def test_an_icrq_that_does_not_fit(fields: dict[str, Any], result: Result) -> None:
    bench, far = responder(session(mtu=1400))
    far.call(**fields)
    cdn = far.pop(MessageType.CDN)
    assert cdn.message.result == result
    assert cdn.message.remote_session_id == 0x55
    assert (bench.session.state, bench.made, bench.deleted) == ("idle", [], [])
    assert bench.endpoint._context.sessions == {}


@pytest.mark.parametrize(("fields", "result"), REFUSALS)
def test_an_icrp_that_does_not_fit(fields: dict[str, Any], result: Result) -> None:
    bench, far = initiated(session(mtu=1400))
    ours = far.pop(MessageType.ICRQ).message.local_session_id or 0
    far.of_session(MessageType.ICRP, 0x66, ours, **fields)
    cdn = far.pop(MessageType.CDN)
    assert cdn.message.result == result
    assert (cdn.message.local_session_id, cdn.message.remote_session_id) == (ours, 0x66)
    assert (bench.session.state, bench.made) == ("idle", [])
    assert f"(result {result.code}" in bench.session.last_error


@pytest.mark.parametrize(("fields", "result"), [REFUSALS[0], REFUSALS[1], REFUSALS[4]])
def test_an_iccn_that_does_not_fit(fields: dict[str, Any], result: Result) -> None:
    bench, far = responder()
    far.call()
    ours = far.pop(MessageType.ICRP).message.local_session_id or 0
    far.of_session(MessageType.ICCN, 0x55, ours, **fields)
    assert far.result(MessageType.CDN) == result
    assert bench.session.state == "idle"
    assert [one.local_session_id for one in bench.deleted] == [ours]


@pytest.mark.parametrize(("identifier", "error"), [(None, 6), (0, 3)])
def test_an_icrq_without_a_session_id(identifier: int | None, error: int) -> None:
    bench, far = responder()
    far.call(local_session_id=identifier)
    cdn = far.pop(MessageType.CDN)
    assert cdn.message.result is not None
    assert (cdn.message.result.code, cdn.message.result.error) == (2, error)
    assert cdn.message.remote_session_id == 0
    assert bench.session.state == "idle"


def test_an_icrp_with_session_id_0() -> None:
    bench, far = initiated()
    far.accept(0)
    assert far.result(MessageType.CDN).error == 3
    assert bench.session.state == "idle"


@pytest.mark.parametrize("role", ["sender", "recipient"])
def test_the_helpers_failure_gets_cdn_4(role: str) -> None:
    bench, far = initiated() if role == "sender" else responder()
    bench.helper = False
    if role == "sender":
        far.accept()
    else:
        far.call()
    assert far.inbox == []
    bench.answer(error="EPERM")
    assert far.result(MessageType.CDN) == Result(4, 0, "set_pwe_param: EPERM")
    assert bench.session.state == "idle"
    assert "EPERM" in bench.session.last_error
    assert len(bench.logged(Entry.SET_PWE_PARAM_FAILED)) == 1
    assert len(bench.deleted) == 1


def test_a_session_is_up_only_when_the_helper_has_confirmed_it() -> None:
    bench, far = initiated()
    bench.helper = False
    far.accept()
    bench.run(5.0)
    assert (bench.session.state, far.inbox) == ("wait-reply", [])
    bench.answer()
    assert bench.session.state == "established"
    assert far.types == [MessageType.ICCN]


@pytest.mark.parametrize("role", ["sender", "recipient"])
def test_a_setup_that_takes_too_long_gets_cdn_16(role: str) -> None:
    bench, far = initiated() if role == "sender" else responder()
    if role == "recipient":
        far.call()
    far.inbox.clear()
    bench.run(59.9)
    assert bench.session.state != "idle"
    bench.run(0.2)
    while far.inbox[0].type is MessageType.HELLO:
        far.inbox.pop(0)
    assert far.result(MessageType.CDN) == Result(16, 0, "setup timed out")
    assert "setup timed out" in bench.session.last_error


def test_refused_calls_wait_longer_and_longer() -> None:
    bench, far = initiated(reconnect_interval=10.0, hello_interval=None)
    times = []
    for _ in range(10):
        while not far.inbox:
            bench.run(0.1)
        times.append(bench.now)
        icrq = far.pop(MessageType.ICRQ).message
        far.of_session(MessageType.CDN, 0, icrq.local_session_id or 0, result=Result(24))
    pauses = [later - earlier for earlier, later in pairwise(times)]
    for pause, most in zip(pauses, [1, 10, 20, 30, 40, 50, 60, 60, 60], strict=True):
        assert most / 2 <= pause <= most + 0.2


# ---- ICCN that changes the sublayer.


def test_an_iccn_with_another_sublayer_is_told_to_the_helper() -> None:
    bench, far = responder()
    far.call()
    bench.helper = False
    ours = far.pop(MessageType.ICRP).message.local_session_id or 0
    far.of_session(MessageType.ICCN, 0x55, ours, sublayer=1, sequencing=2)
    assert [one.pseudowire.send_sublayer for one in bench.made] == [0, 1]
    assert bench.made[1].pseudowire.send_sequencing == 2
    assert bench.session.state == "wait-connect"
    bench.answer()
    assert bench.session.state == "established"


def test_only_the_answer_to_the_last_request_counts() -> None:
    bench, far = responder()
    far.call()
    bench.helper = False
    bench.endpoint.helper_lost(bench.now)
    bench.endpoint.helper_back(bench.now)
    bench.settle()
    far.of_session(MessageType.ICCN, 0x55, bench.session.local_session_id, sublayer=1)
    assert len(bench.made) == 3
    bench.answer(1)
    assert bench.session.state == "wait-connect"
    bench.answer(2)
    assert bench.session.state == "established"


# ---- CDN.


@pytest.mark.parametrize("by", ["remote id", "local id"])
def test_a_cdn_ends_the_session(by: str) -> None:
    bench, far, ours = up()
    far.of_session(MessageType.CDN, 0x55, ours if by == "remote id" else 0, result=Result(3, 0, "bye"))
    assert bench.session.state == "idle"
    assert bench.session.last_error == "peer: administrative reasons (result 3): bye"
    assert bench.deleted[0].local_session_id == ours
    assert far.inbox == [], "a CDN is not answered"
    assert len(bench.logged(Entry.SESSION_DOWN)) == 1


def test_a_cdn_with_a_wrong_local_id_is_known_by_the_remote_one() -> None:
    """SoftEther's local id there is half of it."""
    bench, far, ours = up()
    far.of_session(MessageType.CDN, 0x5500, ours, result=Result(3))
    assert bench.session.state == "idle"


def test_a_cdn_for_no_session_is_ignored() -> None:
    bench, far, ours = up()
    far.of_session(MessageType.CDN, 0x99, ours + 1, result=Result(3))
    far.of_session(MessageType.CDN, 0x99, 0, result=Result(3))
    far.send(MessageType.CDN)
    assert (bench.session.state, far.inbox) == ("established", [])


def test_without_a_result_code_a_cdn_works_all_the_same() -> None:
    bench, far, ours = up()
    far.of_session(MessageType.CDN, 0x55, ours)
    assert bench.session.last_error == "peer: no result code"


@pytest.mark.parametrize("message_type", [MessageType.ICRP, MessageType.ICCN, MessageType.SLI, MessageType.WEN])
def test_messages_of_no_session_get_cdn_2_5(message_type: MessageType) -> None:
    bench, far, ours = up()
    far.send(Message(type=message_type, local_session_id=0x77, remote_session_id=ours + 1))
    cdn = far.pop(MessageType.CDN)
    assert cdn.message.result == Result(2, 5, "no such session")
    assert cdn.message.remote_session_id == 0x77
    assert bench.session.state == "established"


def test_another_tunnels_session_is_none_of_this_ones() -> None:
    other_address = replace(tunnel().address, peer="192.0.2.3")
    bench = Bench(tunnel(session("s1")), tunnel(session("s2"), name="t2", address=other_address))
    far = answering(bench)
    ours = far.connect()
    stranger = FarEnd(bench, 0x8800, address=other_address)
    stranger.begin()
    stranger.send(MessageType.SCCCN)
    stranger.inbox.clear()
    stranger.of_session(MessageType.CDN, 0x55, ours, result=Result(3))
    stranger.of_session(MessageType.SLI, 0x55, ours)
    assert bench.session.state == "established"
    assert stranger.result(MessageType.CDN).error == 5
