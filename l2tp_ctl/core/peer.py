"""One configured tunnel: the control connection that it has now, those that may replace it, and the next attempt.

A peer that restarted sends a new SCCRQ while we still hold its old control connection.  Anybody can replay an SCCRQ,
so the new control connection grows beside the old one and replaces it only once it is established.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core import codec, snapshots
from l2tp_ctl.core.authentication import Authentication
from l2tp_ctl.core.avp import RawAvp
from l2tp_ctl.core.connection import Connection
from l2tp_ctl.core.context import Context
from l2tp_ctl.core.errors import Drop, ProtocolError
from l2tp_ctl.core.header import Header
from l2tp_ctl.core.message import Message, MessageType, Result
from l2tp_ctl.core.results import StopResult
from l2tp_ctl.core.settings import Address, TunnelSettings
from l2tp_ctl.core.tables import TunnelState
from l2tp_ctl.core.timers import Timer
from l2tp_ctl.core.tunnel import Tunnel
from l2tp_ctl.core.views import SessionView, TunnelView
from l2tp_ctl.core.whereabouts import whereabouts

_CHANGEABLE = ("secrets", "hidden", "hello_interval", "retry", "reconnect_interval", "initiate", "sessions")
"""Settings that may change under a living control connection."""

PUT_DOWN = "put down by the operator"

START_SPREAD = 0.5
"""Seconds over which the first attempts of many tunnels are spread."""


class Peer:
    """A configured tunnel, as long as the configuration names it.

    One that a template made has ``ended``, which is called when its last control connection is gone.
    """

    def __init__(
        self, context: Context, settings: TunnelSettings, *, ended: Callable[[Peer], None] | None = None
    ) -> None:
        self.context = context
        self.settings = settings
        self.where = whereabouts(context, self)
        """Where its control connections go."""
        self.current: Tunnel | None = None
        self.candidates: list[Tunnel] = []
        """Tunnels that the peer began beside the current one, oldest first."""
        self.opened: dict[bytes, Connection] = {}
        """Connections by the SCCRQ that began them, octet for octet, until they are established or gone."""
        self.next_attempt: float | None = None
        self.last_error = ""
        self.since = 0.0
        self.errors: dict[str, str] = {}
        """Why each session last failed, over the lives of its control connections."""
        self.down = False
        """Whether an operator put it down: it neither begins nor accepts a control connection."""
        self._ended = ended
        self._retry: Timer | None = None
        self._stopped = False

    # ---- What happens to it.

    def start(self, now: float) -> None:
        """Begin the first attempt, if it is ours to begin."""
        self.since = now
        self.where.start(now)
        if self.current is None:
            self._plan(now, self.context.spread(START_SPREAD, 1.0))

    def receive_sccrq(self, data: bytes, header: Header, avps: Sequence[RawAvp], address: Address, now: float) -> None:
        """Take an SCCRQ from this peer.  Raises ProtocolError where it is dropped."""
        self._forget_finished()
        if (known := self.opened.get(data)) is not None:
            known.acknowledge_again()
            raise ProtocolError(Drop.DUPLICATE, "SCCRQ")
        if self._stopped:
            raise ProtocolError(Drop.UNKNOWN_PEER, "shutting down")
        authentication = Authentication(self.settings, self.context.entropy)
        connection = Connection(self.context, self.settings, address, authentication)
        try:
            connection.authenticate(data, header, avps, MessageType.SCCRQ, now)
            message = connection.interpret(avps)
            self._refuse_own(message, address, now)
            connection.begin(header, message, now)
        except ProtocolError:
            connection.release()
            self._end_if_idle(now)
            raise
        connection.inspect(message, now)
        self._make_room(now)
        self.opened[data] = connection
        current = self.current
        if current is not None and current.crosses(address):
            current.contest(connection, message, now)
            return
        tunnel = Tunnel(self, self.settings, connection, self.errors, now)
        if current is None:
            self._hold()
            self.current = tunnel
        else:
            current.log(Entry.ALREADY_HAVE_TUNNEL)
            self.candidates.append(tunnel)
        tunnel.accept(message, now, Result(StopResult.SHUTDOWN, text=PUT_DOWN) if self.down else None)

    def _refuse_own(self, message: Message, address: Address, now: float) -> None:
        """Raise ProtocolError for an SCCRQ of ours that comes back: equal tie breakers would make both ends restart."""
        ours = self.context.connections.get(message.assigned_connection_id or 0)
        if ours is None or not ours.began_with(message):
            return
        if self.context.complains((Drop.REFLECTED, address.peer), now):
            self.context.log(Entry.OWN_SCCRQ_CAME_BACK, tunnel=self.settings.name, address=str(address))
        raise ProtocolError(Drop.REFLECTED, "SCCRQ")

    def put_down(self, now: float) -> None:
        """End the control connection, and have none until :meth:`put_up`."""
        self.down = True
        self._hold()
        for tunnel in [*self._tunnels()]:
            tunnel.close(Result(StopResult.CLEAR, text=PUT_DOWN), now)

    def put_up(self, now: float) -> None:
        """Begin again, if it is ours to begin."""
        if self.down:
            self.down = False
            self.last_error = ""
            self._plan(now, 0.0)
            self._end_if_idle_later(now)

    def clear(self, now: float) -> None:
        """End the control connection because an operator says so; it is begun anew soon."""
        for tunnel in [*self._tunnels()]:
            if tunnel.established:
                tunnel.log(Entry.CLEANUP_TUNNEL, func="clear", IPaddress=tunnel.connection.address.peer)
            tunnel.close(Result(StopResult.CLEAR, text="cleared by the operator"), now, soon=True)

    def clear_session(self, name: str, now: float) -> None:
        """End a session because an operator says so; it is called anew soon."""
        for session in self.current.sessions if self.current else ():
            if session.settings.name == name:
                session.clear(now)

    def reconfigure(self, settings: TunnelSettings, now: float) -> None:
        """Take new settings for the same address; only what they change is touched."""
        old, self.settings = self.settings, settings
        kept = replace(old, **{name: getattr(settings, name) for name in _CHANGEABLE})
        if kept == settings and bool(old.secrets) == bool(settings.secrets):
            for tunnel in [*self._tunnels()]:
                tunnel.reconfigure(settings, now)
        else:
            for tunnel in [*self._tunnels()]:
                tunnel.close(Result(StopResult.CLEAR, text="the configuration changed"), now, soon=True)
        if not settings.initiate:
            self._hold()
        elif self.current is None and self.next_attempt is None:
            self._plan(now, 0.0)

    def yield_ids(self, ids: Container[int], now: float) -> None:
        """End what has one of these Control Connection IDs of ours: a static tunnel is configured with it."""
        for tunnel in [*self._tunnels()]:
            if tunnel.connection.local_id in ids:
                tunnel.close(Result(StopResult.CLEAR, text="its id is a static tunnel's"), now, soon=True)

    def stop(self, now: float) -> None:
        """End everything for good: this end is going away."""
        self._stopped = True
        self._hold()
        self.where.stop()
        for tunnel in [*self._tunnels()]:
            tunnel.close(Result(StopResult.SHUTDOWN), now)

    def moved(self, now: float) -> None:
        """Take note that its name was looked up: an attempt that goes elsewhere than the name leads is no use."""
        tunnel, addresses = self.current, self.where.addresses
        if tunnel is None or not tunnel.initiator or tunnel.established or not addresses:
            return
        if tunnel.connection.address.peer not in addresses:
            tunnel.close(Result(StopResult.CLEAR, text="the peer has another address"), now, soon=True)

    # ---- What its tunnels tell.

    def established(self, tunnel: Tunnel, now: float) -> None:
        """Let an established control connection replace all others."""
        self._hold()
        others = [other for other in self._tunnels() if other is not tunnel]
        self.current, self.candidates = tunnel, []
        self.last_error = ""
        for other in others:
            other.close(Result(StopResult.CLEAR, text="replaced by a newer control connection"), now)
        self.where.reached(tunnel.connection.address)

    def ended(self, tunnel: Tunnel, now: float, *, soon: bool) -> None:
        """Plan the next attempt once no control connection is left."""
        if tunnel in self.candidates:
            self.candidates.remove(tunnel)
        if tunnel is not self.current:
            return
        self.current = None
        self.where.ended(now)
        self.last_error, self.since = tunnel.last_error, now
        self.errors = {session.settings.name: session.last_error for session in tunnel.sessions}
        if self.candidates:
            self.current = self.candidates.pop()
            return
        self._end_if_idle_later(now)
        pause = self.context.spread(self.context.limits.restart if soon else self.settings.reconnect_interval, 0.5)
        self._plan(now, pause)
        if self.next_attempt is not None:
            tunnel.log(Entry.TUNNEL_RETRY, tun_name=self.settings.name, seconds=f"{pause:.1f}")

    def _end_if_idle_later(self, now: float) -> None:
        """Let the peer's retransmissions, and a peer that comes back, find it for a while."""
        if self._ended is not None:
            self.context.timers.at(now + self.context.limits.linger, self._end_if_idle)

    def _end_if_idle(self, _now: float) -> None:
        if self._ended is not None and self.current is None and not self.down:
            ended, self._ended = self._ended, None  # once: its number may belong to another peer by then
            ended(self)

    # ---- Attempts.

    def _plan(self, now: float, pause: float) -> None:
        if self.settings.initiate and not self._stopped and not self.down:
            self._hold()
            self.next_attempt = now + pause
            self._retry = self.context.timers.at(self.next_attempt, self._open)

    def _hold(self) -> None:
        """Begin nothing by ourselves."""
        self.next_attempt = None
        self.where.hold()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _open(self, now: float) -> None:
        """Begin an attempt, once it is known where to."""
        if not self.where.look(now, self._begin):
            self._begin(now)

    def _begin(self, now: float) -> None:
        self._hold()
        address = self.where.next()
        if address is None:
            self._plan(now, self.context.spread(self.settings.reconnect_interval, 0.5))
            return
        authentication = Authentication(self.settings, self.context.entropy)
        connection = Connection(self.context, self.settings, address, authentication)
        self.current = Tunnel(self, self.settings, connection, self.errors, now)
        self.current.open(now)

    # ---- The peer's attempts.

    def receive_stop(self, data: bytes, header: Header, avps: Sequence[RawAvp], address: Address, now: float) -> None:
        """Take a StopCCN from a peer that does not know our Control Connection ID yet (section 3.3.2).

        Raises ProtocolError where it is dropped.
        """
        self._forget_finished()
        for connection in [*self.opened.values()]:
            assigned = codec.interpret(avps, connection.hide_keys).assigned_connection_id
            if assigned and connection.peer_id == assigned:
                connection.receive(data, header, avps, address, now)
                return
        raise ProtocolError(Drop.CONNECTION_ID, "StopCCN for no control connection")

    @property
    def up(self) -> bool:
        """Whether its control connection is established."""
        return self.current is not None and self.current.established

    @property
    def state(self) -> TunnelState:
        """State of its control connection."""
        return TunnelState.IDLE if self.current is None else self.current.state

    def targets(self) -> set[str]:
        """Return what an operator may mean it by beside its name: addresses, and the peer's host name."""
        return {self.where.name, self.where.address.peer, *self.in_use()} - {""}

    def in_use(self) -> set[str]:
        """Return the peer's addresses that control connections go to."""
        return {tunnel.connection.address.peer for tunnel in self._tunnels()}

    def _tunnels(self) -> Iterator[Tunnel]:
        yield from self.candidates
        if self.current is not None:
            yield self.current

    def _forget_finished(self) -> None:
        """Keep what still tells a repeated SCCRQ.

        One that began an established control connection does not: a peer may restart and choose the same values.
        """
        done = {tunnel.connection for tunnel in self._tunnels() if tunnel.established}
        self.opened = {data: one for data, one in self.opened.items() if one.alive and one not in done}

    def _make_room(self, now: float) -> None:
        while len(self.opened) >= self.context.limits.half_open:
            oldest = self.opened.pop(next(iter(self.opened)))
            for tunnel in [*self._tunnels()]:
                if tunnel.connection is oldest:
                    tunnel.give_up("replaced by a newer SCCRQ", now)
            oldest.release()

    # ---- What people see.

    @property
    def obstacle(self) -> str:
        """Why there is no control connection, as far as that is known."""
        if self.down:
            return PUT_DOWN
        return ("" if self.where.addresses else self.where.problem) or self.last_error

    def view(self, *, sessions: bool = True) -> TunnelView:
        """Return a snapshot for people and programs; without ``sessions`` it costs no more for thousands of them."""
        return snapshots.of_peer(self, sessions=sessions)

    def session_views(self) -> Iterator[SessionView]:
        """Go through snapshots of its sessions, each made when it is asked for."""
        return snapshots.of_sessions(self)
