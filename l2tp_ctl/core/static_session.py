"""One static session: a pseudowire with configured parameters, made as long as its tunnel wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from l2tp_ctl.catalogue import Entry, Field
from l2tp_ctl.core.effects import DeletePwe, Pseudowire, SetPwe, StateChange
from l2tp_ctl.core.settings import PseudowireType, StaticSessionSettings
from l2tp_ctl.core.static_tables import (
    STATIC_SESSION,
    STATIC_SESSION_IGNORED,
    StaticSessionAction,
    StaticSessionEvent,
    StaticSessionState,
)
from l2tp_ctl.core.timers import Timer
from l2tp_ctl.core.views import SessionView

if TYPE_CHECKING:
    from l2tp_ctl.core.static_tunnel import StaticTunnel


class StaticSession:
    """The state machine of one static session.  ``tunnel`` tells whether the peer answers."""

    def __init__(self, tunnel: StaticTunnel, settings: StaticSessionSettings, now: float) -> None:
        self.tunnel = tunnel
        self.context = tunnel.context
        self.settings = settings
        self.state = StaticSessionState.IDLE
        self.since = now
        self.last_error = ""
        self.mtu = 0
        self._told: Pseudowire | None = None
        """What the helper was told last, so that there may be something to remove."""
        self._request = 0
        """The helper request that is not answered yet, 0 for none."""
        self._circuit_up = True
        """Whether the operator lets the interface be up."""
        self._retry: Timer | None = None
        self._failures = 0
        """How often the helper could not do it, one time after the other."""

    @property
    def established(self) -> bool:
        """Whether it may carry frames."""
        return self.state is StaticSessionState.ESTABLISHED

    # ---- What happens to it.

    def open(self, now: float) -> None:
        """Begin; only while it is idle."""
        self._disarm()
        self.fire(StaticSessionEvent.OPEN, now)

    def open_in(self, seconds: float, now: float) -> None:
        """Begin after about so many seconds; only while it is idle."""
        self._retry = self.context.timers.at(now + self.context.spread(seconds, 0.5), self._open_again)

    def resume(self, now: float) -> None:
        """Take note that the peer answers."""
        self.fire(StaticSessionEvent.RESUME, now)

    def suspend(self, now: float) -> None:
        """Take note that the peer does not answer any more."""
        self.fire(StaticSessionEvent.SUSPEND, now)

    def close(self, reason: str, now: float) -> None:
        """End it for the time being; nothing begins it again by itself."""
        self.fire(StaticSessionEvent.CLOSE, now, reason=reason)

    def clear(self, now: float) -> None:
        """End it because an operator says so, and have it begin again soon, however long it was to wait."""
        if self.state is StaticSessionState.ESTABLISHED:
            self._log(Entry.CLEANUP_CALL, func="clear", if_name=self.settings.interface)
        self.close("cleared by the operator", now)
        if self.tunnel.active:
            self.open_in(self.context.limits.restart, now)

    def reconfigure(self, settings: StaticSessionSettings, now: float) -> None:
        """Take over other settings for the same interface and session id, without removing it."""
        self.settings = settings
        if self._told:
            self._set()
        elif self._retry is not None:
            self.open(now)

    def pwe_answer(self, now: float, *, mtu: int, error: str) -> None:
        """Take the helper's answer."""
        self._request = 0
        if error:
            reason = f"set_pwe_param: {error}"
            if self.last_error != reason:  # once, however often it is tried again
                self._log(Entry.SET_PWE_PARAM_FAILED)
            self.fire(StaticSessionEvent.FAILED, now, reason=reason)
            return
        self.mtu = mtu
        answers = self.tunnel.established
        self.fire(StaticSessionEvent.MADE if answers else StaticSessionEvent.MADE_WHILE_SILENT, now)

    def gone(self, now: float) -> None:
        """Take note that somebody removed the interface."""
        self.fire(StaticSessionEvent.GONE, now, reason="the interface was removed")

    def link_changed(self, *, up: bool) -> None:
        """Take note that the interface went up or down: it stays down where the operator wants it so."""
        self._circuit_up = up
        # What is still under way may undo what was done meanwhile.
        if self._told and (self._request or up != self._link_up):
            self._set(mtu=self.mtu)

    def helper_lost(self, now: float) -> None:
        """Wait for the next helper: what it is told may exist already."""
        del now
        self._request = 0

    def helper_back(self, now: float) -> None:
        """Tell the helper again what should exist."""
        if self._told and not self._request:
            self._set(mtu=self.mtu)
        elif self._retry is not None:
            self.open(now)

    # ---- The table's machine.

    def fire(self, event: StaticSessionEvent, now: float, *, reason: str = "") -> None:
        """Apply one event; ``reason`` is why, where it ends the session.

        Raises KeyError for an event that the table calls a violation.
        """
        if (self.state, event) in STATIC_SESSION_IGNORED:
            return
        action, state = STATIC_SESSION[self.state, event]
        before, self.state = self.state, state
        if reason:
            self.last_error = reason
        if state is not before:
            self.since = now
            why = {StaticSessionState.IDLE: self.last_error, StaticSessionState.WAIT_PEER: self.tunnel.last_error}
            changed = StateChange(self.tunnel.settings.name, self.settings.name, state.value, why.get(state, ""))
            self.context.effects.append(changed)
            if before is StaticSessionState.ESTABLISHED:
                self._log(Entry.SESSION_DOWN, name=self.settings.name, reason=changed.reason)
        self._act(action, event, now)

    def _act(self, action: StaticSessionAction, event: StaticSessionEvent, now: float) -> None:
        match action:
            case StaticSessionAction.SET:
                self._set(mtu=self.mtu if event is StaticSessionEvent.SUSPEND else 0)
            case StaticSessionAction.UP:
                self._failures = 0
                self.last_error = ""
                self._log(Entry.SESSION_UP, name=self.settings.name, if_name=self.settings.interface)
            case StaticSessionAction.WAIT:
                self._failures = 0
                self.last_error = ""
            case StaticSessionAction.CLEAN_RETRY:
                self._clean()
                self.open_in(self._pause(event), now)
            case StaticSessionAction.CLEAN:
                self._clean()
            case never:
                assert_never(never)

    def _pause(self, event: StaticSessionEvent) -> float:
        """Return how long to wait before the next attempt: longer each time, where it is refused again and again."""
        limits = self.context.limits
        if event is StaticSessionEvent.GONE:
            return limits.restart
        self._failures += 1
        return self.tunnel.settings.reconnect_interval * min(self._failures, limits.backoff)

    # ---- The pseudowire.

    @property
    def _link_up(self) -> bool:
        """Whether frames may pass."""
        return self._circuit_up and self.tunnel.established

    def _set(self, *, mtu: int = 0) -> None:
        """Tell the helper; ``mtu`` is what it found before, and cannot find again while there is no way to the peer."""
        self.context.requests.pop(self._request, None)  # an earlier one's answer would tell nothing of this one
        self._request = self.context.request(self)
        self._told = self._pseudowire(mtu)
        self.context.effects.append(SetPwe(self._request, self._told))

    def _pseudowire(self, mtu: int) -> Pseudowire:
        tunnel, settings = self.tunnel.settings, self.settings
        return Pseudowire(
            interface=settings.interface,
            address=tunnel.address,
            local_connection_id=tunnel.local_connection_id,
            peer_connection_id=tunnel.peer_connection_id,
            local_session_id=settings.local_session_id,
            peer_session_id=settings.peer_session_id,
            local_cookie=settings.local_cookie,
            peer_cookie=settings.peer_cookie,
            receive_sublayer=int(settings.sublayer),
            send_sublayer=int(settings.sublayer),
            receive_sequencing=int(settings.sequencing),
            send_sequencing=int(settings.sequencing),
            mtu=settings.mtu or mtu,
            bridge=settings.bridge,
            up=self._link_up,
        )

    def _clean(self) -> None:
        """Remove what there may be, and have nothing planned."""
        self._disarm()
        self.context.requests.pop(self._request, None)
        if self._told:
            self._log(Entry.CLEANUP_SESSION, name=self.settings.name)
            self.context.effects.append(DeletePwe(self.settings.interface, self.settings.local_session_id))
        self._told = None
        self._request = self.mtu = 0
        self._circuit_up = True

    def _open_again(self, now: float) -> None:
        self._retry = None
        self.open(now)

    def _disarm(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    # ---- What people see.

    def _log(self, entry: Entry, **fields: Field) -> None:
        self.tunnel.log(entry, session=self.settings.name, session_id=self.settings.local_session_id, **fields)

    def view(self) -> SessionView:
        """Return a snapshot for people and programs."""
        settings = self.settings
        waits = self.state is StaticSessionState.WAIT_PEER
        return SessionView(
            name=settings.name,
            tunnel=self.tunnel.settings.name,
            interface=settings.interface,
            remote_end_id=b"",
            pseudowire_type=PseudowireType.ETHERNET,
            state=self.state.value,
            local_session_id=settings.local_session_id,
            peer_session_id=settings.peer_session_id,
            local_cookie_length=len(settings.local_cookie),
            peer_cookie_length=len(settings.peer_cookie),
            mtu=self.mtu,
            mtu_fixed=bool(settings.mtu),
            peer_circuit_up=True,
            since=self.since,
            last_error=self.last_error or (self.tunnel.last_error if waits else ""),
            pseudowire=self._told,
            pending=bool(self._request),
            circuit_up=self._circuit_up,
        )
