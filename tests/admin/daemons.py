"""Starts ``l2tp-admin serve`` and the fake control process behind it, and speaks to them by hand."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.netns import Process

REPOSITORY = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"PYTHONPATH": str(REPOSITORY)}


def command(*arguments: str | Path, python: str = sys.executable) -> list[str]:
    """The command line of l2tp-admin under an interpreter."""
    return [python, "-m", "l2tp_admin.main", *map(str, arguments)]


@contextlib.contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that every user can enter; pytest's own is closed to all but its user."""
    path = Path(tempfile.mkdtemp(prefix="l2tpd-admin-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@dataclass
class Daemons:
    """Both processes and their sockets."""

    directory: Path
    python: str = sys.executable

    @property
    def admin(self) -> Path:
        return self.directory / "admin.sock"

    @property
    def control(self) -> Path:
        return self.directory / "control.sock"

    def start_control(self) -> Process:
        program = [self.python, "-m", "tests.admin.fake_control", str(self.control)]
        # The old socket would answer for a process that is not there yet.
        self.control.unlink(missing_ok=True)
        process = Process(program, self.directory / "control.log", ENVIRONMENT)
        process.wait_until(lambda: can_connect(self.control), "the fake control process")
        return process

    def start_admin(self, *options: str) -> Process:
        program = command("serve", "--listen", self.admin, "--control", self.control, *options, python=self.python)
        process = Process(program, self.directory / "admin.log", ENVIRONMENT)
        process.wait_until(lambda: can_connect(self.admin), "l2tp-admin serve")
        return process

    def run(self, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run one command of the command line against the server, as a pipe sees it."""
        return subprocess.run(
            command("--socket", self.admin, *arguments, python=self.python),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**os.environ, **ENVIRONMENT, **(environment or {})},
            timeout=20,
            check=False,
        )


@contextlib.contextmanager
def running(*options: str, python: str = sys.executable) -> Iterator[tuple[Daemons, Process, Process]]:
    """Both processes, up: the sockets, l2tp-admin serve, the fake control process."""
    with open_directory() as directory:
        daemons = Daemons(directory, python)
        with daemons.start_control() as control, daemons.start_admin(*options) as admin:
            yield daemons, admin, control


def can_connect(path: Path) -> bool:
    """Whether somebody listens at ``path``."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def connect(path: Path, *, timeout: float = 10.0) -> socket.socket:
    """A connected client."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(timeout)
    client.connect(str(path))
    return client


def frame(body: object) -> bytes:
    """A frame, made without the code under test."""
    text = json.dumps(body).encode()
    return len(text).to_bytes(4, "big") + text


def request(request_id: int, command_name: str, /, **args: str) -> dict[str, Any]:
    """The body of a request."""
    return {"v": 1, "id": request_id, "command": command_name, "args": args}


def receive(client: socket.socket) -> dict[str, Any]:
    """The next answer; EOFError when the server closed instead."""
    length = int.from_bytes(_exactly(client, 4), "big")
    body = json.loads(_exactly(client, length))
    assert isinstance(body, dict)
    return body


def exchange(client: socket.socket, body: object) -> dict[str, Any]:
    """Send one request and return its answer."""
    client.sendall(frame(body))
    return receive(client)


def ask(path: Path, command_name: str, /, **args: str) -> dict[str, Any]:
    """Ask over a connection of its own."""
    with connect(path) as client:
        return exchange(client, request(1, command_name, **args))


def closed(client: socket.socket) -> bool:
    """Whether the server closed the connection, once everything before is read."""
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def descriptors(process: Process) -> int:
    """How many descriptors a process has open."""
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def lines(text: str, *words: str) -> Sequence[str]:
    """The lines that hold every word."""
    return [line for line in text.splitlines() if all(word in line for word in words)]


def _exactly(client: socket.socket, octets: int) -> bytes:
    data = b""
    while len(data) < octets:
        more = client.recv(octets - len(data))
        if not more:
            raise EOFError
        data += more
    return data
