"""What of an answer is shown, and in which words: the same for a terminal and for a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from l2tp_admin.text import duration, printable

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

STATIC_TUNNEL_STATES = {
    "idle": "its sessions are removed",
    "probing": "HELLO was sent, the peer's answer is awaited",
    "established": "its sessions may carry frames",
}
"""What the state of a static tunnel means."""

SESSION_STATES = {
    "idle": "there is no session",
    "wait-control-conn": "the control connection is awaited, or the turn to call",
    "wait-reply": "ICRQ was sent, the peer's ICRP is awaited",
    "wait-connect": "ICRP was sent, the peer's ICCN is awaited",
    "wait-helper": "l2tp-kernel is making the pseudowire",
    "wait-peer": "the peer does not answer, so the interface is down",
    "established": "the session is up",
}
"""What a session's state means: RFC 3931, section 7.3, and the two of static sessions."""


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
    """Return the peer's address, with its port over UDP: ``NAME[ADDRESS]:PORT`` where it has a name."""
    name, address, port = tunnel["peer_name"], tunnel["peer_address"], tunnel["peer_port"]
    if name:
        place = f"{name}[{address}]" if address else str(name)
    else:
        place = f"[{address}]" if port and ":" in address else str(address)
    return f"{place}:{port}" if port else place


def drops(session: Row) -> dict[str, int]:
    """Return why frames of a session were dropped, and how many."""
    return {name: count for name, count in session["counters"].items() if name not in FORWARDED and count}


def _seconds(key: str) -> Callable[[Row], str]:
    return lambda row: "" if row[key] is None else str(int(row[key]))


def _duration(key: str) -> Callable[[Row], str]:
    return lambda row: "" if row[key] is None else duration(row[key])


def _field(key: str) -> Callable[[Row], str]:
    return lambda row: str(row[key])


def milliseconds(seconds: float | None) -> str:
    """Return a short time for people, empty where it is not known."""
    return "" if seconds is None else f"{1000 * seconds:.1f}"


def _peer_place(peer: Row) -> str:
    name, address = peer["peer_name"], peer["address"]
    return f"{name}[{address}]" if name and address else str(name or address)


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

PEERS = (
    Column("ADDRESS", _peer_place),
    Column("HOST-NAME", _field("host_name")),
    Column("ROUTER-ID", _field("router_id")),
    Column("VENDOR", _field("vendor_name")),
    Column("TUNNELS", lambda peer: f"{peer['tunnels_established']}/{len(peer['tunnels'])}", numeric=True),
    Column("SESSIONS", lambda peer: f"{peer['sessions_established']}/{peer['sessions_configured']}", numeric=True),
    Column("NAMES", lambda peer: ",".join(peer["tunnels"])),
)

_MTU_FROM = Column(
    "MTU-FROM", lambda session: ("configuration" if session["mtu_fixed"] else "path") if session["mtu"] else ""
)
_MTU_AT = [column.title for column in SESSIONS].index("MTU") + 1
SESSIONS_OF_TUNNEL = tuple(
    column for column in (*SESSIONS[:_MTU_AT], _MTU_FROM, *SESSIONS[_MTU_AT:]) if column.title != "TUNNEL"
)


def headline(tunnel: Row) -> str:
    """Return in one sentence whether a tunnel is up, and if not why."""
    name = tunnel["name"]
    if tunnel["state"] == "established":
        return f"tunnel {name} is up" + (f" for {duration(tunnel['uptime'])}" if tunnel["uptime"] is not None else "")
    return f"tunnel {name} is not up: {tunnel['last_error'] or _meanings(tunnel).get(tunnel['state'], tunnel['state'])}"


def tunnel_facts(tunnel: Row) -> list[Fact]:
    """Return everything that is known of one tunnel, what an operator asks first coming first."""
    state = tunnel["state"]
    meaning = _meanings(tunnel).get(state)
    static = tunnel["mode"] == "static"
    return [
        Fact("state", f"{state}: {meaning}" if meaning else state, is_state=True),
        Fact("last error", tunnel["last_error"] or "none"),
        Fact("next attempt", _next_attempt(tunnel)),
        Fact("peer", f"{peer(tunnel)} over {tunnel['encapsulation'].upper()}"),
        *((Fact("peer's name", _name(tunnel)),) if tunnel["peer_name"] else ()),
        Fact("local address", tunnel["local_address"] or "chosen by routing"),
        *(_static_facts(tunnel) if static else () if state == "idle" else _connection_facts(tunnel)),
        Fact("sessions", f"{tunnel['sessions_established']} established of {tunnel['sessions_configured']}"),
    ]


def _name(tunnel: Row) -> str:
    """Return where the peer's host name leads, and what is wrong with that."""
    leads = f"leads to {', '.join(tunnel['peer_addresses'])}" if tunnel["peer_addresses"] else "leads nowhere yet"
    return f"{leads}; {tunnel['name_problem']}" if tunnel["name_problem"] else leads


def _connection_facts(tunnel: Row) -> list[Fact]:
    """Return what only a control connection has."""
    return [
        Fact("peer says", _identity(tunnel)),
        Fact("authentication", "message digest" if tunnel["authenticated"] else "none"),
        Fact("begun by", "this end" if tunnel["initiator"] else "the peer"),
        *_channel_facts(tunnel),
    ]


def _static_facts(tunnel: Row) -> list[Fact]:
    """Return what is known of a static tunnel; messages only where it has identifiers for them."""
    interval = tunnel["hello_interval"]
    return [
        Fact("mode", "static: identifiers and cookies are configured"),
        Fact("dead peers", "are not found out" if interval is None else f"HELLO every {duration(interval)}"),
        *(_channel_facts(tunnel) if tunnel["local_connection_id"] else ()),
    ]


def _channel_facts(tunnel: Row) -> list[Fact]:
    """Return what is known of the control messages."""
    return [
        Fact("connection ids", f"{_connection_id(tunnel, 'local')} local, {_connection_id(tunnel, 'peer')} peer"),
        Fact("sequence", f"Ns {tunnel['ns']}, Nr {tunnel['nr']}"),
        Fact(
            "messages",
            f"{tunnel['unacknowledged']} unacknowledged in a window of {tunnel['window']}, "
            f"{tunnel['queued']} queued, {tunnel['retransmissions']} retransmitted",
        ),
        Fact("round trip", "not measured yet" if tunnel["rtt"] is None else f"{milliseconds(tunnel['rtt'])} ms"),
    ]


def session_headline(session: Row) -> str:
    """Return in one sentence whether a session is up, and if not why."""
    name = session["name"]
    if session["state"] == "established":
        return f"session {name} is up on {session['interface']}" + (
            f" for {duration(session['uptime'])}" if session["uptime"] is not None else ""
        )
    return f"session {name} is not up: {session['last_error'] or SESSION_STATES.get(session['state'], '')}"


def session_facts(session: Row) -> list[Fact]:
    """Return everything that is known of one session."""
    state = session["state"]
    meaning = SESSION_STATES.get(state)
    lengths = f"{session['local_cookie_length']} octets local, {session['peer_cookie_length']} peer"
    return [
        Fact("state", f"{state}: {meaning}" if meaning else state, is_state=True),
        Fact("last error", session["last_error"] or "none"),
        Fact("tunnel", session["tunnel"]),
        Fact("interface", session["interface"]),
        *((Fact("mtu", mtu(session)),) if session["mtu"] else ()),
        *((Fact("remote end id", session["remote_end_id"]),) if session["remote_end_id"] else ()),
        Fact("pseudowire", session["pseudowire_type"]),
        Fact(
            "session ids",
            f"{_connection_id(session, 'local', 'session')} local, {_connection_id(session, 'peer', 'session')} peer",
        ),
        Fact("cookies", lengths),
        *(Fact(name.replace("_", " "), str(count)) for name, count in session["counters"].items()),
    ]


def statistics_facts(told: Row) -> list[Fact]:
    """Return what was counted, what never happened left out."""
    requests = told["helper_requests"]
    return [
        Fact("running for", duration(told["uptime"])),
        Fact("tunnels", f"{told['tunnels_established']} established of {told['tunnels_configured']}"),
        Fact("sessions", f"{told['sessions_established']} established of {told['sessions_configured']}"),
        Fact("received", _counts(told["messages_received"])),
        Fact("sent", _counts(told["messages_sent"])),
        Fact("sent again", str(told["retransmissions"])),
        Fact("dropped", _counts(told["drops"])),
        Fact("l2tp-kernel", "connected" if told["helper_connected"] else "away"),
        *(
            Fact(f"  {verb}", f"{one['count']} answered, {1000 * one['seconds'] / one['count']:.2f} ms each")
            for verb, one in requests.items()
        ),
    ]


def version_facts(told: Row) -> list[Fact]:
    """Return what runs."""
    return [
        Fact("l2tpd", told["l2tpd"]),
        Fact("python", told["python"]),
        Fact("l2tp-ctl", f"pid {told['pid']}"),
        Fact("planes", ", ".join(told["planes"]) or "l2tp-kernel is away"),
    ]


def change_line(event: Row) -> str:
    """Return one event of ``monitor`` as a line."""
    if "lost" in event:
        return f"{event['lost']} changes are missing here"
    time = datetime.fromtimestamp(event["time"]).astimezone()
    what = f"session {event['session']} of {event['tunnel']}" if event["session"] else f"tunnel {event['tunnel']}"
    reason = f": {event['reason']}" if event["reason"] else ""
    return printable(f"{time:%Y-%m-%d %H:%M:%S} {what} is {event['state']}{reason}")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none"


def mtu(session: Row) -> str:
    """Return the MTU in use and where it comes from."""
    source = "fixed by the configuration" if session["mtu_fixed"] else "computed from the path to the peer"
    return f"{session['mtu']}, {source}"


def difference_facts(differences: Iterable[str]) -> list[Fact]:
    """Return where l2tp-kernel has something else than l2tp-ctl wants."""
    return [Fact("differs", line, is_state=True) for line in differences]


def drop_facts(sessions: list[Row]) -> list[Fact]:
    """Return, for each session that dropped frames, why."""
    return [
        Fact(f"drops of {session['name']}", ", ".join(f"{count} {reason}" for reason, count in reasons.items()))
        for session in sessions
        if (reasons := drops(session))
    ]


def _meanings(tunnel: Row) -> Mapping[str, str]:
    return STATIC_TUNNEL_STATES if tunnel["mode"] == "static" else TUNNEL_STATES


def _next_attempt(tunnel: Row) -> str:
    if tunnel["next_attempt"] is not None:
        return f"in {int(tunnel['next_attempt'])} s"
    if not tunnel["enabled"]:
        return f"none until: l2tp-admin up {tunnel['name']}"
    if tunnel["state"] == "idle" and tunnel["peer_name"] and not tunnel["peer_addresses"]:
        return "none is planned; the peer may begin once its name leads somewhere"
    if tunnel["state"] == "idle" and tunnel["mode"] != "static":
        return "none is planned; the peer may begin"
    return "none needed" if tunnel["state"] == "established" else "under way"


def _identity(tunnel: Row) -> str:
    told = (("host name", "peer_host_name"), ("router id", "peer_router_id"), ("vendor", "peer_vendor_name"))
    return ", ".join(f"{label} {tunnel[key]}" for label, key in told if tunnel[key]) or "nothing yet"


def _connection_id(row: Row, end: str, kind: str = "connection") -> str:
    number = row[f"{end}_{kind}_id"]
    return f"{number} ({number:#x})" if number else "no"
