"""Many sessions: whose turn it is to call, and who of both ends calls at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from l2tp_ctl.core.message import MessageType
from l2tp_ctl.core.settings import Limits
from tests.core.bench import ADDRESS, Bench, FarEnd, answering, initiated, session, tunnel

TEN = tuple(session(f"s{number}") for number in range(10))


def calls(far: FarEnd) -> list[bytes]:
    """Remote End IDs of the ICRQs in the inbox."""
    return [one.octets(66) for one in far.inbox if one.type is MessageType.ICRQ]


def states(bench: Bench) -> list[str]:
    return [view.state for view in bench.tunnel.sessions]


def test_so_many_calls_are_under_way_and_each_answer_makes_room() -> None:
    bench, far = initiated(*TEN, limits=Limits(calls=3))
    assert calls(far) == [b"s0", b"s1", b"s2"]
    assert states(bench) == ["wait-reply"] * 3 + ["wait-control-conn"] * 7
    far.accept(0x100)
    assert calls(far) == [b"s1", b"s2", b"s3"]
    refused = far.pop(MessageType.ICRQ).message.local_session_id or 0
    far.of_session(MessageType.CDN, 0x101, refused)
    assert calls(far) == [b"s2", b"s3", b"s4"]
    local_id = 0x200
    while calls(far):
        if far.inbox[0].type is MessageType.ICRQ:
            local_id += 1
            far.accept(local_id)
        else:
            far.inbox.pop(0)
    assert sorted(states(bench)) == ["established"] * 9 + ["idle"]


def test_a_peer_that_is_slow_to_answer_holds_up_nobody() -> None:
    limits = Limits(calls=3, call_patience=1.0)
    near = replace(ADDRESS, peer="192.0.2.3")
    bench = Bench(
        tunnel(*TEN, initiate=True),
        tunnel(*(session(f"t{number}") for number in range(2)), name="t2", address=near, initiate=True),
        limits=limits,
    )
    slow, other = FarEnd(bench, 0x7700), FarEnd(bench, 0x8800, address=near)
    bench.start()
    bench.run(0.5)
    for far in (slow, other):
        opening = next(one for one in bench.astray if one.address == far.address)
        far.learn(opening)
        far.pop(MessageType.SCCRQ)
        far.send(far.opening(MessageType.SCCRP))
    assert calls(slow) == [b"s0", b"s1", b"s2"]
    assert calls(other) == []
    bench.run(0.999)
    assert calls(other) == []
    bench.run(0.002)
    assert calls(slow) == [b"s0", b"s1", b"s2", b"s3", b"s4"], "each control connection in turn"
    assert calls(other) == [b"t0"]
    other.pop(MessageType.SCCCN)
    other.accept()
    assert calls(other) == [b"t1"]
    bench.run(4.0)
    assert len(calls(slow)) == 10, "none was given up"
    assert states(bench) == ["wait-reply"] * 10


def test_more_sessions_than_the_send_queue_holds() -> None:
    """Before there were turns the control connection ended as one whose peer does not answer."""
    bench, far = initiated(*TEN, limits=Limits(calls=3, send_queue=4))
    for number in range(10):
        while far.inbox[0].type is not MessageType.ICRQ:
            far.inbox.pop(0)
        far.accept(0x100 + number)
    bench.run(1.0)
    assert (bench.tunnel.state, states(bench)) == ("established", ["established"] * 10)


def test_more_sessions_ended_at_once_than_a_queue_once_held() -> None:
    """1,024 messages were all that could wait: taking out more sessions ended their control connection with them."""
    many = [session(f"s{number}") for number in range(2000)]
    bench, far = initiated(*many)
    for number in range(len(many)):
        while far.inbox[0].type is not MessageType.ICRQ:
            far.inbox.pop(0)
        far.accept(0x1000 + number)
    assert set(states(bench)) == {"established"}
    far.inbox.clear()
    bench.endpoint.reload([tunnel(many[0], initiate=True)], bench.now)
    bench.settle()
    bench.run(1.0)
    assert len([one for one in far.inbox if one.type is MessageType.CDN]) == len(many) - 1
    assert (bench.tunnel.state, states(bench)) == ("established", ["established"])


def test_the_peers_call_for_a_session_that_waits_for_its_turn() -> None:
    bench, far = initiated(*TEN, limits=Limits(calls=1))
    assert calls(far) == [b"s0"]
    far.inbox.clear()
    far.connect("s7", 0x77)
    assert states(bench)[7] == "established"
    assert bench.tunnel.sessions[7].peer_session_id == 0x77
    assert bench.tunnel.sessions[7].last_error == ""
    bench.run(60.0)
    assert b"s7" not in calls(far)


@pytest.mark.parametrize("what", ["tunnel", "session removed"])
def test_one_that_ends_while_it_waits_never_calls(what: str) -> None:
    bench, far = initiated(*TEN, limits=Limits(calls=1))
    if what == "tunnel":
        bench.endpoint.clear_tunnel("all", bench.now)
    else:
        bench.endpoint.reload([tunnel(*TEN[:3], initiate=True)], bench.now)
    bench.settle()
    bench.run(20.0)
    assert calls(far) == ([b"s0"] if what == "tunnel" else [b"s0", b"s1", b"s2"])


def test_a_cleared_session_that_waits_keeps_its_turn() -> None:
    bench, far = initiated(*TEN, limits=Limits(calls=1))
    bench.endpoint.clear_session("s1", bench.now)
    bench.settle()
    assert states(bench)[:2] == ["wait-reply", "wait-control-conn"]
    far.accept()
    assert calls(far) == [b"s1"]


# ---- Who calls.


def test_the_responder_leaves_the_calling_to_an_initiator_that_is_at_it() -> None:
    bench = Bench(tunnel(*TEN))
    far = answering(bench)
    for number in range(5):
        bench.run(2.9)
        far.connect(f"s{number}", 0x100 + number)
    assert calls(far) == []
    bench.run(2.9)
    assert calls(far) == []
    bench.run(0.2)
    assert calls(far) == [b"s5", b"s6", b"s7", b"s8", b"s9"]


def test_but_not_for_ever_to_one_that_calls_others_only() -> None:
    bench = Bench(tunnel(session("s1"), session("s2")), limits=Limits(setup=30.0))
    far = answering(bench)
    for number in range(20):
        bench.run(2.0)
        far.call("unknown", 0x100 + number)
        if calls(far):
            break
    assert calls(far) == [b"s1", b"s2"]
    assert 14 <= number <= 16
