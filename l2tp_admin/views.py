"""What of an answer is shown, and in which words: the same for a terminal and for a pipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from l2tp_admin.text import duration

Row = Mapping[str, Any]
"""A ``Tunnel`` or a ``Session`` of an answer."""

FORWARDED = ("rx_frames", "rx_octets", "tx_frames", "tx_octets")
"""The counters of a session that count no drop."""

TUNNEL_STATES = {
    "idle": "there is no control connection",
    "wait-ctl-reply": "SCCRQ was sent, the peer's SCCRP is awaited",
    "wait-ctl-conn": "SCCRP was sent, the peer's SCCCN is awaited",
    "established": "the control connection is up",
}
"""What a control connection's state means (RFC 3931, section 7.2)."""


class Column(NamedTuple):
    """One column of a table."""

    title: str
    value: Callable[[Row], str]
    """The field for programs; empty where there is nothing to say."""
    numeric: bool = False
    shown: Callable[[Row], str] | None = None
    """The field for people, where it is another."""


class Fact(NamedTuple):
    """One line about one tunnel."""

    label: str
    text: str
    is_state: bool = False


def peer(tunnel: Row) -> str:
    """Return the peer's address, with its port over UDP."""
    address, port = tunnel["peer_address"], tunnel["peer_port"]
    if not port:
        return str(address)
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def drops(session: Row) -> dict[str, int]:
    """Return why frames of a session were dropped, and how many."""
    return {name: count for name, count in session["counters"].items() if name not in FORWARDED and count}


def _seconds(key: str) -> Callable[[Row], str]:
    return lambda row: "" if row[key] is None else str(int(row[key]))


def _duration(key: str) -> Callable[[Row], str]:
    return lambda row: "" if row[key] is None else duration(row[key])


def _field(key: str) -> Callable[[Row], str]:
    return lambda row: str(row[key])


def _id(key: str) -> Callable[[Row], str]:
    return lambda row: str(row[key] or "")


def _counter(key: str) -> Callable[[Row], str]:
    return lambda session: str(session["counters"].get(key, ""))


TUNNELS = (
    Column("NAME", _field("name")),
    Column("STATE", _field("state")),
    Column("PEER", peer),
    Column("ENCAP", _field("encapsulation")),
    Column(
        "SESSIONS", lambda tunnel: f"{tunnel['sessions_established']}/{tunnel['sessions_configured']}", numeric=True
    ),
    Column("UPTIME", _seconds("uptime"), numeric=True, shown=_duration("uptime")),
    Column("RETRY-IN", _seconds("next_attempt"), numeric=True, shown=_duration("next_attempt")),
    Column("LAST-ERROR", _field("last_error")),
)

SESSIONS = (
    Column("NAME", _field("name")),
    Column("TUNNEL", _field("tunnel")),
    Column("STATE", _field("state")),
    Column("INTERFACE", _field("interface")),
    Column("LOCAL-ID", _id("local_session_id"), numeric=True),
    Column("PEER-ID", _id("peer_session_id"), numeric=True),
    Column("MTU", _id("mtu"), numeric=True),
    Column("UPTIME", _seconds("uptime"), numeric=True, shown=_duration("uptime")),
    Column("RX-FRAMES", _counter("rx_frames"), numeric=True),
    Column("TX-FRAMES", _counter("tx_frames"), numeric=True),
    Column("DROPS", lambda session: str(sum(drops(session).values())) if session["counters"] else "", numeric=True),
    Column("LAST-ERROR", _field("last_error")),
)

SESSIONS_OF_TUNNEL = tuple(column for column in SESSIONS if column.title != "TUNNEL")


def headline(tunnel: Row) -> str:
    """Return in one sentence whether a tunnel is up, and if not why."""
    name = tunnel["name"]
    if tunnel["state"] == "established":
        return f"tunnel {name} is up" + (f" for {duration(tunnel['uptime'])}" if tunnel["uptime"] is not None else "")
    return f"tunnel {name} is not up: {tunnel['last_error'] or TUNNEL_STATES.get(tunnel['state'], tunnel['state'])}"


def facts(tunnel: Row) -> list[Fact]:
    """Return everything that is known of one tunnel, what an operator asks first coming first."""
    state = tunnel["state"]
    meaning = TUNNEL_STATES.get(state)
    return [
        Fact("state", f"{state}: {meaning}" if meaning else state, is_state=True),
        Fact("last error", tunnel["last_error"] or "none"),
        Fact("next attempt", _next_attempt(tunnel)),
        Fact("peer", f"{peer(tunnel)} over {tunnel['encapsulation'].upper()}"),
        Fact("local address", tunnel["local_address"] or "chosen by routing"),
        *(() if state == "idle" else _connection_facts(tunnel)),
        Fact("sessions", f"{tunnel['sessions_established']} established of {tunnel['sessions_configured']}"),
    ]


def _connection_facts(tunnel: Row) -> list[Fact]:
    """Return what only a control connection has."""
    return [
        Fact("peer says", _identity(tunnel)),
        Fact("authentication", "message digest" if tunnel["authenticated"] else "none"),
        Fact("begun by", "this end" if tunnel["initiator"] else "the peer"),
        Fact("connection ids", f"{_connection_id(tunnel, 'local')} local, {_connection_id(tunnel, 'peer')} peer"),
        Fact("sequence", f"Ns {tunnel['ns']}, Nr {tunnel['nr']}"),
        Fact(
            "messages",
            f"{tunnel['unacknowledged']} unacknowledged in a window of {tunnel['window']}, "
            f"{tunnel['queued']} queued, {tunnel['retransmissions']} retransmitted",
        ),
    ]


def drop_facts(sessions: list[Row]) -> list[Fact]:
    """Return, for each session that dropped frames, why."""
    return [
        Fact(f"drops of {session['name']}", ", ".join(f"{count} {reason}" for reason, count in reasons.items()))
        for session in sessions
        if (reasons := drops(session))
    ]


def _next_attempt(tunnel: Row) -> str:
    if tunnel["next_attempt"] is not None:
        return f"in {int(tunnel['next_attempt'])} s"
    if tunnel["state"] == "idle":
        return "none is planned; the peer may begin"
    return "none needed" if tunnel["state"] == "established" else "under way"


def _identity(tunnel: Row) -> str:
    told = (("host name", "peer_host_name"), ("router id", "peer_router_id"), ("vendor", "peer_vendor_name"))
    return ", ".join(f"{label} {tunnel[key]}" for label, key in told if tunnel[key]) or "nothing yet"


def _connection_id(tunnel: Row, end: str) -> str:
    number = tunnel[f"{end}_connection_id"]
    return f"{number} ({number:#x})" if number else "no"
