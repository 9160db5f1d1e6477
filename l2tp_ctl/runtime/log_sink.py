"""Where log lines go: standard error, as lines for people or as JSON for programs; the journal; and the memory."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TextIO

from l2tp_ctl.catalogue import Entry, Field, Level
from l2tp_ctl.journal import Journal
from l2tp_ctl.runtime.config_file import ConfigError
from l2tp_ctl.runtime.log_ring import LogRing

MAX_FIELD = 512
"""Characters of the longest field; peers choose some of them."""


@dataclass(frozen=True, slots=True)
class LogSink:
    """Writes catalogue entries of ``level`` and above.

    ``style`` is ``text`` or ``json``.  Text goes to ``journal`` if there is one, with all fields.  Otherwise it goes to
    ``stream``: on a terminal a line begins with the time, elsewhere with the priority prefix ``<N>`` (sd-daemon(3)).
    Every line is also kept in ``ring``.
    """

    stream: TextIO
    level: Level
    style: str = "text"
    journal: Journal | None = None
    ring: LogRing = field(default_factory=LogRing)

    def write(self, entry: Entry, fields: Mapping[str, Field], tunnel: str = "", session: str = "") -> None:
        """Write one line.  What a peer put into a field can neither break the line nor move a cursor."""
        if entry.level > self.level:
            return
        shown = {name: printable(value) if isinstance(value, str) else value for name, value in fields.items()}
        text = entry.render(shown)
        self.ring.add(entry, text, shown, tunnel, session)
        self._put(entry, text, shown, tunnel, session)

    def problems(self, error: ConfigError) -> None:
        """Write every problem of a configuration file and what to do about it, then which tables are no use."""
        for problem in error.problems:
            told: dict[str, Field] = {"file": str(error.path), "tag": problem.key}
            where = f"{error.path}: {problem.key}" if problem.key else str(error.path)
            self.write(problem.entry, {**told, "problem": problem.problem})
            self.write(Entry.CONFIG_REMEDY, {**told, "where": where, "remedy": problem.remedy})
        for entry, tunnel, session in error.useless:
            self.write(entry, {"file": str(error.path)}, tunnel, session)

    def _put(self, entry: Entry, text: str, fields: Mapping[str, Field], tunnel: str, session: str) -> None:
        journal = self.journal if self.style == "text" else None
        if journal is not None and journal.send(entry, text, fields, tunnel=tunnel, session=session):
            return
        if self.style == "json":
            line = json.dumps(
                {
                    "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                    "level": entry.level.name.lower(),
                    "id": entry.name,
                    "message": text,
                    "tunnel": tunnel,
                    "session": session,
                    "fields": fields,
                },
                ensure_ascii=False,
            )
        elif self.stream.isatty():
            line = f"{datetime.now().astimezone():%H:%M:%S.%f} {entry.level.name.lower():6} {text}"
        else:
            line = f"<{entry.level}>{text}"
        try:
            self.stream.write(line + "\n")
            self.stream.flush()
        except BrokenPipeError:
            # Tunnels outlive whoever reads the log; what is in the stream's buffer must go somewhere.
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  # a device, not a path of anybody's
                os.dup2(nowhere.fileno(), self.stream.fileno())
        except OSError:
            pass  # a full disk, say: the line is lost, the next may not be


def printable(text: str) -> str:
    """Return a text cut to MAX_FIELD characters, those that could break a line or move a cursor as their escapes."""
    if len(text) > MAX_FIELD:
        text = text[:MAX_FIELD] + "..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
