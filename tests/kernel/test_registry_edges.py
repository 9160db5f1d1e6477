"""What the registry does where a real kernel rarely goes: limits, a path too small, a name taken in between."""

from __future__ import annotations

import errno
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from l2tp_kernel.plane import Adopted
from l2tp_kernel.policy import Policy, prefix
from l2tp_kernel.registry import Registry
from l2tp_kernel.schema import MAX_LISTENERS, Encapsulation, Listener, Plane, Reason
from l2tp_kernel.wire import Refused
from tests.kernel.helper import param
from tests.kernel.memory import MemoryLinks, MemoryPlane, link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from l2tp_kernel.links import Links
    from l2tp_kernel.registry import Outcome
    from l2tp_kernel.schema import PweParam

POLICY = Policy(
    clients=frozenset({0}),
    forwarder_user="nobody",
    listen=(prefix("0.0.0.0/0"),),
    ports=frozenset(range(65536)),
    peers=(prefix("0.0.0.0/0"),),
    interfaces=("pw*",),
    maximum=1,
    bridges=("br*",),
)


@pytest.fixture
def links() -> MemoryLinks:
    return MemoryLinks()


@pytest.fixture
def memory(links: MemoryLinks) -> Iterator[MemoryPlane]:
    with closing(MemoryPlane(links)) as made:
        yield made


@pytest.fixture
def registry(memory: MemoryPlane, links: MemoryLinks) -> Registry:
    return Registry([memory], cast("Links", links))


def open_one(registry: Registry, port: int = 1701) -> int:
    handle, _ = registry.open_listener(Listener(Plane.AUTO, Encapsulation.UDP, bytes(4), port), POLICY)
    return handle


def set_one(registry: Registry, wanted: PweParam) -> Outcome:
    (outcome,) = registry.set([wanted], POLICY)
    return outcome


def reason(outcome: Outcome) -> Reason | None:
    return outcome.reason if isinstance(outcome, Refused) else None


def test_what_an_earlier_helper_left_is_owned_and_stays_in_its_plane(memory: MemoryPlane, links: MemoryLinks) -> None:
    left = param(0)
    with closing(MemoryPlane(links, Plane.KERNEL)) as other:
        other.left = [Adopted(replace(left, plane=Plane.KERNEL), link(5, "pw0"))]
        registry = Registry([memory, other], cast("Links", links))
        assert [interface for _, interface, *_ in registry.listing()[1]] == [left.interface]
        assert reason(set_one(registry, param(open_one(registry)))) is Reason.PLANE


def test_listeners_are_limited(registry: Registry) -> None:
    for port in range(1, MAX_LISTENERS + 1):
        open_one(registry, port)
    assert open_one(registry, 1) == 1  # that one is there
    with pytest.raises(Refused) as refused:
        open_one(registry, MAX_LISTENERS + 1)
    assert refused.value.reason is Reason.POLICY


def test_a_path_too_small_for_any_frame_is_told(registry: Registry, links: MemoryLinks) -> None:
    links.path = 100
    outcome = set_one(registry, param(open_one(registry)))
    assert isinstance(outcome, OSError)
    assert outcome.errno == errno.EMSGSIZE
    assert registry.listing()[1] == []


def test_a_name_taken_in_between_is_refused(registry: Registry, memory: MemoryPlane) -> None:
    memory.taken.add(101)
    assert reason(set_one(registry, param(open_one(registry)))) is Reason.NOT_OWNED
    assert registry.listing()[1] == []


def test_what_cannot_be_brought_back_is_told_as_gone(
    registry: Registry, memory: MemoryPlane, links: MemoryLinks
) -> None:
    """A change fails, and the old session does not come back either: its interface is gone, as a message tells."""
    handle = open_one(registry)
    set_one(registry, param(handle))
    number = links.number("pw0")
    memory.broken |= {7, 101}
    assert isinstance(set_one(registry, param(handle, local_session_id=7)), OSError)
    links.news = {number: None}
    assert registry.follow(POLICY) == [("pw0", None)]
    assert registry.listing()[1] == []


def test_a_bridge_with_the_index_of_one_of_ours_is_none(registry: Registry, links: MemoryLinks) -> None:
    """An interface of ours that gets the name of a bridge does not go into itself."""
    set_one(registry, param(open_one(registry), bridge="br0"))
    links.news = {links.number("pw0"): link(links.number("pw0"), "br0", kind="bridge")}
    assert registry.follow(POLICY) == []
    assert links.settings[links.number("pw0")].master == 0


def test_only_lost_messages_are_made_good_other_errors_are_told(registry: Registry, links: MemoryLinks) -> None:
    links.error = errno.ENOBUFS
    assert registry.follow(POLICY) == []
    links.error = errno.EBADF
    with pytest.raises(OSError, match="netlink"):
        registry.follow(POLICY)
