"""The one owner of the Endpoint: events go in, effects come out and are carried out in order.

Everything here runs to its end in the event loop's own thread, so that no two events ever overlap.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import ParamSpec, TypeVar

from l2tp_ctl.admin_schema import Change
from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.effects import DeletePwe, Log, LookUp, Send, SetPwe, StateChange
from l2tp_ctl.core.endpoint import Endpoint
from l2tp_ctl.core.settings import Address, StaticTunnelSettings
from l2tp_ctl.core.views import SessionView, TunnelView
from l2tp_ctl.runtime.admin_views import captured
from l2tp_ctl.runtime.config_file import Configuration
from l2tp_ctl.runtime.control_socket import ControlSocket, ControlSockets
from l2tp_ctl.runtime.feeds import Feed
from l2tp_ctl.runtime.helper_client import HelperError
from l2tp_ctl.runtime.log_sink import LogSink
from l2tp_ctl.runtime.names import Names
from l2tp_ctl.runtime.pseudowires import Pseudowires
from l2tp_kernel.schema import EventKind, Verb

P = ParamSpec("P")
T = TypeVar("T")


class Shell:
    """``changed`` is called after every change of a tunnel's, a session's or the helper's state."""

    def __init__(self, configuration: Configuration, log: LogSink, changed: Callable[[], None]) -> None:
        self.log = log
        self.changes = Feed()
        """A Change of the admin contract for every change of a tunnel's or session's state."""
        self.messages = Feed()
        """A Captured of the admin contract for every control message."""
        self.sockets = ControlSockets()
        self.pseudowires = Pseudowires(
            configuration.plane, handle_of=self._handle_of, answer=self._answer, failed=self.helper_failed
        )
        for tunnel in configuration.tunnels:
            if isinstance(tunnel, StaticTunnelSettings):
                for session in tunnel.sessions:
                    self.pseudowires.expect(session.interface, session.local_session_id)
        self.names = Names(configuration.resolver_socket, log, self._looked_up)
        self._endpoint = Endpoint(configuration.tunnels, templates=configuration.templates, entropy=os.urandom)
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._send_errors: dict[tuple[object, str], str] = {}
        """Why the last message to each peer could not be sent; only a new reason is logged."""

    # ---- Events.

    def start(self) -> None:
        """Begin the tunnels."""
        self._tell(self._endpoint.start, self._loop.time())
        self._changed()

    def attach(self, sock: ControlSocket) -> None:
        """Read from a control socket and send through it."""
        self.sockets.add(sock)
        self.watch(sock)

    def detach(self, sock: ControlSocket) -> None:
        """Close a control socket."""
        self._loop.remove_reader(sock.fileno())
        self.sockets.remove(sock.listen)
        sock.close()

    def watch(self, sock: ControlSocket) -> None:
        """Read from a socket, and send nothing through it."""
        self._loop.add_reader(sock.fileno(), self._receive, sock)

    def unwatch(self, sock: ControlSocket) -> None:
        """Take what has arrived and close such a socket."""
        self._receive(sock)
        self._loop.remove_reader(sock.fileno())
        sock.close()

    def helper_lost(self) -> None:
        """Take note that the helper is gone."""
        self.pseudowires.disconnect()
        self._tell(self._endpoint.helper_lost, self._loop.time())
        self._changed()

    def helper_back(self) -> None:
        """Take note that the helper is there again, with its sockets open."""
        self._tell(self._endpoint.helper_back, self._loop.time())
        self._changed()

    def helper_event(self, event: list[object]) -> None:
        """Take what the helper reports by itself."""
        match event:
            case [EventKind.PWE_GONE, str(interface)]:
                self._tell(self._endpoint.pwe_gone, interface, self._loop.time())
            case [EventKind.LINK, str(interface), bool(up)]:
                self._tell(self._endpoint.link_changed, interface, up, self._loop.time())

    def helper_failed(self, error: HelperError, verb: Verb, about: str = "") -> None:
        """Log what the helper did not do, and ``about`` which of many things that was."""
        fields = error.fields(verb)
        if about:
            fields = {name: f"{value} ({about})" if name != "verb" else value for name, value in fields.items()}
        self.log.write(error.entry(verb), fields)

    # ---- Operators.

    def overview(self) -> Iterator[TunnelView]:
        """Go through snapshots of the tunnels without their sessions, each made when it is asked for."""
        return self._endpoint.overview()

    def sessions(self) -> Iterator[SessionView]:
        """Go through snapshots of all sessions, likewise."""
        return self._endpoint.sessions()

    def tunnel(self, name: str) -> TunnelView | None:
        """Return a snapshot of one tunnel and its sessions."""
        return self._endpoint.tunnel(name)

    def session(self, name: str) -> SessionView | None:
        """Return a snapshot of one session."""
        return self._endpoint.session(name)

    def clear_tunnel(self, target: str) -> list[str]:
        """End the tunnels meant by ``target``; return their names."""
        return self._tell(self._endpoint.clear_tunnel, target, self._loop.time())

    def clear_session(self, target: str) -> list[str]:
        """End the sessions meant by ``target``; return their names."""
        return self._tell(self._endpoint.clear_session, target, self._loop.time())

    @property
    def counters(self) -> Mapping[str, int]:
        """Datagrams and messages by what became of them."""
        return self._endpoint.counters

    def put_down(self, name: str) -> list[str]:
        """Take a tunnel down until it is put up; return its name."""
        return self._tell(self._endpoint.put_down, name, self._loop.time())

    def put_up(self, name: str) -> list[str]:
        """Let a tunnel come up again; return its name."""
        return self._tell(self._endpoint.put_up, name, self._loop.time())

    def reload(self, configuration: Configuration) -> None:
        """Give the tunnels and templates of a new configuration to the core."""
        now = self._loop.time()
        self._tell(self._endpoint.reload, configuration.tunnels, now, templates=configuration.templates)
        self._changed()

    def uses(self, sock: ControlSocket) -> bool:
        """Whether a control connection's messages, be it only to linger, go through this socket."""
        return any(self.sockets.find(address) is sock for address in self._endpoint.addresses())

    def shut_down(self) -> None:
        """End every tunnel for good."""
        self._tell(self._endpoint.shutdown, self._loop.time())

    def quiet(self) -> bool:
        """Whether the peers and the helper know all that we told them."""
        return self._endpoint.quiet() and self.pseudowires.idle()

    # ---- What the loop calls.

    def _receive(self, sock: ControlSocket) -> None:
        now = self._loop.time()
        try:
            for data, address in sock.receive():
                self._capture(data, address, sent=False)
                self._endpoint.receive_datagram(data, address, now)
        except OSError as error:
            self.log.write(Entry.FAILED_TO_RECVFROM, {"error": str(error.strerror)})
        finally:
            self._carry_out()

    def _fire(self) -> None:
        self._timer = None
        self._tell(self._endpoint.handle_timer, self._loop.time())

    def _answer(self, request: int, mtu: int, error: str) -> None:
        self._tell(self._endpoint.pwe_answer, request, self._loop.time(), mtu=mtu, error=error)

    def _looked_up(
        self, look_up: LookUp, /, *, addresses: tuple[str, ...] = (), problem: str = "", logged: bool = False
    ) -> None:
        self._tell(
            self._endpoint.looked_up, look_up, self._loop.time(), addresses=addresses, problem=problem, logged=logged
        )

    # ---- Effects.

    def _tell(self, event: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return event(*args, **kwargs)
        finally:
            self._carry_out()

    def _carry_out(self) -> None:
        for effect in self._endpoint.take_effects():
            match effect:
                case Send(address, data):
                    self._send(address, data)
                case SetPwe() | DeletePwe():
                    self.pseudowires.put(effect)
                case LookUp():
                    self.names.ask(effect)
                case Log(entry, fields, tunnel, session):
                    self.log.write(entry, fields, tunnel, session)
                case StateChange():
                    self._changed()
                    self._publish(effect)
        self._arm()

    def _publish(self, change: StateChange) -> None:
        if self.changes.followed:
            told = Change(
                time=time.time(),
                tunnel=change.tunnel,
                session=change.session,
                state=change.state,
                reason=change.reason,
            )
            self.changes.publish({**told})

    def _send(self, address: Address, data: bytes) -> None:
        """Send one message.  A failure counts as a loss on the way: the reliable channel makes up for it."""
        peer = (address.encapsulation, address.peer)
        sock = self.sockets.find(address)
        problem = "the control socket is not open"
        if sock is not None:
            try:
                sock.send(data, address)
            except OSError as error:
                problem = str(error.strerror)
            else:
                self._send_errors.pop(peer, None)
                self._capture(data, address, sent=True)
                return
        if self._send_errors.get(peer) != problem:
            self._send_errors[peer] = problem
            self.log.write(Entry.CANNOT_SEND, {"address": str(address), "error": problem})

    def _capture(self, data: bytes, address: Address, *, sent: bool) -> None:
        if self.messages.followed:
            self.messages.publish({**captured(data, address, time.time(), sent=sent)})

    def _arm(self) -> None:
        due = self._endpoint.next_timer()
        if self._timer is not None:
            if self._timer.when() == due:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = self._loop.call_at(due, self._fire)

    def _handle_of(self, address: Address) -> int | None:
        sock = self.sockets.find(address)
        return None if sock is None else sock.handle
