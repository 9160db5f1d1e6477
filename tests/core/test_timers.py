"""One heap of timers: order, cancelling, and timers armed by timers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from l2tp_ctl.core.timers import Timer, Timers


def test_timers_fire_in_the_order_of_their_times() -> None:
    timers, fired = Timers(), list[tuple[str, float]]()
    for name, when in (("late", 9.0), ("early", 1.0), ("middle", 5.0)):
        timers.at(when, lambda now, name=name: fired.append((name, now)))  # type: ignore[misc]  # bound per timer
    assert timers.next() == 1.0
    timers.fire(5.0)
    assert fired == [("early", 5.0), ("middle", 5.0)]
    assert timers.next() == 9.0
    timers.fire(9.0)
    assert fired[-1] == ("late", 9.0)
    assert timers.next() is None


@given(times=st.lists(st.integers(0, 5), max_size=30))
def test_equal_times_fire_as_they_were_armed(times: list[int]) -> None:
    timers, fired = Timers(), list[tuple[int, int]]()

    def arm(when: int, number: int) -> None:
        timers.at(float(when), lambda now: fired.append((when, number)))

    for number, when in enumerate(times):
        arm(when, number)
    timers.fire(5.0)
    assert fired == sorted((when, number) for number, when in enumerate(times))


def test_a_cancelled_timer_never_fires() -> None:
    timers, fired = Timers(), list[float]()
    first = timers.at(1.0, fired.append)
    timers.at(2.0, fired.append)
    assert first.armed
    first.cancel()
    first.cancel()
    assert not first.armed
    assert timers.next() == 2.0
    timers.fire(3.0)
    assert fired == [3.0]


def test_a_timer_fires_once() -> None:
    fired = list[float]()
    timer = Timer(fired.append)
    timer.fire(1.0)
    timer.fire(2.0)
    assert fired == [1.0]
    assert not timer.armed


def test_a_timer_may_cancel_another_that_is_due() -> None:
    timers, fired = Timers(), list[float]()
    victims = list[Timer]()
    timers.at(1.0, lambda now: victims[0].cancel())
    victims.append(timers.at(1.0, fired.append))
    timers.fire(1.0)
    assert fired == []


def test_what_a_timer_arms_for_now_fires_as_well() -> None:
    timers, fired = Timers(), list[float]()

    def arm(now: float) -> None:
        timers.at(now, fired.append)
        timers.at(now + 1.0, fired.append)

    timers.at(1.0, arm)
    timers.fire(1.0)
    assert fired == [1.0]
    assert timers.next() == 2.0
