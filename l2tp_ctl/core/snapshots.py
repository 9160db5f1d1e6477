"""Snapshots of a peer with its control connection and sessions, for people and programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from l2tp_ctl.core.settings import Mode
from l2tp_ctl.core.tables import SessionState, TunnelState
from l2tp_ctl.core.views import SessionView, TunnelView

if TYPE_CHECKING:
    from l2tp_ctl.core.peer import Peer
    from l2tp_ctl.core.session import Session
    from l2tp_ctl.core.tunnel import Tunnel


def of_peer(peer: Peer, *, sessions: bool) -> TunnelView:
    """Return a snapshot of a tunnel; without ``sessions`` it costs no more for thousands of them."""
    views = tuple(of_sessions(peer)) if sessions else ()
    return _idle(peer, views) if peer.current is None else _active(peer, peer.current, views)


def of_sessions(peer: Peer) -> Iterator[SessionView]:
    """Go through snapshots of a tunnel's sessions, each made when it is asked for."""
    if peer.current is None:
        return _idle_sessions(peer)
    return (_of_session(session) for session in [*peer.current.sessions])


def _active(peer: Peer, tunnel: Tunnel, sessions: tuple[SessionView, ...]) -> TunnelView:
    connection, channel = tunnel.connection, tunnel.connection.channel
    return TunnelView(
        name=peer.settings.name,
        mode=Mode.SIGNALLED,
        state=tunnel.state.value,
        address=connection.address,
        peer_name=peer.where.name,
        peer_addresses=peer.where.addresses,
        name_problem=peer.where.problem,
        local_connection_id=connection.local_id,
        peer_connection_id=connection.peer_id,
        peer_host_name=tunnel.peer_host_name,
        peer_router_id=tunnel.peer_router_id,
        peer_vendor_name=tunnel.peer_vendor_name,
        ns=channel.next_ns,
        nr=channel.nr,
        window=channel.window,
        unacknowledged=channel.unacknowledged,
        queued=channel.queued,
        retransmissions=channel.retransmissions,
        authenticated=connection.authentication.required,
        initiator=tunnel.initiator,
        hello_interval=peer.settings.hello_interval,
        since=tunnel.since,
        next_attempt=None,
        last_error=tunnel.last_error or peer.last_error,
        down=peer.down,
        rtt=channel.rtt,
        sessions_configured=len(tunnel.sessions),
        sessions_established=sum(session.established for session in tunnel.sessions),
        sessions=sessions,
    )


def _idle(peer: Peer, sessions: tuple[SessionView, ...]) -> TunnelView:
    return TunnelView(
        name=peer.settings.name,
        mode=Mode.SIGNALLED,
        state=TunnelState.IDLE.value,
        address=peer.where.address,
        peer_name=peer.where.name,
        peer_addresses=peer.where.addresses,
        name_problem=peer.where.problem,
        local_connection_id=0,
        peer_connection_id=0,
        peer_host_name=b"",
        peer_router_id=0,
        peer_vendor_name=b"",
        ns=0,
        nr=0,
        window=0,
        unacknowledged=0,
        queued=0,
        retransmissions=0,
        authenticated=bool(peer.settings.secrets),
        initiator=peer.settings.initiate,
        hello_interval=peer.settings.hello_interval,
        since=peer.since,
        next_attempt=peer.next_attempt,
        last_error=peer.obstacle,
        down=peer.down,
        rtt=None,
        sessions_configured=len(peer.settings.sessions),
        sessions_established=0,
        sessions=sessions,
    )


def _of_session(session: Session) -> SessionView:
    settings, terms, circuit = session.settings, session.terms, session.circuit
    return SessionView(
        name=settings.name,
        tunnel=session.tunnel.settings.name,
        interface=settings.interface,
        remote_end_id=settings.remote_end_id,
        pseudowire_type=settings.pseudowire_type,
        state=session.state.value,
        local_session_id=terms.local_id,
        peer_session_id=terms.peer_id,
        local_cookie_length=len(terms.local_cookie),
        peer_cookie_length=len(terms.peer_cookie),
        mtu=circuit.mtu,
        mtu_fixed=bool(settings.mtu),
        peer_circuit_up=circuit.peer_up,
        since=session.since,
        last_error=session.last_error,
        pseudowire=circuit.pseudowire,
        pending=circuit.pending,
        circuit_up=circuit.up,
    )


def _idle_sessions(peer: Peer) -> Iterator[SessionView]:
    return (
        SessionView(
            name=session.name,
            tunnel=peer.settings.name,
            interface=session.interface,
            remote_end_id=session.remote_end_id,
            pseudowire_type=session.pseudowire_type,
            state=SessionState.IDLE.value,
            local_session_id=0,
            peer_session_id=0,
            local_cookie_length=0,
            peer_cookie_length=0,
            mtu=0,
            mtu_fixed=bool(session.mtu),
            peer_circuit_up=True,
            since=peer.since,
            last_error=peer.errors.get(session.name, ""),
        )
        for session in peer.settings.sessions
    )
