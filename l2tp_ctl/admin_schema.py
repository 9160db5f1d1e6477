"""The control process's admin contract: framing, commands, and the shape of what they answer.

A frame is a 4-octet big-endian length and that many octets of JSON (UTF-8, one object).  The same frames travel
between the command line and ``l2tp-admin serve`` and between that and the control process.

Request: ``{"v": 1, "id": N, "command": "show-tunnels", "args": {...}}``
Answer:  ``{"v": 1, "id": N, "ok": true, "result": ...}``
     or  ``{"v": 1, "id": N, "ok": false, "error": {"code": "not-found", "message": "..."}}``
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypedDict

VERSION = 1
HEADER_LENGTH = 4
MAX_REQUEST = 65536
"""Octets of the largest request body; a longer header closes the client."""
MAX_ANSWER = 64 * 1024 * 1024
"""Octets of the largest answer body."""


class Command(StrEnum):
    """What can be asked."""

    SHOW_TUNNELS = "show-tunnels"
    """``{}`` → ``{"tunnels": [Tunnel, …]}`` without their sessions."""
    SHOW_TUNNEL = "show-tunnel"
    """``{"name": str}`` → ``{"tunnel": Tunnel, "sessions": [Session, …]}``."""
    SHOW_SESSIONS = "show-sessions"
    """``{}`` or ``{"tunnel": str}`` → ``{"sessions": [Session, …]}``."""
    CLEAR_TUNNEL = "clear-tunnel"
    """``{"target": name | peer address | "all"}`` → ``{"cleared": [name, …]}``."""
    CLEAR_SESSION = "clear-session"
    """``{"target": name | interface}`` → ``{"cleared": [name, …]}``."""


READ_ONLY = frozenset({Command.SHOW_TUNNELS, Command.SHOW_TUNNEL, Command.SHOW_SESSIONS})
"""Commands that change nothing."""


class ErrorCode(StrEnum):
    """Why a command was not carried out."""

    MALFORMED = "malformed"
    """The frame is not a request of this contract."""
    VERSION = "version"
    UNKNOWN_COMMAND = "unknown-command"
    BAD_ARGUMENTS = "bad-arguments"
    NOT_FOUND = "not-found"
    DENIED = "denied"
    """The caller's role does not allow it."""
    UNREACHABLE = "unreachable"
    """The control process does not answer."""


class Error(TypedDict):
    """An answer's ``error``."""

    code: str
    message: str


class Session(TypedDict):
    """One session in an answer.  Cookies themselves are never shown, only their lengths in octets."""

    name: str
    tunnel: str
    state: str
    interface: str
    remote_end_id: str
    pseudowire_type: str
    """``ethernet`` or ``vlan``."""
    local_session_id: int
    peer_session_id: int
    local_cookie_length: int
    peer_cookie_length: int
    mtu: int
    uptime: float | None
    """Seconds established; null while not."""
    last_error: str
    counters: dict[str, int]
    """Plane counters: tx_frames, tx_octets, rx_frames, rx_octets and drops; empty while there are none."""


class Tunnel(TypedDict):
    """One tunnel in an answer."""

    name: str
    state: str
    encapsulation: str
    local_address: str
    peer_address: str
    peer_port: int
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
    sessions_configured: int
    sessions_established: int
    uptime: float | None
    """Seconds established; null while not."""
    next_attempt: float | None
    """Seconds to the next attempt; null when none is due."""
    last_error: str
