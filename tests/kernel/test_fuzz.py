"""A few of the fuzzer's cases, always the same ones; ``make fuzz`` goes on from here."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING

import pytest

from l2tp_kernel.schema import Verb
from tests.kernel import fuzz
from tests.kernel.helper import listener, param

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kernel.fuzz import Target

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def aim() -> Iterator[Target]:
    with fuzz.helper_among_others() as (host, helper), fuzz.target(host, helper) as aimed:
        yield aimed


def test_no_input_ends_the_helper_leaks_a_descriptor_or_touches_what_is_not_its_own(aim: Target) -> None:
    fuzz.attacks(aim, max_examples=60, derandomize=True)()


def test_attacks_get_through_to_what_the_policy_allows(aim: Target) -> None:
    """So it is not because all is refused that nothing breaks."""
    wanted = [astuple(param(0, f"pw{number}", bridge="br-lan", local_session_id=1 + number)) for number in range(3)]
    steps = [
        ("request", [Verb.OPEN_LISTENER, *astuple(listener())]), ("number", 9), ("stranger", b"GET / HTTP/1.1"),
        *(("request", [Verb.SET_PWE_PARAM, [one]]) for one in wanted), ("frame", b"\xc1"), ("side", b"hello"),
    ]  # fmt: skip
    assert aim.attack(greet=True, steps=steps) == list(fuzz.FREE)
