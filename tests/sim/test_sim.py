"""A few seeds of the simulator; ``make sim SEEDS=N`` plays as many as you like."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.sim.scenario import Outcome, play, torment

FAILED_ONCE = [54, 1175, 1775, 9595, 13008]
"""Seeds of ``torment`` that once found a fault, here or in the simulator."""


@pytest.mark.parametrize("seed", range(60))
def test_both_ends_come_up_over_a_bad_network_and_stay_up(seed: int) -> None:
    assert play(seed).failure == ""


@pytest.mark.parametrize("seed", [*range(60), *FAILED_ONCE])
def test_both_ends_recover_from_faults_of_every_kind(seed: int) -> None:
    assert torment(seed).failure == ""


@pytest.mark.parametrize("seed", range(60))
def test_both_ends_recover_while_operators_work_too(seed: int) -> None:
    assert torment(seed, operators=True).failure == ""


@pytest.mark.parametrize("story", [play, torment])
def test_a_seed_replays_exactly(story: Callable[[int], Outcome]) -> None:
    first, second = story(7), story(7)
    assert len(first.trace) > 100
    assert first == second
    assert first.trace != story(8).trace


def test_a_network_that_loses_everything_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.sim.scenario.BOUND", 120.0)
    assert play(1, loss=1.0).failure == "not established"
