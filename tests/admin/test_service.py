"""``l2tp-admin serve`` under a service manager: readiness, inherited sockets, and what is wrong said at the start."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.admin.daemons import ENVIRONMENT, Daemons, ask, can_connect, command, connect, open_directory, running
from tests.support.netns import Process, poll

ACTIVATE = """
import os, sys
passed = [int(number) for number in sys.argv[1].split(",")]
for to, descriptor in enumerate(passed, start=3):
    os.dup2(descriptor, to)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(passed)))
os.execv(sys.executable, [sys.executable, "-m", "l2tp_admin.main", *sys.argv[2:]])
"""
"""What systemd does between fork and exec (sd_listen_fds(3))."""


def start(directory: Path, *options: str | Path, **environment: str) -> Process:
    program = command("serve", "--listen", directory / "admin.sock", "--control", directory / "control.sock", *options)
    return Process(program, directory / "admin.log", {**ENVIRONMENT, **environment})


@pytest.mark.parametrize("abstract", [False, True])
def test_it_tells_when_it_is_ready_and_when_it_stops(tmp_path: Path, *, abstract: bool) -> None:
    address = f"\0l2tpd-admin-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(10)
        with start(tmp_path, NOTIFY_SOCKET=address.replace("\0", "@")) as admin:
            assert manager.recv(100) == b"READY=1"
            with connect(tmp_path / "admin.sock"):
                admin.signal(signal.SIGTERM)
                assert manager.recv(100) == b"STOPPING=1"
                assert admin.wait() == 0


def test_a_manager_that_has_gone_is_no_reason_not_to_serve(tmp_path: Path) -> None:
    with start(tmp_path, NOTIFY_SOCKET=str(tmp_path / "nobody")) as admin:
        admin.wait_until(lambda: can_connect(tmp_path / "admin.sock"), "it listens")
        assert ask(tmp_path / "admin.sock", "show-tunnels")["error"]["code"] == "unreachable"  # it serves
    assert admin.returncode == 0
    assert "Traceback" not in admin.text()


def test_it_serves_the_socket_that_it_inherits_and_leaves_it_there() -> None:
    with (
        open_directory() as directory,
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_INET) as metrics,
        (directory / "file").open("w") as file,
    ):
        daemons = Daemons(directory)
        path = directory / "inherited.sock"
        listener.bind(str(path))
        listener.listen()
        metrics.bind(("127.0.0.1", 0))
        metrics.listen()
        port = metrics.getsockname()[1]
        # High numbers, so that none is overwritten before it has its place.
        passed = [os.dup(one.fileno()) for one in (file, metrics, listener)]
        high = [fd + 100 for fd in passed]
        for fd, to in zip(passed, high, strict=True):
            os.dup2(fd, to)
            os.close(fd)
        arguments = ["serve", "--listen", str(daemons.admin), "--control", str(daemons.control)]
        with subprocess.Popen(
            [sys.executable, "-c", ACTIVATE, ",".join(map(str, high)), *arguments],
            env={**os.environ, **ENVIRONMENT},
            pass_fds=high,
            stderr=subprocess.PIPE,
        ) as admin:
            for fd in high:
                os.close(fd)
            try:
                with daemons.start_control():
                    assert ask(path, "show-tunnels")["ok"]
                    assert 'l2tpd_tunnel_up{peer="192.0.2.2",tunnel="tokyo"} 1.0' in scrape(port).splitlines()
                poll(lambda: "l2tpd_up 0.0" in scrape(port).splitlines(), "l2tp-ctl is away")
                assert not daemons.admin.exists()
            finally:
                admin.terminate()
            assert admin.wait(10) == 0
        assert path.exists()


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: bytes = answer.read()
    return text.decode()


def test_listen_variables_meant_for_another_process_are_not_its_own(tmp_path: Path) -> None:
    with start(tmp_path, LISTEN_PID="1", LISTEN_FDS="3") as admin:
        admin.wait_for_path(tmp_path / "admin.sock")


def test_the_process_says_what_it_is() -> None:
    with running() as (_, admin, _):
        title = Path(f"/proc/{admin.pid}/cmdline")
        poll(lambda: title.read_bytes().rstrip(b"\0") == b"l2tp-admin: serve", "its title")


def test_it_takes_the_place_of_one_that_was_killed() -> None:
    with running() as (daemons, admin, _):
        admin.kill()
        assert daemons.admin.exists()
        with daemons.start_admin():
            assert ask(daemons.admin, "show-tunnels")["ok"]


@pytest.mark.parametrize("what", ["served", "file", "directory", "group", "long", "port"])
def test_what_is_wrong_at_the_start_is_said_with_status_1(tmp_path: Path, what: str) -> None:
    path = tmp_path / "admin.sock"
    options: tuple[str | Path, ...] = ()
    with socket.socket(socket.AF_UNIX) as other:
        if what == "served":
            other.bind(str(path))
            other.listen()
            problem = "is served by another process"
        elif what == "file":
            path.write_text("precious")
            problem = "is there and is no socket"
        elif what == "directory":
            options, problem = ("--listen", tmp_path / "absent" / "admin.sock"), "No such file or directory"
        elif what == "group":
            options, problem = ("--operators", "no-such-group"), "there is no group no-such-group"
        elif what == "port":
            options, problem = ("--metrics", "localhost"), "invalid literal"
        else:
            options, problem = ("--listen", tmp_path / ("x" * 120)), "AF_UNIX path too long"
        with start(tmp_path, *options) as admin:
            assert admin.wait() == 1
    [first, second] = admin.text().splitlines()
    assert first.startswith("<3>")
    assert problem in first
    assert second == "<3>l2tpd initialization failed"
    assert not path.is_file() or path.read_text() == "precious"


def test_it_says_why_it_cannot_accept_and_goes_on() -> None:
    """A process that has no descriptor left can accept again when it has one."""
    with running() as (daemons, admin, _):
        assert ask(daemons.admin, "show-tunnels")["ok"]
        before = resource.prlimit(admin.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(admin.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        with connect(daemons.admin) as client:
            admin.wait_for_log("<3>failed to accept: Too many open files")
            resource.prlimit(admin.pid, resource.RLIMIT_NOFILE, before)
            client.settimeout(5)
            assert ask(daemons.admin, "show-tunnels")["ok"]
        assert "Traceback" not in admin.text()
