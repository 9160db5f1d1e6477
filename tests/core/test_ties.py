"""Ties: both ends begin at the same time (RFC 3931, sections 5.4.3 and 5.4.4)."""

from __future__ import annotations

import pytest

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.digest import DigestType
from l2tp_ctl.core.message import MessageType, Result
from l2tp_ctl.core.settings import TunnelSettings
from tests.core.bench import ADDRESS, HIGHEST, LOWEST, Bench, FarEnd, initiated, secrets, tunnel
from tests.core.octets import avp
from tests.sim.world import Network, World, agreed


def opened(**changes: object) -> tuple[Bench, FarEnd, FarEnd]:
    """Return a bench that waits for an SCCRP, the far end that could send it, and one for a connection of its own."""
    bench = Bench(tunnel(initiate=True, **changes))
    keys = [b"secret"] if changes.get("secrets") else []
    ours = FarEnd(bench, 0x1111, secrets=keys, nonce=b"the loser's nonc" if keys else None)
    ours.await_sccrq()
    return bench, ours, FarEnd(bench, 0x2222, secrets=keys)


# ---- Control connections.


def test_the_lower_tie_breaker_of_ours_wins() -> None:
    bench, ours, theirs = opened()
    theirs.begin(tie_breaker=HIGHEST)
    assert theirs.result(MessageType.STOPCCN) == Result(3, 0, "lost the tie break")
    assert bench.tunnel.state == "wait-ctl-reply"
    assert len(bench.logged(Entry.WIN_TIE_BREAK)) == 1
    ours.send(ours.opening(MessageType.SCCRP))
    assert (bench.tunnel.state, bench.tunnel.peer_connection_id) == ("established", 0x1111)
    bench.run(100.0)
    assert len(bench.endpoint._context.connections) == 1


def test_a_peer_without_a_tie_breaker_loses() -> None:
    bench, _, theirs = opened()
    theirs.begin()
    assert theirs.result(MessageType.STOPCCN).code == 3
    assert bench.tunnel.state == "wait-ctl-reply"
    assert bench.logged(Entry.TIE_BREAK_CHECK)[0].fields["remote_tie"] == "none"


def test_the_lower_tie_breaker_of_the_peers_wins() -> None:
    bench, ours, theirs = opened()
    ours.received.clear()
    theirs.begin(tie_breaker=LOWEST)
    theirs.pop(MessageType.SCCRP)
    assert (bench.tunnel.state, bench.tunnel.initiator) == ("wait-ctl-conn", False)
    assert len(bench.logged(Entry.LOSE_TIE_BREAK)) == 1
    theirs.send(MessageType.SCCCN)
    assert (bench.tunnel.state, bench.tunnel.peer_connection_id) == ("established", 0x2222)
    assert bench.tunnel.local_connection_id == theirs.peer_id
    theirs.connect()
    assert bench.session.state == "established"
    bench.run(100.0)
    assert len(bench.endpoint._context.connections) == 1
    assert ours.received == [], "the SCCRQ that lost is not repeated"


def test_after_a_lost_tie_the_peer_calls_first_and_then_we_do() -> None:
    bench, _, theirs = opened()
    theirs.begin(tie_breaker=LOWEST)
    theirs.send(MessageType.SCCCN)
    theirs.inbox.clear()
    bench.run(2.9)
    assert theirs.inbox == []
    bench.run(0.2)
    theirs.accept()
    assert bench.session.state == "established"


@pytest.mark.parametrize("keys", [(), (b"secret",)])
def test_an_sccrq_of_ours_that_comes_back_is_no_draw(keys: tuple[bytes, ...]) -> None:
    """A loop, or anybody who sends it back from the peer's address, kept the tunnel from coming up for as long."""
    bench = Bench(tunnel(initiate=True, secrets=secrets(*keys)))
    far = FarEnd(bench, 0x1111, secrets=keys)
    sccrq = far.await_sccrq()
    for seconds in (0.0, 1.0, 2.0):  # as often as it is sent
        bench.run(seconds)
        bench.deliver(sccrq.data)
    assert bench.tunnel.state == "wait-ctl-reply"
    assert bench.tunnel.local_connection_id == far.peer_id
    assert bench.logged(Entry.TIE_BREAK_CHECK) == []
    assert [log.tunnel for log in bench.logged(Entry.OWN_SCCRQ_CAME_BACK)] == ["t1"]
    assert bench.dropped("reflected") == 3
    assert len(bench.endpoint._context.connections) == 1
    far.send(far.opening(MessageType.SCCRP))
    assert (bench.tunnel.state, bench.tunnel.peer_connection_id) == ("established", 0x1111)
    bench.deliver(sccrq.data)
    bench.endpoint.clear_tunnel("all", bench.now)
    bench.settle()
    bench.deliver(sccrq.data)
    assert bench.dropped("reflected") == 5
    assert MessageType.SCCRP not in [one.type for one in (*far.received, *bench.astray)]


@pytest.mark.parametrize("changed", ["assigned_connection_id", "tie_breaker", "nonce"])
def test_one_that_only_resembles_ours_is_the_peers(changed: str) -> None:
    """Equal tie breakers are a draw (RFC 3931, section 5.4.3)."""
    bench = Bench(tunnel(initiate=True))
    far = FarEnd(bench, 0x1111)
    ours = far.await_sccrq().message
    fields = {"assigned_connection_id": ours.assigned_connection_id, "tie_breaker": ours.tie_breaker, "nonce": None}
    other = {"assigned_connection_id": 0x2222, "tie_breaker": HIGHEST, "nonce": bytes(16)}
    FarEnd(bench, 0x2222, digest=DigestType.MD5 if changed == "nonce" else None).begin(
        **fields | {changed: other[changed]}
    )
    assert bench.dropped("reflected") == 0
    assert len(bench.logged(Entry.TIE_BREAK_CHECK)) == 1
    assert len(bench.logged(Entry.DRAW_TIE_BREAK)) == (changed != "tie_breaker")


def test_a_winner_that_is_not_acceptable_gets_stopccn() -> None:
    bench, _, theirs = opened(peer_host_name=b"nobody")
    theirs.begin(tie_breaker=LOWEST)
    assert theirs.result(MessageType.STOPCCN).code == 4
    assert bench.tunnel.state == "idle"
    assert bench.tunnel.next_attempt is not None


def test_equal_tie_breakers_let_both_begin_anew() -> None:
    bench, ours, theirs = opened()
    sccrq = ours.received[0]
    theirs.begin(tie_breaker=sccrq.octets(5))
    assert theirs.inbox == []
    assert len(bench.logged(Entry.DRAW_TIE_BREAK)) == 1
    assert bench.tunnel.state == "idle"
    assert bench.tunnel.next_attempt is not None
    assert 0.5 <= bench.tunnel.next_attempt - bench.now <= 1.0
    ours.acks = False
    bench.run(1.0)
    again = bench.stray(MessageType.SCCRQ)
    assert again.octets(5) != sccrq.octets(5)
    assert again.octets(61) != sccrq.octets(61)


def test_the_repetition_of_an_sccrq_that_lost_is_acknowledged() -> None:
    bench, _, theirs = opened()
    data = theirs.octets(theirs.opening(MessageType.SCCRQ, tie_breaker=HIGHEST), ns=0, nr=0)
    theirs.send_octets(data)
    theirs.send_octets(data)
    assert theirs.types == [MessageType.STOPCCN]
    assert bench.dropped("duplicate") == 1


@pytest.mark.parametrize("order", ["sccrq first", "stopccn first"])
def test_the_winners_stopccn_verifies_at_the_loser(order: str) -> None:
    """It is signed with the nonces of both SCCRQs, all that the two ends know of each other."""
    bench, _, _ = opened(secrets=secrets(b"secret"))
    before = bench.dropped("authentication")
    # The winner, whose one nonce is in its SCCRQ, answers ours on a connection that it made for it.
    winner = FarEnd(bench, 0x3333, secrets=[b"secret"], nonce=b"the winner's one")
    refusing = FarEnd(bench, 0x1111, secrets=[b"secret"], nonce=winner.nonce)
    refusing.peer_id, refusing.nr = bench.tunnel.local_connection_id, 1
    refusing.peer_nonce = bench.endpoint._context.connections[refusing.peer_id].authentication.local_nonce
    stop = refusing.next(MessageType.STOPCCN, result=Result(3), assigned_connection_id=0x1111)
    if order == "sccrq first":
        winner.begin(tie_breaker=LOWEST)
        bench.deliver(stop)
        assert bench.dropped("authentication") == before
    else:
        bench.deliver(stop)
        assert bench.dropped("authentication") == before + 1, "not yet: the winner's nonce is unknown"
        winner.begin(tie_breaker=LOWEST)
        bench.deliver(stop)
    winner.pop(MessageType.SCCRP)
    winner.send(MessageType.SCCCN)
    assert (bench.tunnel.state, bench.tunnel.peer_connection_id) == ("established", 0x3333)


def test_the_losers_stopccn_is_signed_for_it() -> None:
    bench, ours, _ = opened(secrets=secrets(b"secret"))
    loser = FarEnd(bench, 0x2222, secrets=[b"secret"], nonce=b"the loser's nonc")
    loser.peer_nonce = ours.peer_nonce  # from our SCCRQ; our StopCCN brings no other
    loser.begin(tie_breaker=HIGHEST)
    assert loser.result(MessageType.STOPCCN).code == 3
    loser.peer_id = loser.received[-1].message.assigned_connection_id or 0
    bench.run(40.0)
    assert loser.inbox == []


@pytest.mark.parametrize("keys", [(), secrets(b"secret")])
@pytest.mark.parametrize("seed", range(10))
def test_two_endpoints_that_begin_at_the_same_instant_converge(seed: int, keys: tuple[object, ...]) -> None:
    world = _both(seed, secrets=keys)
    for side in world.sides.values():
        world.at(0.0, lambda side=side: world.start(side))  # type: ignore[misc]  # bound per side
    assert world.run(20.0, lambda: agreed(world))
    world.run(100.0)
    assert agreed(world)
    assert {len(side.endpoint._context.connections) for side in world.sides.values()} == {1}


def _both(seed: int, **changes: object) -> World:
    near: TunnelSettings = tunnel(initiate=True, **changes)
    far_address = ADDRESS.__class__(ADDRESS.encapsulation, ADDRESS.peer, 1701, ADDRESS.local, 1701)
    far = tunnel(initiate=True, address=far_address, **changes)
    return World(seed, Network(), {"near": (near,), "far": (far,)})


# ---- Sessions.


def waiting() -> tuple[Bench, FarEnd, int, bytes]:
    """Return a bench that waits for an ICRP, its far end, its session id and its tie breaker."""
    bench, far = initiated()
    icrq = far.pop(MessageType.ICRQ)
    return bench, far, icrq.message.local_session_id or 0, icrq.octets(5)


def test_the_lower_session_tie_breaker_of_ours_wins() -> None:
    bench, far, ours, _ = waiting()
    far.call(tie_breaker=HIGHEST)
    cdn = far.pop(MessageType.CDN)
    assert cdn.message.result == Result(13)
    assert cdn.message.remote_session_id == 0x55
    assert cdn.message.local_session_id not in (0, ours)
    assert bench.session.state == "wait-reply"
    far.of_session(MessageType.ICRP, 0x66, ours, circuit_status=3)
    assert bench.session.state == "established"
    assert (bench.session.local_session_id, bench.session.peer_session_id) == (ours, 0x66)


def test_a_call_without_a_tie_breaker_loses() -> None:
    bench, far, _, _ = waiting()
    far.call()
    assert far.result(MessageType.CDN).code == 13
    assert bench.session.state == "wait-reply"


def test_the_lower_session_tie_breaker_of_the_peers_wins() -> None:
    bench, far, ours, _ = waiting()
    far.connect(tie_breaker=LOWEST)
    assert bench.session.state == "established"
    assert bench.session.local_session_id != ours
    assert far.inbox == []
    far.of_session(MessageType.CDN, 0x99, ours, result=Result(13))
    assert bench.session.state == "established", "the winner's CDN ends what has lost alone"
    assert len(bench.endpoint._context.sessions) == 1


def test_equal_session_tie_breakers_let_both_call_anew() -> None:
    bench, far, ours, tie_breaker = waiting()
    far.call(tie_breaker=tie_breaker)
    cdn = far.pop(MessageType.CDN)
    assert (cdn.message.local_session_id, cdn.message.remote_session_id) == (ours, 0)
    assert bench.session.state == "idle"
    bench.run(1.0)
    again = far.pop(MessageType.ICRQ)
    assert again.octets(5) != tie_breaker
    assert again.message.local_session_id != ours


def test_calls_for_different_remote_end_ids_are_no_tie() -> None:
    bench, far, _, _ = waiting()
    far.call("another", tie_breaker=LOWEST)
    assert far.result(MessageType.CDN).code == 24
    assert bench.session.state == "wait-reply"


def test_a_tie_breaker_of_seven_octets_is_malformed() -> None:
    bench, far, _, _ = waiting()
    body = avp(0, "000a") + avp(63, "00000055") + avp(66, b"s1".hex()) + avp(5, "00" * 7)
    header = b"\xc8\x03" + (12 + len(body)).to_bytes(2, "big") + far.peer_id.to_bytes(4, "big")
    bench.deliver(header + far.ns.to_bytes(2, "big") + far.nr.to_bytes(2, "big") + body)
    assert far.result(MessageType.CDN) == Result(2, 8, "Tie Breaker AVP cannot be read")
    assert bench.session.state == "wait-reply"
