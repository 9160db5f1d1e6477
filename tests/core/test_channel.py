"""Reliable delivery of control messages (RFC 3931, section 4.2 and appendix A), as one channel alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tp_ctl.core.channel import DEFAULT_WINDOW, Channel, Outgoing
from l2tp_ctl.core.errors import Drop
from l2tp_ctl.core.message import Message, MessageType
from l2tp_ctl.core.settings import Limits


def channel(*, retry: int = 10, receive_window: int = 16, window: int = DEFAULT_WINDOW, **limits: float) -> Channel:
    made = Channel(retry=retry, receive_window=receive_window, limits=Limits(**limits))  # type: ignore[arg-type]
    made.set_peer_window(window)
    return made


def message(number: int) -> Message:
    return Message(type=MessageType.HELLO, serial_number=number)


def fill(made: Channel, count: int) -> None:
    for number in range(count):
        assert made.submit(message(number))


def numbers(sent: list[Outgoing]) -> list[int]:
    return [outgoing.ns for outgoing in sent]


# ---- Congestion: appendix A by its numbers.


def test_slow_start_opens_the_window_by_one_for_each_acknowledgement() -> None:
    made = channel(window=8)
    fill(made, 20)
    sizes = []
    for acknowledged in range(1, 8):
        made.transmit(0.0)
        sizes.append(made.window)
        assert made.acknowledge(acknowledged, 0.0)
    assert sizes == [1, 2, 3, 4, 5, 6, 7]
    assert made.window == 8


def test_a_window_of_acknowledgements_doubles_it() -> None:
    made = channel(window=8)
    fill(made, 20)
    assert numbers(made.transmit(0.0)) == [0]
    made.acknowledge(1, 0.0)
    assert numbers(made.transmit(0.0)) == [1, 2]
    made.acknowledge(3, 0.0)
    assert numbers(made.transmit(0.0)) == [3, 4, 5, 6]
    made.acknowledge(7, 0.0)
    assert numbers(made.transmit(0.0)) == [7, 8, 9, 10, 11, 12, 13, 14]


def test_a_loss_halves_the_threshold_and_starts_again_with_one() -> None:
    made = channel(window=8)
    fill(made, 40)
    for acknowledged in (0, 1, 3, 7):
        made.acknowledge(acknowledged, 0.0)
        made.transmit(0.0)
    assert (made.window, made.unacknowledged) == (8, 8)
    assert made.expire(1.0)
    assert made.window == 1
    assert numbers(made.transmit(1.0)) == [7]
    sizes = []
    for acknowledged in range(8, 23):
        assert made.acknowledge(acknowledged, 1.0)
        made.transmit(1.0)
        sizes.append(made.window)
    # Slow start up to 4, half of what it was; then 1/CWND for each: 4.25, 4.49, 4.71, 4.92, 5.12, ...
    assert sizes == [2, 3, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 6, 6, 6]


def test_the_window_never_exceeds_the_peers() -> None:
    made = channel(window=2)
    fill(made, 50)
    for acknowledged in range(1, 40):
        assert len(made.transmit(0.0)) <= 2
        assert made.unacknowledged <= 2
        made.acknowledge(acknowledged, 0.0)
    assert made.window == 2


def test_until_the_peer_tells_one_its_window_is_four() -> None:
    made = channel(window=0)
    fill(made, 50)
    for acknowledged in range(1, 20):
        made.transmit(0.0)
        made.acknowledge(acknowledged, 0.0)
    assert made.window == 4


def test_of_many_lost_messages_the_window_lets_one_out_first() -> None:
    made = channel(window=4)
    fill(made, 7)
    for acknowledged in (0, 1, 3):
        made.acknowledge(acknowledged, 0.0)
        made.transmit(0.0)
    made.expire(1.0)
    assert numbers(made.transmit(1.0)) == [3]
    assert made.transmit(1.0) == []
    made.acknowledge(4, 1.1)
    assert numbers(made.transmit(1.1)) == [4, 5]
    assert made.retransmissions == 3
    made.acknowledge(6, 1.2)
    assert numbers(made.transmit(1.2)) == [6]
    assert made.unacknowledged == 1


# ---- Retransmission.


def test_retransmissions_after_1_2_4_8_and_8_seconds() -> None:
    made = channel(retry=6)
    fill(made, 1)
    now, times = 0.0, [0.0]
    made.transmit(now)
    while True:
        assert made.deadline is not None
        now = made.deadline
        if not made.expire(now):
            break
        assert numbers(made.transmit(now)) == [0]
        times.append(now)
    assert times == [0.0, 1.0, 3.0, 7.0, 15.0, 23.0, 31.0]
    assert now == 39.0
    assert made.retransmissions == 6


def test_other_timeouts() -> None:
    made = channel(retry=9, retransmit_first=0.5, retransmit_cap=1.5)
    fill(made, 1)
    made.transmit(0.0)
    deadlines = []
    for _ in range(4):
        assert made.deadline is not None
        deadlines.append(made.deadline)
        made.expire(made.deadline)
    assert deadlines == [0.5, 1.5, 3.0, 4.5]


def test_an_acknowledgement_begins_the_timeouts_anew() -> None:
    made = channel(retry=2)
    fill(made, 2)
    made.transmit(0.0)
    for now in (1.0, 3.0):
        assert made.expire(now)
        made.transmit(now)
    assert made.acknowledge(1, 4.0)
    made.transmit(4.0)
    assert made.deadline == 5.0
    for now in (5.0, 7.0):
        assert made.expire(now)
        made.transmit(now)
    assert made.deadline == 11.0
    assert not made.expire(11.0)


def test_nothing_expires_before_its_time() -> None:
    made = channel()
    assert made.expire(100.0)
    fill(made, 1)
    made.transmit(0.0)
    assert made.expire(0.99)
    assert made.transmit(0.99) == []
    assert made.expire(1.0)
    assert numbers(made.transmit(1.0)) == [0]


def test_all_acknowledged_leaves_no_deadline() -> None:
    made = channel()
    fill(made, 1)
    made.transmit(0.0)
    assert not made.idle
    made.acknowledge(1, 0.5)
    assert made.idle
    assert made.deadline is None


def test_what_is_abandoned_is_not_sent_again() -> None:
    made = channel()
    fill(made, 3)
    made.transmit(0.0)
    made.abandon()
    assert made.idle
    assert made.deadline is None
    assert made.transmit(10.0) == []


# ---- Numbers.


def test_ns_and_nr_wrap_at_65536() -> None:
    sender, receiver = channel(window=4), channel()
    delivered = []
    for number in range(65536 + 10):
        sender.submit(message(number))
        (outgoing,) = sender.transmit(0.0)
        assert outgoing.ns == number % 65536
        drop, ready = receiver.accept(outgoing.ns, outgoing.message)
        assert drop is None
        delivered += ready
        assert sender.acknowledge(receiver.nr, 0.0)
    assert [one.serial_number for one in delivered] == list(range(65536 + 10))
    assert (sender.next_ns, receiver.nr) == (10, 10)


@pytest.mark.parametrize("ns", [4, 3, 65535, 32773])
def test_the_preceding_32767_numbers_are_duplicates(ns: int) -> None:
    made = channel()
    for number in range(5):
        made.accept(number, message(number))
    made.ack_due = False
    assert made.accept(ns, message(ns)) == (Drop.DUPLICATE, [])
    assert made.ack_due, "a duplicate must be acknowledged"
    assert made.nr == 5


@pytest.mark.parametrize("ns", [9, 100, 32772])
def test_beyond_the_window_is_dropped_and_acknowledged(ns: int) -> None:
    made = channel(receive_window=4)
    for number in range(5):
        made.accept(number, message(number))
    made.ack_due = False
    assert made.accept(ns, message(ns)) == (Drop.WINDOW, [])
    assert made.ack_due


def test_early_messages_wait_for_what_is_missing() -> None:
    made = channel(receive_window=4)
    assert made.accept(2, message(2)) == (None, [])
    assert made.accept(3, message(3)) == (None, [])
    assert made.accept(2, message(2)) == (Drop.DUPLICATE, [])
    assert made.accept(1, message(1)) == (None, [])
    assert made.nr == 0
    drop, ready = made.accept(0, message(0))
    assert drop is None
    assert [one.serial_number for one in ready] == [0, 1, 2, 3]
    assert made.nr == 4


def test_an_acknowledgement_of_what_was_never_sent() -> None:
    made = channel()
    fill(made, 2)
    assert not made.acknowledge(1, 0.0)
    made.transmit(0.0)
    assert not made.acknowledge(2, 0.0)
    assert made.unacknowledged == 1
    assert made.acknowledge(1, 0.0)


def test_an_overtaken_acknowledgement_changes_nothing() -> None:
    made = channel(window=8)
    fill(made, 4)
    for acknowledged in (1, 3):
        made.transmit(0.0)
        assert made.acknowledge(acknowledged, 0.0)
    made.transmit(5.0)
    deadline = made.deadline
    assert made.acknowledge(1, 5.5)
    assert (made.unacknowledged, made.deadline) == (1, deadline)


def test_a_full_queue_takes_no_more() -> None:
    made = channel(send_queue=2)
    fill(made, 2)
    assert not made.submit(message(2))
    assert made.queued == 2
    made.transmit(0.0)
    assert made.submit(message(2))


# ---- Any network.


@dataclass
class Wire:
    """Two channels and a network that loses, repeats and reorders."""

    random: Random
    fault: float
    ends: tuple[Channel, Channel]
    delivered: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    flying: list[tuple[int, int | None, int, Message | None]] = field(default_factory=list)

    def step(self, now: float) -> None:
        for index, end in enumerate(self.ends):
            assert end.expire(now)
            for outgoing in end.transmit(now):
                self._put(1 - index, outgoing.ns, end.nr, outgoing.message)
            if end.ack_due:
                end.ack_due = False
                self._put(1 - index, None, end.nr, None)
        for _ in range(self.random.randint(0, len(self.flying))):
            target, ns, nr, carried = self.flying.pop(self.random.randrange(len(self.flying)))
            end = self.ends[target]
            assert end.acknowledge(nr, now)
            if ns is not None and carried is not None:
                _, ready = end.accept(ns, carried)
                self.delivered[target].extend(one.serial_number or 0 for one in ready)

    def _put(self, target: int, ns: int | None, nr: int, carried: Message | None) -> None:
        draw = self.random.random()
        self.flying += [(target, ns, nr, carried)] * (0 if draw < self.fault else 2 if draw > 1 - self.fault else 1)


@given(
    seed=st.integers(0, 1 << 32),
    fault=st.floats(0.0, 0.45),
    counts=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    windows=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    start=st.sampled_from([0, 65530]),
)
def test_any_network_delivers_each_once_and_in_order(
    seed: int, fault: float, counts: tuple[int, int], windows: tuple[int, int], start: int
) -> None:
    ends = (
        channel(retry=10_000, receive_window=windows[0], window=windows[1]),
        channel(retry=10_000, receive_window=windows[1], window=windows[0]),
    )
    for end, count in zip(ends, counts, strict=True):
        end.next_ns = end.nr = start
        fill(end, count)
    wire = Wire(Random(seed), fault, ends)
    now = 0.0
    while not (ends[0].idle and ends[1].idle):
        wire.step(now)
        now += 0.5
        assert now < 5000.0, "no progress"
    assert wire.delivered == (list(range(counts[1])), list(range(counts[0])))
