"""The log in memory, shown and followed through both processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from l2tp_ctl.catalogue import Entry, Level
from l2tp_ctl.runtime.log_ring import LogRing, selection
from tests.admin.daemons import ENVIRONMENT, ask, can_connect, command
from tests.catalogue.programs import Control
from tests.support.netns import Process

TRIMMED = '== OLDER "l2tp" LOG MESSAGES WERE TRIMMED =='
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (error |warn  |notice|info  |debug ) (.*)")
TUNNELS = '[tunnel.east]\npeer-address = "127.0.0.2"\nretry = 3\n[tunnel.west]\npeer-address = "127.0.0.3"\n'


class Running:
    """l2tp-ctl and l2tp-admin serve, up."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.admin = control.directory / "admin.sock"

    def command(self, *words: str) -> list[str]:
        return command("--socket", self.admin, "show", "log", *words)

    def show(self, *words: str) -> subprocess.CompletedProcess[str]:
        done = self.command(*words)
        return subprocess.run(
            done, capture_output=True, text=True, check=False, timeout=15, env={**os.environ, **ENVIRONMENT}
        )

    def lines(self, *words: str) -> list[str]:
        """What a person gets, without the times."""
        shown = self.show(*words)
        assert (shown.returncode, shown.stderr) == (0, "")
        found = [LINE.fullmatch(line) for line in shown.stdout.splitlines()]
        return [match[2] for match in found if match]


@pytest.fixture
def control(tmp_path: Path) -> Control:
    control = Control(tmp_path)
    control.configure(TUNNELS)
    return control


@pytest.fixture
def running(control: Control) -> Iterator[Running]:
    ours = Running(control)
    serve = command("serve", "--listen", ours.admin, "--control", control.admin)
    with control.running() as process, Process(serve, control.directory / "admin.log", ENVIRONMENT) as admin:
        admin.wait_until(lambda: can_connect(ours.admin), "l2tp-admin serve")
        process.wait_for_log("connection to l2tp-kernel lost")
        yield ours


def test_every_line_is_there_as_it_was_logged(running: Running) -> None:
    logged = [line[3:] for line in running.control.log.read_text().splitlines()]
    assert running.lines() == logged
    assert logged[0] == "l2tpd start"


def test_one_tunnel_and_one_level(running: Running) -> None:
    assert running.lines("--tunnel", "west") == ["west: peer-address: 127.0.0.3"]
    assert running.lines("--level", "error") == ["connection to l2tp-kernel lost: No such file or directory"]
    assert running.lines("--tunnel", "west", "--level", "info") == []
    assert running.show("--level", "loud").returncode == 2
    refused = ask(running.admin, "show-log", level="loud")
    assert refused["error"]["code"] == "bad-arguments"


def test_json(running: Running) -> None:
    told = json.loads(running.show("--json").stdout)
    assert told["v"] == 1
    (line,) = [line for line in told["lines"] if line["message"] == "east: retry: 3"]
    assert line.pop("time") > 1.6e9
    assert line == {
        "level": "debug",
        "id": "CONFIG_PARAM",
        "message": "east: retry: 3",
        "tunnel": "east",
        "session": "",
        "fields": {"tun_name": "east", "tag": "retry", "param": "3"},
    }


@pytest.mark.parametrize("as_json", [False, True])
def test_following(running: Running, as_json: bool) -> None:  # noqa: FBT001 - a parameter
    log = running.control.directory / "followed"
    words = ("--follow", "--level", "debug", *(["--json"] if as_json else []))
    with Process(running.command(*words), log, ENVIRONMENT) as follower:
        follower.wait_for_log("connection to l2tp-kernel lost")
        assert not ask(running.admin, "clear-session", target="pw9")["ok"]
        follower.wait_for_log("clear: no such if_name: pw9")
        follower.signal(signal.SIGINT)
        assert follower.wait() == 0
    lines = log.read_text().splitlines()
    if as_json:
        assert [json.loads(line)["id"] for line in lines][-2:] == ["HELPER_LOST", "NO_SUCH_IF_NAME"]
    else:
        assert all(LINE.fullmatch(line) for line in lines)


def test_older_lines_fall_out(control: Control) -> None:
    control.configure("".join(f'[tunnel.t{n}]\npeer-address = "127.0.1.{n}"\n' for n in range(60)), "log-memory = 16")
    ours = Running(control)
    serve = command("serve", "--listen", ours.admin, "--control", control.admin)
    with control.running(), Process(serve, control.directory / "admin.log", ENVIRONMENT) as admin:
        admin.wait_until(lambda: can_connect(ours.admin), "l2tp-admin serve")
        assert ours.lines()[0] == TRIMMED
        assert ours.lines("--tunnel", "t0") == [TRIMMED]


def test_the_ring_holds_what_its_limit_allows_and_the_latest() -> None:
    ring = LogRing(limit=64 * 1024)
    for number in range(1000):
        ring.add(Entry.INTERNAL_ERROR, f"line {number}", {"error": "x" * (number % 512)}, f"t{number % 3}", "")
    kept = [line["message"] for line in ring.lines(selection(None, Level.DEBUG))]
    assert kept[0] == TRIMMED
    assert 60 < len(kept) < 130
    assert kept[1:] == [f"line {number}" for number in range(1001 - len(kept), 1000)]
    some = [line["tunnel"] for line in ring.lines(selection("t1", Level.ERROR))]
    assert some[0] == ""
    assert set(some[1:]) == {"t1"}
