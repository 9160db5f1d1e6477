"""The latest log lines, kept in memory for ``l2tp-admin show log``."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping

from l2tp_ctl.admin_schema import LogLine
from l2tp_ctl.catalogue import Entry, Field, Level
from l2tp_ctl.runtime.feeds import Event, Feed

OVERHEAD = 512
"""Octets that a line takes beside its text, by estimate."""
DEFAULT_LIMIT = 1024 * 1024


class LogRing:
    """As many lines as ``limit`` octets hold, oldest first, and a feed of new ones."""

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.limit = limit
        self.feed = Feed()
        self.trimmed = False
        """Whether older lines fell out."""
        self._lines: deque[LogLine] = deque()
        self._octets = 0

    def add(self, entry: Entry, text: str, fields: Mapping[str, Field], tunnel: str, session: str) -> None:
        """Keep one line, in the place of the oldest where it needs that."""
        line = log_line(entry, text, fields, tunnel, session)
        self._lines.append(line)
        self._octets += _octets(line)
        while self._octets > self.limit:
            self.trimmed = True
            self._octets -= _octets(self._lines.popleft())
        if self.feed.followed:
            self.feed.publish({**line})

    def lines(self, wanted: Callable[[Event], bool]) -> Iterator[LogLine]:
        """Go through the lines that are ``wanted``; where older ones fell out the first says so."""
        if self.trimmed:
            entry = Entry.OLDER_MESSAGES_WERE_TRIMMED
            yield log_line(entry, entry.render({}), {}, "", "", when=self._lines[0]["time"] if self._lines else None)
        yield from (line for line in self._lines if wanted(line))


def log_line(
    entry: Entry, text: str, fields: Mapping[str, Field], tunnel: str, session: str, *, when: float | None = None
) -> LogLine:
    """Return one line as the admin contract has it; ``when`` is in seconds since 1970, now by default."""
    return LogLine(
        time=time.time() if when is None else when,
        level=entry.level.name.lower(),
        id=entry.name,
        message=text,
        tunnel=tunnel,
        session=session,
        fields={**fields},
    )


def selection(tunnel: str | None, level: Level) -> Callable[[Event], bool]:
    """Return what tells whether a line is of ``level`` or above, and of ``tunnel`` if that is not None."""
    levels = {each.name.lower() for each in Level if each <= level}
    return lambda line: line["level"] in levels and tunnel in {None, line["tunnel"]}


def _octets(line: LogLine) -> int:
    return (
        OVERHEAD + len(line["message"]) + sum(len(value) for value in line["fields"].values() if isinstance(value, str))
    )
