"""Answers for a pipe: plain columns, no colour, numbers as programs want them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from l2tp_admin.text import plain_columns, printable
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


def table(columns: Sequence[Column], rows: Iterable[Row]) -> str:
    """Return a header line and one line a row."""
    return plain_columns(
        [column.title for column in columns],
        [column.numeric for column in columns],
        ([column.value(row) for column in columns] for row in rows),
    )


def tunnel(one: Row, sessions: list[Row], differences: Sequence[str]) -> str:
    """Return everything about one tunnel: a sentence, its facts, its sessions."""
    parts = [printable(headline(one)) + "\n" + _lines([*tunnel_facts(one), *difference_facts(differences)])]
    if sessions:
        parts.append(table(SESSIONS_OF_TUNNEL, sessions))
    if dropped := drop_facts(sessions):
        parts.append(_lines(dropped))
    return "\n".join(parts)


def facts(headline: str, told: Iterable[Fact]) -> str:
    """Return a sentence, if there is one, and facts in lines of their own."""
    return (printable(headline) + "\n" if headline else "") + _lines(told)


def toml(config: Mapping[str, Any], path: str = "") -> str:
    """Return a configuration in the syntax of its file."""
    keys = {key: value for key, value in config.items() if not _is_table(value)}
    text = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in keys.items())
    parts = [f"[{path}]\n{text}"] if path and keys else []
    for key, value in config.items():
        inner = f"{path}.{key}" if path else key
        if isinstance(value, Mapping):
            parts.append(toml(value, inner))
        elif key not in keys:
            parts += [toml(each, inner).replace(f"[{inner}]", f"[[{inner}]]", 1) for each in value]
    return "\n".join(filter(None, parts))


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(each, Mapping) for each in value))


def _lines(told: Iterable[Fact]) -> str:
    return "".join(f"{printable(fact.label) + ':':16} {printable(fact.text)}\n" for fact in told)
