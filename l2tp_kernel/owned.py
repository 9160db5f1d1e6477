"""The pseudowires that the helper has made or adopted, by interface, by index, and by session."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from l2tp_kernel.schema import Plane, PweParam


class Pwe(NamedTuple):
    """One pseudowire end as it was set or last seen."""

    param: PweParam
    """As the client gave it."""
    plane: Plane
    """The one in use."""
    number: int
    """Index of the interface."""
    mtu: int
    up: bool
    """The administrative state."""
    bridge: int = 0
    """Index of what has the name of its bridge; 0 if there is nothing, or it wants none."""


class Owned:
    """All of them; nothing else is ever changed or deleted."""

    def __init__(self) -> None:
        self._pwes: dict[str, Pwe] = {}
        self._numbers: dict[int, str] = {}
        self._sessions: dict[tuple[int, int], str] = {}
        self._bridged: set[str] = set()

    def __len__(self) -> int:
        return len(self._pwes)

    def __iter__(self) -> Iterator[Pwe]:
        return iter(self._pwes.values())

    def get(self, interface: str) -> Pwe | None:
        """Find one by its interface."""
        return self._pwes.get(interface)

    def numbered(self, number: int) -> Pwe | None:
        """Find one by the index of its interface."""
        return self._pwes.get(self._numbers.get(number, ""))

    def holder(self, listener: int, session: int) -> str:
        """Interface that has this Session ID beside a listener, empty if that is free."""
        return self._sessions.get((listener, session), "")

    def bridged(self) -> list[Pwe]:
        """Those that are to be in a bridge."""
        return [self._pwes[interface] for interface in sorted(self._bridged)]

    def put(self, pwe: Pwe) -> None:
        """Add one, or let it take the place of the one with the same interface."""
        interface = pwe.param.interface
        self._unlink(self._pwes.get(interface))
        self._pwes[interface] = pwe
        self._numbers[pwe.number] = interface
        self._sessions[pwe.param.listener, pwe.param.local_session_id] = interface
        if pwe.param.bridge:
            self._bridged.add(interface)

    def pop(self, interface: str) -> None:
        """Forget one, if it is there."""
        self._unlink(self._pwes.pop(interface, None))

    def _unlink(self, pwe: Pwe | None) -> None:
        if pwe:
            self._numbers.pop(pwe.number, None)
            self._sessions.pop((pwe.param.listener, pwe.param.local_session_id), None)
            self._bridged.discard(pwe.param.interface)
