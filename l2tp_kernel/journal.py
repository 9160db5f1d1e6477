"""What the helper tells the outside: log lines on stderr as journald reads them, and systemd's notifications."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import sys
import time
from typing import TYPE_CHECKING

from l2tp_kernel.catalogue import Line

if TYPE_CHECKING:
    from collections.abc import Iterator


def log(line: Line, **fields: object) -> None:
    """Write one line; characters that could forge another line or move the cursor are escaped."""
    text = line.template.format_map(fields)
    if not text.isprintable():
        text = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    sys.stderr.write(f"<{line.priority}>{text}\n")  # which is never buffered beyond a line


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Write the lines of a block in one go at its end: there may be hundreds."""
    lines = io.StringIO()
    try:
        with contextlib.redirect_stderr(lines):
            yield
    finally:
        sys.stderr.write(lines.getvalue())


class Complaints:
    """Log lines about one sender, at most ten in ten seconds: a flood of refusals must not fill the journal."""

    LINES = 10
    SECONDS = 10.0

    def __init__(self, sender: str) -> None:
        self._sender = sender
        self._since = 0.0
        self._count = 0

    def add(self, text: str) -> None:
        """Log it, or count it if there were too many."""
        self._count += 1
        if self._count == 1:
            self._since = time.monotonic()
        if self._count <= self.LINES:
            log(Line.CLIENT_COMPLAINT, sender=self._sender, problem=text)

    def summarise(self, *, end: bool = False) -> None:
        """Log how many lines were left out, once the ten seconds, or all, is over."""
        if end or time.monotonic() - self._since >= self.SECONDS:
            if self._count > self.LINES:
                log(Line.CLIENT_COMPLAINTS_LEFT_OUT, sender=self._sender, count=self._count - self.LINES)
            self._count = 0


def notify(state: str) -> None:
    """Tell systemd ``READY=1``, ``WATCHDOG=1`` and the like; without systemd nothing happens (sd_notify(3))."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            channel.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
