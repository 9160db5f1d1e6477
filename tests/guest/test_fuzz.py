"""A few of the fuzzer's cases on the kernel plane, beside a tunnel that somebody else made."""

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

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]

ENDS = "local 192.0.2.1 remote 192.0.2.2 udp_sport 5000 udp_dport 5000"
THEIR_L2TP = (
    f"l2tp add tunnel tunnel_id 11 peer_tunnel_id 12 encap udp {ENDS}",
    "l2tp add session name theirs0 tunnel_id 11 session_id 1 peer_session_id 2 cookie 01020304",
    "link set theirs0 up mtu 1300",
)
"""With the IDs that the attacks ask for too."""


@pytest.fixture(scope="module")
def aim() -> Iterator[Target]:
    with fuzz.helper_among_others(*THEIR_L2TP) as (host, helper), fuzz.target(host, helper) as aimed:
        yield aimed


def test_no_input_ends_the_helper_leaks_a_descriptor_or_touches_what_is_not_its_own(aim: Target) -> None:
    fuzz.attacks(aim, max_examples=15, derandomize=True)()


def test_attacks_get_through_to_what_the_policy_allows(aim: Target) -> None:
    wanted = [
        astuple(param(0, f"pw{number}", bridge="br-lan", local_session_id=2 + number, local_connection_id=20))
        for number in range(3)
    ]
    steps = [
        ("request", [Verb.OPEN_LISTENER, *astuple(listener())]),
        *(("request", [Verb.SET_PWE_PARAM, [one]]) for one in wanted),
    ]
    assert aim.attack(greet=True, steps=steps) == list(fuzz.FREE)
