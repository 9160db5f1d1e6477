"""The kernel plane: Linux's own l2tp_eth forwards, and this process only says what should exist.

All sessions between one pair of addresses and ports share one kernel tunnel, whichever control connection made them:
data messages carry no Control Connection ID, and Linux cannot tell apart two tunnels that share both ends.  A tunnel
lives as long as anybody holds a descriptor of its socket.  The clients get one too, because control messages arrive
there; so tunnels, sessions and traffic outlive this process, and the next one finds them by the label that the
interfaces carry.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from l2tp_kernel import genl, kernelsockets
from l2tp_kernel.catalogue import Line
from l2tp_kernel.journal import log
from l2tp_kernel.plane import Adopted, TunnelSocket
from l2tp_kernel.schema import Counters, Listener, Plane, PweParam, Reason
from l2tp_kernel.wire import Refused

if TYPE_CHECKING:
    from l2tp_kernel.links import Link, Links
    from l2tp_kernel.plane import ControlSocket

LABELS = ("l2tp-kernel", "l2tp-kernel with sublayer")
"""Alias of our interfaces without and with the sublayer, which is all that the kernel does not tell of a session."""

DELETION_SECONDS = 2.0
"""In which the kernel must have removed a tunnel that was deleted."""

_NON_IP, _ALL = 1, 2  # of the contract's sequencings


class _Ends(NamedTuple):
    """What tells one tunnel from another, in the kernel's eyes."""

    encapsulation: int
    local: bytes
    local_port: int
    peer: bytes
    peer_port: int


@dataclass
class _Tunnel:
    number: int
    ends: _Ends
    socket: socket.socket | None
    """None if an earlier helper opened it: then the clients alone hold it."""
    listener: int
    interfaces: set[str] = field(default_factory=set)


class _Made(NamedTuple):
    param: PweParam
    session: genl.Session
    number: int
    """Index of the interface."""


class KernelPlane:
    """The ForwardingPlane that is Linux's; OSError if this kernel has no L2TP.

    Linux has one sublayer for both directions, and sends sequence numbers only where it requires them of all frames:
    anything else is Refused(PLANE).
    """

    kind = Plane.KERNEL

    def __init__(self, links: Links) -> None:
        self._links = links
        self._genl = genl.L2tp()
        self._listeners: dict[int, tuple[Listener, ControlSocket]] = {}
        self._tunnels: dict[int, _Tunnel] = {}
        self._sessions: dict[str, _Made] = {}
        self._news: list[TunnelSocket] = []
        self._deletions: set[int] = set()
        """Tunnels that we deleted, and the kernel has not told yet."""

    def adopt(self) -> list[Adopted]:
        """Take over what an earlier helper left: labelled interfaces whose tunnels the clients hold."""
        tunnels = {each.number: each for each in self._genl.tunnels()}
        adopted = []
        for session in self._genl.sessions():
            link = self._links.find(session.interface)
            if link is None or link.label not in LABELS or session.tunnel not in tunnels:
                continue
            known = tunnels[session.tunnel]
            tunnel = self._tunnels.setdefault(known.number, _Tunnel(known.number, _ends(known), None, 0))
            tunnel.interfaces.add(session.interface)
            whole = session._replace(sublayer=LABELS.index(link.label))
            param = _param(known, whole, link)
            self._sessions[session.interface] = _Made(param, whole, link.number)
            adopted.append(Adopted(param, link))
        return adopted

    def open_listener(self, handle: int, listener: Listener) -> ControlSocket:
        """Open the control socket, beside the sockets of adopted tunnels."""
        adopted = any(each.socket is None for each in self._tunnels.values())
        control = kernelsockets.open_listener(listener, beside=adopted)
        self._listeners[handle] = listener, control
        return control

    def close_listener(self, handle: int) -> None:
        """Close it."""
        self._listeners.pop(handle)[1].socket.close()

    def create(self, param: PweParam) -> int:
        """Make a session and its interface, and the tunnel if it is the first one there."""
        _check(param)
        with contextlib.ExitStack() as undo:
            tunnel = self._find_tunnel(param) or self._open_tunnel(param)
            undo.callback(self._release, tunnel)
            session = _session(tunnel.number, param)
            self._genl.create_session(session)
            undo.callback(self._delete_session, session)
            number = socket.if_nametoindex(param.interface)
            self._links.label(number, LABELS[session.sublayer])
            undo.pop_all()
        tunnel.interfaces.add(param.interface)
        self._sessions[param.interface] = _Made(param, session, number)
        return number

    def modify(self, param: PweParam) -> int:
        """Change the sequencing; anything else needs a new session, and with it a new interface."""
        _check(param)
        if param.interface not in self._sessions:
            return self.create(param)
        old = self._sessions[param.interface]
        tunnel = self._tunnels[old.session.tunnel]
        session = _session(tunnel.number, param)
        if self._find_tunnel(param) is tunnel and old.session == session._replace(
            receive_sequencing=old.session.receive_sequencing, send_sequencing=old.session.send_sequencing
        ):
            if old.session != session:
                self._genl.modify_session(session)
            tunnel.listener = param.listener
            self._sessions[param.interface] = _Made(param, session, old.number)
            return old.number
        self._forget(param.interface)
        try:
            return self.create(param)
        finally:
            self._release(tunnel)

    def delete(self, interface: str) -> None:
        """Remove the session, and the tunnel if it was the last one there."""
        if interface in self._sessions:
            self._release(self._forget(interface))

    def stats(self) -> dict[str, Counters]:
        """Ask the kernel: the interface counts frames, the session what it drops."""
        discards = {(each.tunnel, each.number): counted for each, counted in self._genl.sessions().items()}
        counters = {}
        for interface, made in self._sessions.items():
            with contextlib.suppress(OSError, KeyError):  # somebody removed it, and the event is still under way
                traffic = self._links.traffic(made.number)
                dropped = discards[made.session.tunnel, made.session.number]
                counters[interface] = Counters(
                    tx_frames=traffic["tx_packets"],
                    tx_octets=traffic["tx_bytes"],
                    rx_frames=traffic["rx_packets"],
                    rx_octets=traffic["rx_bytes"],
                    tx_dropped=traffic["tx_dropped"],
                    rx_cookie=dropped.cookie,
                    rx_malformed=max(0, dropped.errors - dropped.cookie - dropped.sequence),
                    rx_sequence=dropped.sequence,
                    rx_source=0,  # Linux does not look over IP, and over UDP the socket sees its peer alone
                )
        return counters

    def tunnel_sockets(self, listener: int) -> list[TunnelSocket]:
        """Where control messages arrive beside a listener."""
        tunnels = (each for each in self._tunnels.values() if each.listener == listener and each.socket)
        return [TunnelSocket(listener, each.number, each.socket) for each in tunnels]

    def news(self) -> list[TunnelSocket]:
        """Sockets opened, or without one closed, since the last call."""
        news, self._news = self._news, []
        return news

    def fileno(self) -> int:
        """Readable when the kernel tells of a deleted tunnel."""
        return self._genl.fileno()

    def tend(self) -> None:
        """Let go of tunnels that somebody else deleted; their interfaces go by themselves."""
        for number in self._genl.deleted_tunnels():
            if number in self._deletions:
                self._deletions.remove(number)
            elif tunnel := self._tunnels.get(number):
                log(Line.TUNNEL_DELETED_BY_OTHERS, number=number)
                self._retire(tunnel)

    def close(self) -> None:
        """Close what is left; the registry has deleted the pseudowires."""
        for _, control in self._listeners.values():
            control.socket.close()
        self._genl.close()

    def _find_tunnel(self, param: PweParam) -> _Tunnel | None:
        wanted = self._wanted_ends(param)
        for tunnel in self._tunnels.values():
            if tunnel.ends == (wanted if any(wanted.local) else wanted._replace(local=tunnel.ends.local)):
                return tunnel
        return None

    def _wanted_ends(self, param: PweParam) -> _Ends:
        listener = self._listeners[param.listener][0]
        local = param.local_address if any(param.local_address) else listener.address
        return _Ends(listener.encapsulation, local, listener.port, param.peer_address, param.peer_port)

    def _open_tunnel(self, param: PweParam) -> _Tunnel:
        ends = self._wanted_ends(param)
        number = param.local_connection_id or 1 + secrets.randbelow(2**32 - 1)
        listener = self._listeners[param.listener][0]
        opened = kernelsockets.open_tunnel(listener, ends.local, ends.peer, ends.peer_port)
        try:
            made = self._genl.create_tunnel(number, param.peer_connection_id, ends.encapsulation, opened.fileno())
        except OSError:
            kernelsockets.retire(opened)
            raise
        tunnel = self._tunnels[number] = _Tunnel(number, _ends(made), opened, param.listener)
        self._news.append(TunnelSocket(param.listener, number, opened))
        return tunnel

    def _forget(self, interface: str) -> _Tunnel:
        """Remove a session; its tunnel stays for the moment."""
        made = self._sessions.pop(interface)
        tunnel = self._tunnels[made.session.tunnel]
        tunnel.interfaces.discard(interface)
        self._delete_session(made.session)
        return tunnel

    def _delete_session(self, session: genl.Session) -> None:
        with contextlib.suppress(OSError):  # somebody removed it
            self._genl.delete_session(session.tunnel, session.number)

    def _release(self, tunnel: _Tunnel) -> None:
        """Remove a tunnel that has no session any more, and wait for it: its number may be wanted again at once."""
        if tunnel.interfaces or self._tunnels.get(tunnel.number) is not tunnel:
            return
        del self._tunnels[tunnel.number]
        with contextlib.suppress(OSError):  # somebody removed it
            self._genl.delete_tunnel(tunnel.number)
            self._deletions.add(tunnel.number)
            deadline = time.monotonic() + DELETION_SECONDS
            while self._genl.tunnel(tunnel.number) and time.monotonic() < deadline:
                time.sleep(0.001)
        self._retire(tunnel)

    def _retire(self, tunnel: _Tunnel) -> None:
        if tunnel.socket:
            kernelsockets.retire(tunnel.socket)
            tunnel.socket = None
        self._news.append(TunnelSocket(tunnel.listener, tunnel.number, None))


def _check(param: PweParam) -> None:
    if param.receive_sublayer != param.send_sublayer:
        raise Refused(Reason.PLANE, "Linux has one sublayer for both directions")
    if param.receive_sequencing == _NON_IP or (param.send_sequencing and not param.receive_sequencing):
        raise Refused(Reason.PLANE, "Linux sends sequence numbers where it requires them of all frames")
    if param.receive_sequencing and not param.receive_sublayer:
        raise Refused(Reason.MALFORMED, "sequencing without the sublayer that carries the numbers")


def _ends(tunnel: genl.Tunnel) -> _Ends:
    return _Ends(tunnel.encapsulation, tunnel.local, tunnel.local_port, tunnel.peer, tunnel.peer_port)


def _session(tunnel: int, param: PweParam) -> genl.Session:
    return genl.Session(
        tunnel=tunnel,
        number=param.local_session_id,
        peer_number=param.peer_session_id,
        interface=param.interface,
        local_cookie=param.local_cookie,
        peer_cookie=param.peer_cookie,
        sublayer=param.receive_sublayer,
        receive_sequencing=bool(param.receive_sequencing),
        send_sequencing=bool(param.send_sequencing),
    )


def _param(tunnel: genl.Tunnel, session: genl.Session, link: Link) -> PweParam:
    """Say what exists as a client would have asked for it, but for its listener."""
    return PweParam(
        plane=Plane.KERNEL,
        interface=session.interface,
        listener=0,
        local_address=tunnel.local,
        peer_address=tunnel.peer,
        peer_port=tunnel.peer_port,
        local_connection_id=tunnel.number,
        peer_connection_id=tunnel.peer_number,
        local_session_id=session.number,
        peer_session_id=session.peer_number,
        local_cookie=session.local_cookie,
        peer_cookie=session.peer_cookie,
        receive_sublayer=session.sublayer,
        send_sublayer=session.sublayer,
        receive_sequencing=_ALL * session.receive_sequencing,
        send_sequencing=_ALL * session.send_sequencing,
        mtu=link.mtu,
        bridge="",
        up=link.up,
    )
