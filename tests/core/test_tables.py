"""The state tables against a copy of RFC 3931's, typed by hand from its sections 7.2.1, 7.3.1 and 7.3.2."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from itertools import product
from typing import Any, NamedTuple

import pytest

from l2tp_ctl.core.tables import (
    RECIPIENT,
    RECIPIENT_IGNORED,
    SENDER,
    SENDER_IGNORED,
    TUNNEL,
    TUNNEL_IGNORED,
    SessionEvent,
    SessionState,
    TunnelEvent,
    TunnelState,
)

CONTROL_CONNECTION = """
idle            LOCAL_OPEN      SEND_SCCRQ                wait-ctl-reply
idle            SCCRQ_OK        SEND_SCCRP                wait-ctl-conn
idle            SCCRQ_BAD       STOPCCN_CLEAN             idle
idle            SCCRP_OK        STOPCCN_CLEAN             idle
idle            SCCRP_BAD       STOPCCN_CLEAN             idle
idle            SCCCN_OK        STOPCCN_CLEAN             idle
idle            SCCCN_BAD       STOPCCN_CLEAN             idle
wait-ctl-reply  SCCRP_OK        SEND_SCCCN_OPEN_SESSIONS  established
wait-ctl-reply  SCCRP_BAD       STOPCCN_CLEAN             idle
wait-ctl-reply  SCCRQ_LOSE_OK   SWITCH_SEND_SCCRP         wait-ctl-conn
wait-ctl-reply  SCCRQ_LOSE_BAD  SWITCH_STOPCCN            idle
wait-ctl-reply  SCCRQ_WIN       STOPCCN_LOSER             wait-ctl-reply
wait-ctl-reply  SCCCN_OK        STOPCCN_CLEAN             idle
wait-ctl-reply  SCCCN_BAD       STOPCCN_CLEAN             idle
wait-ctl-conn   SCCCN_OK        OPEN_SESSIONS             established
wait-ctl-conn   SCCCN_BAD       STOPCCN_CLEAN             idle
wait-ctl-conn   SCCRP_OK        STOPCCN_CLEAN             idle
wait-ctl-conn   SCCRP_BAD       STOPCCN_CLEAN             idle
wait-ctl-conn   SCCRQ_OK        STOPCCN_CLEAN             idle
wait-ctl-conn   SCCRQ_BAD       STOPCCN_CLEAN             idle
established     NEW_CALL        OPEN_SESSIONS             established
established     CLOSE           STOPCCN_CLEAN             idle
established     SCCRQ_OK        STOPCCN_CLEAN             idle
established     SCCRQ_BAD       STOPCCN_CLEAN             idle
established     SCCRP_OK        STOPCCN_CLEAN             idle
established     SCCRP_BAD       STOPCCN_CLEAN             idle
established     SCCCN_OK        STOPCCN_CLEAN             idle
established     SCCCN_BAD       STOPCCN_CLEAN             idle
idle            STOPCCN         CLEAN                     idle
wait-ctl-reply  STOPCCN         CLEAN                     idle
wait-ctl-conn   STOPCCN         CLEAN                     idle
established     STOPCCN         CLEAN                     idle
"""

INCOMING_CALL_SENDER = """
idle               CALL          WAIT              wait-control-conn
idle               ICCN_OK       CLEAN             idle
idle               ICCN_BAD      CLEAN             idle
idle               ICRP_OK       CLEAN             idle
idle               ICRP_BAD      CLEAN             idle
idle               CDN           CLEAN             idle
wait-control-conn  CLOSE         CLEAN             idle
wait-control-conn  CONTROL_OPEN  SEND_ICRQ         wait-reply
wait-reply         ICRP_OK       SEND_ICCN         established
wait-reply         ICRP_BAD      CDN_CLEAN         idle
wait-reply         ICRQ_LOSE     BECOME_RECIPIENT  idle
wait-reply         ICRQ_WIN      CDN_LOSER         wait-reply
wait-reply         CDN           CLEAN             idle
wait-reply         ICCN_OK       CLEAN             idle
wait-reply         ICCN_BAD      CLEAN             idle
wait-reply         CLOSE         CDN_CLEAN         idle
established        CDN           CLEAN             idle
established        CLOSE         CDN_CLEAN         idle
established        ICRQ_OK       CDN_CLEAN         idle
established        ICRQ_BAD      CDN_CLEAN         idle
established        ICRP_OK       CDN_CLEAN         idle
established        ICRP_BAD      CDN_CLEAN         idle
established        ICCN_OK       CDN_CLEAN         idle
established        ICCN_BAD      CDN_CLEAN         idle
"""

INCOMING_CALL_RECIPIENT = """
idle          ICRQ_OK   SEND_ICRP         wait-connect
idle          ICRQ_BAD  CDN_CLEAN         idle
idle          ICRP_OK   CDN_CLEAN         idle
idle          ICRP_BAD  CDN_CLEAN         idle
idle          ICCN_OK   CLEAN             idle
idle          ICCN_BAD  CLEAN             idle
idle          CDN       CLEAN             idle
wait-connect  ICCN_OK   PREPARE_FOR_DATA  established
wait-connect  ICCN_BAD  CDN_CLEAN         idle
wait-connect  ICRQ_OK   CDN_CLEAN         idle
wait-connect  ICRQ_BAD  CDN_CLEAN         idle
wait-connect  ICRP_OK   CDN_CLEAN         idle
wait-connect  ICRP_BAD  CDN_CLEAN         idle
wait-connect  CDN       CLEAN             idle
wait-connect  CLOSE     CDN_CLEAN         idle
established   CDN       CLEAN             idle
established   CLOSE     CDN_CLEAN         idle
established   ICRQ_OK   CDN_CLEAN         idle
established   ICRQ_BAD  CDN_CLEAN         idle
established   ICRP_OK   CDN_CLEAN         idle
established   ICRP_BAD  CDN_CLEAN         idle
established   ICCN_OK   CDN_CLEAN         idle
established   ICCN_BAD  CDN_CLEAN         idle
"""

OURS = {
    "tunnel": """
wait-ctl-reply  SCCRQ_OK         STOPCCN_CLEAN  idle
wait-ctl-reply  SCCRQ_BAD        STOPCCN_CLEAN  idle
wait-ctl-reply  SCCRQ_DRAW       CLEAN          idle
wait-ctl-reply  CLOSE            STOPCCN_CLEAN  idle
wait-ctl-reply  DELIVERY_FAILED  CLEAN          idle
wait-ctl-conn   CLOSE            STOPCCN_CLEAN  idle
wait-ctl-conn   DELIVERY_FAILED  CLEAN          idle
established     DELIVERY_FAILED  CLEAN          idle
""",
    "sender": """
wait-control-conn  CONTROL_CLOSED  CLEAN      idle
wait-reply         ICRQ_DRAW       CDN_CLEAN  idle
wait-reply         CONTROL_CLOSED  CLEAN      idle
established        CONTROL_CLOSED  CLEAN      idle
""",
    "recipient": """
idle          CLOSE           CDN_CLEAN  idle
idle          CONTROL_CLOSED  CLEAN      idle
wait-connect  CONTROL_CLOSED  CLEAN      idle
established   CONTROL_CLOSED  CLEAN      idle
""",
}
"""What the RFC says in prose, not in its tables."""


class Table(NamedTuple):
    """One machine: its rows, what it ignores, and the RFC's text."""

    rows: Mapping[tuple[Any, Any], tuple[Enum, Enum]]
    ignored: frozenset[tuple[Any, Any]]
    states: type[Enum]
    events: type[Enum]
    text: str


TABLES = {
    "tunnel": Table(TUNNEL, TUNNEL_IGNORED, TunnelState, TunnelEvent, CONTROL_CONNECTION),
    "sender": Table(SENDER, SENDER_IGNORED, SessionState, SessionEvent, INCOMING_CALL_SENDER),
    "recipient": Table(RECIPIENT, RECIPIENT_IGNORED, SessionState, SessionEvent, INCOMING_CALL_RECIPIENT),
}

_NEVER_IN = "CALL CONTROL_OPEN ICRQ_OK ICRQ_BAD ICRQ_LOSE ICRQ_WIN ICRQ_DRAW ICRP_OK ICRP_BAD ICCN_OK ICCN_BAD CDN"

VIOLATIONS = {
    "tunnel": {
        "idle": "SCCRQ_LOSE_OK SCCRQ_LOSE_BAD SCCRQ_WIN SCCRQ_DRAW",
        "wait-ctl-reply": "LOCAL_OPEN",
        "wait-ctl-conn": "LOCAL_OPEN SCCRQ_LOSE_OK SCCRQ_LOSE_BAD SCCRQ_WIN SCCRQ_DRAW",
        "established": "LOCAL_OPEN SCCRQ_LOSE_OK SCCRQ_LOSE_BAD SCCRQ_WIN SCCRQ_DRAW",
    },
    "sender": {
        "idle": "CONTROL_OPEN ICRQ_OK ICRQ_BAD ICRQ_LOSE ICRQ_WIN ICRQ_DRAW",
        "wait-control-conn": "ICRQ_OK ICRQ_BAD ICRQ_LOSE ICRQ_WIN ICRQ_DRAW ICRP_OK ICRP_BAD ICCN_OK ICCN_BAD CDN",
        "wait-reply": "CONTROL_OPEN ICRQ_OK ICRQ_BAD",
        "wait-connect": f"{_NEVER_IN} CLOSE CONTROL_CLOSED",
        "established": "CONTROL_OPEN ICRQ_LOSE ICRQ_WIN ICRQ_DRAW",
    },
    "recipient": {
        "idle": "CALL CONTROL_OPEN ICRQ_LOSE ICRQ_WIN ICRQ_DRAW",
        "wait-control-conn": f"{_NEVER_IN} CLOSE CONTROL_CLOSED",
        "wait-reply": f"{_NEVER_IN} CLOSE CONTROL_CLOSED",
        "wait-connect": "CONTROL_OPEN ICRQ_LOSE ICRQ_WIN ICRQ_DRAW",
        "established": "CONTROL_OPEN ICRQ_LOSE ICRQ_WIN ICRQ_DRAW",
    },
}
"""What can only be a defect of ours: ties where nothing of ours is outstanding, states of the other role."""


def _rows(text: str) -> set[tuple[str, ...]]:
    return {tuple(line.split()) for line in text.strip().splitlines()}


@pytest.mark.parametrize("name", TABLES)
def test_table_is_the_rfcs(name: str) -> None:
    table = TABLES[name]
    ours = {
        (state.value, event.name, action.name, target.value) for (state, event), (action, target) in table.rows.items()
    }
    assert ours == _rows(table.text) | _rows(OURS[name])


@pytest.mark.parametrize("name", TABLES)
def test_every_pair_is_in_exactly_one_place(name: str) -> None:
    table = TABLES[name]
    assert not set(table.rows) & table.ignored
    pairs = set(product(table.states, table.events)) - set(table.rows) - table.ignored
    rest = {(state.value, event.name) for state, event in pairs}
    assert rest == {(state, event) for state, names in VIOLATIONS[name].items() for event in names.split()}
