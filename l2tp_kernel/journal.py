"""What the helper tells the outside: log lines on stderr as journald reads them, and systemd's notifications."""

from __future__ import annotations

import os
import socket
import sys

ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6
"""Priorities of syslog(3)."""


def log(priority: int, text: str) -> None:
    """Write one line; characters that could forge another line or move the cursor are escaped."""
    line = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    sys.stderr.write(f"<{priority}>{line}\n")
    sys.stderr.flush()


def notify(state: str) -> None:
    """Tell systemd ``READY=1``, ``WATCHDOG=1`` and the like; without systemd nothing happens (sd_notify(3))."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            channel.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
