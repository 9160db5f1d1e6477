"""Setting up a control connection, from either side, octet by octet (RFC 3931, sections 3.3.1 and 6.1 to 6.4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.avp import RawAvp
from l2tp_ctl.core.message import Message, MessageType, Result
from l2tp_ctl.core.settings import Encapsulation, Limits
from tests.core.bench import ADDRESS, Bench, FarEnd, answering, initiated, session, tunnel, up

SCCRQ_FIELDS = "0 7 60 61 62 5 10 8"
MANDATORY_UNKNOWN = RawAvp(mandatory=True, hidden=False, reserved=0, vendor=0, type=999, value=b"")


def _types(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split())


# ---- Contents.


def test_sccrq() -> None:
    bench = Bench(tunnel(initiate=True, receive_window=9))
    far = FarEnd(bench)
    sccrq = far.await_sccrq()
    assert sccrq.data[:2] == b"\xc8\x03"
    assert (sccrq.header.connection_id, sccrq.header.ns, sccrq.header.nr) == (0, 0, 0)
    assert sccrq.address == ADDRESS
    assert sccrq.types == _types(SCCRQ_FIELDS)
    assert sccrq.octets(0) == b"\0\x01"
    assert sccrq.octets(7) == b"near"
    assert sccrq.octets(60) == b"\x0a\0\0\x01"
    assert int.from_bytes(sccrq.octets(61), "big") == bench.tunnel.local_connection_id != 0
    assert sccrq.octets(62) == b"\0\x05\0\x04"
    assert len(sccrq.octets(5)) == 8
    assert sccrq.octets(10) == b"\0\x09"
    assert sccrq.octets(8) == b"l2tpd"
    assert [avp.type for avp in sccrq.avps if not avp.mandatory] == [8]
    assert not any(avp.hidden or avp.reserved for avp in sccrq.avps)
    assert bench.tunnel.state == "wait-ctl-reply"


def test_sccrp_and_scccn() -> None:
    bench = Bench(tunnel())
    far = FarEnd(bench)
    far.begin()
    sccrp = far.pop(MessageType.SCCRP)
    assert (sccrp.header.connection_id, sccrp.header.ns, sccrp.header.nr) == (far.local_id, 0, 1)
    assert sccrp.types == _types("0 7 60 61 62 10 8")
    assert sccrp.octets(61) == far.peer_id.to_bytes(4, "big")
    assert bench.tunnel.state == "wait-ctl-conn"
    far.send(MessageType.SCCCN)
    assert far.received[-1].data == bytes.fromhex("c803000c 00007700 00010002"), "a ZLB"
    view = bench.tunnel
    assert (view.state, view.initiator, view.peer_connection_id) == ("established", False, far.local_id)
    assert (view.peer_host_name, view.peer_router_id, view.peer_vendor_name) == (b"far", 0x0A000002, b"")
    assert [change.state for change in bench.states if not change.session] == ["wait-ctl-conn", "established"]
    assert len(bench.logged(Entry.TUNNEL_UP)) == 1


def test_the_initiator_ends_with_scccn() -> None:
    bench = Bench(tunnel(initiate=True))
    far = FarEnd(bench)
    far.await_sccrq()
    far.send(far.opening(MessageType.SCCRP, vendor_name=b"Someone"))
    scccn = far.pop(MessageType.SCCCN)
    assert scccn.types == (0,)
    assert (scccn.header.connection_id, scccn.header.ns, scccn.header.nr) == (far.local_id, 1, 1)
    assert far.pop(MessageType.ICRQ).header.ns == 2
    assert (bench.tunnel.initiator, bench.tunnel.peer_vendor_name) == (True, b"Someone")


def test_over_ip() -> None:
    address = replace(ADDRESS, encapsulation=Encapsulation.IP, local_port=0, peer_port=0)
    bench = Bench(tunnel(address=address))
    far = FarEnd(bench, address=address)
    far.establish()
    assert far.received[0].address == address
    assert str(bench.tunnel.address) == "192.0.2.2"


def test_the_answer_may_come_from_another_port() -> None:
    """RFC 3931, section 4.1.2.2: the responder chooses its port, and both stay with it."""
    bench = Bench(tunnel(initiate=True))
    far = FarEnd(bench)
    far.await_sccrq()
    far.address = replace(ADDRESS, local="192.0.2.99", peer_port=40000)
    far.send(far.opening(MessageType.SCCRP))
    assert far.pop(MessageType.SCCCN).address == far.address
    assert str(bench.tunnel.address) == "192.0.2.2:40000"


def test_an_sccrq_from_any_port_is_answered_there() -> None:
    bench = Bench()
    far = FarEnd(bench, address=replace(ADDRESS, peer_port=36025))
    far.establish()
    assert {one.address.peer_port for one in far.received} == {36025}


def test_the_peers_window_is_obeyed() -> None:
    sessions = [session(f"s{number}") for number in range(6)]
    for window, expected in ((1, 1), (3, 3), (0, 4), (None, 4)):
        bench = Bench(tunnel(*sessions, initiate=True))
        far = FarEnd(bench)
        far.await_sccrq()
        far.acks = False
        far.send(far.opening(MessageType.SCCRP, receive_window=window))
        sizes = []
        while bench.tunnel.unacknowledged:
            sizes.append(bench.tunnel.unacknowledged)
            far.acknowledge()
        assert max(sizes) == expected
        assert len(far.inbox) == 7


# ---- Refusals.


@pytest.mark.parametrize(
    ("changes", "entry", "result"),
    [
        ({"peer_host_name": b"other"}, Entry.HOSTNAME_MISMATCH, Result(4, 0, "unexpected Host Name")),
        ({"peer_router_id": 1}, Entry.ROUTER_ID_MISMATCH, Result(4, 0, "unexpected Router ID")),
    ],
)
@pytest.mark.parametrize("initiate", [False, True])
def test_an_unexpected_peer_gets_stopccn_4(
    changes: dict[str, object],
    entry: Entry,
    result: Result,
    initiate: bool,  # noqa: FBT001 - a parameter
) -> None:
    bench = Bench(tunnel(initiate=initiate, **changes))
    far = FarEnd(bench)
    if initiate:
        far.await_sccrq()
        far.send(far.opening(MessageType.SCCRP))
    else:
        far.begin()
    stop = far.pop(MessageType.STOPCCN)
    assert stop.message.result == result
    assert stop.message.assigned_connection_id not in (None, 0)
    assert stop.header.connection_id == far.local_id
    assert bench.tunnel.state == "idle"
    assert result.text in bench.tunnel.last_error
    assert [log.fields["msg_type"] for log in bench.logged(entry)] == ["SCCRP" if initiate else "SCCRQ"]


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"host_name": None}, 6, "Host Name AVP is missing"),
        ({"pseudowire_capabilities": None}, 6, "Pseudowire Capabilities List AVP is missing"),
        ({"extra": (MANDATORY_UNKNOWN,)}, 8, "unknown AVP, vendor 0 type 999"),
    ],
)
def test_an_unusable_sccrq_gets_stopccn_2(changes: dict[str, object], error: int, text: str) -> None:
    bench = Bench()
    far = FarEnd(bench)
    far.begin(**changes)
    assert far.result(MessageType.STOPCCN) == Result(2, error, text)


@pytest.mark.parametrize(("identifier", "error"), [(None, 6), (0, 3)])
def test_without_the_peers_identifier_stopccn_goes_to_0(identifier: int | None, error: int) -> None:
    bench = Bench()
    FarEnd(bench).begin(assigned_connection_id=identifier)
    stop = bench.stray(MessageType.STOPCCN)
    assert stop.header.connection_id == 0
    assert stop.message.result is not None
    assert (stop.message.result.code, stop.message.result.error) == (2, error)


def test_scccn_with_an_unknown_mandatory_avp() -> None:
    bench = Bench()
    far = FarEnd(bench)
    far.begin()
    far.inbox.clear()
    far.send(MessageType.SCCCN, extra=(MANDATORY_UNKNOWN,))
    assert far.result(MessageType.STOPCCN).error == 8
    assert bench.tunnel.state == "idle"


def test_unknown_avps_without_the_m_bit_are_ignored() -> None:
    bench = Bench()
    far = answering(bench)
    far.send(MessageType.HELLO, extra=(replace(MANDATORY_UNKNOWN, mandatory=False, vendor=52845),) * 5)
    assert bench.tunnel.state == "established"


@pytest.mark.parametrize("ns_nr", [(1, 0), (0, 1), (65535, 0)])
def test_an_sccrq_must_be_numbered_as_a_first_message(ns_nr: tuple[int, int]) -> None:
    bench = Bench()
    far = FarEnd(bench)
    far.send_octets(far.octets(far.opening(MessageType.SCCRQ), ns=ns_nr[0], nr=ns_nr[1]))
    assert (far.received, bench.dropped("window")) == ([], 1)
    assert bench.endpoint._context.connections == {}


@pytest.mark.parametrize("message_type", [MessageType.SCCRQ, MessageType.SCCRP])
@pytest.mark.parametrize("stage", ["wait-ctl-reply", "wait-ctl-conn", "established"])
def test_setup_messages_in_the_wrong_state(stage: str, message_type: MessageType) -> None:
    bench = Bench(tunnel(initiate=stage == "wait-ctl-reply"))
    far = FarEnd(bench)
    if stage == "wait-ctl-reply":
        far.await_sccrq()
        message_type = MessageType.SCCCN if message_type is MessageType.SCCRP else message_type
    else:
        far.begin()
    if stage == "established":
        far.send(MessageType.SCCCN)
    far.inbox.clear()
    assert bench.tunnel.state == stage
    far.send(far.opening(message_type) if message_type is not MessageType.SCCCN else message_type)
    if message_type is MessageType.SCCCN:  # tells no identifier
        far.learn(bench.stray(MessageType.STOPCCN))
    assert far.result(MessageType.STOPCCN) == Result(7, 0, f"unexpected {message_type.name}")
    (log,) = bench.logged(Entry.VIOLATION)
    assert log.fields["state"] == stage.upper()
    assert bench.tunnel.state == "idle"


def test_a_second_scccn_ends_it() -> None:
    bench = Bench()
    far = answering(bench)
    far.send(MessageType.SCCCN)
    assert far.result(MessageType.STOPCCN).code == 7


@pytest.mark.parametrize("message_type", [MessageType.HELLO, MessageType.SLI, MessageType.ICRQ, MessageType.OCRQ])
def test_messages_before_it_is_established_are_acknowledged_and_ignored(message_type: MessageType) -> None:
    bench = Bench()
    far = FarEnd(bench)
    far.begin()
    far.inbox.clear()
    far.send(message_type, local_session_id=5, remote_end_id=b"s1")
    assert far.inbox == []
    assert far.received[-1].header.nr == 2
    (log,) = bench.logged(Entry.RECEIVE_BUT_IGNORED)
    assert log.fields == {"tunnel_id": far.peer_id, "msg_type": message_type.name, "state": "WAIT-CTL-CONN"}


@pytest.mark.parametrize("established", [False, True])
@pytest.mark.parametrize("mandatory", [False, True])
def test_unknown_message_types(mandatory: bool, established: bool) -> None:  # noqa: FBT001 - parameters
    """The M bit of the Message Type decides (RFC 3931, section 5.4.1)."""
    bench = Bench()
    far = FarEnd(bench)
    far.begin()
    if established:
        far.send(MessageType.SCCCN)
    far.inbox.clear()
    state = bench.tunnel.state
    far.send(Message(type=28, message_type_mandatory=mandatory))
    assert len(bench.logged(Entry.UNKNOWN_MESSAGE_TYPE)) == 1
    if mandatory:
        assert far.result(MessageType.STOPCCN) == Result(2, 8, "unknown message type 28")
        assert len(bench.logged(Entry.CANNOT_HANDLE_MESSAGE)) == 1
    else:
        assert (far.inbox, bench.tunnel.state) == ([], state)
        assert far.received[-1].type is MessageType.ACK


def test_hello_with_an_unknown_mandatory_avp_ends_it() -> None:
    bench, far, _ = up()
    far.send(MessageType.HELLO, extra=(MANDATORY_UNKNOWN,))
    assert far.result(MessageType.STOPCCN).error == 8
    assert bench.tunnel.state == "idle"


# ---- Time.


def test_a_peer_that_never_sends_scccn_gets_stopccn_7() -> None:
    bench = Bench(limits=Limits(setup=20.0))
    far = FarEnd(bench)
    far.begin()
    far.pop(MessageType.SCCRP)
    bench.run(19.9)
    assert bench.tunnel.state == "wait-ctl-conn"
    bench.run(0.2)
    assert far.result(MessageType.STOPCCN) == Result(7, 0, "setup timed out")
    assert bench.tunnel.state == "idle"


def test_a_peer_that_acknowledges_and_never_answers() -> None:
    bench = Bench(tunnel(initiate=True))
    far = FarEnd(bench)
    far.await_sccrq()
    bench.run(60.0)
    assert bench.stray(MessageType.STOPCCN).message.result == Result(7, 0, "setup timed out")
    assert "setup timed out" in bench.tunnel.last_error


def test_a_peer_that_is_not_there() -> None:
    bench = Bench(tunnel(initiate=True, retry=3, reconnect_interval=10.0))
    bench.start()
    bench.run(14.0)
    assert len(bench.astray) == 4
    assert {one.header.ns for one in bench.astray} == {0}
    bench.run(2.0)
    view = bench.tunnel
    assert (view.state, view.last_error) == ("idle", "the peer does not answer")
    assert len(bench.logged(Entry.SEND_FAILED_TUNNEL_SHUTDOWN)) == 1
    assert view.next_attempt is not None
    assert bench.now + 1.0 < view.next_attempt <= bench.now + 10.0
    bench.run(10.0)
    assert len({one.octets(61) for one in bench.astray}) == 2, "every attempt has an identifier of its own"


def test_first_attempts_are_spread_over_half_a_second() -> None:
    times = set()
    for seed in range(8):
        bench = Bench(tunnel(initiate=True), seed=seed)
        bench.start()
        assert bench.tunnel.next_attempt is not None
        times.add(bench.tunnel.next_attempt - bench.now)
    assert len(times) == 8
    assert all(0.0 <= time <= 0.5 for time in times)


def test_a_refused_attempt_waits_and_a_lost_tunnel_returns_soon() -> None:
    bench = Bench(tunnel(initiate=True, reconnect_interval=40.0))
    far = FarEnd(bench)
    far.await_sccrq()
    far.send(MessageType.STOPCCN, result=Result(4), assigned_connection_id=far.local_id)
    refused = bench.tunnel.next_attempt
    assert refused is not None
    assert 20.0 <= refused - bench.now <= 40.0
    assert float(bench.logged(Entry.TUNNEL_RETRY)[0].fields["seconds"]) == pytest.approx(refused - bench.now, abs=0.06)
    bench.run(41.0)
    other = FarEnd(bench, 0x8800)
    other.reply()
    other.acks = False
    bench.run(60.0 + 72.0)
    assert bench.tunnel.last_error == "the peer does not answer"
    assert bench.logged(Entry.TUNNEL_RETRY)[1].fields["seconds"] in {"0.5", "0.6", "0.7", "0.8", "0.9", "1.0"}


def test_a_peers_stopccn_is_followed_by_the_whole_interval() -> None:
    bench, far = initiated(reconnect_interval=40.0)
    far.send(MessageType.STOPCCN, result=Result(6), assigned_connection_id=far.local_id)
    view = bench.tunnel
    assert view.last_error == "peer: shutting down (result 6)"
    assert view.next_attempt is not None
    assert view.next_attempt - bench.now >= 20.0
    (log,) = bench.logged(Entry.PEER_STOPPED)
    assert log.fields["reason"] == "shutting down (result 6)"
    assert far.received[-1].type is MessageType.ACK


def test_started_after_the_peer_called_it_begins_nothing() -> None:
    bench = Bench(tunnel(initiate=True))
    answering(bench)
    bench.start()
    bench.run(5.0)
    assert bench.astray == []
