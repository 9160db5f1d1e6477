"""Where log lines go: standard error, as lines for people and the journal, or as JSON for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from l2tp_ctl.catalogue import Entry, Field, Level
from l2tp_ctl.runtime.config_file import ConfigError

MAX_FIELD = 512
"""Characters of the longest field; peers choose some of them."""


@dataclass(frozen=True, slots=True)
class LogSink:
    """Writes catalogue entries of ``level`` and above.

    A line of text on a terminal begins with the time; elsewhere with the journal's priority prefix ``<N>``
    (sd-daemon(3)), the journal adding the time.  ``style`` is ``text`` or ``json``.
    """

    stream: TextIO
    level: Level
    style: str = "text"

    def write(self, entry: Entry, fields: Mapping[str, Field], tunnel: str = "", session: str = "") -> None:
        """Write one line.  What a peer put into a field can neither break the line nor move a cursor."""
        if entry.level > self.level:
            return
        shown = {name: _printable(value) if isinstance(value, str) else value for name, value in fields.items()}
        self._put(entry, entry.render(shown), shown, tunnel=tunnel, session=session)

    def problems(self, error: ConfigError) -> None:
        """Write every problem of a configuration file, one line each."""
        for problem, line in zip(error.problems, str(error).splitlines(), strict=True):
            self._put(problem.entry, _printable(line), {"file": str(error.path), "tag": problem.key})

    def _put(
        self, entry: Entry, text: str, fields: Mapping[str, Field], *, tunnel: str = "", session: str = ""
    ) -> None:
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


def _printable(text: str) -> str:
    if len(text) > MAX_FIELD:
        text = text[:MAX_FIELD] + "..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
