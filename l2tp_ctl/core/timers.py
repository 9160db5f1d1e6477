"""Every timer of one Endpoint on one heap: the runtime needs to know only the earliest."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TypeAlias

Action: TypeAlias = Callable[[float], None]
"""What a timer calls, with the time it is then."""


class Timer:
    """One armed timer.  Cancelling it twice, or after it fired, does nothing."""

    __slots__ = ("_action",)

    def __init__(self, action: Action) -> None:
        self._action: Action | None = action

    @property
    def armed(self) -> bool:
        """Whether it has neither fired nor been cancelled."""
        return self._action is not None

    def cancel(self) -> None:
        """Make it never fire."""
        self._action = None

    def fire(self, now: float) -> None:
        """Call its action, once."""
        action, self._action = self._action, None
        if action is not None:
            action(now)


class Timers:
    """The heap.  Timers of equal time fire in the order in which they were armed."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._armed = 0

    def at(self, when: float, action: Action) -> Timer:
        """Arm a timer that calls ``action`` once ``when`` is reached."""
        timer = Timer(action)
        self._armed += 1
        heapq.heappush(self._heap, (when, self._armed, timer))
        return timer

    def next(self) -> float | None:
        """Return when the earliest timer is due, None when none is armed."""
        while self._heap and not self._heap[0][2].armed:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def fire(self, now: float) -> None:
        """Fire every timer that is due.  What they arm for ``now`` or earlier fires as well."""
        while (when := self.next()) is not None and when <= now:
            heapq.heappop(self._heap)[2].fire(now)
