"""Daemons of the old style: in the background, with a pid file, their log in syslog instead of on a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

SYSLOG = Path("/dev/log")
FACILITY = 3 << 3
"""System daemons (RFC 5424, section 6.2.1)."""


class PidFile:
    """A file that holds our pid while we run; OSError when it cannot be made, or belongs to one that runs.

    It may be made before and removed after the privilege to do so is given up: then it is left behind, empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            # The lock, not the number in the file, says whether the other one still runs.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise

    def write(self) -> None:
        """Write the pid of this process."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def remove(self) -> None:
        """Remove it, as far as we still may."""
        os.ftruncate(self._descriptor, 0)
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)


def detach() -> Callable[[], None]:
    """Return in a process of a session of its own, without a terminal; OSError when there is none to be had.

    The process that called waits until the function that is returned is called, and ends with status 0; with status 1
    if we end before.  Call it while there is one thread.
    """
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        os._exit(0 if os.read(reading, 1) else 1)
    os.close(reading)
    os.setsid()
    if os.fork():  # the leader of the session goes, so that no terminal can become ours again
        os._exit(0)
    os.chdir("/")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        if descriptor < 2 or os.isatty(descriptor):
            os.dup2(nowhere, descriptor)
    os.close(nowhere)

    def ready() -> None:
        os.write(writing, b"\n")
        os.close(writing)

    return ready


def syslog(name: str) -> TextIO:
    """Return a stream whose lines ``<N>text`` are syslog messages of program ``name``; OSError without a syslog."""
    return io.TextIOWrapper(io.BufferedWriter(_Syslog(name)), "utf-8", "backslashreplace")


class _Syslog(io.RawIOBase):
    """One message for each write, as syslog(3) sends it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect(str(SYSLOG))
        except OSError:
            self._socket.close()
            raise

    def writable(self) -> bool:
        return True

    def write(self, line: ReadableBuffer, /) -> int:
        octets = bytes(line)
        level, _, text = octets.removeprefix(b"<").partition(b">")
        head = f"<{FACILITY | int(level)}>{self._name}[{os.getpid()}]: "
        with contextlib.suppress(OSError):  # a syslog that is away or does not keep up loses lines, not tunnels
            self._socket.send(head.encode() + text.rstrip(b"\n"))
        return len(octets)
