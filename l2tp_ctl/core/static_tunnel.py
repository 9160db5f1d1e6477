"""One static tunnel: configured sessions to one peer, and on request a watch over whether that peer lives.

Without dead-peer detection its sessions carry frames as soon as they are made.  With it they do while the peer
answers HELLO (RFC 3931, section 4.4), each of which must be answered: there is no StopCCN that would tell an end that
the other does not hear it any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import assert_never

from l2tp_ctl.catalogue import Entry, Field
from l2tp_ctl.core.context import Context
from l2tp_ctl.core.effects import StateChange
from l2tp_ctl.core.peer import PUT_DOWN, START_SPREAD
from l2tp_ctl.core.settings import Mode, StaticSessionSettings, StaticTunnelSettings
from l2tp_ctl.core.static_connection import StaticConnection
from l2tp_ctl.core.static_session import StaticSession
from l2tp_ctl.core.static_tables import (
    STATIC_TUNNEL,
    STATIC_TUNNEL_IGNORED,
    StaticTunnelAction,
    StaticTunnelEvent,
    StaticTunnelState,
)
from l2tp_ctl.core.timers import Timer
from l2tp_ctl.core.views import SessionView, TunnelView

_CHANGEABLE = ("retry", "hello_interval", "reconnect_interval", "sessions")
"""Settings that may change while its sessions carry frames."""

SILENT = "the peer does not answer"


class StaticTunnel:
    """A configured static tunnel, as long as the configuration names it."""

    def __init__(self, context: Context, settings: StaticTunnelSettings) -> None:
        self.context = context
        self.settings = settings
        self.state = StaticTunnelState.IDLE
        self.since = 0.0
        self.last_error = ""
        self.down = False
        """Whether an operator put it down."""
        self.sessions = [StaticSession(self, session, 0.0) for session in settings.sessions]
        self.next_attempt: float | None = None
        self._connection: StaticConnection | None = None
        self._timer: Timer | None = None
        """While idle, brings the beginning; while established, the next HELLO."""
        self._stopped = False

    @property
    def active(self) -> bool:
        """Whether its sessions should exist."""
        return self.state is not StaticTunnelState.IDLE

    @property
    def established(self) -> bool:
        """Whether its sessions may carry frames."""
        return self.state is StaticTunnelState.ESTABLISHED

    # ---- What happens to it.

    def start(self, now: float) -> None:
        """Begin soon, not at the same moment as all others."""
        self.since = now
        for session in self.sessions:
            session.since = now
        if not self.active:
            self._plan(self.context.spread(START_SPREAD, 1.0), now)

    def put_down(self, now: float) -> None:
        """Have no sessions until :meth:`put_up`."""
        self.down = True
        self._close(PUT_DOWN, now)

    def put_up(self, now: float) -> None:
        """Begin again."""
        if self.down:
            self.down = False
            self.last_error = ""
            self._plan(0.0, now)

    def clear(self, now: float) -> None:
        """Remove the sessions because an operator says so; they are made anew soon."""
        if self.down:
            return
        if self.established:
            self.log(Entry.CLEANUP_TUNNEL, func="clear", IPaddress=self.settings.address.peer)
        self._close("cleared by the operator", now)
        self._plan(self.context.spread(self.context.limits.restart, 0.5), now)

    def clear_session(self, name: str, now: float) -> None:
        """Remove a session because an operator says so; it is made anew soon."""
        for session in self.sessions:
            if session.settings.name == name:
                session.clear(now)

    def reconfigure(self, settings: StaticTunnelSettings, now: float) -> None:
        """Take new settings for the same addresses; only what they change is touched."""
        old, self.settings = self.settings, settings
        if replace(old, **{name: getattr(settings, name) for name in _CHANGEABLE}) != settings:
            # The kernel's tunnel has the old IDs for as long as it has a session.
            begun = self.active or self.next_attempt is not None
            self._close("the configuration changed", now)
            if begun:
                self._plan(0.0, now)
        self._reconfigure_sessions(settings.sessions, now)
        if self._connection is not None:
            self._connection.adopt(settings)
            if settings.hello_interval is None and old.hello_interval is not None:
                self._connect(now)  # what comes of a HELLO that is under way matters no more
        if self.state is StaticTunnelState.PROBING and settings.hello_interval is None:
            self.fire(StaticTunnelEvent.OPEN, now)
        elif self.established:
            self._arm_hello(now)

    def stop(self, now: float) -> None:
        """Remove everything for good: this end is going away, or the tunnel is."""
        self._stopped = True
        self._close("removed", now)

    def helper_back(self, now: float) -> None:
        """Tell a new helper what should exist."""
        for session in self.sessions:
            session.helper_back(now)

    # ---- The table's machine.

    def fire(self, event: StaticTunnelEvent, now: float, *, reason: str = "") -> None:
        """Apply one event; ``reason`` is why, where the tunnel goes down.

        Raises KeyError for an event that the table calls a violation.
        """
        if (self.state, event) in STATIC_TUNNEL_IGNORED:
            return
        action, state = STATIC_TUNNEL[self.state, event]
        before, self.state = self.state, state
        if event is StaticTunnelEvent.SILENCE and self.last_error != SILENT:  # once, however long it lasts
            self.log(Entry.SEND_FAILED_TUNNEL_SHUTDOWN)
        if reason or state is StaticTunnelState.ESTABLISHED:
            self.last_error = reason
        if state is not before:
            self.since = now
            self.context.effects.append(StateChange(self.settings.name, "", state.value, reason))
            if before is StaticTunnelState.ESTABLISHED:
                self.log(Entry.TUNNEL_DOWN, tun_name=self.settings.name, reason=reason)
        self._act(action, reason, now)

    def _act(self, action: StaticTunnelAction, reason: str, now: float) -> None:
        match action:
            case StaticTunnelAction.OPEN_SESSIONS:
                self._up(now)
                self._open_sessions(now)
            case StaticTunnelAction.PROBE_OPEN_SESSIONS:
                self._probe(now)
                self._open_sessions(now)
            case StaticTunnelAction.PROBE:
                self._probe(now)
            case StaticTunnelAction.RESUME_SESSIONS:
                self._up(now)
                for session in self.sessions:
                    session.resume(now)
            case StaticTunnelAction.PROBE_SUSPEND_SESSIONS:
                self._probe(now)
                for session in self.sessions:
                    session.suspend(now)
            case StaticTunnelAction.CLOSE_SESSIONS:
                for session in self.sessions:
                    session.close(reason, now)
            case never:
                assert_never(never)

    # ---- Beginning and end.

    def _plan(self, pause: float, now: float) -> None:
        """Begin after some time, if neither an operator nor the configuration is against it."""
        if not self.down and not self._stopped:
            self._disarm()
            self.next_attempt = now + pause
            self._timer = self.context.timers.at(self.next_attempt, self._open)

    def _open(self, now: float) -> None:
        self.next_attempt = None
        self.log(Entry.BEGIN_NEW_TUNNEL, tun_name=self.settings.name, IPaddress=self.settings.address.peer)
        if self.settings.hello_interval is not None:
            self.fire(StaticTunnelEvent.PROBE, now)
            return
        if self.settings.local_connection_id:
            self._connect(now)  # to answer the peer's HELLO
        self.fire(StaticTunnelEvent.OPEN, now)

    def _close(self, reason: str, now: float) -> None:
        self._disarm()
        self.next_attempt = None
        self.last_error = reason
        self.fire(StaticTunnelEvent.CLOSE, now, reason=reason)
        if self._connection is not None:
            self._connection.release(now)
            self._connection = None

    def _up(self, now: float) -> None:
        self.log(Entry.TUNNEL_UP, tun_name=self.settings.name, address=str(self.settings.address))
        self._arm_hello(now)

    def _open_sessions(self, now: float) -> None:
        for session in self.sessions:
            session.open(now)

    def _reconfigure_sessions(self, wanted: tuple[StaticSessionSettings, ...], now: float) -> None:
        kept = {_identity(session.settings): session for session in self.sessions}
        identities = {_identity(settings) for settings in wanted}
        for identity, session in kept.items():
            if identity not in identities:
                session.close("removed from the configuration", now)
        self.sessions = []
        for settings in wanted:
            session = kept.get(_identity(settings)) or StaticSession(self, settings, now)
            self.sessions.append(session)
            if _identity(settings) not in kept:
                if self.active:
                    session.open_in(0.0, now)  # once what has gone is gone, which may have had its interface or id
            elif session.settings != settings:
                session.reconfigure(settings, now)

    # ---- Signs of life.

    def _connect(self, now: float) -> StaticConnection:
        """Have a control channel that counts from 0."""
        if self._connection is not None:
            self._connection.release(now)
        self._connection = StaticConnection(self.context, self.settings, answered=self._answered, silent=self._silent)
        return self._connection

    def _probe(self, now: float) -> None:
        """Send a HELLO that counts from 0: a peer that has begun anew takes no other, and one that has not answers."""
        self._disarm()
        self._connect(now).probe(now)

    def _answered(self, now: float) -> None:
        self.fire(StaticTunnelEvent.ANSWER, now)

    def _silent(self, now: float) -> None:
        self.fire(StaticTunnelEvent.SILENCE, now, reason=SILENT)

    def _arm_hello(self, now: float) -> None:
        """Have a HELLO sent from time to time, whatever comes from the peer meanwhile."""
        self._disarm()
        if self._connection is not None and self.settings.hello_interval is not None:
            due = now + self.context.spread(self.settings.hello_interval)
            self._timer = self.context.timers.at(due, partial(self._hello_due, self._connection))

    def _hello_due(self, connection: StaticConnection, now: float) -> None:
        connection.probe(now)
        self._arm_hello(now)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ---- What people see.

    def log(self, entry: Entry, *, session: str = "", **fields: Field) -> None:
        """Log an entry with this tunnel's name and Control Connection ID, 0 where it has none."""
        self.context.log(
            entry, tunnel=self.settings.name, session=session, tunnel_id=self.settings.local_connection_id, **fields
        )

    def targets(self) -> set[str]:
        """Return what an operator may mean it by beside its name: the peer's address."""
        return {self.settings.address.peer}

    def view(self, *, sessions: bool = True) -> TunnelView:
        """Return a snapshot for people and programs; without ``sessions`` it costs no more for thousands of them."""
        channel = None if self._connection is None else self._connection.channel
        return TunnelView(
            name=self.settings.name,
            mode=Mode.STATIC,
            state=self.state.value,
            address=self.settings.address,
            peer_name="",
            peer_addresses=(),
            name_problem="",
            local_connection_id=self.settings.local_connection_id,
            peer_connection_id=self.settings.peer_connection_id,
            peer_host_name=b"",
            peer_router_id=0,
            peer_vendor_name=b"",
            ns=channel.next_ns if channel else 0,
            nr=channel.nr if channel else 0,
            window=channel.window if channel else 0,
            unacknowledged=channel.unacknowledged if channel else 0,
            queued=channel.queued if channel else 0,
            retransmissions=channel.retransmissions if channel else 0,
            authenticated=False,
            initiator=False,
            hello_interval=self.settings.hello_interval,
            since=self.since,
            next_attempt=self.next_attempt,
            last_error=PUT_DOWN if self.down else self.last_error,
            down=self.down,
            rtt=channel.rtt if channel else None,
            sessions_configured=len(self.sessions),
            sessions_established=sum(session.established for session in self.sessions),
            sessions=tuple(self.session_views()) if sessions else (),
        )

    def session_views(self) -> Iterator[SessionView]:
        """Go through snapshots of its sessions, each made when it is asked for."""
        return (session.view() for session in [*self.sessions])


def _identity(settings: StaticSessionSettings) -> tuple[str, str, int]:
    """Return what a session keeps for as long as it is the same one."""
    return settings.name, settings.interface, settings.local_session_id
