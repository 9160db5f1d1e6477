"""The state tables of static tunnels and sessions against a copy typed by hand."""

from __future__ import annotations

from itertools import product

import pytest

from l2tp_ctl.core.static_tables import (
    STATIC_SESSION,
    STATIC_SESSION_IGNORED,
    STATIC_TUNNEL,
    STATIC_TUNNEL_IGNORED,
    StaticSessionEvent,
    StaticSessionState,
    StaticTunnelEvent,
    StaticTunnelState,
)
from tests.core.test_tables import Table

TUNNEL = """
idle         OPEN     OPEN_SESSIONS           established
idle         PROBE    PROBE_OPEN_SESSIONS     probing
probing      OPEN     RESUME_SESSIONS         established
probing      ANSWER   RESUME_SESSIONS         established
probing      SILENCE  PROBE                   probing
probing      CLOSE    CLOSE_SESSIONS          idle
established  SILENCE  PROBE_SUSPEND_SESSIONS  probing
established  CLOSE    CLOSE_SESSIONS          idle
"""

SESSION = """
idle         OPEN               SET          wait-helper
idle         CLOSE              CLEAN        idle
wait-helper  MADE               UP           established
wait-helper  MADE_WHILE_SILENT  WAIT         wait-peer
wait-helper  FAILED             CLEAN_RETRY  idle
wait-helper  GONE               CLEAN_RETRY  idle
wait-helper  RESUME             SET          wait-helper
wait-helper  SUSPEND            SET          wait-helper
wait-helper  CLOSE              CLEAN        idle
wait-peer    FAILED             CLEAN_RETRY  idle
wait-peer    GONE               CLEAN_RETRY  idle
wait-peer    RESUME             SET          wait-helper
wait-peer    CLOSE              CLEAN        idle
established  FAILED             CLEAN_RETRY  idle
established  GONE               CLEAN_RETRY  idle
established  SUSPEND            SET          wait-peer
established  CLOSE              CLEAN        idle
"""

TABLES = {
    "tunnel": Table(STATIC_TUNNEL, STATIC_TUNNEL_IGNORED, StaticTunnelState, StaticTunnelEvent, TUNNEL),
    "session": Table(STATIC_SESSION, STATIC_SESSION_IGNORED, StaticSessionState, StaticSessionEvent, SESSION),
}

VIOLATIONS = {
    "tunnel": {"idle": "ANSWER SILENCE", "probing": "PROBE", "established": "OPEN PROBE"},
    "session": {
        "idle": "MADE MADE_WHILE_SILENT FAILED",
        "wait-helper": "OPEN",
        "wait-peer": "OPEN MADE SUSPEND",
        "established": "OPEN MADE_WHILE_SILENT RESUME",
    },
}
"""What can only be a defect of ours: answers to nothing, and what has happened already."""


@pytest.mark.parametrize("name", TABLES)
def test_table_is_the_copy(name: str) -> None:
    table = TABLES[name]
    rows = {
        (state.value, event.name, action.name, target.value) for (state, event), (action, target) in table.rows.items()
    }
    assert rows == {tuple(line.split()) for line in table.text.strip().splitlines()}


@pytest.mark.parametrize("name", TABLES)
def test_every_pair_is_in_exactly_one_place(name: str) -> None:
    table = TABLES[name]
    assert not set(table.rows) & table.ignored
    pairs = set(product(table.states, table.events)) - set(table.rows) - table.ignored
    rest = {(state.value, event.name) for state, event in pairs}
    assert rest == {(state, event) for state, names in VIOLATIONS[name].items() for event in names.split()}
