"""What the helper tells the outside: log lines on stderr as journald reads them, and systemd's notifications."""

from __future__ import annotations

import os
import socket
import sys

from l2tp_kernel.catalogue import Line


def log(line: Line, **fields: object) -> None:
    """Write one line; characters that could forge another line or move the cursor are escaped."""
    text = line.template.format_map(fields)
    if not text.isprintable():
        text = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    sys.stderr.write(f"<{line.priority}>{text}\n")  # which is never buffered beyond a line


def notify(state: str) -> None:
    """Tell systemd ``READY=1``, ``WATCHDOG=1`` and the like; without systemd nothing happens (sd_notify(3))."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            channel.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
