"""Every bound of ``l2tp-admin serve``, and the arithmetic of two of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from l2tp_ctl.admin_schema import MAX_REQUEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Octets, seconds and counts."""

    clients: int = 64
    """Connections in all; at the limit a new one takes the place of the one that has been idle longest."""
    clients_per_uid: int = 32
    """The same for one user, so that nobody can take every place."""
    request: int = MAX_REQUEST
    """Octets of a request's body."""
    requests_per_second: float = 200.0
    """Requests of one user, on average; faster ones wait."""
    burst: int = 200
    """Requests of one user that may come at once."""
    streams: int = 16
    """Clients that follow what happens; each takes one of the control process's places for clients."""
    buffered: int = 128 * 1024 * 1024
    """Octets of answers that are not read yet, over all clients."""
    stall: float = 10.0
    """Seconds in which a client with an unread answer must read some of it."""
    answer_time: float = 8.0
    """Seconds for the control process to answer: less than the command line waits, so that it can say why."""


class Rate:
    """A token bucket for each user: requests beyond the rate get a delay, none is refused.

    No delay is longer than ``queue`` requests take, so that a user's flood never locks that same user out.
    """

    _KEPT = 1024
    """Users remembered before the ones whose bucket is full again are forgotten."""

    def __init__(self, per_second: float, burst: int, queue: int) -> None:
        self._interval = 1 / per_second
        self._burst = burst * self._interval
        self._longest = queue * self._interval
        self._full_at: dict[int, float] = {}

    def reserve(self, uid: int, now: float) -> float:
        """Count one request at ``now`` and return the seconds that it must wait."""
        if len(self._full_at) >= self._KEPT:
            self._full_at = {user: at for user, at in self._full_at.items() if at > now}
        lag = max(self._full_at.get(uid, now) - now, 0.0) + self._interval
        delay = min(max(lag - self._burst, 0.0), self._longest)
        self._full_at[uid] = now + min(lag, self._burst + self._longest)
        return delay


class Place(Protocol):
    """What the choice of a place to take needs to know of a client."""

    @property
    def uid(self) -> int:
        """The client's user."""

    @property
    def active_at(self) -> float:
        """When it last sent a request or read some of an answer."""


P = TypeVar("P", bound=Place)


def place_to_take(clients: Iterable[P], uid: int, limits: Limits) -> P | None:
    """Return the client that must go for a new one of ``uid``; None while there is room.

    A user at its own limit loses one of its own.  At the limit of all, the user with the most clients loses one.
    """
    of_user: dict[int, list[P]] = {}
    for client in clients:
        of_user.setdefault(client.uid, []).append(client)
    if len(of_user.get(uid, ())) >= limits.clients_per_uid:
        candidates = of_user[uid]
    elif sum(map(len, of_user.values())) >= limits.clients:
        candidates = max(of_user.values(), key=len)
    else:
        return None
    return min(candidates, key=lambda client: client.active_at)
