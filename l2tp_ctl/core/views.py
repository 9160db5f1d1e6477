"""What the Endpoint tells of itself: immutable snapshots for the admin commands and the metrics.

They are tuples because thousands are made at once, and a frozen dataclass takes three times as long to make.
"""

from __future__ import annotations

from typing import NamedTuple

from l2tp_ctl.core.effects import Pseudowire
from l2tp_ctl.core.settings import Address, Mode


class SessionView(NamedTuple):
    """One configured session.  Session ids are 0 and cookie lengths 0 until they are known.

    A static session knows them always, and has no Remote End ID.
    """

    name: str
    tunnel: str
    interface: str
    remote_end_id: bytes
    pseudowire_type: int
    state: str
    """``idle``, ``wait-control-conn``, ``wait-reply``, ``wait-connect`` or ``established`` (RFC 3931, section 7.3).

    A static one is ``idle``, ``wait-helper``, ``wait-peer`` or ``established``.
    """
    local_session_id: int
    peer_session_id: int
    local_cookie_length: int
    peer_cookie_length: int
    mtu: int
    """The interface's MTU as the helper set it, 0 while there is none."""
    mtu_fixed: bool
    """Whether the configuration gives it; otherwise it is computed from the path to the peer."""
    since: float
    """Time of the last change of state, on the Endpoint's clock."""
    peer_circuit_up: bool
    """What the peer last told of its end's circuit (RFC 3931, section 5.4.5); true until it tells."""
    last_error: str
    """Why the session last went down or did not come up; empty if it never did."""
    pseudowire: Pseudowire | None = None
    """What the helper was told last; None while there is to be nothing."""
    pending: bool = False
    """Whether the helper has not answered that yet."""
    circuit_up: bool = True
    """Whether our interface is up, but for what the peer's circuit does to it."""


class TunnelView(NamedTuple):
    """One configured tunnel and its control connection, if it has one.

    A static tunnel has the configured Control Connection IDs, and its peer says nothing of itself.
    """

    name: str
    mode: Mode
    state: str
    """``idle``, ``wait-ctl-reply``, ``wait-ctl-conn`` or ``established`` (RFC 3931, section 7.2).

    A static one is ``idle``, ``probing`` or ``established``.
    """
    address: Address
    """Where the control connection, or the next one, leads; its peer is empty while that is not known."""
    peer_name: str
    """The host name that stands for the peer's address; empty where none does.  Not the Host Name AVP."""
    peer_addresses: tuple[str, ...]
    """Where that name leads, as far as it was found out."""
    name_problem: str
    """Why the last look at the name was no use, empty where it was."""
    local_connection_id: int
    peer_connection_id: int
    peer_host_name: bytes
    peer_router_id: int
    peer_vendor_name: bytes
    ns: int
    nr: int
    window: int
    """Messages that may be unacknowledged now: the lesser of the peer's window and the congestion window."""
    unacknowledged: int
    queued: int
    retransmissions: int
    authenticated: bool
    initiator: bool
    """Whether this end began the control connection."""
    hello_interval: float | None
    """Seconds of silence before a HELLO, or from one to the next in a static tunnel; None sends none."""
    since: float
    """Time of the last change of state, on the Endpoint's clock."""
    next_attempt: float | None
    """When the next SCCRQ is due, or a static tunnel begins, on the Endpoint's clock.

    None while connected or when this end only answers.
    """
    last_error: str
    down: bool
    """Whether an operator put it down."""
    rtt: float | None
    """Seconds from a control message to its acknowledgement, smoothed; None until there was one."""
    sessions_configured: int
    sessions_established: int
    sessions: tuple[SessionView, ...]
    """Left out, and empty, where a snapshot of the tunnel alone was asked for."""
