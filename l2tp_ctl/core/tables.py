"""The state machines of RFC 3931 as literal tables, and nothing else.

Every (state, event) pair stands in exactly one place: a row of a table (what happens, and the next state), the
table's ``IGNORED`` set (cannot matter, nothing happens), or neither, which makes it a violation: the event cannot
be caused by the peer and would be a defect of ours, so firing it raises.

Rows marked "ours" are not in the RFC's tables; each stands for what the RFC says in prose.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TypeAlias


class TunnelState(Enum):
    """Control connection states (RFC 3931, section 7.2)."""

    IDLE = "idle"
    WAIT_CTL_REPLY = "wait-ctl-reply"
    WAIT_CTL_CONN = "wait-ctl-conn"
    ESTABLISHED = "established"


class TunnelEvent(Enum):
    """What can happen to a control connection.  ``BAD`` is RFC 3931's "not acceptable"."""

    LOCAL_OPEN = auto()
    SCCRQ_OK = auto()
    SCCRQ_BAD = auto()
    SCCRQ_LOSE_OK = auto()
    """We lose the tie, and the peer's SCCRQ is acceptable."""
    SCCRQ_LOSE_BAD = auto()
    SCCRQ_WIN = auto()
    SCCRQ_DRAW = auto()
    SCCRP_OK = auto()
    SCCRP_BAD = auto()
    SCCCN_OK = auto()
    SCCCN_BAD = auto()
    STOPCCN = auto()
    NEW_CALL = auto()
    CLOSE = auto()
    """Administrative close, a protocol fault, or shutdown: this end wants it gone."""
    DELIVERY_FAILED = auto()
    """The peer acknowledges nothing any more (section 4.2)."""


class TunnelAction(Enum):
    """What is done as the next state is entered."""

    SEND_SCCRQ = auto()
    SEND_SCCRP = auto()
    SEND_SCCCN_OPEN_SESSIONS = auto()
    OPEN_SESSIONS = auto()
    STOPCCN_CLEAN = auto()
    SWITCH_SEND_SCCRP = auto()
    """Clean up the losing connection and answer the winning one."""
    SWITCH_STOPCCN = auto()
    STOPCCN_LOSER = auto()
    CLEAN = auto()


class SessionState(Enum):
    """Incoming call states, of either role (RFC 3931, section 7.3)."""

    IDLE = "idle"
    WAIT_CONTROL_CONN = "wait-control-conn"
    WAIT_REPLY = "wait-reply"
    WAIT_CONNECT = "wait-connect"
    ESTABLISHED = "established"


class SessionEvent(Enum):
    """What can happen to a session.  ``BAD`` is RFC 3931's "not acceptable"."""

    CALL = auto()
    CONTROL_OPEN = auto()
    ICRQ_OK = auto()
    ICRQ_BAD = auto()
    ICRQ_LOSE = auto()
    ICRQ_WIN = auto()
    ICRQ_DRAW = auto()
    ICRP_OK = auto()
    ICRP_BAD = auto()
    ICCN_OK = auto()
    ICCN_BAD = auto()
    CDN = auto()
    CLOSE = auto()
    """Local close request: administrative, the pseudowire failed, or a timeout."""
    CONTROL_CLOSED = auto()
    """The control connection is gone, and the session with it."""


class SessionAction(Enum):
    """What is done as the next state is entered."""

    WAIT = auto()
    SEND_ICRQ = auto()
    SEND_ICRP = auto()
    SEND_ICCN = auto()
    PREPARE_FOR_DATA = auto()
    BECOME_RECIPIENT = auto()
    """Give up our own call and process the peer's ICRQ from idle."""
    CDN_LOSER = auto()
    CDN_CLEAN = auto()
    CLEAN = auto()


TunnelTable: TypeAlias = dict[tuple[TunnelState, TunnelEvent], tuple[TunnelAction, TunnelState]]
SessionTable: TypeAlias = dict[tuple[SessionState, SessionEvent], tuple[SessionAction, SessionState]]


def _tunnel_table() -> TunnelTable:
    s, e, a = TunnelState, TunnelEvent, TunnelAction
    return {
        (s.IDLE, e.LOCAL_OPEN): (a.SEND_SCCRQ, s.WAIT_CTL_REPLY),
        (s.IDLE, e.SCCRQ_OK): (a.SEND_SCCRP, s.WAIT_CTL_CONN),
        (s.IDLE, e.SCCRQ_BAD): (a.STOPCCN_CLEAN, s.IDLE),
        (s.IDLE, e.SCCRP_OK): (a.STOPCCN_CLEAN, s.IDLE),
        (s.IDLE, e.SCCRP_BAD): (a.STOPCCN_CLEAN, s.IDLE),
        (s.IDLE, e.SCCCN_OK): (a.STOPCCN_CLEAN, s.IDLE),
        (s.IDLE, e.SCCCN_BAD): (a.STOPCCN_CLEAN, s.IDLE),
        (s.IDLE, e.STOPCCN): (a.CLEAN, s.IDLE),
        (s.WAIT_CTL_REPLY, e.SCCRP_OK): (a.SEND_SCCCN_OPEN_SESSIONS, s.ESTABLISHED),
        (s.WAIT_CTL_REPLY, e.SCCRP_BAD): (a.STOPCCN_CLEAN, s.IDLE),
        (s.WAIT_CTL_REPLY, e.SCCRQ_LOSE_OK): (a.SWITCH_SEND_SCCRP, s.WAIT_CTL_CONN),
        (s.WAIT_CTL_REPLY, e.SCCRQ_LOSE_BAD): (a.SWITCH_STOPCCN, s.IDLE),
        (s.WAIT_CTL_REPLY, e.SCCRQ_WIN): (a.STOPCCN_LOSER, s.WAIT_CTL_REPLY),
        (s.WAIT_CTL_REPLY, e.SCCRQ_OK): (a.STOPCCN_CLEAN, s.IDLE),  # ours: sent to our Control Connection ID, not 0
        (s.WAIT_CTL_REPLY, e.SCCRQ_BAD): (a.STOPCCN_CLEAN, s.IDLE),  # ours: the same
        (s.WAIT_CTL_REPLY, e.SCCRQ_DRAW): (a.CLEAN, s.IDLE),  # ours: section 5.4.3, both restart
        (s.WAIT_CTL_REPLY, e.SCCCN_OK): (a.STOPCCN_CLEAN, s.IDLE),
        (s.WAIT_CTL_REPLY, e.SCCCN_BAD): (a.STOPCCN_CLEAN, s.IDLE),
        (s.WAIT_CTL_REPLY, e.STOPCCN): (a.CLEAN, s.IDLE),
        (s.WAIT_CTL_REPLY, e.CLOSE): (a.STOPCCN_CLEAN, s.IDLE),  # ours
        (s.WAIT_CTL_REPLY, e.DELIVERY_FAILED): (a.CLEAN, s.IDLE),  # ours: section 4.2
        (s.WAIT_CTL_CONN, e.SCCCN_OK): (a.OPEN_SESSIONS, s.ESTABLISHED),
        (s.WAIT_CTL_CONN, e.SCCCN_BAD): (a.STOPCCN_CLEAN, s.IDLE),
        (s.WAIT_CTL_CONN, e.SCCRQ_OK): (a.STOPCCN_CLEAN, s.IDLE),
        (s.WAIT_CTL_CONN, e.SCCRQ_BAD): (a.STOPCCN_CLEAN, s.IDLE),
        (s.WAIT_CTL_CONN, e.SCCRP_OK): (a.STOPCCN_CLEAN, s.IDLE),
        (s.WAIT_CTL_CONN, e.SCCRP_BAD): (a.STOPCCN_CLEAN, s.IDLE),
        (s.WAIT_CTL_CONN, e.STOPCCN): (a.CLEAN, s.IDLE),
        (s.WAIT_CTL_CONN, e.CLOSE): (a.STOPCCN_CLEAN, s.IDLE),  # ours
        (s.WAIT_CTL_CONN, e.DELIVERY_FAILED): (a.CLEAN, s.IDLE),  # ours: section 4.2
        (s.ESTABLISHED, e.NEW_CALL): (a.OPEN_SESSIONS, s.ESTABLISHED),
        (s.ESTABLISHED, e.CLOSE): (a.STOPCCN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.SCCRQ_OK): (a.STOPCCN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.SCCRQ_BAD): (a.STOPCCN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.SCCRP_OK): (a.STOPCCN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.SCCRP_BAD): (a.STOPCCN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.SCCCN_OK): (a.STOPCCN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.SCCCN_BAD): (a.STOPCCN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.STOPCCN): (a.CLEAN, s.IDLE),
        (s.ESTABLISHED, e.DELIVERY_FAILED): (a.CLEAN, s.IDLE),  # ours: section 4.2
    }


def _sender_table() -> SessionTable:
    s, e, a = SessionState, SessionEvent, SessionAction
    return {
        (s.IDLE, e.CALL): (a.WAIT, s.WAIT_CONTROL_CONN),
        (s.IDLE, e.ICRP_OK): (a.CLEAN, s.IDLE),
        (s.IDLE, e.ICRP_BAD): (a.CLEAN, s.IDLE),
        (s.IDLE, e.ICCN_OK): (a.CLEAN, s.IDLE),
        (s.IDLE, e.ICCN_BAD): (a.CLEAN, s.IDLE),
        (s.IDLE, e.CDN): (a.CLEAN, s.IDLE),
        (s.WAIT_CONTROL_CONN, e.CONTROL_OPEN): (a.SEND_ICRQ, s.WAIT_REPLY),
        (s.WAIT_CONTROL_CONN, e.CLOSE): (a.CLEAN, s.IDLE),
        (s.WAIT_CONTROL_CONN, e.CONTROL_CLOSED): (a.CLEAN, s.IDLE),  # ours
        (s.WAIT_REPLY, e.ICRP_OK): (a.SEND_ICCN, s.ESTABLISHED),
        (s.WAIT_REPLY, e.ICRP_BAD): (a.CDN_CLEAN, s.IDLE),
        (s.WAIT_REPLY, e.ICRQ_LOSE): (a.BECOME_RECIPIENT, s.IDLE),
        (s.WAIT_REPLY, e.ICRQ_WIN): (a.CDN_LOSER, s.WAIT_REPLY),
        (s.WAIT_REPLY, e.ICRQ_DRAW): (a.CDN_CLEAN, s.IDLE),  # ours: section 5.4.4, both restart
        (s.WAIT_REPLY, e.CDN): (a.CLEAN, s.IDLE),
        (s.WAIT_REPLY, e.ICCN_OK): (a.CLEAN, s.IDLE),
        (s.WAIT_REPLY, e.ICCN_BAD): (a.CLEAN, s.IDLE),
        (s.WAIT_REPLY, e.CLOSE): (a.CDN_CLEAN, s.IDLE),
        (s.WAIT_REPLY, e.CONTROL_CLOSED): (a.CLEAN, s.IDLE),  # ours
        (s.ESTABLISHED, e.CDN): (a.CLEAN, s.IDLE),
        (s.ESTABLISHED, e.ICRQ_OK): (a.CDN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.ICRQ_BAD): (a.CDN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.ICRP_OK): (a.CDN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.ICRP_BAD): (a.CDN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.ICCN_OK): (a.CDN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.ICCN_BAD): (a.CDN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.CLOSE): (a.CDN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.CONTROL_CLOSED): (a.CLEAN, s.IDLE),  # ours
    }


def _recipient_table() -> SessionTable:
    s, e, a = SessionState, SessionEvent, SessionAction
    return {
        (s.IDLE, e.ICRQ_OK): (a.SEND_ICRP, s.WAIT_CONNECT),
        (s.IDLE, e.ICRQ_BAD): (a.CDN_CLEAN, s.IDLE),
        (s.IDLE, e.ICRP_OK): (a.CDN_CLEAN, s.IDLE),
        (s.IDLE, e.ICRP_BAD): (a.CDN_CLEAN, s.IDLE),
        (s.IDLE, e.ICCN_OK): (a.CLEAN, s.IDLE),
        (s.IDLE, e.ICCN_BAD): (a.CLEAN, s.IDLE),
        (s.IDLE, e.CDN): (a.CLEAN, s.IDLE),
        (s.IDLE, e.CLOSE): (a.CDN_CLEAN, s.IDLE),  # ours: closed while the helper makes the pseudowire
        (s.IDLE, e.CONTROL_CLOSED): (a.CLEAN, s.IDLE),  # ours
        (s.WAIT_CONNECT, e.ICCN_OK): (a.PREPARE_FOR_DATA, s.ESTABLISHED),
        (s.WAIT_CONNECT, e.ICCN_BAD): (a.CDN_CLEAN, s.IDLE),
        (s.WAIT_CONNECT, e.ICRQ_OK): (a.CDN_CLEAN, s.IDLE),
        (s.WAIT_CONNECT, e.ICRQ_BAD): (a.CDN_CLEAN, s.IDLE),
        (s.WAIT_CONNECT, e.ICRP_OK): (a.CDN_CLEAN, s.IDLE),
        (s.WAIT_CONNECT, e.ICRP_BAD): (a.CDN_CLEAN, s.IDLE),
        (s.WAIT_CONNECT, e.CDN): (a.CLEAN, s.IDLE),
        (s.WAIT_CONNECT, e.CLOSE): (a.CDN_CLEAN, s.IDLE),
        (s.WAIT_CONNECT, e.CONTROL_CLOSED): (a.CLEAN, s.IDLE),  # ours
        (s.ESTABLISHED, e.CDN): (a.CLEAN, s.IDLE),
        (s.ESTABLISHED, e.ICRQ_OK): (a.CDN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.ICRQ_BAD): (a.CDN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.ICRP_OK): (a.CDN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.ICRP_BAD): (a.CDN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.ICCN_OK): (a.CDN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.ICCN_BAD): (a.CDN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.CLOSE): (a.CDN_CLEAN, s.IDLE),
        (s.ESTABLISHED, e.CONTROL_CLOSED): (a.CLEAN, s.IDLE),  # ours
    }


TUNNEL: TunnelTable = _tunnel_table()
"""Control connection (RFC 3931, section 7.2.1)."""

SENDER: SessionTable = _sender_table()
"""The end that sent ICRQ (RFC 3931, section 7.3.1)."""

RECIPIENT: SessionTable = _recipient_table()
"""The end that received ICRQ (RFC 3931, section 7.3.2)."""

TUNNEL_IGNORED = frozenset(
    {
        (TunnelState.IDLE, TunnelEvent.CLOSE),
        (TunnelState.IDLE, TunnelEvent.DELIVERY_FAILED),
        (TunnelState.IDLE, TunnelEvent.NEW_CALL),
        (TunnelState.WAIT_CTL_REPLY, TunnelEvent.NEW_CALL),
        (TunnelState.WAIT_CTL_CONN, TunnelEvent.NEW_CALL),
    }
)
"""A call that waits, or the end of what has already ended."""

SENDER_IGNORED = frozenset(
    {
        (SessionState.IDLE, SessionEvent.CLOSE),
        (SessionState.IDLE, SessionEvent.CONTROL_CLOSED),
        (SessionState.WAIT_CONTROL_CONN, SessionEvent.CALL),
        (SessionState.WAIT_REPLY, SessionEvent.CALL),
        (SessionState.ESTABLISHED, SessionEvent.CALL),
    }
)
RECIPIENT_IGNORED = frozenset(
    {
        (SessionState.WAIT_CONNECT, SessionEvent.CALL),
        (SessionState.ESTABLISHED, SessionEvent.CALL),
    }
)
