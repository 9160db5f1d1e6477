"""The command line as a pipe and as a script sees it."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from l2tp_admin import plain
from l2tp_admin.text import width
from l2tp_admin.views import SESSIONS_OF_TUNNEL, Fact, session_facts
from l2tp_ctl.admin_schema import Command
from tests.admin.daemons import ENVIRONMENT, Daemons, command, frame, running
from tests.admin.fake_control import CONFIG, DIFFERENCES, FIXED, PEER, SESSIONS, STATISTICS, TUNNELS, session

DEBIAN = "/usr/bin/python3"


def debian_has_what_it_needs() -> bool:
    probe = [DEBIAN, "-c", "import sys, click, rich, setproctitle; assert sys.version_info >= (3, 11)"]
    return Path(DEBIAN).exists() and subprocess.run(probe, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def daemons() -> Iterator[Daemons]:
    with running() as (both, _, _):
        yield both


def test_show_tunnels_in_a_pipe_is_plain_columns(daemons: Daemons) -> None:
    done = daemons.run("show", "tunnels")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "NAME      STATE           PEER                ENCAP  SESSIONS  UPTIME  RETRY-IN  LAST-ERROR",
        "tokyo     established     192.0.2.2:1701      udp         1/1   93784         -  -",
        "osaka     wait-ctl-reply  192.0.2.2:1701      udp         0/1       -         7  no answer to SCCRQ",
        "東京本社  idle            [2001:db8::2]:1701  udp         0/1       -         -  StopCCN\\x07 認証失敗",
    ]


def test_show_sessions_aligns_wide_characters_and_keeps_each_field_one_word(daemons: Daemons) -> None:
    done = daemons.run("show", "sessions")
    assert done.returncode == 0
    header, *rows = done.stdout.splitlines()
    assert [row.split()[0] for row in rows] == ["eth0", "eth1", "大阪\\x20支社"]
    for row, one in zip(rows, SESSIONS, strict=True):
        assert row.split()[2] == one["state"]
        assert width(row[: row.index(one["state"])]) == header.index("STATE")
    assert rows[0].split()[4:11] == ["1001", "20002", "1446", "3725", "123456", "7", "3"]
    ends = {width(row[: row.index(word) + len(word)]) for row, word in [(header, "LOCAL-ID"), (rows[0], "1001")]}
    assert len(ends) == 1


def test_show_sessions_of_one_tunnel(daemons: Daemons) -> None:
    done = daemons.run("show", "sessions", "--tunnel", "osaka")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["NAME", "eth1"]


def test_show_tunnel_says_why_it_is_not_up(daemons: Daemons) -> None:
    done = daemons.run("show", "tunnel", "osaka")
    assert done.returncode == 0
    said = done.stdout.splitlines()
    assert said[0] == "tunnel osaka is not up: no answer to SCCRQ"
    assert "state:           wait-ctl-reply: SCCRQ was sent, the peer's SCCRP is awaited" in said
    assert "next attempt:    in 7 s" in said
    assert "peer:            192.0.2.2:1701 over UDP" in said
    assert "local address:   192.0.2.1" in said
    assert "connection ids:  2864434397 (0xaabbccdd) local, no peer" in said
    assert "messages:        0 unacknowledged in a window of 16, 0 queued, 9 retransmitted" in said
    assert said[-1].split()[:2] == ["eth1", "idle"]
    assert said[-1].endswith("the tunnel is down")


def test_show_tunnel_without_a_control_connection_claims_nothing_of_one(daemons: Daemons) -> None:
    said = daemons.run("show", "tunnel", "東京本社").stdout.splitlines()
    assert said[0] == "tunnel 東京本社 is not up: StopCCN\\x07 認証失敗"
    assert "next attempt:    none is planned; the peer may begin" in said
    assert "peer:            [2001:db8::2]:1701 over UDP" in said
    assert not [line for line in said if line.startswith(("authentication", "begun by", "sequence"))]


def test_show_tunnel_that_is_up_and_its_drops(daemons: Daemons) -> None:
    said = daemons.run("show", "tunnel", "tokyo").stdout.splitlines()
    assert said[0] == "tunnel tokyo is up for 1d02h"
    assert "peer says:       host name host\\x1b[31m\\nname, router id 192.0.2.2, vendor l2tpd" in said
    assert said[-1] == "drops of eth0:   3 rx_cookie"


@pytest.mark.parametrize("words", [("tunnel", "tokyo"), ("session", "eth0")])
def test_where_the_helper_differs_is_told_in_lines_of_its_own(daemons: Daemons, words: tuple[str, str]) -> None:
    said = daemons.run("show", *words).stdout.splitlines()
    assert [line for line in said if line.startswith("differs:")] == [
        "differs:         l2-eth0: MTU is 1300 at l2tp-kernel, 1446 here",
        "differs:         l2-\\x07: missing at l2tp-kernel",
    ]


def test_where_the_mtu_comes_from(daemons: Daemons) -> None:
    assert (
        "mtu:             1446, computed from the path to the peer\n" in daemons.run("show", "session", "eth0").stdout
    )
    assert "mtu:" not in daemons.run("show", "session", "eth1").stdout
    fixed = session("eth2", "tokyo", "established", mtu=1400, mtu_fixed=True)
    assert Fact("mtu", "1400, fixed by the configuration") in session_facts(fixed)
    header, *rows = (line.split() for line in plain.table(SESSIONS_OF_TUNNEL, [*SESSIONS[:2], fixed]).splitlines())
    assert [row[header.index("MTU-FROM")] for row in rows] == ["path", "-", "configuration"]


def test_json_is_the_answer_with_its_version(daemons: Daemons) -> None:
    for arguments, expected in (
        (("show", "tunnels"), {"v": 1, "tunnels": TUNNELS, "problem": ""}),
        (("show", "session", "eth0"), {"v": 1, "session": SESSIONS[0], "differences": DIFFERENCES["tokyo"]}),
        (("show", "peers"), {"v": 1, "peers": [PEER]}),
        (("show", "statistics"), {"v": 1, **STATISTICS}),
        (("show", "config"), {"v": 1, "config": CONFIG}),
        (("show", "version"), {"v": 1, **FIXED[Command.SHOW_VERSION]}),
        (("up", "osaka"), {"v": 1, "changed": ["osaka"]}),
        (("down", "osaka"), {"v": 1, "changed": ["osaka"]}),
        (("show", "sessions"), {"v": 1, "sessions": SESSIONS}),
        (
            ("show", "tunnel", "osaka"),
            {"v": 1, "tunnel": TUNNELS[1], "sessions": [SESSIONS[1]], "problem": "", "differences": []},
        ),
        (("clear", "tunnel", "osaka"), {"v": 1, "cleared": ["osaka"]}),
        (("clear", "session", "l2-eth1"), {"v": 1, "cleared": ["eth1"]}),
    ):
        done = daemons.run(*arguments, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout) == expected
        assert list(json.loads(done.stdout)) == list(expected)
        assert done.stdout.startswith('{\n  "v": 1,\n  "')
        assert done.stdout.replace("\n", "").isprintable()
        assert daemons.run(*arguments, "--json").stdout == done.stdout


def test_json_is_utf8_and_columns_are_escaped_in_a_locale_that_is_not(daemons: Daemons) -> None:
    latin = {"PYTHONIOENCODING": "latin-1"}
    assert "東京本社" in daemons.run("show", "tunnels", "--json", environment=latin).stdout
    assert "\\u6771\\u4eac" in daemons.run("show", "tunnels", environment=latin).stdout


def test_clear_prints_what_was_cleared(daemons: Daemons) -> None:
    assert daemons.run("clear", "tunnel", "192.0.2.2").stdout == "cleared tokyo\ncleared osaka\n"
    assert daemons.run("clear", "session", "eth0").stdout == "cleared eth0\n"
    # A script is not asked.
    assert daemons.run("clear", "tunnel", "all").stdout == "cleared tokyo\ncleared osaka\ncleared 東京本社\n"


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        (
            ("show", "tunnel", "kyoto"),
            1,
            "l2tp-admin: there is no kyoto; l2tp-admin show tunnels and show sessions list",
        ),
        (("clear", "session", "x\x1b[2J"), 1, "l2tp-admin: there is no x\\x1b[2J; "),
        (("show", "tunnel", ""), 1, "l2tp-admin: every argument must be a text of 1 to 255 characters; "),
        (("show", "tunnel", "x" * 256), 1, "l2tp-admin: every argument must be a text of 1 to 255 characters; "),
        (("show", "tunnel", "\udcff"), 1, "l2tp-admin: the name is not text in this locale's encoding; "),
        (("clear", "tunnel", "die"), 3, "l2tp-admin: l2tp-ctl is away: it closed the connection; is it running?"),
    ],
)
def test_a_refusal_is_one_line_with_a_remedy(arguments: tuple[str, ...], status: int, error: str) -> None:
    with running() as (own, _, _):
        done = own.run(*arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(error)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "tunnel"),
        ("show", "everything"),
        ("reboot",),
        ("--timeout", "0", "show", "tunnels"),
        ("show", "tunnels", "--yaml"),
        ("clear", "tunnel"),
        ("clear", "session", "a", "b"),
    ],
)
def test_wrong_usage_has_status_2(daemons: Daemons, arguments: tuple[str, ...]) -> None:
    done = daemons.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: " in done.stderr


def test_nobody_there_has_status_3(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path / ("x" * 120), dead_socket(tmp_path / "dead")):
        done = Daemons(tmp_path).run("--socket", str(path), "show", "tunnels")
        assert done.returncode == 3
        assert done.stderr.startswith(f"l2tp-admin: {path}: ")
        assert done.stderr.endswith("; is it running? see: systemctl status l2tp-admin l2tp-ctl\n")


def dead_socket(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    return path


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (None, 3, "no answer within 0.3 s"),
        (b"", 3, "it closed the connection without an answer"),
        (b"\xff\xff\xff\xff", 1, "the answer cannot be read: frame of 4294967295 octets"),
        (frame({"v": 1, "id": 0}), 1, "the answer is not one of this version"),
        (frame({"ok": True, "result": []}), 1, "the answer is not one of this version"),
        (frame({"ok": False, "error": {"code": "later", "message": "x"}}), 1, "the answer is not one of this version"),
        (frame({"ok": False, "error": {"code": "busy", "message": "full"}}), 1, "full; try again in a moment"),
        (frame({"ok": False, "error": {"code": "version", "message": "v"}}), 1, "of the same release?"),
    ],
)
def test_an_answer_that_is_none(tmp_path: Path, answer: bytes | None, status: int, error: str) -> None:
    path = tmp_path / "odd.sock"
    done = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def behave() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(1000)
                if answer is None:
                    done.wait(15)
                else:
                    client.sendall(answer)

        thread = threading.Thread(target=behave)
        thread.start()
        try:
            ran = Daemons(tmp_path).run("--socket", str(path), "--timeout", "0.3", "show", "tunnels")
        finally:
            done.set()
            thread.join()
    assert (ran.returncode, ran.stdout) == (status, "")
    assert error in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_the_socket_may_come_from_the_environment(daemons: Daemons) -> None:
    done = subprocess.run(
        command("show", "tunnels"),
        env={**os.environ, **ENVIRONMENT, "L2TP_ADMIN_SOCKET": str(daemons.admin)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0


def test_a_reader_that_has_gone_is_no_traceback(daemons: Daemons) -> None:
    with subprocess.Popen(
        command("--socket", daemons.admin, "show", "sessions"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **ENVIRONMENT},
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()
        assert program.stderr.read() == b""
        assert program.wait(10) == 1


@pytest.mark.parametrize("arguments", [("-h",), ("show", "-h"), ("show", "tunnel", "--help"), ("serve", "-h")])
def test_help(daemons: Daemons, arguments: tuple[str, ...]) -> None:
    done = daemons.run(*arguments)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: l2tp-admin ")


def test_version(daemons: Daemons) -> None:
    done = daemons.run("--version")
    assert (done.returncode, done.stdout) == (0, "l2tp-admin 0.1.0\n")


@pytest.mark.usefixtures("measured")
def test_show_tunnels_in_a_pipe_costs_little_and_imports_no_rich(daemons: Daemons) -> None:
    def processor_time() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert daemons.run("show", "tunnels").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    processor_time()  # compiles the modules where that was not done yet
    assert min(processor_time() for _ in range(5)) < 0.15
    probe = (
        "import sys; from l2tp_admin.main import cli\n"
        f"cli(['--socket', {str(daemons.admin)!r}, 'show', 'tunnels'], standalone_mode=False)\n"
        "print(sorted({'rich', 'asyncio', 'setproctitle'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", probe], env={**os.environ, **ENVIRONMENT}, capture_output=True, check=True
    )
    assert run.stdout.splitlines()[-1] == b"[]"


@pytest.mark.skipif(not debian_has_what_it_needs(), reason="needs Debian's python3-click, -rich and -setproctitle")
def test_all_of_it_under_debians_own_python() -> None:
    with running(python=DEBIAN) as (own, admin, _):
        assert own.run("show", "tunnels").stdout.count("\n") == 4
        assert json.loads(own.run("show", "sessions", "--json").stdout)["sessions"] == SESSIONS
        assert own.run("show", "tunnel", "osaka").returncode == 0
        assert own.run("clear", "tunnel", "osaka").stdout == "cleared osaka\n"
        assert own.run("clear", "tunnel", "kyoto").returncode == 1
        assert admin.stop() == 0
        assert own.run("show", "tunnels").returncode == 3
        assert "Traceback" not in admin.text()
