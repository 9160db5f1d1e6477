"""A control connection's life: bounds, Hello, loss, a peer's restart, shutdown."""

from __future__ import annotations

from dataclasses import replace

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.message import Message, MessageType, Result
from l2tp_ctl.core.settings import Limits
from tests.core.bench import Bench, FarEnd, initiated, secrets, tunnel, up

# ---- Bounds.


def test_half_open_connections_are_bounded_and_the_oldest_goes() -> None:
    bench = Bench(limits=Limits(half_open=3))
    ends = [FarEnd(bench, 0x100 + number) for number in range(5)]
    for far in ends:
        far.begin()
    assert len(bench.endpoint._context.connections) == 3
    ends[0].send(MessageType.SCCCN)
    assert bench.tunnel.state == "wait-ctl-conn"
    ends[3].send(MessageType.SCCCN)
    assert (bench.tunnel.state, bench.tunnel.peer_connection_id) == ("established", 0x103)


def test_refused_attempts_count_as_half_open() -> None:
    bench = Bench(tunnel(peer_host_name=b"nobody"), limits=Limits(half_open=3))
    for number in range(9):
        FarEnd(bench, 0x100 + number).begin()
    assert len(bench.endpoint._context.connections) == 3


def test_what_makes_room_is_told_as_it_is() -> None:
    """The log spoke of a StopCCN for each, which was never sent."""
    bench = Bench(limits=Limits(half_open=2))
    ends = [FarEnd(bench, 0x100 + number) for number in range(4)]
    for far in ends:
        far.begin()
    assert [one.type for far in ends for one in far.received] == [MessageType.SCCRP] * 4
    said = [log.fields["msg_type"] for log in bench.logged(Entry.SEND_STATE)]
    assert said == ["SCCRP"] * 4
    assert [change.reason for change in bench.states if change.state == "idle"] == ["replaced by a newer SCCRQ"] * 2
    ends[0].send(MessageType.SCCCN)
    assert bench.dropped("connection-id") == 1


def _send_unacknowledging(far: FarEnd, nr: int, message: Message) -> None:
    far.send_octets(far.octets(message, ns=far.ns, nr=nr))
    far.ns += 1


_PROVOCATION = Message(type=MessageType.SLI, local_session_id=0x70, remote_session_id=0x12345)
"""What is answered with a CDN."""


def test_a_full_queue_ends_the_tunnel() -> None:
    bench, far, _ = up(limits=Limits(send_queue=6))
    far.acks = False
    nr = far.nr
    for _ in range(9):
        _send_unacknowledging(far, nr, _PROVOCATION)
    assert (bench.tunnel.unacknowledged, bench.tunnel.queued) == (3, 6)
    assert bench.session.state == "established"
    _send_unacknowledging(far, nr, _PROVOCATION)
    bench.run(0.0)
    assert bench.tunnel.state == bench.session.state == "idle"
    assert bench.tunnel.last_error == "the peer does not answer"
    assert len(bench.deleted) == 1
    assert bench.endpoint._context.connections == {}


def test_a_session_whose_iccn_cannot_be_queued_goes_down_after_it_came_up() -> None:
    bench, far = initiated(limits=Limits(send_queue=1))
    far.acks = False
    nr = far.nr
    for _ in range(3):
        _send_unacknowledging(far, nr, _PROVOCATION)
    icrp = replace(_PROVOCATION, type=MessageType.ICRP, remote_session_id=bench.session.local_session_id)
    _send_unacknowledging(far, nr, icrp)
    bench.run(0.0)
    life = [log.entry for log in bench.logs if log.entry in (Entry.SESSION_UP, Entry.SESSION_DOWN)]
    assert life == [Entry.SESSION_UP, Entry.SESSION_DOWN]
    assert [change.state for change in bench.states if change.session][-2:] == ["established", "idle"]


# ---- Hello.


def test_hello_after_a_silent_interval_and_only_then() -> None:
    bench, far, _ = up(hello_interval=30.0)
    for _ in range(10):
        bench.run(20.0)
        far.send(MessageType.HELLO)
    assert far.types == []
    bench.run(30.0)
    hello = far.pop(MessageType.HELLO)
    assert hello.types == (0,)
    bench.run(300.0)
    assert 9 <= len(far.inbox) <= 11
    assert bench.tunnel.state == "established"


def test_without_an_interval_there_is_no_hello() -> None:
    bench, far, _ = up(hello_interval=None)
    bench.run(10_000.0)
    assert far.inbox == []


def test_an_unanswered_hello_ends_the_tunnel() -> None:
    bench, far, _ = up(hello_interval=30.0, retry=4)
    far.acks = False
    bench.run(30.0)
    bench.run(1 + 2 + 4 + 8 + 8 - 4.0)
    assert bench.tunnel.state == "established"
    assert 4 <= [one.type for one in far.received].count(MessageType.HELLO) <= 5
    bench.run(8.0)
    assert bench.tunnel.state == bench.session.state == "idle"
    assert bench.deleted[0].interface == "if-s1"
    assert [log.fields["reason"] for log in bench.logged(Entry.TUNNEL_DOWN)] == ["the peer does not answer"]
    assert [log.fields["reason"] for log in bench.logged(Entry.SESSION_DOWN)] == ["the peer does not answer"]


# ---- A peer that restarts.


def test_a_restarted_peer_replaces_its_old_connection_once_established() -> None:
    bench, old, _ = up()
    old.acks = False
    new = FarEnd(bench, 0x8800)
    new.begin()
    assert len(bench.logged(Entry.ALREADY_HAVE_TUNNEL)) == 1
    assert bench.session.state == "established", "nobody has proved to be the peer yet"
    assert bench.tunnel.peer_connection_id == old.local_id
    new.send(MessageType.SCCCN)
    assert bench.tunnel.peer_connection_id == new.local_id
    assert old.result(MessageType.STOPCCN).text == "replaced by a newer control connection"
    assert [one.interface for one in bench.deleted] == ["if-s1"]
    new.inbox.clear()
    new.connect()
    assert bench.session.state == "established"
    assert len(bench.deleted) == 1


def test_a_replayed_sccrq_changes_nothing() -> None:
    bench, far, _ = up(secrets=secrets(b"secret"), hello_interval=None)
    replayed = far.octets(far.opening(MessageType.SCCRQ), ns=0, nr=0, connection_id=0)
    ghost = FarEnd(bench, far.local_id, secrets=[b"secret"])  # the peer, which sees another SCCRP, and ignores it
    ghost.acks = False
    bench.deliver(replayed)
    assert ghost.types == [MessageType.SCCRP]
    bench.run(120.0)
    assert bench.tunnel.peer_connection_id == far.local_id
    assert bench.session.state == "established"
    assert len(bench.endpoint._context.connections) == 1


def test_the_next_candidate_goes_on_when_the_current_one_fails() -> None:
    bench, old, _ = up()
    new = FarEnd(bench, 0x8800)
    new.begin()
    old.send(MessageType.STOPCCN, result=Result(6))
    assert (bench.tunnel.state, bench.tunnel.peer_connection_id) == ("wait-ctl-conn", new.local_id)
    new.send(MessageType.SCCCN)
    assert bench.tunnel.state == "established"


def test_a_candidate_that_fails_is_forgotten() -> None:
    bench, old, _ = up()
    new = FarEnd(bench, 0x8800)
    new.begin()
    new.send(MessageType.STOPCCN, result=Result(6), assigned_connection_id=new.local_id)
    assert bench.tunnel.peer_connection_id == old.local_id
    assert bench.session.state == "established"


# ---- Shutdown.


def test_shutdown_tells_every_peer_and_is_quiet_when_they_know() -> None:
    bench, far, _ = up()
    far.acks = False
    bench.endpoint.shutdown(bench.now)
    bench.settle()
    assert not bench.endpoint.quiet()
    assert far.result(MessageType.STOPCCN) == Result(6)
    assert [one.interface for one in bench.deleted] == ["if-s1"]
    far.acknowledge()
    assert bench.endpoint.quiet()
    FarEnd(bench, 0x8800).begin()
    bench.run(100.0)
    assert bench.tunnel.state == "idle"
    assert bench.tunnel.next_attempt is None


def test_shutdown_without_a_peer() -> None:
    bench = Bench(tunnel(initiate=True))
    bench.start()
    bench.endpoint.shutdown(bench.now)
    assert bench.endpoint.quiet()
    bench.run(100.0)
    assert bench.astray == []
