"""Tells the service manager how we are: sd_notify(3) without its library, and the process title."""

from __future__ import annotations

import contextlib
import os
import socket

import setproctitle


def notify(**variables: str) -> None:
    """Send ``VARIABLE=value`` lines to the service manager; nothing happens where there is none."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    message = "\n".join(f"{name}={value}" for name, value in variables.items())
    # A service manager that is gone or slow must not hold up the protocol.
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_UNIX, kind) as sock, contextlib.suppress(OSError):
        sock.connect("\0" + path[1:] if path.startswith("@") else path)
        sock.send(message.encode())


def watchdog_interval() -> float | None:
    """Return the seconds between two WATCHDOG=1, half of what the service manager allows; None if it wants none."""
    pid, limit = os.environ.get("WATCHDOG_PID", str(os.getpid())), os.environ.get("WATCHDOG_USEC", "")
    if pid != str(os.getpid()) or not limit.isdecimal() or int(limit) == 0:
        return None
    return int(limit) / 2_000_000


def status(text: str) -> None:
    """Show the state in ``systemctl status`` and in ``ps``."""
    setproctitle.setproctitle(f"l2tp-ctl: {text}")
    notify(STATUS=text)
