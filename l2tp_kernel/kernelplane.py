"""The kernel plane: Linux's own l2tp_eth forwards, and this process only says what should exist.

All sessions between one pair of addresses and ports share one kernel tunnel, whichever control connection made them:
data messages carry no Control Connection ID, and Linux cannot tell apart two tunnels that share both ends.  A tunnel
lives as long as anybody holds a descriptor of its socket.  The clients get one too, because control messages arrive
there; so tunnels, sessions and traffic outlive this process, and the next one finds them by the label that the
interfaces carry.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from l2tp_kernel import genl, kernelsockets
from l2tp_kernel.catalogue import Line
from l2tp_kernel.journal import log
from l2tp_kernel.plane import Adopted, Interface, TunnelSocket
from l2tp_kernel.schema import Counters, Listener, Plane, PweParam, Reason
from l2tp_kernel.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from l2tp_kernel.links import Link, Links
    from l2tp_kernel.plane import ControlSocket

LABELS = ("l2tp-kernel", "l2tp-kernel with sublayer")
"""Alias of our interfaces without and with the sublayer, which is all that the kernel does not tell of a session."""

DELETION_SECONDS = 2.0
"""In which the kernel must have removed a tunnel that was deleted."""

_NON_IP, _ALL = 1, 2  # of the contract's sequencings


class _Peer(NamedTuple):
    """Where the frames of a tunnel go: beside the address here all that tells one from another, in Linux's eyes."""

    encapsulation: int
    local_port: int
    address: bytes
    port: int


@dataclass(eq=False)
class _Tunnel:
    number: int
    local: bytes
    peer: _Peer
    socket: socket.socket | None
    """None if an earlier helper opened it: then the clients alone hold it."""
    listener: int = 0
    interfaces: set[str] = field(default_factory=set)
    deleted: bool = False
    """Whether it is gone while its interfaces are still going."""


class _Made(NamedTuple):
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
        self._peers: dict[_Peer, list[_Tunnel]] = {}
        """Tunnels that can take a session, by where it is to go."""
        self._sessions: dict[str, _Made] = {}
        self._news: list[TunnelSocket] = []

    def adopt(self) -> list[Adopted]:
        """Take over what an earlier helper left: labelled interfaces whose tunnels the clients hold."""
        tunnels = {each.number: each for each in self._genl.tunnels()}
        links = {link.name: link for link in self._links.all().values()}
        adopted = []
        for session in self._genl.sessions():
            link = links.get(session.interface)
            if link is None or link.label not in LABELS or session.tunnel not in tunnels:
                continue
            known = tunnels[session.tunnel]
            tunnel = self._tunnels.get(known.number) or self._add_tunnel(known, None)
            tunnel.interfaces.add(session.interface)
            whole = session._replace(sublayer=LABELS.index(link.label))
            self._sessions[session.interface] = _Made(whole, link.number)
            adopted.append(Adopted(_param(known, whole, link), link))
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

    def check(self, param: PweParam) -> None:
        """Refuse what Linux cannot do."""
        if param.receive_sublayer != param.send_sublayer:
            raise Refused(Reason.PLANE, "Linux has one sublayer for both directions")
        if param.receive_sequencing == _NON_IP or (param.send_sequencing and not param.receive_sequencing):
            raise Refused(Reason.PLANE, "Linux sends sequence numbers where it requires them of all frames")
        if param.receive_sequencing and not param.receive_sublayer:
            raise Refused(Reason.MALFORMED, "sequencing without the sublayer that carries the numbers")

    def set(self, params: Sequence[PweParam]) -> list[Interface | OSError]:
        """Make sessions and change their sequencing; for any other change make one anew, and with it the interface."""
        self.tend()
        outcomes: dict[str, Interface | OSError] = {}
        tunnels = self._forget([param.interface for param in params if self._must_go(param)])
        found: dict[object, _Tunnel] = {}
        wanted: dict[str, genl.Session] = {}
        for param in params:
            ends = param.ends
            if ends not in found:
                try:
                    found[ends] = self._find_tunnel(param) or self._open_tunnel(param)
                except OSError as error:
                    outcomes[param.interface] = error
                    continue
                found[ends].listener = param.listener
            wanted[param.interface] = _session(found[ends].number, param)
        known = {interface: self._sessions[interface].number for interface in wanted if interface in self._sessions}
        errors = self._genl.carry_out(
            [
                genl.modify_session(session) if interface in known else genl.create_session(session)
                for interface, session in wanted.items()
            ]
        )
        half_made: list[genl.Session] = []
        for (interface, session), failure in zip(wanted.items(), errors, strict=True):
            number = known.get(interface) or (0 if failure else self._links.number(interface))
            if number and not failure:
                self._sessions[interface] = _Made(session, number)
                self._tunnels[session.tunnel].interfaces.add(interface)
                outcomes[interface] = Interface(number, LABELS[session.sublayer])
            else:
                outcomes[interface] = failure or OSError(errno.ENODEV, os.strerror(errno.ENODEV))
                if interface not in known and not isinstance(failure, FileExistsError):
                    half_made.append(session)
        self._genl.carry_out([genl.delete_session(session) for session in half_made])
        self._release([*tunnels, *found.values()])
        return [outcomes[param.interface] for param in params]

    def delete(self, interfaces: Sequence[str]) -> None:
        """Remove sessions, and the tunnels whose last ones they were."""
        self._release(self._forget([each for each in interfaces if each in self._sessions]))

    def stats(self) -> dict[str, Counters]:
        """Ask the kernel: the interface counts frames, the session what it drops."""
        discards = {(each.tunnel, each.number): counted for each, counted in self._genl.sessions().items()}
        traffics = self._links.traffic()
        counters = {}
        for interface, made in self._sessions.items():
            with contextlib.suppress(KeyError):  # somebody removed it, and the event is still under way
                traffic, dropped = traffics[made.number], discards[made.session.tunnel, made.session.number]
                counters[interface] = Counters(
                    tx_frames=traffic.tx_packets,
                    tx_octets=traffic.tx_octets,
                    rx_frames=traffic.rx_packets,
                    rx_octets=traffic.rx_octets,
                    tx_dropped=traffic.tx_dropped,
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
        try:
            deleted = self._genl.deleted_tunnels()
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            deleted = self._tunnels.keys() - {each.number for each in self._genl.tunnels()}  # some were lost
        for tunnel in [self._tunnels[number] for number in deleted if number in self._tunnels]:
            if not tunnel.deleted:
                log(Line.TUNNEL_DELETED_BY_OTHERS, number=tunnel.number)
                self._retire(tunnel)

    def close(self) -> None:
        """Close what is left; the registry has deleted the pseudowires."""
        for _, control in self._listeners.values():
            control.socket.close()
        self._genl.close()

    def _must_go(self, param: PweParam) -> bool:
        """Whether there is a session that Linux cannot change to this."""
        made = self._sessions.get(param.interface)
        tunnel = self._find_tunnel(param) if made else None
        return made is not None and (tunnel is None or _session(tunnel.number, param).fixed != made.session.fixed)

    def _find_tunnel(self, param: PweParam) -> _Tunnel | None:
        local, peer = self._ends(param)
        tunnels = self._peers.get(peer, ())
        return next((each for each in tunnels if each.local == local or not any(local)), None)

    def _ends(self, param: PweParam) -> tuple[bytes, _Peer]:
        """Address here, all zero where the route chooses, and where the frames go."""
        listener, _ = self._listeners[param.listener]
        local = param.local_address if any(param.local_address) else listener.address
        return local, _Peer(listener.encapsulation, listener.port, param.peer_address, param.peer_port)

    def _open_tunnel(self, param: PweParam) -> _Tunnel:
        local, peer = self._ends(param)
        number = param.local_connection_id
        if number == 0 or number in self._tunnels:  # the frames do not carry it: any does
            number = 1 + secrets.randbelow(2**32 - 1)
        listener, _ = self._listeners[param.listener]
        opened = kernelsockets.open_tunnel(listener, local, peer.address, peer.port)
        try:
            made = self._genl.create_tunnel(number, param.peer_connection_id, peer.encapsulation, opened.fileno())
        except OSError:
            kernelsockets.retire(opened)
            raise
        self._news.append(TunnelSocket(param.listener, number, opened))
        return self._add_tunnel(made, opened)

    def _add_tunnel(self, known: genl.Tunnel, opened: socket.socket | None) -> _Tunnel:
        peer = _Peer(known.encapsulation, known.local_port, known.peer, known.peer_port)
        tunnel = self._tunnels[known.number] = _Tunnel(known.number, known.local, peer, opened)
        self._peers.setdefault(peer, []).append(tunnel)
        return tunnel

    def _forget(self, interfaces: Sequence[str]) -> list[_Tunnel]:
        """Remove sessions; give their tunnels, which stay for the moment."""
        gone = [self._sessions.pop(each).session for each in interfaces]
        tunnels = [self._tunnels[session.tunnel] for session in gone]
        for tunnel, session in zip(tunnels, gone, strict=True):
            tunnel.interfaces.discard(session.interface)
        self._genl.carry_out([genl.delete_session(each) for each in gone])  # an error if somebody removed it
        return tunnels

    def _release(self, tunnels: Sequence[_Tunnel]) -> None:
        """Remove tunnels that have no session any more, and wait for it: their numbers may be wanted again at once."""
        empty = {each.number: each for each in tunnels if not each.interfaces}
        for number in empty:
            del self._tunnels[number]
        ours = [each for each in empty.values() if not each.deleted]
        self._genl.carry_out([genl.delete_tunnel(each.number) for each in ours])
        self.tend()  # so that what the kernel tells of these is not taken for later ones of the same numbers
        deadline = time.monotonic() + DELETION_SECONDS
        for tunnel in ours:
            while self._genl.tunnel(tunnel.number) and time.monotonic() < deadline:
                time.sleep(0.001)
            self._retire(tunnel)

    def _retire(self, tunnel: _Tunnel) -> None:
        tunnel.deleted = True
        self._peers[tunnel.peer].remove(tunnel)
        if not self._peers[tunnel.peer]:
            del self._peers[tunnel.peer]
        if tunnel.socket:
            kernelsockets.retire(tunnel.socket)
            tunnel.socket = None
        self._news.append(TunnelSocket(tunnel.listener, tunnel.number, None))


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
