"""Systemd's journal, spoken to natively: a log line with its id, its tunnel, its session and all its fields.

One datagram is one entry of ``NAME=value`` lines (systemd.io/JOURNAL_NATIVE_PROTOCOL).  Nothing here ever waits.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from l2tp_ctl.catalogue import Entry, Field

SOCKET = Path("/run/systemd/journal/socket")

_KIND = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK


@dataclass(frozen=True, slots=True)
class Journal:
    """A connection to the journal; ``identifier`` is the name of the program there."""

    sock: socket.socket
    identifier: str

    def send(
        self, entry: Entry, text: str, fields: Mapping[str, Field], *, tunnel: str = "", session: str = ""
    ) -> bool:
        """Send one line; False where the journal takes it not, or not at once.

        ``text`` and ``fields`` are printable: a newline would need another form.
        """
        lines = [
            f"MESSAGE={text}",
            f"PRIORITY={entry.level.value}",
            f"SYSLOG_IDENTIFIER={self.identifier}",
            f"L2TP_ID={entry.name}",
            *(f"{name}={value}" for name, value in (("L2TP_TUNNEL", tunnel), ("L2TP_SESSION", session)) if value),
            *(f"L2TP_FIELD_{name.upper()}={value}" for name, value in fields.items()),
        ]
        try:
            self.sock.send("\n".join([*lines, ""]).encode("utf-8", "backslashreplace"))
        except OSError:
            return False
        return True


def connect(stream: TextIO, identifier: str) -> Journal | None:
    """Return the journal where ``stream`` goes there by itself (JOURNAL_STREAM, systemd.exec(5)); None elsewhere."""
    sock = None
    try:
        status = os.fstat(stream.fileno())
        if os.environ.get("JOURNAL_STREAM") != f"{status.st_dev}:{status.st_ino}":
            return None
        sock = socket.socket(socket.AF_UNIX, _KIND)
        sock.connect(str(SOCKET))
    except OSError:  # a stream without a descriptor raises one, too
        if sock is not None:
            sock.close()
        return None
    return Journal(sock, identifier)
