"""The admin process's log: catalogue entries, to the journal with all fields, elsewhere to standard error."""

from __future__ import annotations

import functools
import sys
from typing import Protocol

from l2tp_admin.text import printable
from l2tp_ctl import journal
from l2tp_ctl.catalogue import Entry, Field


class Log(Protocol):
    """Where a log line goes."""

    def __call__(self, entry: Entry, /, **fields: Field) -> None:
        """Log one entry of the catalogue with its fields."""


def to_stderr(entry: Entry, /, **fields: Field) -> None:
    """Write one line where standard error goes, whatever characters the fields came with.

    That is the journal by its own protocol, or ``<level>text`` (sd-daemon(3)).
    """
    shown = {name: printable(value) if isinstance(value, str) else value for name, value in fields.items()}
    text = entry.render(shown)
    connected = _journal()
    if connected is None or not connected.send(entry, text, shown):
        sys.stderr.write(f"<{entry.level}>{text}\n")
        sys.stderr.flush()


@functools.cache
def _journal() -> journal.Journal | None:
    return journal.connect(sys.stderr, "l2tp-admin")
