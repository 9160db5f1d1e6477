"""l2tp-ctl as a daemon of the old style: in the background, with a pid file."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.runtime.test_main import USER, Control, control
from tests.support.netns import poll, program

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["control"]

# Whatever syslog the machine has is out of reach in here.
WITHOUT_SYSLOG = 'test -e /dev/log && mount --bind /dev/null /dev/log; exec "$@"'


@contextlib.contextmanager
def daemon(control: Control, *options: str) -> Iterator[int]:
    """Start it in the background, give its pid and end it."""
    pid_file = control.directory / "pid"
    with control.log.open("wb") as log:
        command = [
            program("l2tp-ctl"),
            "--config",
            str(control.config),
            "--daemon",
            "--pid-file",
            str(pid_file),
            *options,
        ]
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=10, check=True)
    pid = int(pid_file.read_text())
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGTERM)
        poll(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes(), "end")


def test_it_works_when_the_command_returns(control: Control) -> None:
    with daemon(control) as pid:
        assert control.ask("show-tunnels") is not None
        assert os.getsid(pid) != pid  # not the leader of its session: no terminal can become its own
        assert os.getsid(pid) != os.getsid(0)
        assert Path(f"/proc/{pid}/cwd").resolve() == Path("/")
        assert [Path(f"/proc/{pid}/fd/{number}").resolve() for number in range(3)] == [
            Path("/dev/null"),
            Path("/dev/null"),
            control.log,
        ]
        poll(lambda: "connection to l2tp-kernel lost" in control.log.read_text(), "the log goes where it went")
    assert "l2tpd exit." in control.log.read_text()
    assert not (control.directory / "pid").exists()


def test_only_one_runs_with_a_pid_file(control: Control) -> None:
    with daemon(control) as pid:
        done = control.run("--pid-file", str(control.directory / "pid"))
        assert (done.returncode, done.stderr) == (1, "<3>Can't create pid file\n<3>l2tpd initialization failed\n")
        assert int((control.directory / "pid").read_text()) == pid


def test_a_pid_file_that_a_killed_one_left_is_taken_over(control: Control) -> None:
    (control.directory / "pid").write_text("1\n")
    with daemon(control) as pid:
        assert pid != 1


def test_a_pid_file_that_cannot_be_made(control: Control) -> None:
    done = control.run("--daemon", "--pid-file", str(control.directory / "missing" / "pid"))
    assert (done.returncode, done.stderr) == (1, "<3>Can't create pid file\n<3>l2tpd initialization failed\n")


def test_what_goes_wrong_in_the_background_is_the_commands_status(control: Control) -> None:
    control.admin.write_text("in the way")
    done = control.run("--daemon")
    assert done.returncode == 1
    assert "failed to socket" in done.stderr
    done = control.run("--daemon", "--pid-file", str(control.directory / "pid"))
    assert done.returncode == 1
    assert not (control.directory / "pid").exists()


@pytest.mark.root
def test_a_pid_file_of_root_is_left_empty_by_another_user() -> None:
    with tempfile.TemporaryDirectory(prefix="l2tpd-test-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # unlike pytest's own directories, this one lets the daemon's user through
        (directory / "ctl").mkdir()
        shutil.chown(directory / "ctl", USER)
        control = Control(directory)
        control.config.write_text(control.config.read_text().replace("admin.sock", "ctl/admin.sock"))
        control.admin = directory / "ctl" / "admin.sock"
        with daemon(control, "--user", USER):
            assert control.ask("show-tunnels") is not None
        assert (directory / "pid").read_text() == ""


@pytest.mark.root
def test_a_terminal_without_a_syslog_is_no_place_for_a_daemon(control: Control) -> None:
    master, terminal = os.openpty()
    command = ["unshare", "--mount", "sh", "-c", WITHOUT_SYSLOG, "sh", program("l2tp-ctl"),
               "--config", str(control.config), "--daemon"]  # fmt: skip
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=terminal, timeout=10, check=False)
    os.close(terminal)
    printed = os.read(master, 4096).decode()
    os.close(master)
    assert done.returncode == 1
    assert "daemon error: " in printed
