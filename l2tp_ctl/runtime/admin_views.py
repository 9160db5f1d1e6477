"""The core's snapshots in the words of the admin contract."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from l2tp_ctl.admin_schema import Captured, Latency, Peer, Session, Statistics, Tunnel
from l2tp_ctl.core.errors import Drop
from l2tp_ctl.core.settings import Address, Mode, PseudowireType
from l2tp_ctl.core.views import SessionView, TunnelView

_ESTABLISHED = "established"
_TYPES: Mapping[int, str] = {PseudowireType.ETHERNET: "ethernet", PseudowireType.ETHERNET_VLAN: "vlan"}


def tunnel_answer(view: TunnelView, now: float) -> Tunnel:
    """Return one tunnel without its sessions; ``now`` is on the Endpoint's clock."""
    address = view.address
    return Tunnel(
        name=view.name,
        mode=view.mode.value,
        state=view.state,
        encapsulation=address.encapsulation.value,
        local_address=address.local,
        peer_address=address.peer,
        peer_port=address.peer_port,
        peer_name=view.peer_name,
        peer_addresses=[*view.peer_addresses],
        name_problem=view.name_problem,
        local_connection_id=view.local_connection_id,
        peer_connection_id=view.peer_connection_id,
        peer_host_name=_text(view.peer_host_name),
        peer_router_id=str(ipaddress.IPv4Address(view.peer_router_id)) if _introduced(view) else "",
        peer_vendor_name=_text(view.peer_vendor_name),
        ns=view.ns,
        nr=view.nr,
        window=view.window,
        unacknowledged=view.unacknowledged,
        queued=view.queued,
        retransmissions=view.retransmissions,
        authenticated=view.authenticated,
        initiator=view.initiator,
        hello_interval=view.hello_interval,
        sessions_configured=view.sessions_configured,
        sessions_established=view.sessions_established,
        uptime=_uptime(view, now),
        next_attempt=None if view.next_attempt is None else max(0.0, view.next_attempt - now),
        last_error=view.last_error,
        enabled=not view.down,
        rtt=view.rtt,
    )


def session_answer(view: SessionView, counters: Mapping[str, dict[str, int]], now: float) -> Session:
    """Return one session with its interface's counters, if there are any."""
    return Session(
        name=view.name,
        tunnel=view.tunnel,
        state=view.state,
        interface=view.interface,
        remote_end_id=end_id(view.remote_end_id) if view.remote_end_id else "",
        pseudowire_type=_TYPES[view.pseudowire_type],
        local_session_id=view.local_session_id,
        peer_session_id=view.peer_session_id,
        local_cookie_length=view.local_cookie_length,
        peer_cookie_length=view.peer_cookie_length,
        mtu=view.mtu,
        mtu_fixed=view.mtu_fixed,
        uptime=_uptime(view, now),
        last_error=view.last_error,
        counters=counters.get(view.interface, {}) if view.state == _ESTABLISHED else {},
    )


def peer_answers(views: Iterable[TunnelView]) -> list[Peer]:
    """Return the peers by address, or by name while that is all, each with what its last tunnel tells of it."""
    peers: dict[str, Peer] = {}
    for view in views:
        peer = peers.setdefault(
            view.address.peer or view.peer_name,
            Peer(
                address=view.address.peer,
                peer_name=view.peer_name,
                host_name="",
                router_id="",
                vendor_name="",
                tunnels=[],
                tunnels_established=0,
                sessions_configured=0,
                sessions_established=0,
            ),
        )
        peer["tunnels"].append(view.name)
        peer["tunnels_established"] += view.state == _ESTABLISHED
        peer["sessions_configured"] += view.sessions_configured
        peer["sessions_established"] += view.sessions_established
        if _introduced(view):
            peer["host_name"] = _text(view.peer_host_name)
            peer["router_id"] = str(ipaddress.IPv4Address(view.peer_router_id))
            peer["vendor_name"] = _text(view.peer_vendor_name)
    return [*peers.values()]


def captured(data: bytes, address: Address, when: float, *, sent: bool) -> Captured:
    """Return one control message, which went to or came from ``address``."""
    return Captured(
        time=when,
        sent=sent,
        encapsulation=address.encapsulation.value,
        local_address=address.local or ("::" if ":" in address.peer else "0.0.0.0"),  # noqa: S104  # nothing is bound
        local_port=address.local_port,
        peer_address=address.peer,
        peer_port=address.peer_port,
        data=base64.b64encode(data).decode(),
    )


def statistics(
    views: Sequence[TunnelView],
    counters: Mapping[str, int],
    helper_requests: Mapping[str, Latency],
    *,
    uptime: float,
    problem: str,
    helper_connected: bool,
) -> Statistics:
    """Return what was counted; ``counters`` are the core's."""

    def named(prefix: str) -> dict[str, int]:
        return {name.removeprefix(prefix): count for name, count in counters.items() if name.startswith(prefix)}

    return Statistics(
        uptime=uptime,
        problem=problem,
        tunnels_configured=len(views),
        tunnels_established=sum(view.state == _ESTABLISHED for view in views),
        sessions_configured=sum(view.sessions_configured for view in views),
        sessions_established=sum(view.sessions_established for view in views),
        messages_received=named("received-"),
        messages_sent=named("sent-"),
        retransmissions=counters.get("retransmissions", 0),
        datagrams=counters.get("datagrams", 0),
        drops={drop.value: counters.get(f"dropped-{drop.value}", 0) for drop in Drop},
        helper_connected=helper_connected,
        helper_requests={**helper_requests},
    )


def _introduced(view: TunnelView) -> bool:
    """Whether the peer has said who it is."""
    return view.mode is Mode.SIGNALLED and view.peer_connection_id != 0


def _uptime(view: TunnelView | SessionView, now: float) -> float | None:
    return max(0.0, now - view.since) if view.state == _ESTABLISHED else None


def _text(octets: bytes) -> str:
    return octets.decode(errors="backslashreplace")


def end_id(octets: bytes) -> str:
    """Return a Remote End ID as the configuration has it: a text, or the number of four octets (RFC 4719)."""
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and text:
        return text
    return str(int.from_bytes(octets, "big"))
