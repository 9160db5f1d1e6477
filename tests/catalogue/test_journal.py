"""Systemd's journal: a line with its id, tunnel, session and fields, where standard error goes there by itself."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.admin.daemons import command as admin_command
from tests.catalogue.programs import Control

pytestmark = pytest.mark.root

INSIDE = 'mount --bind "$1" /run && shift && exec "$@"'
"""A mount namespace whose /run is the test's own: there is the journal's socket in it, and nobody else's."""


class Journal(NamedTuple):
    """A stand-in for systemd's: its datagram socket, and the stream that a service has as standard error."""

    run: Path
    entries: socket.socket
    ours: socket.socket
    theirs: socket.socket

    def command(self, command: list[str]) -> list[str]:
        return ["unshare", "--mount", "sh", "-c", INSIDE, "sh", str(self.run), *command]

    def environment(self, *, wrong: bool = False) -> dict[str, str]:
        status = os.fstat(self.theirs.fileno())
        return {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + wrong}"}

    def read(self) -> list[dict[str, str]]:
        """Every entry that has come."""
        found: list[dict[str, str]] = []
        while True:
            try:
                text = self.entries.recv(65536).decode()
            except BlockingIOError:
                return found
            assert text.endswith("\n")
            found.append(dict(line.split("=", 1) for line in text.splitlines()))

    def stream(self) -> str:
        """What has come on standard error."""
        self.theirs.close()
        with self.ours.makefile() as file:
            return file.read()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    directory = tmp_path / "run" / "systemd" / "journal"
    directory.mkdir(parents=True)
    ours, theirs = socket.socketpair()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as entries, ours, theirs:
        # The kernel lets only some datagrams wait for one that does not read.
        entries.bind(str(directory / "socket"))
        entries.setblocking(False)  # noqa: FBT003 - the standard library's signature
        yield Journal(tmp_path / "run", entries, ours, theirs)


def drained(journal: Journal, process: subprocess.Popen[bytes]) -> list[dict[str, str]]:
    """Read all that a process sends until its end."""
    found: list[dict[str, str]] = []
    over = threading.Event()

    def read() -> None:
        while not over.wait(0.01):
            found.extend(journal.read())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        process.wait(15)
    finally:
        over.set()
        reader.join()
    return found + journal.read()


def run(journal: Journal, command: list[str], *, wrong: bool = False) -> list[dict[str, str]]:
    with subprocess.Popen(
        journal.command(command), stderr=journal.theirs.fileno(), env=journal.environment(wrong=wrong)
    ) as process:
        return drained(journal, process)


def test_a_mistake_in_the_file_with_all_its_fields(tmp_path: Path, journal: Journal) -> None:
    control = Control(tmp_path)
    control.configure('[tunnel.east]\npeer-address = "192.0.2"\n')
    first, remedy, tunnel, last = run(journal, control.command())
    assert first == {
        "MESSAGE": "tunnel.east.peer-address: Invalid address",
        "PRIORITY": "3",
        "SYSLOG_IDENTIFIER": "l2tp-ctl",
        "L2TP_ID": "INVALID_ADDRESS",
        "L2TP_FIELD_FILE": str(control.config),
        "L2TP_FIELD_TAG": "tunnel.east.peer-address",
        "L2TP_FIELD_PROBLEM": "",
    }
    assert remedy["PRIORITY"] == "5"
    assert (tunnel["L2TP_ID"], tunnel["L2TP_TUNNEL"]) == ("GET_TUNNEL_CONFIGURATION_FAILED", "east")
    assert last["MESSAGE"] == "l2tpd initialization failed"
    assert journal.stream() == ""


def test_json_stays_json(tmp_path: Path, journal: Journal) -> None:
    control = Control(tmp_path)
    control.config.unlink()
    assert run(journal, control.command("--log-format", "json")) == []
    assert '"id": "CANNOT_OPEN_CONFIG_FILE"' in journal.stream()


def test_another_standard_error_is_not_the_journal(tmp_path: Path, journal: Journal) -> None:
    control = Control(tmp_path)
    control.config.unlink()
    assert run(journal, control.command(), wrong=True) == []
    assert journal.stream().startswith("<3>Can't open config file\n")


def test_a_journal_that_is_away_loses_nothing(tmp_path: Path, journal: Journal) -> None:
    control = Control(tmp_path)
    control.config.unlink()
    (journal.run / "systemd" / "journal" / "socket").unlink()
    run(journal, control.command())
    assert journal.stream().startswith("<3>Can't open config file\n")


def test_the_admin_process_too(journal: Journal) -> None:
    serve = admin_command("serve", "--listen", "/nonexistent/admin.sock", python=sys.executable)
    first, last = run(journal, serve)
    assert (first["L2TP_ID"], first["SYSLOG_IDENTIFIER"], first["PRIORITY"]) == ("CONFIG_ERROR", "l2tp-admin", "3")
    assert first["L2TP_FIELD_TAG"] == "/nonexistent/admin.sock"
    assert last["L2TP_ID"] == "L2TPD_INITIALIZATION_FAILED"
