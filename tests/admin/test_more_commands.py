"""Commands beyond show tunnels and sessions, as a pipe, a script and a shell's completion see them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.admin.daemons import ENVIRONMENT, Daemons, command, running
from tests.admin.fake_control import CHANGES, CONFIG, MISTAKES
from tests.support.netns import poll


@pytest.fixture(scope="module")
def daemons() -> Iterator[Daemons]:
    with running() as (both, _, _):
        yield both


def test_show_session_says_whether_it_is_up(daemons: Daemons) -> None:
    up, down = (daemons.run("show", "session", name).stdout.splitlines() for name in ("eth0", "eth1"))
    assert up[0] == "session eth0 is up on l2-eth0 for 1h02m"
    assert "session ids:     1001 (0x3e9) local, 20002 (0x4e22) peer" in up
    assert "rx cookie:       3" in up
    assert down[0] == "session eth1 is not up: the tunnel is down"


def test_show_peers(daemons: Daemons) -> None:
    assert [line.split() for line in daemons.run("show", "peers").stdout.splitlines()] == [
        ["ADDRESS", "HOST-NAME", "ROUTER-ID", "VENDOR", "TUNNELS", "SESSIONS", "NAMES"],
        ["192.0.2.2", "host\\x1b[31m", "192.0.2.2", "l2tpd", "1/2", "1/2", "tokyo,osaka"],
    ]


def test_show_statistics_leaves_out_what_never_happened(daemons: Daemons) -> None:
    lines = daemons.run("show", "statistics").stdout.splitlines()
    assert "dropped:         2 unknown-peer" in lines
    assert "received:        1 sccrp, 2 hello" in lines
    assert "  stats:         4 answered, 2.50 ms each" in lines


def test_show_config_is_toml(daemons: Daemons) -> None:
    shown = tomllib.loads(daemons.run("show", "config").stdout)
    assert shown == {key: value for key, value in CONFIG.items() if value}


def test_show_version(daemons: Daemons) -> None:
    assert daemons.run("show", "version").stdout.splitlines()[0].split() == ["l2tpd:", "0.1.0"]


def test_up_and_down(daemons: Daemons) -> None:
    assert daemons.run("down", "osaka").stdout == "down osaka\n"
    assert daemons.run("up", "osaka").stdout == "up osaka\n"
    assert daemons.run("up", "kyoto").returncode == 1


def test_reload_tells_every_mistake(daemons: Daemons) -> None:
    done = daemons.run("reload")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        MISTAKES[0],
        MISTAKES[1].replace("\x1b", "\\x1b"),
        "l2tp-admin: l2tpd.toml has 2 mistakes; correct the file and reload again",
    ]


def test_monitor_shows_each_change_until_the_server_ends(daemons: Daemons, tmp_path: Path) -> None:
    program = command("--socket", daemons.admin, "monitor")
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(program, stdout=out, env={**os.environ, **ENVIRONMENT})
        text = tmp_path / "out"
        poll(lambda: len(text.read_text().splitlines()) == len(CHANGES), "every change")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    lines = [line.split(" ", 2)[2] for line in text.read_text().splitlines()]
    assert lines == [
        "tunnel tokyo is wait-ctl-reply",
        "tunnel tokyo is established",
        "tunnel 東京本社 is idle: peer: \\x07 認証失敗",
    ]


def test_monitor_as_json_is_one_object_a_line(daemons: Daemons) -> None:
    program = command("--socket", daemons.admin, "monitor", "--json")
    with subprocess.Popen(program, stdout=subprocess.PIPE, env={**os.environ, **ENVIRONMENT}) as process:
        assert process.stdout
        assert [json.loads(process.stdout.readline()) for _ in CHANGES] == [{"v": 1, **one} for one in CHANGES]
        process.terminate()


@pytest.mark.tshark
def test_a_capture_is_what_a_decoder_reads(daemons: Daemons, tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    done = daemons.run("capture", str(path), "--count", "2")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "l2tp-admin: 2 messages")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    fields = ["frame.time_epoch", "ip.src", "ip.dst", "udp.checksum.status", "ip.checksum.status", "l2tp.type"]
    shown = subprocess.run(
        ["tshark", "-r", str(path), "-oip.check_checksum:TRUE", "-oudp.check_checksum:TRUE", "-Tfields"]
        + [option for field in fields for option in ("-e", field)],
        capture_output=True,
        text=True,
        check=True,
    )
    good = "1"
    assert [line.split("\t") for line in shown.stdout.splitlines()] == [
        ["1764000000.500000000", "192.0.2.2", "192.0.2.1", good, good, "1"],
        ["1764000001.500000000", "192.0.2.1", "192.0.2.2", good, good, "1"],
    ]


def test_a_capture_to_where_nobody_may_write(daemons: Daemons, tmp_path: Path) -> None:
    done = daemons.run("capture", str(tmp_path / "none" / "file"))
    assert done.returncode == 1
    assert "No such file or directory; give a file that you may write" in done.stderr


def test_watch_shows_it_again(daemons: Daemons) -> None:
    program = command("--socket", daemons.admin, "show", "peers", "--watch", "0.1")
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env={**os.environ, **ENVIRONMENT}) as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(9)]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert lines[2] == "\n"
    assert lines[:3] * 3 == lines


def test_top_once_in_a_pipe(daemons: Daemons) -> None:
    shown = daemons.run("top", "--once", "--interval", "0.1", environment={"COLUMNS": "200"}).stdout
    assert shown.startswith("l2tpd up 1h02m   tunnels 1/3   sessions 1/3   sent again 3   dropped 2")
    assert "no answer to SCCRQ" in shown
    assert "RX-BIT/S" in shown
    assert daemons.run("top").returncode == 1


def test_check_config(tmp_path: Path) -> None:
    path = tmp_path / "l2tpd.toml"
    path.write_text('[local]\nhostname = "a"\nrouter-id = "192.0.2.1"\n')
    done = run_alone("check-config", str(path))
    assert (done.returncode, done.stdout) == (0, f"{path}: no mistakes\n")
    path.write_text("[daemon]\nplane = 1\n")
    done = run_alone("check-config", str(path), "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["file"] == str(path)
    assert len(told["mistakes"]) == 3
    assert all(line.startswith(f"{path}: ") for line in told["mistakes"])


def run_alone(*words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command that needs no server, with the console scripts in PATH."""
    found = os.environ["PATH"] + os.pathsep + str(Path(command()[0]).parent)
    variables = {**os.environ, **ENVIRONMENT, "PATH": found, **(environment or {})}
    return subprocess.run(command(*words), capture_output=True, text=True, env=variables, check=False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_sound(shell: str, tmp_path: Path) -> None:
    script = run_alone("completion", shell).stdout
    assert "_L2TP_ADMIN_COMPLETE" in script
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        subprocess.run([shell, "-n", tmp_path / "script"], check=True)


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("show tunnel ", ["tokyo", "osaka", "東京本社"]),
        ("show tunnel t", ["tokyo"]),
        ("clear session e", ["eth0", "eth1"]),
        ("show sessions --tunnel o", ["osaka"]),
        ("show st", ["statistics"]),
    ],
)
def test_completion_knows_live_names(daemons: Daemons, words: str, completed: list[str]) -> None:
    line = f"l2tp-admin {words}"
    environment = {
        "_L2TP_ADMIN_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
        "L2TP_ADMIN_SOCKET": str(daemons.admin),
    }
    shown = run_alone(environment=environment).stdout.splitlines()
    assert [each.removeprefix("plain,") for each in shown] == completed


def test_completion_without_a_server_is_silent(tmp_path: Path) -> None:
    environment = {
        "_L2TP_ADMIN_COMPLETE": "bash_complete",
        "COMP_WORDS": "l2tp-admin show tunnel ",
        "COMP_CWORD": "3",
        "L2TP_ADMIN_SOCKET": str(tmp_path / "none"),
    }
    done = run_alone(environment=environment)
    assert (done.stdout.strip(), done.stderr) == ("", "")
