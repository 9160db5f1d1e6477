"""What every part of one Endpoint shares: entropy, limits, timers, identifiers, and the effects so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Hashable
from typing import TYPE_CHECKING, Protocol

from l2tp_ctl.catalogue import Entry, Field
from l2tp_ctl.core.calls import Calls
from l2tp_ctl.core.effects import Effect, Log
from l2tp_ctl.core.places import Places
from l2tp_ctl.core.settings import Limits
from l2tp_ctl.core.timers import Timers

if TYPE_CHECKING:
    from l2tp_ctl.core.connection import Connection
    from l2tp_ctl.core.session import Session


_QUIET = 60.0
"""Seconds for which a complaint about the same thing is not repeated."""

_COMPLAINTS = 1024
"""Complaints remembered at once."""


class Asker(Protocol):
    """A session, signalled or static, that has asked the helper for something."""

    def pwe_answer(self, now: float, *, mtu: int, error: str) -> None:
        """Take the helper's answer: the interface's MTU, or an error's name."""

    def helper_lost(self, now: float) -> None:
        """Take note that no answer will come."""


class Context:
    """Shared by the endpoint, its peers, tunnels, sessions and connections."""

    def __init__(self, entropy: Callable[[int], bytes], limits: Limits) -> None:
        self.entropy = entropy
        """Returns that many random octets: the one source of randomness."""
        self.limits = limits
        self.timers = Timers()
        self.calls = Calls(limits, self.timers)
        self.counters: Counter[str] = Counter()
        """Datagrams and messages by what became of them."""
        self.connections: dict[int, Connection] = {}
        """By our Control Connection ID; closed ones stay while they linger."""
        self.sessions: dict[int, Session] = {}
        """By our session id, from the first message of a session to its end; static ones are not among them."""
        self.reserved_connection_ids: frozenset[int] = frozenset()
        self.reserved_session_ids: frozenset[int] = frozenset()
        """What static tunnels are configured with, and nobody else is given."""
        self.requests: dict[int, Asker] = {}
        """Unanswered helper requests."""
        self.places = Places()
        self.effects: list[Effect] = []
        self._touched: dict[Connection, None] = {}
        self._serial = 0
        self._request = 0
        self._complaints: dict[Hashable, float] = {}

    def log(self, entry: Entry, *, tunnel: str = "", session: str = "", **fields: Field) -> None:
        """Log one catalogue entry."""
        self.effects.append(Log(entry, fields, tunnel, session))

    def complains(self, key: Hashable, now: float) -> bool:
        """Whether to log a complaint: once a minute for each key, so that a peer cannot fill the log."""
        if self._complaints.get(key, now) > now:
            return False
        if len(self._complaints) >= _COMPLAINTS:
            self._complaints.clear()
        self._complaints[key] = now + _QUIET
        return True

    def touch(self, connection: Connection) -> None:
        """Have the connection send what it can before this event ends."""
        self._touched[connection] = None

    def flush(self, now: float) -> None:
        """Let sessions call whose turn it is, and every touched connection send."""
        self.calls.begin(now)
        while self._touched:
            connection = next(iter(self._touched))
            del self._touched[connection]
            connection.flush(now)

    def connection_id(self) -> int:
        """Return a Control Connection ID that is not in use: random and never 0 (RFC 3931, section 5.4.3)."""
        return self._unused(self.connections, self.reserved_connection_ids)

    def session_id(self) -> int:
        """Return a session id that is not in use: random and never 0 (RFC 3931, section 5.4.4)."""
        return self._unused(self.sessions, self.reserved_session_ids)

    def serial(self) -> int:
        """Return the next Serial Number (RFC 3931, section 5.4.4)."""
        self._serial = (self._serial + 1) & 0xFFFFFFFF
        return self._serial

    def request(self, session: Asker) -> int:
        """Return a number for a helper request whose answer goes to ``session``."""
        self._request += 1
        self.requests[self._request] = session
        return self._request

    def spread(self, seconds: float, share: float = 0.1) -> float:
        """Return ``seconds`` less up to ``share`` of it at random, so that many timers do not fire at once."""
        return seconds * (1 - share * int.from_bytes(self.entropy(2), "big") / 0xFFFF)

    def _unused(self, used: Container[int], reserved: Container[int]) -> int:
        while True:
            number = int.from_bytes(self.entropy(4), "big")
            if number and number not in used and number not in reserved:
                return number
