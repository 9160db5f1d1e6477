"""Whose turn it is to call.

Thousands of sessions that are called at once would wait behind one another in the peer's socket until all are sent
again, and again.  So only some calls are under way at one time, those of each control connection in turn.  A call that
is not answered soon makes room all the same: a peer that is slow to answer holds up no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from l2tp_ctl.core.settings import Limits
from l2tp_ctl.core.tables import SessionEvent
from l2tp_ctl.core.timers import Timer, Timers

if TYPE_CHECKING:
    from l2tp_ctl.core.session import Session
    from l2tp_ctl.core.tunnel import Tunnel


class Calls:
    """The calls of one Endpoint: sessions that wait for their turn, and those whose ICRQ is not answered yet."""

    def __init__(self, limits: Limits, timers: Timers) -> None:
        self._limits = limits
        self._timers = timers
        self._waiting: dict[Tunnel, dict[Session, None]] = {}
        """Sessions of established control connections in the state wait-control-conn, oldest first."""
        self._under_way: dict[Session, float] = {}
        """Until when each counts, oldest first."""
        self._timer: Timer | None = None

    def wait(self, session: Session) -> None:
        """Have a session call when it is its turn; its control connection is up."""
        self._waiting.setdefault(session.tunnel, {})[session] = None

    def leave(self, session: Session) -> None:
        """Take note that a session neither waits nor is its call under way any more."""
        self._under_way.pop(session, None)
        waiting = self._waiting.get(session.tunnel)
        if waiting is not None:
            waiting.pop(session, None)
            if not waiting:
                del self._waiting[session.tunnel]

    def begin(self, now: float) -> None:
        """Let sessions call while there is room."""
        while self._waiting and self._has_room(now):
            tunnel, sessions = next(iter(self._waiting.items()))
            session = next(iter(sessions))
            del self._waiting[tunnel]
            del sessions[session]
            if sessions:
                self._waiting[tunnel] = sessions  # behind all others
            session.fire(SessionEvent.CONTROL_OPEN, now)
            self._under_way[session] = now + self._limits.call_patience
        if self._waiting and (self._timer is None or not self._timer.armed):
            # Whatever happens then: after every event there is a look at who may begin.
            self._timer = self._timers.at(next(iter(self._under_way.values())), lambda _: None)

    def _has_room(self, now: float) -> bool:
        if len(self._under_way) < self._limits.calls:
            return True
        oldest, until = next(iter(self._under_way.items()))
        if until > now:
            return False
        del self._under_way[oldest]
        return True
