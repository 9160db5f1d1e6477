"""Dead-peer detection of static tunnels: HELLO, its answers, and ends that begin anew at any time (section 4.4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.codec import encode_zlb
from l2tp_ctl.core.message import Message, MessageType
from tests.core.bench import ADDRESS, FAR, NEAR, Bench, FarEnd
from tests.core.static_bench import OURS, SILENCE, THEIRS, Facing, faced, far_end, session, tunnel, watched


def states(bench: Bench) -> list[str]:
    return [bench.tunnel.state, *(view.state for view in bench.tunnel.sessions)]


def links(bench: Bench) -> list[bool]:
    """Whether the pseudowires were told to be up, one after the other."""
    return [one.pseudowire.up for one in bench.made]


def fall_silent(bench: Bench, far: FarEnd) -> None:
    """Let the peer die, and the tunnel notice."""
    far.acks = False
    bench.run(10.0 + SILENCE + 0.1)
    assert bench.tunnel.state == "probing"


# ---- The peer's life and death.


def test_the_pseudowires_are_down_until_the_peer_answers() -> None:
    bench = Bench(watched())
    far = far_end(bench)
    far.acks = False
    bench.start()
    bench.run(0.6)
    assert (states(bench), links(bench)) == (["probing", "wait-peer"], [False])
    assert far.types == [MessageType.HELLO]
    far.acknowledge()
    assert states(bench) == ["probing", "wait-peer"], "that may be what it expects since long ago"
    assert [one.header.ns for one in far.inbox] == [0, 1]
    far.acknowledge()
    assert (states(bench), links(bench)) == (["established", "established"], [False, True])
    assert bench.logged(Entry.TUNNEL_UP)[0].fields["address"] == "192.0.2.2:1701"


def test_a_peer_that_never_answers_is_told_once_and_asked_for_ever() -> None:
    bench = Bench(watched())
    far = far_end(bench)
    far.acks = False
    bench.start()
    bench.run(600.0)
    assert states(bench) == ["probing", "wait-peer"]
    assert bench.tunnel.last_error == bench.session.last_error == "the peer does not answer"
    assert len(bench.logged(Entry.SEND_FAILED_TUNNEL_SHUTDOWN)) == 1
    assert not bench.logged(Entry.TUNNEL_DOWN), "it was never up"
    assert len(far.received) == 4 * 40
    assert {(one.header.ns, one.header.nr) for one in far.received} == {(0, 0)}, "each time as one that begins"


def test_a_hello_goes_out_at_each_interval_whatever_the_peer_sends() -> None:
    bench, far = faced()
    for _ in range(40):
        bench.run(1.0)
        far.send(MessageType.HELLO)
    sent = [one.header.ns for one in far.received if one.type is MessageType.HELLO]
    assert sent == [*range(len(sent))]
    assert len(sent) in (5, 6)


def test_a_dead_peer_takes_the_interfaces_down_and_brings_them_up_again() -> None:
    bench, far = faced(session("s1"), session("s22"))
    bench.states.clear()
    fall_silent(bench, far)
    assert states(bench) == ["probing", "wait-peer", "wait-peer"]
    assert links(bench)[-2:] == [False, False]
    assert bench.deleted == [], "the interfaces stay"
    told = [(one.session, one.state, one.reason) for one in bench.states]
    reason = "the peer does not answer"
    assert told == [("", "probing", reason), ("s1", "wait-peer", reason), ("s22", "wait-peer", reason)]
    assert bench.tunnel.last_error == bench.session.last_error == reason
    assert len(bench.logged(Entry.SEND_FAILED_TUNNEL_SHUTDOWN)) == 1
    assert bench.logged(Entry.TUNNEL_DOWN)[0].fields["reason"] == reason
    assert [one.fields["reason"] for one in bench.logged(Entry.SESSION_DOWN)] == [reason, reason]
    far.acks = True
    bench.run(8.0)
    assert states(bench) == ["established"] * 3
    assert links(bench)[-2:] == [True, True]
    assert bench.tunnel.last_error == bench.session.last_error == ""
    fall_silent(bench, far)
    assert len(bench.logged(Entry.SEND_FAILED_TUNNEL_SHUTDOWN)) == 2


def test_it_takes_the_retransmissions_to_count_as_dead() -> None:
    bench, far = faced()
    far.acks = False
    far.received.clear()
    bench.run(11.0)
    assert bench.tunnel.unacknowledged == 1
    bench.run(SILENCE - 2.0)
    assert (bench.tunnel.state, len(far.received)) == ("established", 4)
    bench.run(3.0)
    assert bench.tunnel.state == "probing"


def test_a_hello_that_was_lost_is_sent_again_and_no_more_is_noticed() -> None:
    bench, far = faced()
    far.acks = False
    bench.run(10.5)
    far.acks = True
    bench.run(3.0)
    assert (bench.tunnel.state, bench.tunnel.unacknowledged) == ("established", 0)
    assert bench.tunnel.retransmissions in (1, 2)
    assert len(bench.made) == 2


def test_the_helper_is_slow_while_the_peer_comes_and_goes() -> None:
    bench = Bench(watched())
    far = far_end(bench)
    bench.helper = False
    bench.start()
    bench.run(0.6)
    assert (states(bench), links(bench)) == (["established", "wait-helper"], [False, True])
    far.acks = False
    bench.run(10.0 + SILENCE + 0.1)
    assert (states(bench), links(bench)) == (["probing", "wait-helper"], [False, True, False])
    bench.answer(0)
    bench.answer(1)
    assert bench.session.state == "wait-helper", "answers to what was overtaken"
    bench.answer(2)
    assert bench.session.state == "wait-peer"
    far.acks = True
    bench.run(8.0)
    assert states(bench) == ["established", "wait-helper"]
    bench.answer()
    assert states(bench) == ["established", "established"]


def test_a_session_whose_peer_is_dead_can_fail_and_go_too() -> None:
    bench, far = faced(reconnect_interval=5.0)
    bench.helper = False
    fall_silent(bench, far)
    bench.answer(error="EPERM")
    assert (states(bench), bench.session.last_error) == (["probing", "idle"], "set_pwe_param: EPERM")
    bench.helper = True
    bench.run(5.0)
    assert bench.session.state == "wait-peer"
    bench.endpoint.pwe_gone("if-s1", bench.now)
    bench.run(1.0)
    assert (bench.session.state, bench.session.last_error) == ("wait-peer", "the peer does not answer")
    bench.endpoint.clear_session("s1", bench.now)
    bench.settle()
    assert bench.session.state == "idle"
    bench.run(1.0)
    assert bench.session.state == "wait-peer"


def test_an_operator_cannot_set_an_interface_up_whose_peer_is_dead() -> None:
    bench, far = faced()
    fall_silent(bench, far)
    before = len(bench.made)
    bench.endpoint.link_changed("if-s1", up=True, now=bench.now)
    bench.settle()
    assert links(bench)[before:] == [False]


def test_clear_and_put_down_while_the_peer_is_dead() -> None:
    bench, far = faced()
    fall_silent(bench, far)
    bench.endpoint.clear_tunnel("t1", bench.now)
    bench.settle()
    assert (states(bench), bench.tunnel.last_error) == (["idle", "idle"], "cleared by the operator")
    assert not bench.logged(Entry.CLEANUP_TUNNEL)
    bench.run(1.0)
    assert states(bench) == ["probing", "wait-peer"]
    bench.endpoint.put_down("t1", bench.now)
    far.received.clear()
    bench.run(60.0)
    assert (far.received, bench.endpoint._context.connections) == ([], {})
    far.acks = True
    bench.endpoint.put_up("t1", bench.now)
    bench.run(0.1)
    assert states(bench) == ["established", "established"]


# ---- What is answered.


@pytest.mark.parametrize("interval", [None, 10.0])
def test_a_hello_of_the_peer_is_acknowledged_by_a_message_that_everybody_can_read(interval: float | None) -> None:
    bench = Bench(watched(hello_interval=interval))
    far = far_end(bench)
    bench.start()
    bench.run(0.6)
    far.received.clear()
    far.send(MessageType.HELLO)
    (ack,) = far.received
    assert (ack.type, ack.types, ack.header.nr) == (MessageType.ACK, (0,), 1)
    far.ns = 0
    far.send(MessageType.HELLO)
    assert far.received[-1].header.nr == 1, "once more, for it may have been lost"
    assert bench.endpoint.counters["received-hello"] == 2


def test_without_dead_peer_detection_the_peers_silence_is_no_matter() -> None:
    bench = Bench(watched(hello_interval=None))
    far = far_end(bench)
    bench.start()
    bench.run(600.0)
    assert (states(bench), far.received) == (["established", "established"], [])


def test_an_acknowledgement_may_be_a_message_or_a_header_alone() -> None:
    bench, far = faced()
    far.acks = False
    for number, kind in enumerate(("zlb", "ack"), start=1):
        bench.run(10.1)
        assert bench.tunnel.unacknowledged == 1
        if kind == "zlb":
            far.acknowledge()
        else:
            far.send_octets(far.octets(Message(type=MessageType.ACK), ns=far.ns, nr=far.nr))
        assert (bench.tunnel.unacknowledged, bench.tunnel.ns) == (0, number + 2)
        assert bench.endpoint.counters[f"received-{kind}"] >= 1


@pytest.mark.parametrize("message_type", [MessageType.SCCRQ, MessageType.STOPCCN, MessageType.ICRQ, MessageType.SLI])
def test_nothing_else_is_taken_and_nothing_else_is_a_sign_of_life(message_type: MessageType) -> None:
    bench, far = faced()
    fall_silent(bench, far)
    before = bench.tunnel
    far.send_octets(far.octets(Message(type=message_type), ns=7, nr=7))
    assert bench.dropped("static") == 1
    assert bench.tunnel == before
    problem = bench.logged(Entry.DATAGRAM_MALFORMED)[0].fields["problem"]
    assert problem == f"static: {message_type.text} to a static tunnel"


def test_another_address_is_no_peer() -> None:
    bench, far = faced()
    fall_silent(bench, far)
    bench.deliver(encode_zlb(OURS, 7, 7), replace(ADDRESS, peer="192.0.2.9"))
    assert (bench.dropped("source"), bench.tunnel.state) == (1, "probing")


def test_a_hello_that_is_signed_wrongly_is_not_taken() -> None:
    bench, _ = faced()
    stranger = FarEnd(bench, THEIRS, secrets=[b"secret"])
    stranger.peer_id = OURS
    stranger.acks = False
    stranger.send(MessageType.HELLO)
    assert bench.dropped("authentication") == 1


def test_no_call_is_taken_from_a_static_peer() -> None:
    bench, _ = faced()
    stranger = FarEnd(bench, 0x9999)
    stranger.begin()
    assert bench.dropped("unknown-peer") == 1


# ---- Ends that begin anew.


def test_we_begin_anew_and_the_peer_counts_on() -> None:
    bench = Bench(watched())
    far = far_end(bench)
    far.ns, far.nr = 50, 37
    bench.start()
    bench.run(0.6)
    assert [one.header.ns for one in far.received] == [0, 37]
    assert (bench.tunnel.state, bench.tunnel.ns, bench.tunnel.nr, far.nr) == ("established", 38, 0, 38)
    far.send(MessageType.HELLO)
    assert (bench.tunnel.nr, far.received[-1].header.nr) == (51, 51)
    bench.run(10.1)
    assert (far.nr, bench.tunnel.ns, bench.tunnel.retransmissions) == (39, 39, 0)


def test_the_peer_begins_anew_and_we_count_on() -> None:
    bench, far = faced()
    bench.run(25.0)
    assert bench.tunnel.ns >= 3
    far.ns = far.nr = 0
    far.inbox.clear()
    far.send(MessageType.HELLO)
    assert (far.received[-1].type, far.received[-1].header.nr) == (MessageType.ACK, 1)
    assert (bench.tunnel.ns, bench.tunnel.nr) == (0, 1)
    bench.run(10.1)
    assert far.pop(MessageType.HELLO).header.ns == 0
    assert (bench.tunnel.state, bench.tunnel.retransmissions) == ("established", 0)


def test_a_peer_that_drops_what_it_does_not_expect_is_found_again_by_a_hello_that_counts_from_0() -> None:
    bench, far = faced()
    bench.run(25.0)

    def pedantic() -> None:
        far.ns = far.nr = 0
        far.due = False

    pedantic()
    take = far.take
    far.take = lambda received: take(received) if received.header.nr == 0 else None  # type: ignore[method-assign]
    bench.run(10.0 + SILENCE + 0.1)
    assert bench.tunnel.state == "established"
    assert [one.state for one in bench.states if not one.session][-2:] == ["probing", "established"]


def test_an_old_message_that_comes_late_costs_nothing_but_numbers() -> None:
    bench, far = faced()
    bench.run(25.0)
    expected = far.nr
    far.send_octets(encode_zlb(OURS, 0, 1))
    assert bench.tunnel.ns == 1
    far.received.clear()
    bench.run(10.1)
    assert [one.header.ns for one in far.received][:2] == [1, expected], "the peer had it, and says what it expects"
    assert (bench.tunnel.state, bench.tunnel.ns, bench.tunnel.retransmissions) == ("established", far.nr, 0)


def test_a_peer_that_always_expects_another_number_gets_no_storm() -> None:
    bench, far = faced()
    far.acks = False
    far.received.clear()
    far.take = far.received.append  # type: ignore[assignment, method-assign]
    for second in range(int(10 + SILENCE)):
        bench.run(1.0)
        far.send_octets(encode_zlb(OURS, 0, 1000 + 2 * second))
    assert len(far.received) <= 2 * 4
    bench.run(1.0)
    assert bench.tunnel.state == "probing"


def test_a_peer_that_does_not_hear_us_counts_as_dead_though_we_hear_it() -> None:
    bench, far = faced()
    far.acks = False
    far.take = lambda received: None  # type: ignore[method-assign]
    for second in range(100):
        bench.run(1.0)
        far.send(MessageType.HELLO)
        assert bench.tunnel.state == "probing" or second < 10 + SILENCE


@pytest.mark.parametrize("seed", range(20))
def test_two_ends_agree_after_any_restarts_and_losses(seed: int) -> None:
    pair = Facing(seed, loss=0.3)
    assert pair.run(300.0, lambda: pair.up)
    for _ in range(6):
        match pair.random.randrange(3):
            case 0:
                pair.restart(pair.random.choice([NEAR, FAR]))
            case 1:
                pair.cut = {pair.random.choice([NEAR, FAR])}
            case _:
                pair.cut = {NEAR, FAR}
        pair.run(pair.random.uniform(0.0, 60.0))
        pair.cut = set()
    pair.loss = 0.0
    pair.run(SILENCE + 10.0)  # what was lost before may still make an end believe that the other is dead
    assert pair.up
    since = [view.since for view in pair.tunnels()]
    pair.run(200.0)
    assert pair.up
    assert [view.since for view in pair.tunnels()] == since


@pytest.mark.parametrize("deaf", [NEAR, FAR])
def test_a_cable_that_carries_one_way_takes_both_ends_down(deaf: str) -> None:
    pair = Facing(0)
    assert pair.run(5.0, lambda: pair.up)
    pair.cut = {deaf}
    assert pair.run(60.0, lambda: pair.states == ["probing", "probing"])
    assert not pair.run(120.0, lambda: pair.states != ["probing", "probing"])
    pair.cut = set()
    assert pair.run(15.0, lambda: pair.up)


def test_a_restart_of_one_end_does_not_disturb_the_other() -> None:
    pair = Facing(0)
    assert pair.run(5.0, lambda: pair.up)
    pair.run(100.0)
    for address in (NEAR, FAR, NEAR):
        pair.restart(address)
        other = pair.ends[FAR if address == NEAR else NEAR]
        since = other.tunnels()[0].since
        assert pair.run(2.0, lambda: pair.up)
        pair.run(60.0)
        assert (pair.up, other.tunnels()[0].since) == (True, since)


# ---- A new configuration.


def test_dead_peer_detection_is_turned_on_and_off() -> None:
    bench = Bench(watched(hello_interval=None))
    far = far_end(bench)
    bench.start()
    bench.run(0.6)
    bench.endpoint.reload([watched()], bench.now)
    bench.settle()
    assert bench.tunnel.state == "established"
    far.acks = False
    bench.run(11.0)
    assert far.types == [MessageType.HELLO]
    bench.endpoint.reload([watched(hello_interval=None)], bench.now)
    bench.run(600.0)
    assert states(bench) == ["established", "established"], "the HELLO that was under way is forgotten"
    assert (len(bench.made), bench.endpoint.next_timer()) == (1, None)
    far.send(MessageType.HELLO)
    assert far.received[-1].type is MessageType.ACK


def test_turned_off_it_lets_the_sessions_of_a_dead_peer_go_on() -> None:
    bench, far = faced()
    fall_silent(bench, far)
    bench.endpoint.reload([watched(hello_interval=None)], bench.now)
    bench.settle()
    bench.run(600.0)
    assert (states(bench), links(bench)[-1]) == (["established", "established"], True)


def test_another_interval_and_other_retransmissions_hold_at_once() -> None:
    bench, far = faced()
    bench.endpoint.reload([watched(hello_interval=100.0, retry=1)], bench.now)
    bench.settle()
    assert bench.deleted == []
    far.acks = False
    far.inbox.clear()
    bench.run(89.0)
    assert far.inbox == []
    bench.run(11.0 + 3.0)
    assert bench.tunnel.state == "probing"


def test_a_session_added_while_the_peer_is_dead_waits_with_the_others() -> None:
    bench, far = faced()
    fall_silent(bench, far)
    bench.endpoint.reload([watched(session("s1"), session("s22"))], bench.now)
    bench.run(0.1)
    assert states(bench) == ["probing", "wait-peer", "wait-peer"]
    assert not bench.made[-1].pseudowire.up


def test_two_tunnels_that_exchange_their_ids() -> None:
    other = watched(session("s22"), name="t2", address=replace(ADDRESS, peer="192.0.2.3"), local_connection_id=0xC0C0)
    bench = Bench(watched(), other)
    bench.start()
    bench.run(0.6)
    exchanged = [watched(local_connection_id=0xC0C0), replace(other, local_connection_id=OURS)]
    bench.endpoint.reload(exchanged, bench.now)
    bench.run(0.6)
    connections = bench.endpoint._context.connections
    assert {number: one.address.peer for number, one in connections.items()} == {0xC0C0: FAR, OURS: "192.0.2.3"}


def test_a_static_tunnel_without_ids_cannot_be_told_anything() -> None:
    bench = Bench(tunnel())
    bench.start()
    bench.run(0.6)
    bench.deliver(encode_zlb(OURS, 0, 0))
    assert bench.dropped("connection-id") == 1
