from __future__ import annotations

from dataclasses import dataclass

import pytest

from l2tp_admin.limits import Limits, Rate, place_to_take

LIMITS = Limits(clients=6, clients_per_uid=4)


@dataclass(eq=False)
class Client:
    uid: int
    active_at: float


def test_a_burst_passes_and_what_is_beyond_waits_its_turn() -> None:
    rate = Rate(per_second=10, burst=5, queue=10)
    delays = [rate.reserve(1000, now=50.0) for _ in range(8)]
    assert delays[:5] == pytest.approx([0.0] * 5)
    assert delays[5:] == pytest.approx([0.1, 0.2, 0.3])


def test_a_flood_never_locks_its_own_user_out() -> None:
    rate = Rate(per_second=10, burst=5, queue=3)
    assert max(rate.reserve(1000, now=1.0) for _ in range(1000)) == pytest.approx(0.3)
    assert rate.reserve(1000, now=2.0) == pytest.approx(0.0)


def test_users_do_not_share_a_rate() -> None:
    rate = Rate(per_second=10, burst=1, queue=10)
    assert [rate.reserve(1, 0.0), rate.reserve(1, 0.0), rate.reserve(2, 0.0)] == pytest.approx([0.0, 0.1, 0.0])


def test_the_rate_comes_back_with_time() -> None:
    rate = Rate(per_second=10, burst=2, queue=10)
    for _ in range(12):
        rate.reserve(1, 0.0)
    assert rate.reserve(1, 1.2) == pytest.approx(0.0)
    assert rate.reserve(1, 100.0) == 0.0


def test_as_many_users_as_there_are_numbers_cost_little() -> None:
    rate = Rate(per_second=100, burst=1, queue=10)
    for uid in range(10000):
        rate.reserve(uid, float(uid))
    assert len(rate._full_at) <= 1024


def test_there_is_room_below_the_limits() -> None:
    clients = [Client(1, 0), Client(1, 1), Client(1, 2), Client(2, 3), Client(2, 4)]
    assert place_to_take(clients, 1, LIMITS) is None
    assert place_to_take([], 1, LIMITS) is None


def test_a_user_at_its_limit_loses_the_one_that_was_idle_longest() -> None:
    other, oldest = Client(2, 0), Client(1, 1)
    clients = [other, Client(1, 5), oldest, Client(1, 2), Client(1, 3)]
    assert place_to_take(clients, 1, LIMITS) is oldest


def test_at_the_limit_of_all_the_user_with_the_most_loses_one() -> None:
    root, oldest = Client(0, 0), Client(1, 1)
    clients = [root, Client(1, 5), oldest, Client(1, 2), Client(2, 0), Client(2, 0)]
    assert place_to_take(clients, 0, LIMITS) is oldest
