"""Lines of the control process's log, for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from l2tp_admin.text import printable
from l2tp_ctl.catalogue import Entry

_STYLES: dict[str, dict[str, Any]] = {"error": {"fg": "red"}, "warn": {"fg": "yellow"}, "notice": {"bold": True}}


def line(told: Mapping[str, Any]) -> str:
    """Return one LogLine; the text of a Lost event where it is that."""
    if "lost" in told:
        return Entry.OLDER_MESSAGES_WERE_TRIMMED.template
    when = datetime.fromtimestamp(told["time"]).astimezone()
    return f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03} {told['level']:6} {printable(told['message'])}"


def show(told: Mapping[str, Any]) -> None:
    """Write one line to standard output, in the level's colour on a terminal."""
    text = line(told)
    if sys.stdout.isatty():
        text = click.style(text, **_STYLES.get(told.get("level", ""), {}))
    click.echo(text)
