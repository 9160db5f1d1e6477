"""Single datagrams: repeated, reordered, from strangers, of other versions, to nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.message import Message, MessageType, Result
from l2tp_ctl.core.settings import Encapsulation
from tests.core.bench import ADDRESS, Bench, FarEnd, answering, tunnel, up
from tests.core.octets import avp, packet

# ---- Repetitions.


def test_a_repeated_sccrq_is_acknowledged_and_begins_nothing() -> None:
    bench = Bench()
    far = FarEnd(bench)
    far.begin()
    first = far.octets(far.opening(MessageType.SCCRQ), ns=0, nr=0)
    for _ in range(20):
        far.send_octets(first)
    assert far.types == [MessageType.SCCRP]
    assert len(far.received) == 21
    assert far.received[-1].header.nr == 1
    assert bench.dropped("duplicate") == 20
    assert len(bench.endpoint._context.connections) == 1


def test_a_lost_sccrp_is_sent_again() -> None:
    bench = Bench()
    far = FarEnd(bench)
    far.acks = False
    far.begin()
    bench.run(3.5)
    assert [one.type for one in far.received] == [MessageType.SCCRP] * 3
    assert len({one.data for one in far.received}) == 1


def test_a_repeated_message_is_acknowledged_again() -> None:
    bench, far, _ = up()
    hello = far.next(MessageType.HELLO)
    for _ in range(3):
        far.send_octets(hello)
    assert [one.header.nr for one in far.received[-3:]] == [far.ns] * 3
    assert bench.endpoint.counters["received-hello"] == 1
    assert bench.dropped("duplicate") == 2
    assert len(bench.logged(Entry.SEQUENCE_NUMBER_MISMATCH)) == 2


def test_messages_in_any_order_are_taken_in_theirs() -> None:
    bench = Bench()
    far = answering(bench)
    first, second = far.next(MessageType.HELLO), far.next(MessageType.STOPCCN, result=Result(6))
    far.send_octets(second)
    assert bench.tunnel.state == "established"
    far.send_octets(first)
    assert bench.tunnel.state == "idle"
    assert bench.endpoint.counters["received-hello"] == 1


def test_beyond_the_window_and_beyond_what_was_sent() -> None:
    bench = Bench(tunnel(receive_window=4))
    far = answering(bench)
    far.send_octets(far.octets(Message(type=MessageType.HELLO), ns=far.ns + 4, nr=far.nr))
    assert bench.dropped("window") == 1
    far.send_octets(far.octets(Message(type=MessageType.HELLO), ns=far.ns, nr=far.nr + 1))
    assert bench.dropped("acknowledgement") == 1
    assert bench.tunnel.nr == far.ns
    assert bench.endpoint.counters["received-hello"] == 0


def test_after_stopccn_repetitions_are_acknowledged_for_31_seconds() -> None:
    bench, far, _ = up()
    stop = far.next(MessageType.STOPCCN, result=Result(6), assigned_connection_id=far.local_id)
    far.send_octets(stop)
    assert bench.tunnel.state == "idle"
    for _ in range(3):
        bench.run(10.0)
        far.received.clear()
        far.send_octets(stop)
        assert [one.header.nr for one in far.received] == [far.ns]
    bench.run(1.1)
    far.received.clear()
    far.send_octets(stop)
    assert far.received == []
    assert bench.dropped("connection-id") == 1


def test_a_stopccn_of_ours_is_repeated_until_it_is_acknowledged() -> None:
    bench, far, _ = up()
    far.acks = False
    bench.endpoint.clear_tunnel("t1", bench.now)
    bench.settle()
    bench.run(8.0)
    assert [one.type for one in far.received[-4:]] == [MessageType.STOPCCN] * 4
    count = len(far.received)
    far.acknowledge()
    bench.run(40.0)
    assert len(far.received) == count
    assert bench.endpoint._context.connections == {}


# ---- Strangers, and what is no control message.


def test_an_unknown_peer_gets_no_answer_and_one_line() -> None:
    bench = Bench()
    far = FarEnd(bench, address=replace(ADDRESS, peer="198.51.100.7"))
    for _ in range(3):
        far.ns = 0
        far.begin()
    assert far.received == bench.astray == []
    assert bench.dropped("unknown-peer") == 3
    (log,) = bench.logged(Entry.PEER_UNKNOWN)
    assert log.fields == {"msg_type": "SCCRQ", "address": "198.51.100.7:1701"}
    assert len(bench.logs) == 1


def test_a_peer_is_known_over_its_encapsulation_alone() -> None:
    bench = Bench()
    FarEnd(bench, address=replace(ADDRESS, encapsulation=Encapsulation.IP)).begin()
    assert bench.dropped("unknown-peer") == 1


def test_many_strangers_are_not_all_remembered() -> None:
    bench = Bench()
    for number in range(1100):
        FarEnd(bench, address=replace(ADDRESS, peer=f"10.0.{number // 250}.{number % 250}")).begin()
    assert len(bench.logged(Entry.PEER_UNKNOWN)) == 1100
    assert len(bench.endpoint._context._complaints) <= 1024


@pytest.mark.parametrize("change", [{"peer": "192.0.2.3"}, {"encapsulation": Encapsulation.IP}])
def test_a_message_from_a_wrong_source_is_dropped(change: dict[str, object]) -> None:
    bench, far, _ = up()
    far.address = replace(ADDRESS, **change)  # type: ignore[arg-type]  # each is one of Address's fields
    far.send(MessageType.STOPCCN, result=Result(6))
    assert bench.tunnel.state == "established"
    assert bench.dropped("source") == 1
    assert len(bench.logged(Entry.DATAGRAM_MALFORMED)) == 1


@pytest.mark.parametrize(
    ("data", "reason", "entry"),
    [
        ("c803", "short", Entry.DATAGRAM_MALFORMED),
        ("4803000c0000000000000000", "not-control", Entry.T_BIT_IS_NOT_SET),
        ("8803000c0000000000000000", "no-length", Entry.L_BIT_IS_NOT_SET),
        ("c003000c0000000000000000", "no-sequence", Entry.S_BIT_IS_NOT_SET),
        ("c804000c0000000000000000", "version", Entry.SUPPORT_ONLY_L2TPV3),
        ("c803000d0000000000000000", "length", Entry.WRONG_SIZE),
        ("c803000c0000000100000000", "connection-id", Entry.DATAGRAM_MALFORMED),
        ("c803000c0000000000000000", "connection-id", Entry.DATAGRAM_MALFORMED),
    ],
)
def test_what_is_no_control_message_for_us(data: str, reason: str, entry: Entry) -> None:
    bench = Bench()
    bench.deliver(bytes.fromhex(data))
    assert bench.dropped(reason) == 1
    assert [log.entry for log in bench.logs] == [entry]
    assert bench.astray == []


def test_the_first_avp_must_be_a_readable_message_type() -> None:
    bench, far, _ = up()
    for number, first in enumerate((avp(7, "00"), avp(0, "00"), avp(0, "0006", flags=0xC000))):
        bench.deliver(packet(first, connection_id=far.peer_id, ns=far.ns, nr=far.nr))
        assert bench.dropped("first-avp") + bench.dropped("message-type") == number + 1
    assert bench.tunnel.state == "established"


def test_ciscos_own_acknowledgement() -> None:
    bench, far, _ = up()
    far.acks = False
    bench.endpoint.clear_session("s1", bench.now)
    bench.settle()
    assert bench.tunnel.unacknowledged == 1
    bench.deliver(packet(avp(0, "0000", vendor=9), connection_id=far.peer_id, ns=far.ns, nr=far.nr))
    assert bench.tunnel.unacknowledged == 0


# ---- L2TPv2 probes.


def test_an_sccrq_with_version_2_is_answered_with_3() -> None:
    bench = Bench()
    far = FarEnd(bench)
    data = far.next(far.opening(MessageType.SCCRQ))
    far.send_octets(b"\xc8\x02" + data[2:])
    assert far.pop(MessageType.SCCRP).data[:2] == b"\xc8\x03"
    far.send(MessageType.SCCCN)
    assert bench.tunnel.state == "established"


def test_plain_l2tpv2_is_dropped() -> None:
    bench = Bench()
    bench.deliver(packet(avp(0, "0001"), avp(2, "0100"), avp(7, "61"), avp(9, "0001"), flags=0xC802))
    assert bench.dropped("version") == 1
    assert bench.astray == []


# ---- StopCCN to Control Connection ID 0.


def test_a_peer_that_gives_up_before_our_sccrp() -> None:
    bench = Bench()
    far = FarEnd(bench)
    far.begin()
    data = far.octets(Message(type=MessageType.STOPCCN, result=Result(1)), ns=1, nr=0, connection_id=0)
    far.send_octets(data)
    assert bench.dropped("connection-id") == 1, "it names no connection"
    stop = Message(type=MessageType.STOPCCN, result=Result(1), assigned_connection_id=far.local_id + 1)
    far.send_octets(far.octets(stop, ns=1, nr=0, connection_id=0))
    assert bench.tunnel.state == "wait-ctl-conn"
    far.send_octets(far.octets(replace(stop, assigned_connection_id=far.local_id), ns=1, nr=0, connection_id=0))
    assert bench.tunnel.state == "idle"
    assert bench.tunnel.last_error.startswith("peer: general request")


def test_nothing_else_may_go_to_0() -> None:
    bench = Bench()
    far = FarEnd(bench)
    far.begin()
    far.send_octets(far.octets(Message(type=MessageType.SCCCN), ns=1, nr=1, connection_id=0))
    assert bench.dropped("connection-id") == 1
    assert bench.tunnel.state == "wait-ctl-conn"
