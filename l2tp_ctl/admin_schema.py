"""The control process's admin contract: framing, commands, and the shape of what they answer.

A frame is a 4-octet big-endian length and that many octets of JSON (UTF-8, one object).  The same frames travel
between the command line and ``l2tp-admin serve`` and between that and the control process.

Request: ``{"v": 1, "id": N, "command": "show-tunnels", "args": {...}}``
Answer:  ``{"v": 1, "id": N, "ok": true, "result": ...}``
     or  ``{"v": 1, "id": N, "ok": false, "error": {"code": "not-found", "message": "..."}}``
Event:   ``{"v": 1, "id": N, "event": {...}}``, any number after the answer to a command of ``STREAMS``
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, NotRequired, TypedDict

VERSION = 1
HEADER_LENGTH = 4
MAX_REQUEST = 65536
"""Octets of the largest request body; a longer header closes the client."""
MAX_ANSWER = 64 * 1024 * 1024
"""Octets of the largest answer body."""
MAX_ID = 2**53 - 1
"""The largest request id: the largest integer that every JSON implementation keeps exact."""
MAX_ARGUMENT = 255
"""Characters of the longest argument."""


class Command(StrEnum):
    """What can be asked."""

    SHOW_TUNNELS = "show-tunnels"
    """``{}`` → ``{"tunnels": [Tunnel, …]}`` without their sessions."""
    SHOW_TUNNEL = "show-tunnel"
    """``{"name": str}`` → ``{"tunnel": Tunnel, "sessions": [Session, …], "problem": str, "differences": [str, …]}``."""
    SHOW_SESSIONS = "show-sessions"
    """``{}`` or ``{"tunnel": str}`` → ``{"sessions": [Session, …]}``."""
    SHOW_SESSION = "show-session"
    """``{"name": str}`` → ``{"session": Session, "differences": [str, …]}``."""
    SHOW_PEERS = "show-peers"
    """``{}`` → ``{"peers": [Peer, …]}``."""
    SHOW_STATISTICS = "show-statistics"
    """``{}`` → ``Statistics``."""
    SHOW_CONFIG = "show-config"
    """``{}`` → ``{"config": {…}}``: what is in force, with the keys of the file and without secrets."""
    SHOW_VERSION = "show-version"
    """``{}`` → ``Version``."""
    CLEAR_TUNNEL = "clear-tunnel"
    """``{"target": name | peer address | peer's host name | "all"}`` → ``{"cleared": [name, …]}``."""
    CLEAR_SESSION = "clear-session"
    """``{"target": name | interface}`` → ``{"cleared": [name, …]}``."""
    RELOAD = "reload"
    """``{}`` → ``Reloaded``."""
    UP = "up"
    """``{"name": str}`` → ``{"changed": [name]}``: the tunnel may come up again."""
    DOWN = "down"
    """``{"name": str}`` → ``{"changed": [name]}``: the tunnel goes down, until it is told to come up."""
    MONITOR = "monitor"
    """``{}`` → ``{}``, and a ``Change`` for each change of a tunnel's or session's state."""
    CAPTURE = "capture"
    """``{}`` or ``{"peer": address}`` → ``{}``, and a ``Captured`` for each control message."""
    SHOW_LOG = "show-log"
    """``{}``, ``{"tunnel": str}`` or ``{"level": str}`` → ``{"lines": [LogLine, …]}``, oldest first."""
    FOLLOW_LOG = "follow-log"
    """The same, and a ``LogLine`` for each new one."""


READ_ONLY = frozenset(
    {
        Command.SHOW_TUNNELS,
        Command.SHOW_TUNNEL,
        Command.SHOW_SESSIONS,
        Command.SHOW_SESSION,
        Command.SHOW_PEERS,
        Command.SHOW_STATISTICS,
        Command.SHOW_CONFIG,
        Command.SHOW_VERSION,
        Command.MONITOR,
        Command.SHOW_LOG,
        Command.FOLLOW_LOG,
    }
)
"""Commands that change nothing."""

STREAMS = frozenset({Command.MONITOR, Command.CAPTURE, Command.FOLLOW_LOG})
"""Commands whose answer is followed by events until one side closes the connection."""


ARGUMENTS: Mapping[Command, Mapping[str, bool]] = {
    Command.SHOW_TUNNELS: {},
    Command.SHOW_TUNNEL: {"name": True},
    Command.SHOW_SESSIONS: {"tunnel": False},
    Command.SHOW_SESSION: {"name": True},
    Command.SHOW_PEERS: {},
    Command.SHOW_STATISTICS: {},
    Command.SHOW_CONFIG: {},
    Command.SHOW_VERSION: {},
    Command.CLEAR_TUNNEL: {"target": True},
    Command.CLEAR_SESSION: {"target": True},
    Command.RELOAD: {},
    Command.UP: {"name": True},
    Command.DOWN: {"name": True},
    Command.MONITOR: {},
    Command.CAPTURE: {"peer": False},
    Command.SHOW_LOG: {"tunnel": False, "level": False},
    Command.FOLLOW_LOG: {"tunnel": False, "level": False},
}
"""Each command's arguments and whether they are required.  Every argument is a text of 1 to 255 characters."""


class ErrorCode(StrEnum):
    """Why a command was not carried out."""

    MALFORMED = "malformed"
    """The frame is not a request of this contract."""
    VERSION = "version"
    """The request's ``v`` is not a version that is spoken here."""
    UNKNOWN_COMMAND = "unknown-command"
    BAD_ARGUMENTS = "bad-arguments"
    """An argument is missing, unknown, no text, empty or too long."""
    NOT_FOUND = "not-found"
    """No tunnel, session, address or interface has that name."""
    DENIED = "denied"
    """The caller's role does not allow it."""
    BUSY = "busy"
    """A limit of the server is reached; the same request may be made again later."""
    UNREACHABLE = "unreachable"
    """The control process does not answer; a command that changes something may or may not have been carried out."""
    BAD_CONFIGURATION = "bad-configuration"
    """The configuration file has mistakes; the error's ``details`` are a line for each."""
    INTERNAL = "internal"
    """The control process has a defect; its log says where."""


class Error(TypedDict):
    """An answer's ``error``."""

    code: str
    message: str
    details: NotRequired[list[str]]
    """More lines for people, where there are any."""


class Session(TypedDict):
    """One session in an answer.  Cookies themselves are never shown, only their lengths in octets."""

    name: str
    tunnel: str
    state: str
    interface: str
    remote_end_id: str
    """Empty for a static session."""
    pseudowire_type: str
    """``ethernet`` or ``vlan``."""
    local_session_id: int
    peer_session_id: int
    local_cookie_length: int
    peer_cookie_length: int
    mtu: int
    """The interface's as l2tp-kernel set it; 0 while there is none."""
    mtu_fixed: bool
    """Whether the configuration gives it (``mtu = N``); otherwise it is computed from the path to the peer."""
    uptime: float | None
    """Seconds established; null while not."""
    last_error: str
    counters: dict[str, int]
    """tx_frames, tx_octets, rx_frames, rx_octets and one for each reason to drop a frame; empty if there are none."""


class Tunnel(TypedDict):
    """One tunnel in an answer."""

    name: str
    mode: str
    """``signalled`` or ``static``."""
    state: str
    encapsulation: str
    local_address: str
    peer_address: str
    """Empty while the peer has a name and it is not known where that leads."""
    peer_port: int
    peer_name: str
    """The host name that the configuration gives for the peer's address; empty where it gives the address."""
    peer_addresses: list[str]
    """Where that name leads, as far as it was found out."""
    name_problem: str
    """Why the last look at the name was no use, empty where it was."""
    local_connection_id: int
    peer_connection_id: int
    peer_host_name: str
    peer_router_id: str
    peer_vendor_name: str
    ns: int
    nr: int
    window: int
    unacknowledged: int
    queued: int
    retransmissions: int
    authenticated: bool
    initiator: bool
    hello_interval: float | None
    """Seconds of silence before a HELLO, or from one to the next in a static tunnel; null where none is sent."""
    sessions_configured: int
    sessions_established: int
    uptime: float | None
    """Seconds established; null while not."""
    next_attempt: float | None
    """Seconds to the next attempt; null when none is due."""
    last_error: str
    enabled: bool
    """False where an operator put it down."""
    rtt: float | None
    """Seconds from a control message to its acknowledgement, smoothed; null until there was one."""


class Peer(TypedDict):
    """One address with tunnels."""

    address: str
    """Empty where only a name is known."""
    peer_name: str
    """The host name that the configuration gives for it; empty where it gives none."""
    host_name: str
    router_id: str
    vendor_name: str
    """What it said of itself, empty until then."""
    tunnels: list[str]
    tunnels_established: int
    sessions_configured: int
    sessions_established: int


class Latency(TypedDict):
    """Requests of one kind that were answered, and how long that took in all."""

    count: int
    seconds: float


class Statistics(TypedDict):
    """What was counted since l2tp-ctl began."""

    uptime: float
    """Seconds since then."""
    problem: str
    """Why no tunnel can come up at all, empty where nothing prevents it."""
    tunnels_configured: int
    tunnels_established: int
    sessions_configured: int
    sessions_established: int
    messages_received: dict[str, int]
    """Control messages by type, each counted once."""
    messages_sent: dict[str, int]
    """By type, those sent again included."""
    retransmissions: int
    datagrams: int
    """Received, whatever became of them."""
    drops: dict[str, int]
    """Datagrams that were not used, by reason."""
    helper_connected: bool
    helper_requests: dict[str, Latency]
    """By what l2tp-kernel was asked for."""


class Version(TypedDict):
    """What runs."""

    l2tpd: str
    python: str
    pid: int
    """Of l2tp-ctl."""
    planes: list[str]
    """What l2tp-kernel can forward frames by here; empty while it is away."""


class Captured(TypedDict):
    """One event of ``capture``: a control message as it was received or sent."""

    time: float
    """Seconds since 1970."""
    sent: bool
    """Whether we sent it."""
    encapsulation: str
    """``udp`` or ``ip``."""
    local_address: str
    """Unspecified (``0.0.0.0`` or ``::``) where routing chose it."""
    local_port: int
    peer_address: str
    peer_port: int
    """Ports are 0 over IP."""
    data: str
    """Its octets from the control header's flags on, in base64."""


class Change(TypedDict):
    """One event of ``monitor``."""

    time: float
    """Seconds since 1970."""
    tunnel: str
    session: str
    """Empty where the tunnel itself changed."""
    state: str
    reason: str
    """Why it went down or is not up, or where the peer's name leads now; empty where there is nothing to say."""


class LogLine(TypedDict):
    """One line of the log."""

    time: float
    """Seconds since 1970."""
    level: str
    """``error``, ``warn``, ``notice``, ``info`` or ``debug``."""
    id: str
    """Of the message catalogue: what ``l2tp-admin explain`` takes."""
    message: str
    tunnel: str
    session: str
    """Empty where the line is about no one tunnel, no one session."""
    fields: dict[str, str | int]
    """What the message was filled in with."""


class Reloaded(TypedDict):
    """What a new configuration has changed: names of tunnels and templates."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    needs_restart: list[str]
    """Keys whose new values take effect when l2tp-ctl is started again."""


class Lost(TypedDict):
    """An event of any stream: the receiver was too slow for what came before."""

    lost: int
    """Events that are missing here."""


class Request(NamedTuple):
    """A request that keeps to the contract."""

    id: int
    """Chosen by the client, 0..2**53-1; its answer carries it again."""
    command: Command
    args: dict[str, str]

    def body(self) -> dict[str, Any]:
        """Return the request as a frame's body."""
        return {"v": VERSION, "id": self.id, "command": self.command.value, "args": self.args}


class RequestError(Exception):
    """A body is no request of this contract; ``id`` is None where it has none that can be used."""

    def __init__(self, request_id: int | None, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.id = request_id
        self.code = code


def parse_request(body: Mapping[str, Any]) -> Request:
    """Return the request in a frame's body; raises ``RequestError``.  Unknown members beside ``args`` are ignored."""
    request_id = body.get("id")
    if type(request_id) is not int or not 0 <= request_id <= MAX_ID:
        raise RequestError(None, ErrorCode.MALFORMED, "id must be an integer from 0 to 2**53-1")
    version = body.get("v")
    if type(version) is not int or version != VERSION:
        raise RequestError(request_id, ErrorCode.VERSION, f"v must be {VERSION}")
    name = body.get("command")
    if not isinstance(name, str) or name not in Command.__members__.values():
        raise RequestError(request_id, ErrorCode.UNKNOWN_COMMAND, "no such command")
    command = Command(name)
    args = body.get("args", {})
    if problem := _argument_problem(command, args):
        raise RequestError(request_id, ErrorCode.BAD_ARGUMENTS, problem)
    return Request(request_id, command, args)


def _argument_problem(command: Command, args: object) -> str:
    """Return what is wrong with a command's arguments, empty if nothing is."""
    allowed = ARGUMENTS[command]
    if not isinstance(args, dict):
        return "args must be an object"
    if missing := [name for name, required in allowed.items() if required and name not in args]:
        return f"{command} needs {missing[0]}"
    if args.keys() - allowed.keys():
        return f"{command} takes " + (" and ".join(allowed) or "no arguments")
    if not all(isinstance(value, str) and 0 < len(value) <= MAX_ARGUMENT for value in args.values()):
        return f"every argument must be a text of 1 to {MAX_ARGUMENT} characters"
    return ""


def success(request_id: int, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of the answer to a command that was carried out."""
    return {"v": VERSION, "id": request_id, "ok": True, "result": result}


def event(request_id: int, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of one event of the stream that ``request_id`` asked for."""
    return {"v": VERSION, "id": request_id, "event": told}


def failure(request_id: int | None, code: ErrorCode, message: str, details: Sequence[str] = ()) -> dict[str, Any]:
    """Return the body of the answer to a command that was not carried out, ``message`` being one line for a person."""
    error = Error(code=code.value, message=message)
    if details:
        error["details"] = [*details]
    return {"v": VERSION, "id": request_id, "ok": False, "error": error}
