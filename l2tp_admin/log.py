"""The admin process's log: catalogue entries on standard error, with the priority prefixes that journald reads."""

from __future__ import annotations

import sys
from typing import Protocol

from l2tp_admin.text import printable
from l2tp_ctl.catalogue import Entry, Field


class Log(Protocol):
    """Where a log line goes."""

    def __call__(self, entry: Entry, /, **fields: Field) -> None:
        """Log one entry of the catalogue with its fields."""


def to_stderr(entry: Entry, /, **fields: Field) -> None:
    """Write ``<level>text`` as one line, whatever characters the fields came with (sd-daemon(3))."""
    shown = {name: printable(value) if isinstance(value, str) else value for name, value in fields.items()}
    sys.stderr.write(f"<{entry.level}>{entry.render(shown)}\n")
    sys.stderr.flush()
