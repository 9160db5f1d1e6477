"""Answers for a pipe: plain columns, no colour, numbers as programs want them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from l2tp_admin.text import plain_columns, printable
from l2tp_admin.views import SESSIONS_OF_TUNNEL, Column, Fact, Row, drop_facts, facts, headline


def table(columns: Sequence[Column], rows: Iterable[Row]) -> str:
    """Return a header line and one line a row."""
    return plain_columns(
        [column.title for column in columns],
        [column.numeric for column in columns],
        ([column.value(row) for column in columns] for row in rows),
    )


def tunnel(one: Row, sessions: list[Row]) -> str:
    """Return everything about one tunnel: a sentence, its facts, its sessions."""
    parts = [printable(headline(one)) + "\n" + _lines(facts(one))]
    if sessions:
        parts.append(table(SESSIONS_OF_TUNNEL, sessions))
    if dropped := drop_facts(sessions):
        parts.append(_lines(dropped))
    return "\n".join(parts)


def _lines(told: Iterable[Fact]) -> str:
    return "".join(f"{printable(fact.label) + ':':16} {printable(fact.text)}\n" for fact in told)
