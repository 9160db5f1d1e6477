"""What systemd and a service say to each other: readiness, signs of life, inherited sockets."""

from __future__ import annotations

import os
import socket
import stat

FIRST_DESCRIPTOR = 3
"""Where inherited sockets begin (sd_listen_fds(3))."""


def notify(state: str) -> None:
    """Tell the service manager ``state`` (sd_notify(3)); nothing happens where none listens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        try:
            manager.connect(address)
            manager.send(state.encode())
        except OSError:
            # A manager that has gone is no reason to stop serving.
            return


def watchdog_interval() -> float | None:
    """Return the seconds between two ``WATCHDOG=1``, half of what systemd allows; None where it wants none."""
    limit = os.environ.get("WATCHDOG_USEC", "")
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or not limit.isdecimal():
        return None
    return int(limit) / 2_000_000 or None


def inherited_listener(
    *families: socket.AddressFamily, kind: socket.SocketKind = socket.SOCK_STREAM
) -> socket.socket | None:
    """Return the socket of a kind and family that systemd listens on for this process; None where it passed none."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(os.environ.get("LISTEN_FDS", "0"))):
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            continue
        listener = socket.socket(fileno=descriptor)
        if listener.family in families and listener.type == kind:
            return listener
        listener.detach()
    return None
