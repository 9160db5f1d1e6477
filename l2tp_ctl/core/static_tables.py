"""The state machines of static tunnels and their sessions as literal tables, in the manner of :mod:`tables`.

They are ours: RFC 3931 has no states for what is not signalled.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TypeAlias


class StaticTunnelState(Enum):
    """Whether the sessions of a static tunnel may carry frames."""

    IDLE = "idle"
    """There is nothing: an operator put it down, or cleared it a moment ago."""
    PROBING = "probing"
    """A HELLO is on its way, and the peer has not answered yet or does not answer any more."""
    ESTABLISHED = "established"
    """The peer answers, or nothing tells whether it does."""


class StaticTunnelEvent(Enum):
    """What can happen to a static tunnel."""

    OPEN = auto()
    """It begins, or goes on, without dead-peer detection."""
    PROBE = auto()
    """It begins, with dead-peer detection."""
    ANSWER = auto()
    """The peer has acknowledged a HELLO."""
    SILENCE = auto()
    """The peer has not answered a HELLO, nor its last retransmission (RFC 3931, sections 4.2 and 4.4)."""
    CLOSE = auto()


class StaticTunnelAction(Enum):
    """What is done as the next state is entered."""

    OPEN_SESSIONS = auto()
    PROBE_OPEN_SESSIONS = auto()
    PROBE = auto()
    RESUME_SESSIONS = auto()
    PROBE_SUSPEND_SESSIONS = auto()
    CLOSE_SESSIONS = auto()


class StaticSessionState(Enum):
    """How far the pseudowire of a static session is."""

    IDLE = "idle"
    """It does not exist; where a timer is armed the next attempt is due."""
    WAIT_HELPER = "wait-helper"
    """The helper is making it, or setting it up after the peer came back."""
    WAIT_PEER = "wait-peer"
    """It exists and is down while the peer does not answer."""
    ESTABLISHED = "established"
    """The helper has confirmed it, and the peer answers as far as anybody looks."""


class StaticSessionEvent(Enum):
    """What can happen to a static session."""

    OPEN = auto()
    MADE = auto()
    """The helper did what it was asked, and the peer answers."""
    MADE_WHILE_SILENT = auto()
    """The helper did what it was asked, and the peer does not answer."""
    FAILED = auto()
    """The helper could not do it."""
    GONE = auto()
    """Somebody removed the interface."""
    RESUME = auto()
    """The peer answers again."""
    SUSPEND = auto()
    """The peer does not answer any more."""
    CLOSE = auto()


class StaticSessionAction(Enum):
    """What is done as the next state is entered."""

    SET = auto()
    """Have the helper make the pseudowire exist with exactly these parameters."""
    UP = auto()
    WAIT = auto()
    CLEAN_RETRY = auto()
    """Remove what there is, and try again later."""
    CLEAN = auto()


StaticTunnelTable: TypeAlias = dict[
    tuple[StaticTunnelState, StaticTunnelEvent], tuple[StaticTunnelAction, StaticTunnelState]
]
StaticSessionTable: TypeAlias = dict[
    tuple[StaticSessionState, StaticSessionEvent], tuple[StaticSessionAction, StaticSessionState]
]


def _tunnel_table() -> StaticTunnelTable:
    s, e, a = StaticTunnelState, StaticTunnelEvent, StaticTunnelAction
    return {
        (s.IDLE, e.OPEN): (a.OPEN_SESSIONS, s.ESTABLISHED),
        (s.IDLE, e.PROBE): (a.PROBE_OPEN_SESSIONS, s.PROBING),
        (s.PROBING, e.OPEN): (a.RESUME_SESSIONS, s.ESTABLISHED),
        (s.PROBING, e.ANSWER): (a.RESUME_SESSIONS, s.ESTABLISHED),
        (s.PROBING, e.SILENCE): (a.PROBE, s.PROBING),
        (s.PROBING, e.CLOSE): (a.CLOSE_SESSIONS, s.IDLE),
        (s.ESTABLISHED, e.SILENCE): (a.PROBE_SUSPEND_SESSIONS, s.PROBING),
        (s.ESTABLISHED, e.CLOSE): (a.CLOSE_SESSIONS, s.IDLE),
    }


def _session_table() -> StaticSessionTable:
    s, e, a = StaticSessionState, StaticSessionEvent, StaticSessionAction
    return {
        (s.IDLE, e.OPEN): (a.SET, s.WAIT_HELPER),
        (s.IDLE, e.CLOSE): (a.CLEAN, s.IDLE),
        (s.WAIT_HELPER, e.MADE): (a.UP, s.ESTABLISHED),
        (s.WAIT_HELPER, e.MADE_WHILE_SILENT): (a.WAIT, s.WAIT_PEER),
        (s.WAIT_HELPER, e.FAILED): (a.CLEAN_RETRY, s.IDLE),
        (s.WAIT_HELPER, e.GONE): (a.CLEAN_RETRY, s.IDLE),
        (s.WAIT_HELPER, e.RESUME): (a.SET, s.WAIT_HELPER),
        (s.WAIT_HELPER, e.SUSPEND): (a.SET, s.WAIT_HELPER),
        (s.WAIT_HELPER, e.CLOSE): (a.CLEAN, s.IDLE),
        (s.WAIT_PEER, e.FAILED): (a.CLEAN_RETRY, s.IDLE),
        (s.WAIT_PEER, e.GONE): (a.CLEAN_RETRY, s.IDLE),
        (s.WAIT_PEER, e.RESUME): (a.SET, s.WAIT_HELPER),
        (s.WAIT_PEER, e.CLOSE): (a.CLEAN, s.IDLE),
        (s.ESTABLISHED, e.FAILED): (a.CLEAN_RETRY, s.IDLE),
        (s.ESTABLISHED, e.GONE): (a.CLEAN_RETRY, s.IDLE),
        (s.ESTABLISHED, e.SUSPEND): (a.SET, s.WAIT_PEER),
        (s.ESTABLISHED, e.CLOSE): (a.CLEAN, s.IDLE),
    }


STATIC_TUNNEL: StaticTunnelTable = _tunnel_table()
STATIC_SESSION: StaticSessionTable = _session_table()

STATIC_TUNNEL_IGNORED = frozenset(
    {
        (StaticTunnelState.ESTABLISHED, StaticTunnelEvent.ANSWER),
        (StaticTunnelState.IDLE, StaticTunnelEvent.CLOSE),
    }
)
"""A peer that still answers, and the end of what has already ended."""

STATIC_SESSION_IGNORED = frozenset(
    {
        (StaticSessionState.IDLE, StaticSessionEvent.GONE),
        (StaticSessionState.IDLE, StaticSessionEvent.RESUME),
        (StaticSessionState.IDLE, StaticSessionEvent.SUSPEND),
        (StaticSessionState.WAIT_PEER, StaticSessionEvent.MADE_WHILE_SILENT),
        (StaticSessionState.ESTABLISHED, StaticSessionEvent.MADE),
    }
)
"""What befalls a pseudowire that does not exist, and the helper's answer to a change of what exists."""
