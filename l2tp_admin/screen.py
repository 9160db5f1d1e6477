"""Answers for a terminal: rich tables.  Imported only there, for it costs as much as all the rest."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from l2tp_admin.text import printable
from l2tp_admin.views import (
    SESSIONS_OF_TUNNEL,
    Column,
    Fact,
    Row,
    difference_facts,
    drop_facts,
    headline,
    tunnel_facts,
)

_UP, _DOWN, _BETWEEN = "green", "red", "yellow"


def table(columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """Print a table, numbers to the right, each state in its colour."""
    console().print(grid(columns, rows))


def tunnel(one: Row, sessions: list[Row], differences: Sequence[str]) -> None:
    """Print everything about one tunnel: a sentence, its facts, its sessions."""
    console().print(tunnel_view(one, sessions, differences))


def tunnel_view(one: Row, sessions: list[Row], differences: Sequence[str]) -> Group:
    """Return everything about one tunnel."""
    parts: list[RenderableType] = [
        Text(printable(headline(one)), style=f"bold {_style(one['state'])}"),
        _lines(tunnel_facts(one), _style(one["state"])),
    ]
    if differences:
        parts.append(_lines(difference_facts(differences), _DOWN))
    if sessions:
        parts.append(grid(SESSIONS_OF_TUNNEL, sessions))
    if dropped := drop_facts(sessions):
        parts.append(_lines(dropped, _DOWN))
    return Group(*parts)


def facts(sentence: str, told: Iterable[Fact]) -> None:
    """Print a sentence, if there is one, and facts in lines of their own."""
    if sentence:
        console().print(Text(printable(sentence), style="bold"))
    console().print(_lines(told, ""))


def console() -> Console:
    """Return the terminal."""
    # https://no-color.org: set and not empty.  Rich alone would still write bold and dim.
    return Console(highlight=False, color_system=None if os.environ.get("NO_COLOR") else "auto")


def grid(columns: Sequence[Column], rows: Iterable[Row]) -> Table:
    """Return a table, numbers to the right, each state in its colour."""
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        drawn.add_column(column.title, justify="right" if column.numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(_cell(column, row) for column in columns))
    return drawn


def _cell(column: Column, row: Row) -> Text:
    text = printable((column.shown or column.value)(row))
    return Text(text, style=_style(text) if column.title == "STATE" else "")


def _lines(told: Iterable[Fact], state_style: str) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for fact in told:
        grid.add_row(printable(fact.label), Text(printable(fact.text), style=state_style if fact.is_state else ""))
    return grid


def _style(state: str) -> str:
    return {"established": _UP, "idle": _DOWN}.get(state, _BETWEEN)
