"""``l2tp-admin resolve`` as a process: names by way of the system, limits, what hangs, and its life under systemd."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from l2tp_admin.resolver import MAX_CLIENTS
from l2tp_ctl.resolver_schema import (
    MAX_ADDRESSES,
    MAX_ANSWER,
    MAX_QUESTIONS,
    Answer,
    ContractError,
    Families,
    Question,
    Status,
    decode_answer,
)
from tests.admin.daemons import ENVIRONMENT, command, open_directory
from tests.support.names import NameServer, Sources, name_server
from tests.support.netns import Namespace, Process, namespace, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "gw.example.net"
BOTH = Families.IPV4 | Families.IPV6


@contextlib.contextmanager
def client(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as made:
        made.settimeout(15)
        made.connect(str(path))
        yield made


def connects(path: Path) -> bool:
    with contextlib.suppress(OSError), client(path):
        return True
    return False


def ask(path: Path, name: str, families: Families = BOTH) -> tuple[Status, set[str]]:
    with client(path) as asking:
        asking.send(Question(7, families, name).encode())
        answer = decode_answer(asking.recv(MAX_ANSWER))
    assert answer.number == 7
    return answer.status, {str(address) for address in answer.addresses}


class Running:
    """A resolver on a host with a name server of its own."""

    def __init__(self, path: Path, host: Namespace, server: NameServer, sources: Sources, process: Process) -> None:
        self.path = path
        self.host = host
        self.server = server
        self.sources = sources
        self.process = process

    def ask(self, name: str, families: Families = BOTH) -> tuple[Status, set[str]]:
        return ask(self.path, name, families)


@contextlib.contextmanager
def running(*options: str) -> Iterator[Running]:
    with open_directory() as directory, namespace("names") as host, name_server(host) as server:
        directory.chmod(0o777)
        sources = Sources(directory)
        path = directory / "resolver.sock"
        words = sources.command("l2tp-admin", "resolve", "--listen", path, *options)
        with host.start(*words, log=directory / "log") as process:
            process.wait_until(lambda: connects(path), "it listens")
            yield Running(path, host, server, sources, process)


@pytest.fixture(scope="module")
def resolver() -> Iterator[Running]:
    with running() as made:
        yield made


@pytest.fixture(autouse=True)
def _quiet(request: pytest.FixtureRequest) -> None:
    """A name server as it should be."""
    if "resolver" in request.fixturenames:
        server = request.getfixturevalue("resolver").server
        server.silent = server.failing = False


@pytest.mark.root
@pytest.mark.parametrize(
    ("families", "addresses"),
    [
        (BOTH, {"192.0.2.2", "2001:db8::2"}),
        (Families.IPV4, {"192.0.2.2"}),
        (Families.IPV6, {"2001:db8::2"}),
    ],
)
def test_a_name_leads_where_the_name_server_says(resolver: Running, families: Families, addresses: set[str]) -> None:
    resolver.server.records[NAME] = ["192.0.2.2", "2001:db8::2"]
    assert resolver.ask(NAME, families) == (Status.OK, addresses)
    assert resolver.server.asked[-1] == NAME


@pytest.mark.root
def test_a_change_shows_at_once_in_the_files_too(resolver: Running) -> None:
    resolver.server.records[NAME] = ["192.0.2.3"]
    assert resolver.ask(NAME) == (Status.OK, {"192.0.2.3"})
    resolver.sources.hosts(f"192.0.2.4 {NAME}\n")
    assert resolver.ask(NAME) == (Status.OK, {"192.0.2.4"})
    resolver.sources.hosts("")
    assert resolver.ask(NAME) == (Status.OK, {"192.0.2.3"})


@pytest.mark.root
def test_each_failure_has_its_status(resolver: Running) -> None:
    resolver.server.records["four.example.net"] = ["192.0.2.2"]
    assert resolver.ask("nowhere.example.net") == (Status.NO_NAME, set())
    assert resolver.ask("four.example.net", Families.IPV6) == (Status.NO_ADDRESS, set())
    resolver.server.failing = True
    assert resolver.ask(NAME) == (Status.NO_ANSWER, set())


@pytest.mark.root
def test_no_more_addresses_than_may_be(resolver: Running) -> None:
    resolver.server.records["many.example.net"] = [f"192.0.2.{number}" for number in range(1, MAX_ADDRESSES + 5)]
    status, addresses = resolver.ask("many.example.net")
    assert (status, len(addresses)) == (Status.OK, MAX_ADDRESSES)


@pytest.mark.root
def test_a_name_server_that_is_silent_holds_up_no_other_question(resolver: Running) -> None:
    resolver.server.silent = True
    resolver.sources.hosts("192.0.2.9 quick\n")
    with client(resolver.path) as asking:
        asking.send(Question(1, BOTH, "slow.example.net").encode())
        asking.send(Question(2, BOTH, "quick").encode())
        began = time.monotonic()
        answer = decode_answer(asking.recv(MAX_ANSWER))
        assert answer == Answer(2, Status.OK, (ip_address("192.0.2.9"),))
        assert time.monotonic() - began < 4
        # It does not wait for the name server, which takes 10 s.
        assert resolver.ask("quick")[0] is Status.OK


@pytest.mark.root
def test_questions_beyond_the_limit_are_answered_at_once() -> None:
    with running() as resolver:
        resolver.server.silent = True
        with client(resolver.path) as asking:
            for number in range(MAX_QUESTIONS + 3):
                asking.send(Question(number, BOTH, f"n{number}.example.net").encode())
            answers = [decode_answer(asking.recv(MAX_ANSWER)) for _ in range(3)]
            assert [(one.number, one.status) for one in answers] == [
                (number, Status.BUSY) for number in range(MAX_QUESTIONS, MAX_QUESTIONS + 3)
            ]
        # While all these wait it ends without waiting for them.
        began = time.monotonic()
        assert resolver.process.stop() == 0
        assert time.monotonic() - began < 4
        assert not resolver.path.exists()


@pytest.mark.root
@pytest.mark.parametrize("octets", [b"x", bytes(5) + b"gw", b"\0\0\0\1\3" + b"a" * 300, b"\0\0\0\1\3gw;reboot"])
def test_who_does_not_keep_to_the_contract_is_cut(resolver: Running, octets: bytes) -> None:
    with client(resolver.path) as asking:
        asking.send(octets)
        assert asking.recv(1) == b""
    resolver.process.wait_until(lambda: "admin client uid 0 (root), pid" in resolver.process.text(), "it is told")
    resolver.server.records[NAME] = ["192.0.2.2"]
    assert resolver.ask(NAME)[0] is Status.OK


@pytest.mark.root
def test_clients_beyond_the_limit_are_closed(resolver: Running) -> None:
    with contextlib.ExitStack() as stack:
        served = [stack.enter_context(client(resolver.path)) for _ in range(MAX_CLIENTS)]
        for asking in served:
            asking.send(Question(1, BOTH, "nowhere.example.net").encode())
            assert decode_answer(asking.recv(MAX_ANSWER)).status is Status.NO_NAME
        assert stack.enter_context(client(resolver.path)).recv(1) == b""
    poll(lambda: _served(resolver), "there is room again")


def _served(resolver: Running) -> bool:
    with contextlib.suppress(OSError, ContractError):
        return resolver.ask("nowhere.example.net")[0] is Status.NO_NAME
    return False


@pytest.mark.root
def test_a_client_that_is_gone_or_reads_nothing_is_no_harm(resolver: Running) -> None:
    with client(resolver.path) as asking:
        asking.send(Question(1, BOTH, NAME).encode())
    with client(resolver.path) as deaf:
        deaf.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            for number in range(5000):
                deaf.send(Question(number, BOTH, "nowhere.example.net").encode())
        resolver.server.records[NAME] = ["192.0.2.2"]
        assert resolver.ask(NAME)[0] is Status.OK
    assert "Traceback" not in resolver.process.text()


@pytest.mark.root
@pytest.mark.parametrize(("options", "mode", "group"), [((), 0o600, 0), (("--group", "daemon"), 0o660, 1)])
def test_who_may_ask(options: tuple[str, ...], mode: int, group: int) -> None:
    with running("--user", "nobody", *options) as resolver:
        status = resolver.path.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid) == (mode, 65534)
        assert not options or status.st_gid == group
        owner = Path(f"/proc/{resolver.process.pid}/status").read_text()
        assert "Uid:\t65534\t65534\t65534\t65534" in owner
        assert "CapEff:\t0000000000000000" in owner
        assert Path(f"/proc/{resolver.process.pid}/cmdline").read_bytes().startswith(b"l2tp-resolver")


def start(path: Path, *options: str, **environment: str) -> Process:
    return Process(command("resolve", "--listen", path, *options), path.parent / "log", {**ENVIRONMENT, **environment})


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--user", "nobody-at-all"), "there is no user nobody-at-all"), (("--group", "none-such"), "no group none-such")],
)
def test_what_is_wrong_at_the_start_is_told(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    with start(tmp_path / "r.sock", *options) as process:
        assert process.wait() == 1
        assert words in process.text()
        assert "l2tpd initialization failed" in process.text()


def test_it_takes_the_place_of_a_dead_one_and_of_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "r.sock"
    with start(path) as process:
        process.wait_until(lambda: connects(path), "it listens")
        with start(path) as second:
            assert second.wait() == 1
            assert "is served by another process" in second.text()
        process.kill()
    assert path.exists()
    with start(path) as process:
        process.wait_until(lambda: connects(path), "it listens")
        ask(path, "localhost")  # now it waits for signals, too
        process.signal(signal.SIGINT)
        assert process.wait() == 0
    path.write_text("a file")
    with start(path) as process:
        assert process.wait() == 1
    assert path.read_text() == "a file"


ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "l2tp_admin.main", "resolve"])
"""
"""What systemd does between fork and exec (sd_listen_fds(3))."""


def test_under_systemd_it_serves_the_socket_that_it_inherits(tmp_path: Path) -> None:
    path, notify = tmp_path / "inherited.sock", tmp_path / "notify"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.bind(str(notify))
        manager.settimeout(10)
        listener.bind(str(path))
        listener.listen()
        with client(path) as asking:  # before there is anybody to answer
            asking.send(Question(1, Families.IPV4, "localhost").encode())
            environment = {**os.environ, **ENVIRONMENT, "NOTIFY_SOCKET": str(notify), "WATCHDOG_USEC": "400000"}
            with subprocess.Popen(
                [sys.executable, "-c", ACTIVATE, str(listener.fileno())],
                env=environment, pass_fds=[listener.fileno()],
            ) as process:  # fmt: skip
                try:
                    assert manager.recv(100) == b"READY=1"
                    assert manager.recv(100) == b"WATCHDOG=1"
                    answer = decode_answer(asking.recv(MAX_ANSWER))
                    assert ip_address("127.0.0.1") in answer.addresses
                    assert manager.recv(100) == b"WATCHDOG=1"
                finally:
                    process.terminate()
                assert process.wait(10) == 0
        assert path.exists()
