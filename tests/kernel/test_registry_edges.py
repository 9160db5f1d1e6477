"""What the registry does where a real kernel rarely goes: limits, a path too small, a name taken in between."""

from __future__ import annotations

import errno
import ipaddress
import socket
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from l2tp_kernel.links import Link
from l2tp_kernel.plane import Adopted, ControlSocket
from l2tp_kernel.policy import Policy
from l2tp_kernel.registry import Registry
from l2tp_kernel.schema import MAX_LISTENERS, Counters, Encapsulation, Flavour, Listener, Plane, PweParam, Reason
from l2tp_kernel.wire import Refused
from tests.kernel.helper import param

if TYPE_CHECKING:
    from collections.abc import Iterator

    from l2tp_kernel.links import Links as RealLinks
    from l2tp_kernel.plane import TunnelSocket


class MemoryPlane:
    """A plane that forwards nothing; ``taken`` are names that somebody else has just made."""

    def __init__(self, kind: Plane = Plane.USERSPACE) -> None:
        self.kind = kind
        self.left: list[Adopted] = []
        self.taken: set[str] = set()
        self.socket = socket.socket()

    def adopt(self) -> list[Adopted]:
        return self.left

    def open_listener(self, _handle: int, _listener: Listener) -> ControlSocket:
        return ControlSocket(self.socket, Flavour.UDP)

    def close_listener(self, _handle: int) -> None: ...

    def create(self, wanted: PweParam) -> int:
        if wanted.interface in self.taken:
            raise FileExistsError(errno.EEXIST, wanted.interface)
        return 1

    def modify(self, _param: PweParam) -> int:
        return 1

    def delete(self, _interface: str) -> None: ...

    def stats(self) -> dict[str, Counters]:
        return {}

    def tunnel_sockets(self, _listener: int) -> list[TunnelSocket]:
        return []

    def news(self) -> list[TunnelSocket]:
        return []

    def fileno(self) -> int:
        return self.socket.fileno()

    def tend(self) -> None: ...

    def close(self) -> None:
        self.socket.close()


class Links:
    """No interface at all, an MTU of ``path`` to everywhere, and ``error`` instead of news."""

    path = 1500
    error = 0

    def find(self, _which: str | int) -> None:
        return None

    def path_mtu(self, _peer: bytes, _source: bytes) -> int:
        return self.path

    def changes(self) -> set[int]:
        raise OSError(self.error, "netlink")


LINK = Link(number=5, name="pw0", mtu=1400, kind="", up=True, label="")

POLICY = Policy(
    clients=frozenset({0}),
    forwarder_user="nobody",
    listen=(ipaddress.ip_network("0.0.0.0/0"),),
    ports=frozenset(range(65536)),
    peers=(ipaddress.ip_network("0.0.0.0/0"),),
    interfaces=("pw*",),
    maximum=1,
    bridges=(),
)


@pytest.fixture
def plane() -> Iterator[MemoryPlane]:
    made = MemoryPlane()
    yield made
    made.close()


@pytest.fixture
def links() -> Links:
    return Links()


@pytest.fixture
def registry(plane: MemoryPlane, links: Links) -> Registry:
    return Registry([plane], cast("RealLinks", links))


def open_one(registry: Registry, port: int = 1701) -> int:
    handle, _ = registry.open_listener(Listener(Plane.AUTO, Encapsulation.UDP, bytes(4), port), POLICY)
    return handle


def test_what_an_earlier_helper_left_is_owned_and_stays_in_its_plane(plane: MemoryPlane, links: Links) -> None:
    left = param(0)
    with closing(MemoryPlane(Plane.KERNEL)) as other:
        other.left = [Adopted(replace(left, plane=Plane.KERNEL), LINK)]
        registry = Registry([plane, other], cast("RealLinks", links))
        assert [interface for _, interface, *_ in registry.listing()[1]] == [left.interface]
        with pytest.raises(Refused) as refused:
            registry.set(param(open_one(registry)), POLICY)
        assert refused.value.reason is Reason.PLANE


def test_listeners_are_limited(registry: Registry) -> None:
    for port in range(1, MAX_LISTENERS + 1):
        open_one(registry, port)
    assert open_one(registry, 1) == 1  # that one is there
    with pytest.raises(Refused) as refused:
        open_one(registry, MAX_LISTENERS + 1)
    assert refused.value.reason is Reason.POLICY


def test_a_path_too_small_for_any_frame_is_told(registry: Registry, links: Links) -> None:
    links.path = 100
    with pytest.raises(OSError, match="too long") as failed:
        registry.set(param(open_one(registry)), POLICY)
    assert failed.value.errno == errno.EMSGSIZE
    assert registry.listing()[1] == []


def test_a_name_taken_in_between_is_refused(registry: Registry, plane: MemoryPlane) -> None:
    plane.taken.add("pw0")
    with pytest.raises(Refused) as refused:
        registry.set(param(open_one(registry)), POLICY)
    assert refused.value.reason is Reason.NOT_OWNED
    assert registry.listing()[1] == []


def test_only_lost_messages_are_made_good_other_errors_are_told(registry: Registry, links: Links) -> None:
    links.error = errno.ENOBUFS
    assert registry.follow(POLICY) == []
    links.error = errno.EBADF
    with pytest.raises(OSError, match="netlink"):
        registry.follow(POLICY)
