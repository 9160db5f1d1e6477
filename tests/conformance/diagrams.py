"""docs/state-machines.md, made from the state tables: ``text()`` is its whole content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from l2tp_ctl.core import static_tables, tables

_OPENING = """\
# State machines

The three machines of RFC 3931 that an Ethernet LCCE needs, as `l2tp_ctl/core/tables.py` has them, and the two of static
tunnels, from `l2tp_ctl/core/static_tables.py`; `make docs` writes this file from there. `OK` and `BAD` are RFC 3931's
"acceptable" and "not acceptable". What is neither in a table nor ignored cannot happen, and would be a defect.
"""

_MACHINES: tuple[tuple[str, str, Mapping[tuple[Any, Any], tuple[Enum, Enum]], frozenset[tuple[Any, Any]]], ...] = (
    ("Control connection", "RFC 3931, section 7.2.1.", tables.TUNNEL, tables.TUNNEL_IGNORED),
    ("Session, the end that sent ICRQ", "RFC 3931, section 7.3.1.", tables.SENDER, tables.SENDER_IGNORED),
    ("Session, the end that received ICRQ", "RFC 3931, section 7.3.2.", tables.RECIPIENT, tables.RECIPIENT_IGNORED),
    (
        "Static tunnel",
        "Ours. It is probed only where it has a hello-interval.",
        static_tables.STATIC_TUNNEL,
        static_tables.STATIC_TUNNEL_IGNORED,
    ),
    ("Static session", "Ours.", static_tables.STATIC_SESSION, static_tables.STATIC_SESSION_IGNORED),
)


def text() -> str:
    """Return the document."""
    parts = [_OPENING]
    for name, source, rows, ignored in _MACHINES:
        parts += [f"## {name}", "", source, "", *_diagram(rows), "", *_table(rows, ignored), ""]
    return "\n".join(parts)


def _diagram(rows: Mapping[tuple[Any, Any], tuple[Enum, Enum]]) -> Iterator[str]:
    """Draw what changes the state; arrows between the same two states share a line."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), (_, target) in rows.items():
        if state is not target:
            arrows.setdefault((state.value, target.value), []).append(event.name)
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    [*] --> idle"
    for name in dict.fromkeys(name for arrow in arrows for name in arrow):
        if "-" in name:
            yield f'    state "{name}" as {_identifier(name)}'
    for (start, end), events in arrows.items():
        label = "<br/>".join(", ".join(events[at : at + 3]) for at in range(0, len(events), 3))
        yield f"    {_identifier(start)} --> {_identifier(end)}: {label}"
    yield "```"


def _table(rows: Mapping[tuple[Any, Any], tuple[Enum, Enum]], ignored: frozenset[tuple[Any, Any]]) -> Iterator[str]:
    yield "| state | event | action | next state |"
    yield "|---|---|---|---|"
    for (state, event), (action, target) in rows.items():
        yield f"| {state.value} | {event.name} | {action.name} | {target.value} |"
    for state, event in sorted(ignored, key=lambda pair: (pair[0].value, pair[1].name)):
        yield f"| {state.value} | {event.name} | ignored | {state.value} |"


def _identifier(name: str) -> str:
    return name.replace("-", "_")
