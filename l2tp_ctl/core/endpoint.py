"""The endpoint: everything that one LCCE signals, without a socket, a clock or an operating system.

Events go in by the methods, each with the time; what is to be done comes out of :meth:`Endpoint.take_effects`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core import drops
from l2tp_ctl.core.avp import RawAvp, split_avps
from l2tp_ctl.core.codec import interpret
from l2tp_ctl.core.connection import message_name, peek_type
from l2tp_ctl.core.context import Context
from l2tp_ctl.core.effects import Effect, LookUp
from l2tp_ctl.core.errors import Drop, ProtocolError
from l2tp_ctl.core.header import Header, parse_header
from l2tp_ctl.core.message import MessageType, Result
from l2tp_ctl.core.peer import Peer
from l2tp_ctl.core.places import Claim
from l2tp_ctl.core.results import CallResult
from l2tp_ctl.core.session import Session
from l2tp_ctl.core.settings import (
    Address,
    AnyTunnelSettings,
    Limits,
    StaticTunnelSettings,
    TunnelSettings,
)
from l2tp_ctl.core.static_connection import StaticConnection
from l2tp_ctl.core.static_session import StaticSession
from l2tp_ctl.core.static_tunnel import StaticTunnel
from l2tp_ctl.core.templates import Template, TemplateSettings, choose
from l2tp_ctl.core.views import SessionView, TunnelView

Configured: TypeAlias = Peer | StaticTunnel
"""What one tunnel of the configuration becomes."""

_PROBE_VERSION = 2
_CONNECTION_ID_AVP = 61


class Endpoint:
    """One LCCE with all its configured tunnels.

    ``entropy(n)`` returns n random octets.  Every ``now`` is in seconds on one clock that never goes back.
    """

    def __init__(
        self,
        tunnels: Iterable[AnyTunnelSettings],
        *,
        entropy: Callable[[int], bytes],
        templates: Iterable[TemplateSettings] = (),
        limits: Limits | None = None,
    ) -> None:
        self._context = Context(entropy, limits or Limits())
        self._started = False
        self._templates = [Template(self._context, settings) for settings in templates]
        self._peers: list[Configured] = []
        configured = tuple(tunnels)
        self._reserve(configured, 0.0)
        for settings in configured:
            self._peers.append(self._make(settings))
        self.counters: Counter[str] = self._context.counters
        """Datagrams and messages by what became of them."""

    # ---- Events.

    def start(self, now: float) -> None:
        """Begin the tunnels that this end initiates."""
        self._started = True
        for peer in self._peers:
            peer.start(now)
        self._context.flush(now)

    def receive_datagram(self, data: bytes, address: Address, now: float) -> None:
        """Take one datagram, from the control header's flags word on.  Never raises for what it holds."""
        try:
            self._receive(data, address, now)
        except ProtocolError as error:
            drops.tell(self._context, error, data, address, now)
        self._context.flush(now)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self._context.timers.fire(now)
        self._context.flush(now)

    def next_timer(self) -> float | None:
        """Return when :meth:`handle_timer` is to be called next, None for never."""
        return self._context.timers.next()

    def pwe_answer(self, request: int, now: float, *, mtu: int = 0, error: str = "") -> None:
        """Take the helper's answer to a SetPwe effect: the MTU that the interface has, or an error's name."""
        session = self._context.requests.pop(request, None)
        if session is not None:
            session.pwe_answer(now, mtu=mtu, error=error)
        self._context.flush(now)

    def pwe_gone(self, interface: str, now: float) -> None:
        """Take note that somebody else removed a pseudowire's interface."""
        for session in self._on_interface(interface):
            session.close(Result(CallResult.CIRCUIT, text="the interface was removed"), now)
        for static in self._static_on(interface):
            static.gone(now)
        self._context.flush(now)

    def link_changed(self, interface: str, up: bool, now: float) -> None:  # noqa: FBT001 - an event's value
        """Take note that an interface was set up or down."""
        for session in self._on_interface(interface):
            session.link_changed(up=up, now=now)
        for static in self._static_on(interface):
            static.link_changed(up=up)
        self._context.flush(now)

    def helper_lost(self, now: float) -> None:
        """Take note that the helper answers no more: what waits for it is refused."""
        waiting, self._context.requests = self._context.requests, {}
        for session in waiting.values():
            session.helper_lost(now)
        self._context.flush(now)

    def helper_back(self, now: float) -> None:
        """Tell a new helper what should exist."""
        for session in [*self._context.sessions.values()]:
            session.helper_back()
        for tunnel in self._static():
            tunnel.helper_back(now)
        self._context.flush(now)

    def looked_up(
        self, look_up: LookUp, now: float, *, addresses: tuple[str, ...] = (), problem: str = "", logged: bool = False
    ) -> None:
        """Take the answer to a LookUp effect: at least one address of a family that it asks for, or a problem.

        ``logged`` says that the log has the problem already, for it is not this name's alone.
        """
        for peer in [*self._signalled()]:
            peer.where.answer(look_up, addresses, problem, now, logged=logged)
        self._context.flush(now)

    # ---- Operators.

    def clear_tunnel(self, target: str, now: float) -> list[str]:
        """End the tunnel with this name, peer address or peer's host name, or ``all``; return their names."""
        cleared = []
        for peer in self._peers:
            name = peer.settings.name
            if target in ("all", name) or target in peer.targets():
                peer.clear(now)
                cleared.append(name)
        if not cleared:
            self._context.log(Entry.NO_SUCH_ADDRESS_PEER, func="clear", IPaddress=target)
        self._context.flush(now)
        return cleared

    def clear_session(self, target: str, now: float) -> list[str]:
        """End the session with this name or interface; return its name."""
        cleared = []
        for peer in self._peers:
            for settings in peer.settings.sessions:
                if target in (settings.name, settings.interface):
                    cleared.append(settings.name)
                    peer.clear_session(settings.name, now)
        if not cleared:
            self._context.log(Entry.NO_SUCH_IF_NAME, func="clear", if_name=target)
        self._context.flush(now)
        return cleared

    def put_down(self, name: str, now: float) -> list[str]:
        """End the tunnel with this name, and have none until it is put up; return its name."""
        found = [peer for peer in self._peers if peer.settings.name == name]
        for peer in found:
            peer.put_down(now)
        self._context.flush(now)
        return [peer.settings.name for peer in found]

    def put_up(self, name: str, now: float) -> list[str]:
        """Let the tunnel with this name begin and answer again; return its name."""
        found = [peer for peer in self._peers if peer.settings.name == name]
        for peer in found:
            peer.put_up(now)
        self._context.flush(now)
        return [peer.settings.name for peer in found]

    def reload(
        self, tunnels: Iterable[AnyTunnelSettings], now: float, *, templates: Iterable[TemplateSettings] = ()
    ) -> None:
        """Take a new configuration; what it does not change goes on untouched, and what was put down stays down."""
        down = {peer.settings.name for peer in self._peers if peer.down}
        wanted = {settings.name: settings for settings in tunnels}
        self._reserve(wanted.values(), now)
        made = [peer for template in self._templates for peer in template.peers.values()]
        known = {template.settings: template for template in self._templates}
        self._templates = [known.get(one) or Template(self._context, one) for one in templates]
        staying: list[Configured] = [peer for template in self._templates for peer in template.peers.values()]
        for peer in [*self._peers]:
            if peer not in staying and (peer in made or not _takes(peer, wanted.get(peer.settings.name), now)):
                self._forget(peer)
                peer.stop(now)
        present = {peer.settings.name: peer for peer in self._peers}
        self._peers = [
            present.get(name) or self._add(settings, now, down=name in down) for name, settings in wanted.items()
        ] + staying
        self._context.flush(now)

    def shutdown(self, now: float) -> None:
        """End every tunnel for good; :meth:`quiet` tells when the peers know."""
        self._templates = []
        for peer in self._peers:
            peer.stop(now)
        self._context.flush(now)

    def quiet(self) -> bool:
        """Whether every message of ours is acknowledged."""
        return all(connection.channel.idle for connection in self._context.connections.values())

    def addresses(self) -> set[Address]:
        """Return where control connections are, those that only linger included."""
        return {connection.address for connection in self._context.connections.values()}

    # ---- What comes out.

    def take_effects(self) -> list[Effect]:
        """Return what is to be done now, in order, and forget it."""
        effects, self._context.effects = self._context.effects, []
        return effects

    def tunnels(self) -> list[TunnelView]:
        """Return a snapshot of every configured tunnel with its sessions, in the configuration's order."""
        return [peer.view() for peer in self._peers]

    def overview(self) -> Iterator[TunnelView]:
        """Go through snapshots of the tunnels without their sessions, each made when it is asked for.

        Events may come between two of them: who has thousands to show need not keep everybody waiting.
        """
        return (peer.view(sessions=False) for peer in [*self._peers])

    def sessions(self) -> Iterator[SessionView]:
        """Go through snapshots of all sessions in the same manner."""
        return itertools.chain.from_iterable(peer.session_views() for peer in [*self._peers])

    def tunnel(self, name: str) -> TunnelView | None:
        """Return a snapshot of the tunnel with this name, and of its sessions."""
        return next((peer.view() for peer in self._peers if peer.settings.name == name), None)

    def session(self, name: str) -> SessionView | None:
        """Return a snapshot of the session with this name."""
        for peer in self._peers:
            if any(settings.name == name for settings in peer.settings.sessions):
                return next(view for view in peer.session_views() if view.name == name)
        return None

    # ---- Datagrams.

    def _receive(self, data: bytes, address: Address, now: float) -> None:
        self.counters["datagrams"] += 1
        header = parse_header(data)
        avps = split_avps(data, header, self._context.limits.avps)
        if header.version == _PROBE_VERSION and not any(avp.type == _CONNECTION_ID_AVP for avp in avps):
            raise ProtocolError(Drop.VERSION, "L2TPv2")
        if not header.connection_id:
            self._receive_unaddressed(data, header, avps, address, now)
            return
        connection = self._context.connections.get(header.connection_id)
        if connection is None:
            raise ProtocolError(Drop.CONNECTION_ID, f"Control Connection ID {header.connection_id}")
        ours = connection.address
        if (ours.encapsulation, ours.peer) != (address.encapsulation, address.peer):
            raise ProtocolError(Drop.SOURCE, f"Control Connection ID {header.connection_id}")
        connection.receive(data[: header.length], header, avps, address, now)

    def _receive_unaddressed(
        self, data: bytes, header: Header, avps: tuple[RawAvp, ...], address: Address, now: float
    ) -> None:
        """Take a message to Control Connection ID 0: the peer does not know ours yet."""
        message_type = peek_type(avps)
        peer = self._context.places.find(address)
        if peer is None and message_type == MessageType.SCCRQ:
            peer = self._peer_by_template(avps, address, now)
        if peer is None:
            if self._context.complains((Drop.UNKNOWN_PEER, address.peer), now):
                name = message_name(message_type)
                self._context.log(Entry.PEER_UNKNOWN, msg_type=name, address=str(address))
            raise ProtocolError(Drop.UNKNOWN_PEER, str(address))
        message = data[: header.length]
        if message_type == MessageType.SCCRQ:
            peer.receive_sccrq(message, header, avps, address, now)
        elif message_type == MessageType.STOPCCN:
            peer.receive_stop(message, header, avps, address, now)
        else:
            interpret(avps)  # tells where it has no Message Type at all
            raise ProtocolError(Drop.CONNECTION_ID, f"{message_name(message_type)} to Control Connection ID 0")

    def _peer_by_template(self, avps: tuple[RawAvp, ...], address: Address, now: float) -> Peer | None:
        template = choose(self._templates, address, interpret(avps))
        if template is None:
            return None
        try:
            peer = template.make(address, self._forget)
        except ProtocolError:
            if self._context.complains((Drop.HALF_OPEN, address.peer), now):
                self._context.log(Entry.PEER_LIMIT, msg_type=MessageType.SCCRQ.text, address=str(address))
                self._context.log(Entry.FAILED_TO_CREATE_TUNNEL, address=str(address))
            raise
        self._peers.append(peer)
        self._context.places.claim(peer, Claim.TEMPLATE, [(address.encapsulation, address.peer)])
        return peer

    # ---- What the configuration names.

    def _make(self, settings: AnyTunnelSettings) -> Configured:
        if isinstance(settings, StaticTunnelSettings):
            return StaticTunnel(self._context, settings)
        peer = Peer(self._context, settings)
        if settings.peer_name is None:
            place = settings.address.encapsulation, settings.address.peer
            self._context.places.claim(peer, Claim.ADDRESS, [place])
        return peer

    def _add(self, settings: AnyTunnelSettings, now: float, *, down: bool) -> Configured:
        peer = self._make(settings)
        peer.down = down
        if self._started:
            peer.start(now)
        return peer

    def _forget(self, peer: Configured) -> None:
        if peer in self._peers:
            self._peers.remove(peer)
            if isinstance(peer, Peer):
                self._context.places.release(peer)

    def _signalled(self) -> Iterator[Peer]:
        return (peer for peer in self._peers if isinstance(peer, Peer))

    def _static(self) -> Iterator[StaticTunnel]:
        return (peer for peer in self._peers if isinstance(peer, StaticTunnel))

    def _reserve(self, tunnels: Iterable[AnyTunnelSettings], now: float) -> None:
        """Have nobody else use the identifiers of static tunnels: who was given one by chance begins anew without."""
        context = self._context
        static = [settings for settings in tunnels if isinstance(settings, StaticTunnelSettings)]
        context.reserved_connection_ids = frozenset(settings.local_connection_id for settings in static)
        context.reserved_session_ids = frozenset(one.local_session_id for each in static for one in each.sessions)
        for number in context.reserved_session_ids & context.sessions.keys():
            context.sessions[number].close(Result(CallResult.ADMINISTRATIVE, text="its id is a static session's"), now)
        for peer in self._signalled():
            peer.yield_ids(context.reserved_connection_ids, now)
        context.flush(now)
        for number in context.reserved_connection_ids & context.connections.keys():
            if not isinstance(connection := context.connections[number], StaticConnection):
                connection.release(now)

    def _on_interface(self, interface: str) -> list[Session]:
        return [one for one in self._context.sessions.values() if one.settings.interface == interface]

    def _static_on(self, interface: str) -> list[StaticSession]:
        return [one for tunnel in self._static() for one in tunnel.sessions if one.settings.interface == interface]


def _takes(peer: Configured, settings: AnyTunnelSettings | None, now: float) -> bool:
    """Give a configured tunnel its new settings; False where it has none, or cannot become what they say."""
    if settings is None or settings.address != peer.settings.address:
        return False
    if isinstance(peer, StaticTunnel) and isinstance(settings, StaticTunnelSettings):
        if settings != peer.settings:
            peer.reconfigure(settings, now)
        return True
    if isinstance(peer, Peer) and isinstance(settings, TunnelSettings):
        if settings.peer_name != peer.settings.peer_name:
            return False
        if settings != peer.settings:
            peer.reconfigure(settings, now)
        return True
    return False
