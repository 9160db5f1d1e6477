"""Many pseudowires in one request go to the kernel together, and come out as if set one after the other."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2tp_kernel.policy import Policy, prefix
from l2tp_kernel.registry import Registry
from l2tp_kernel.schema import MAX_BATCH, Encapsulation, Listener, Plane, PweParam, Reason
from l2tp_kernel.wire import Deletion, Refused
from tests.kernel.helper import address, param
from tests.kernel.memory import MemoryLinks, MemoryPlane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from l2tp_kernel.links import Links
    from l2tp_kernel.registry import Outcome

POLICY = Policy(
    clients=frozenset({0}),
    forwarder_user="nobody",
    listen=(prefix("0.0.0.0/0"),),
    ports=frozenset({1701, 1702}),
    peers=(prefix("192.0.2.0/24"),),
    interfaces=("pw*",),
    maximum=4,
    bridges=("br-*",),
)
UNSET, TAKEN, BROKEN = 1999, 98, 99
"""An MTU that no interface can have, and Session IDs of somebody else's and without memory."""


class World:
    """A registry with all that it stands on."""

    def __init__(self) -> None:
        self.links = MemoryLinks()
        self.links.unset.add(UNSET)
        self.links.add("br-lan")
        self.links.add("pwtheirs")
        self.plane = MemoryPlane(self.links)
        self.plane.taken.add(TAKEN)
        self.plane.broken.add(BROKEN)
        self.registry = Registry([self.plane], cast("Links", self.links))
        for port in (1701, 1702):
            self.registry.open_listener(Listener(Plane.AUTO, Encapsulation.UDP, bytes(4), port), POLICY)

    def set(self, *params: PweParam, policy: Policy = POLICY) -> list[object]:
        return [told(each) for each in self.registry.set(params, policy)]

    def state(self) -> object:
        """All that is there, without the indices."""
        there = {name: self.links.settings[number] for name, number in self.links.numbers.items()}
        looks = {name: setting._replace(number=0) for name, setting in there.items()}
        return sorted(self.registry.listing()[1], key=str), looks, self.plane.sessions


def told(outcome: Outcome) -> object:
    """An outcome without the index."""
    match outcome:
        case Refused():
            return outcome.reason
        case OSError():
            return outcome.errno
        case (interface, mtu, _):
            return interface, mtu


@contextlib.contextmanager
def world() -> Iterator[World]:
    made = World()
    try:
        yield made
    finally:
        made.plane.close()


def many(count: int, **changes: object) -> list[PweParam]:
    return [replace(param(1, f"pw{n}", local_session_id=1000 + n), **changes) for n in range(count)]  # type: ignore[arg-type]  # the changes are fields


wanted = st.builds(
    param,
    st.sampled_from([1, 2, 3]),
    st.sampled_from(["pw0", "pw1", "pw2", "pw3", "pw4", "pw5", "pwtheirs", "eth0"]),
    local_session_id=st.sampled_from([1, 2, 3, 4, TAKEN, BROKEN]),
    mtu=st.sampled_from([0, 1400, UNSET]),
    bridge=st.sampled_from(["", "br-lan", "br-none"]),
    up=st.booleans(),
    peer_session_id=st.sampled_from([102, 103]),
)


@given(batches=st.lists(st.lists(wanted, max_size=8), max_size=4))
@settings(max_examples=200, deadline=None)
def test_a_batch_is_as_good_as_one_after_the_other(batches: list[list[PweParam]]) -> None:
    with world() as together, world() as alone:
        for batch in batches:
            assert together.set(*batch) == [told for one in batch for told in alone.set(one)]
            assert together.state() == alone.state()


@pytest.fixture
def one() -> Iterator[World]:
    with world() as made:
        yield made


def test_new_ones_go_together(one: World) -> None:
    policy = replace(POLICY, maximum=MAX_BATCH)
    params = many(MAX_BATCH)
    assert one.set(*params, policy=policy) == [(each.interface, 1450) for each in params]
    assert one.plane.bursts == [MAX_BATCH]
    assert one.links.bursts == [MAX_BATCH]
    assert one.links.asked == [address("192.0.2.2")], "one look at the path is enough for all"


def test_so_do_changes_and_what_stays(one: World) -> None:
    policy = replace(POLICY, maximum=MAX_BATCH)
    params = many(100)
    one.set(*params, policy=policy)
    changed = [replace(each, local_session_id=each.local_session_id + 1000) for each in params[:50]]
    one.set(*changed, *params[50:], policy=policy)
    assert one.plane.bursts == [100, 50]
    assert one.links.bursts == [100, 100]


def test_one_that_fails_fails_alone(one: World) -> None:
    params = many(3)
    params[1] = replace(params[1], mtu=UNSET)
    assert one.set(*params) == [("pw0", 1450), 22, ("pw2", 1450)]
    assert set(one.plane.sessions) == {"pw0", "pw2"}
    assert one.links.numbers.keys() >= {"pw0", "pw2"}
    assert "pw1" not in one.links.numbers


def test_what_an_earlier_one_frees_a_later_one_has(one: World) -> None:
    first, second = many(2)
    one.set(first)
    swapped = replace(first, local_session_id=7), replace(second, local_session_id=first.local_session_id)
    assert one.set(*swapped) == [("pw0", 1450), ("pw1", 1450)]
    assert one.set(*reversed(swapped)) == [("pw1", 1450), ("pw0", 1450)]


def test_what_an_earlier_one_fails_to_take_a_later_one_has(one: World) -> None:
    first, second = many(2, local_session_id=5)
    assert one.set(replace(first, mtu=UNSET), second) == [22, ("pw1", 1450)]
    assert one.set(first, second) == [Reason.IN_USE, ("pw1", 1450)]


def test_the_last_word_about_an_interface_counts(one: World) -> None:
    first, *_ = many(1)
    assert one.set(first, replace(first, mtu=1300), replace(first, up=False)) == [
        ("pw0", 1450), ("pw0", 1300), ("pw0", 1450),
    ]  # fmt: skip
    assert one.links.settings[one.links.number("pw0")].up is False


def test_deletions_go_together(one: World) -> None:
    one.set(*many(3))
    deletions = [Deletion("pw0", 1000), Deletion("pw0", 1000), Deletion("pw1", 7), Deletion("pw2", 1002)]
    outcomes = one.registry.delete(deletions)
    assert [outcome and outcome.reason for outcome in outcomes] == [None, Reason.NOT_FOUND, Reason.NOT_FOUND, None]
    assert set(one.plane.sessions) == {"pw1"}
