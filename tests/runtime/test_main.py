"""l2tp-ctl as a process: its command line, its log, and what it tells the service manager."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from l2tp_ctl.admin_framing import Decoder, encode
from l2tp_ctl.admin_schema import MAX_ANSWER
from l2tp_ctl.catalogue import Level
from l2tp_ctl.core.endpoint import Endpoint
from l2tp_ctl.runtime.admin_server import listen
from l2tp_ctl.runtime.app import App
from l2tp_ctl.runtime.config_file import load
from l2tp_ctl.runtime.log_sink import LogSink
from tests.support.netns import Process, poll, program

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "nobody"


class Control:
    """An l2tp-ctl without a helper, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.admin = directory / "admin.sock"
        self.log = directory / "log"
        self.config = directory / "l2tpd.toml"
        self.configure("")

    def configure(self, more: str) -> None:
        self.config.write_text(
            f'[local]\nhostname = "west"\nrouter-id = "192.0.2.1"\n'
            f'[daemon]\nkernel-directory = "{self.directory}/kernel"\nadmin-socket = "{self.admin}"\n{more}'
        )

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        command = [program("l2tp-ctl"), "--config", str(self.config), *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)

    def ask(self, command: str, **args: str) -> dict[str, Any] | None:
        """Send one admin command; None if it hangs up without an answer."""
        decoder = Decoder(MAX_ANSWER)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(5)
            sock.connect(str(self.admin))
            sock.sendall(encode({"v": 1, "id": 1, "command": command, "args": args}))
            while data := sock.recv(65536):
                for answer in decoder.feed(data):
                    return answer
        return None

    @contextlib.contextmanager
    def running(self, *options: str, **environment: str) -> Iterator[Process]:
        """Start it with an empty log and wait until it is at work."""
        self.log.unlink(missing_ok=True)
        command = [program("l2tp-ctl"), "--config", str(self.config), *options]
        with Process(command, self.log, environment) as process:
            process.wait_for_log("connection to l2tp-kernel lost")
            yield process


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path)


def test_version(control: Control) -> None:
    assert control.run("--version").stdout == "l2tp-ctl 0.1.0\n"


def test_check_finds_no_mistake_and_starts_nothing(control: Control) -> None:
    done = control.run("--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{control.config}: 0 tunnels, no mistakes\n", "")
    assert not control.admin.exists()


def test_a_missing_file(control: Control) -> None:
    control.config.unlink()
    done = control.run()
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "<3>Can't open config file",
        f"<5>{control.config}: No such file or directory; check the path and its permissions",
        "<3>l2tpd initialization failed",
    ]


def test_check_tells_a_mistake_and_its_remedy_in_one_line(control: Control) -> None:
    control.configure('"a\\u001b[2J" = 1\n')
    done = control.run("--check")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{control.config}: daemon.a\\x1b[2J: unknown key (known are admin-socket, ")


def test_mistakes_as_json(control: Control) -> None:
    control.configure("plane = 1\nlog-level = 2\n")
    done = control.run("--log-format", "json")
    assert done.returncode == 2
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(each["level"], each["id"], each["fields"].get("tag")) for each in told] == [
        ("error", "CONFIG_ERROR", "daemon.plane"),
        ("notice", "CONFIG_REMEDY", "daemon.plane"),
        ("error", "CONFIG_ERROR", "daemon.log-level"),
        ("notice", "CONFIG_REMEDY", "daemon.log-level"),
        ("error", "L2TPD_INITIALIZATION_FAILED", None),
    ]
    assert told[0]["fields"]["file"] == str(control.config)


def test_life_without_a_helper(control: Control) -> None:
    with control.running() as process:
        assert stat.S_IMODE(control.admin.stat().st_mode) == 0o660
        title = Path("/proc", str(process.pid), "cmdline")
        poll(
            lambda: title.read_text().startswith(
                "l2tp-ctl: 0 of 0 tunnels up, 0 of 0 sessions up, l2tp-kernel is away"
            ),
            "the process title",
        )
        assert process.stop() == 0
    assert control.log.read_text().splitlines() == [
        "<3>connection to l2tp-kernel lost: No such file or directory",
        "<6>Received 15 signal",
        "<6>cleanup resources...",
        "<6>l2tpd exit.",
    ]
    assert not control.admin.exists()


def test_ctrl_c_ends_it_as_well(control: Control) -> None:
    with control.running() as process:
        process.signal(signal.SIGINT)
        assert process.wait() == 0
    assert "<6>Received 2 signal" in control.log.read_text()


def test_debug_shows_what_was_configured_but_no_password(control: Control) -> None:
    (control.directory / "password").touch(0o600)
    (control.directory / "password").write_text("hunter2")
    control.configure('[tunnel.east]\npeer-address = "192.0.2.2"\npassword-file = "password"\nretry = 3\n')
    with control.running("--log-level", "debug"):
        pass
    lines = control.log.read_text().splitlines()
    assert lines[:4] == [
        "<7>l2tpd start",
        "<7>east: peer-address: 192.0.2.2",
        "<7>east: password-file: password",
        "<7>east: retry: 3",
    ]
    assert "hunter2" not in control.log.read_text()


@pytest.mark.parametrize(("option", "key"), [(["--log-format", "json"], ""), ([], 'log-format = "json"\n')])
def test_json_log(control: Control, option: list[str], key: str) -> None:
    control.configure(key)
    with control.running(*option):
        pass
    told = [json.loads(line) for line in control.log.read_text().splitlines()]
    assert [each["id"] for each in told] == ["HELPER_LOST", "RECEIVED_SIGNAL", "CLEANUP_RESOURCES", "L2TPD_EXIT"]
    assert told[1]["fields"] == {"signo": 15}
    assert (told[1]["level"], told[1]["message"]) == ("info", "Received 15 signal")


def test_the_option_comes_before_the_files_level(control: Control) -> None:
    control.configure('log-level = "error"\n')
    with control.running():
        pass
    assert control.log.read_text() == "<3>connection to l2tp-kernel lost: No such file or directory\n"
    with control.running("--log-level", "info"):
        pass
    assert "l2tpd exit" in control.log.read_text()


def test_the_service_manager_is_told(control: Control) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(control.directory / "notify"))
        manager.settimeout(5)
        told: list[str] = []

        def wait_for(words: str) -> None:
            while not any(words in each for each in told):
                told.append(manager.recv(4096).decode())

        environment = {"NOTIFY_SOCKET": str(control.directory / "notify"), "WATCHDOG_USEC": "200000"}
        with control.running(**environment) as process:
            for words in ("READY=1", "STATUS=0 of 0 tunnels up", "WATCHDOG=1"):
                wait_for(words)
            told.clear()
            wait_for("WATCHDOG=1")
            process.signal(signal.SIGTERM)
            wait_for("STOPPING=1")
            assert process.wait() == 0


def test_a_second_one_does_not_start(control: Control) -> None:
    with control.running():
        done = control.run()
        assert control.admin.exists()
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"<3>failed to socket: {control.admin}: Address already in use",
        "<3>l2tpd initialization failed",
    ]


def test_a_killed_ones_socket_is_replaced(control: Control) -> None:
    with control.running() as process:
        process.kill()
    assert control.admin.is_socket()
    with control.running() as process:
        assert process.stop() == 0


def test_another_file_in_the_sockets_place_stays(control: Control) -> None:
    control.admin.write_text("precious")
    assert control.run().returncode == 1
    assert control.admin.read_text() == "precious"


@pytest.mark.root
def test_it_becomes_another_user_and_keeps_nothing(control: Control) -> None:
    directory = control.directory / "ctl"
    directory.mkdir()
    os.chown(directory, pwd.getpwnam(USER).pw_uid, -1)
    for above in control.directory.parents:
        if above.stat().st_uid == os.getuid() and "pytest" in str(above):
            above.chmod(0o755)
    control.directory.chmod(0o755)
    control.admin = directory / "admin.sock"
    (control.directory / "password").touch(0o600)
    (control.directory / "password").write_text("secret")
    control.configure('[tunnel.east]\npeer-address = "192.0.2.2"\npassword-file = "password"\n')
    with control.running("--user", USER) as process:
        status = dict(
            line.split(":\t", 1) for line in Path("/proc", str(process.pid), "status").read_text().splitlines()
        )
        entry = pwd.getpwnam(USER)
        assert status["Uid"].split() == [str(entry.pw_uid)] * 4
        assert status["Gid"].split() == [str(entry.pw_gid)] * 4
        assert "0" not in status["Groups"].split()
        assert {int(status[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert status["NoNewPrivs"].strip() == "1"
        assert process.stop() == 0


@pytest.mark.root
@pytest.mark.parametrize("user", ["root", "no-such-user"])
def test_a_user_that_it_cannot_become(control: Control, user: str) -> None:
    done = control.run("--user", user)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith(f"<3>daemon error: cannot become {user}: ")
    assert second == "<3>l2tpd initialization failed"


AWAY = "l2tp-kernel is away: No such file or directory"
TWO_TUNNELS = """
[tunnel.east]
peer-address = "192.0.2.2"
initiate = false
[tunnel.east.session.text]
remote-end-id = "office"
interface = "pw0"
[tunnel.east.session.number]
remote-end-id = 100
interface = "pw1"
pseudowire-type = "vlan"
[tunnel.south]
peer-address = "2001:db8::2"
encapsulation = "ip"
initiate = false
"""


def test_admin_commands_where_nothing_is_up(control: Control) -> None:
    control.configure(TWO_TUNNELS)
    with control.running():
        tunnels = (control.ask("show-tunnels") or {})["result"]["tunnels"]
        assert [(each["name"], each["state"], each["encapsulation"]) for each in tunnels] == [
            ("east", "idle", "udp"),
            ("south", "idle", "ip"),
        ]
        assert (tunnels[0]["peer_address"], tunnels[0]["peer_port"], tunnels[0]["peer_router_id"]) == (
            "192.0.2.2",
            1701,
            "",
        )
        assert (tunnels[0]["uptime"], tunnels[0]["next_attempt"], tunnels[0]["sessions_configured"]) == (None, None, 2)
        assert (control.ask("show-tunnel", name="south") or {})["result"] == {
            "tunnel": tunnels[1],
            "sessions": [],
            "problem": AWAY,
            "differences": [AWAY],
        }
        assert (control.ask("show-session", name="text") or {})["result"]["differences"] == [AWAY]
        assert {each["last_error"] for each in tunnels} == {AWAY}
        sessions = (control.ask("show-sessions", tunnel="east") or {})["result"]["sessions"]
        assert [(each["name"], each["remote_end_id"], each["pseudowire_type"]) for each in sessions] == [
            ("text", "office", "ethernet"),
            ("number", "100", "vlan"),
        ]
        assert sessions[0]["counters"] == {}
        assert (control.ask("show-sessions") or {})["result"]["sessions"] == sessions


@pytest.mark.parametrize(
    ("command", "args", "message"),
    [
        ("show-tunnel", {"name": "west"}, "there is no tunnel 'west'"),
        ("show-sessions", {"tunnel": "west"}, "there is no tunnel 'west'"),
        ("clear-tunnel", {"target": "west"}, "there is no tunnel or peer address 'west'"),
        ("clear-session", {"target": "pw9"}, "there is no session or interface 'pw9'"),
    ],
)
def test_what_is_not_there(control: Control, command: str, args: dict[str, str], message: str) -> None:
    control.configure(TWO_TUNNELS)
    with control.running():
        assert (control.ask(command, **args) or {})["error"] == {"code": "not-found", "message": message}


def test_what_breaks_in_one_event_is_told_and_the_next_one_served(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> list[str]:
        raise RuntimeError("out of order")

    monkeypatch.setattr(Endpoint, "clear_tunnel", broken)
    control.configure(TWO_TUNNELS)
    log = io.StringIO()

    async def run() -> None:
        app = App(load(control.config), LogSink(log, Level.INFO), listen(control.admin), lambda: load(control.config))
        running = asyncio.create_task(app.run())
        refused = await asyncio.to_thread(control.ask, "clear-tunnel", target="all") or {}
        assert refused["error"] == {"code": "internal", "message": "internal error, see the log of l2tp-ctl"}
        assert (await asyncio.to_thread(control.ask, "show-tunnels") or {})["ok"]
        os.kill(os.getpid(), signal.SIGTERM)
        await running

    asyncio.run(run())
    (told,) = [line for line in log.getvalue().splitlines() if "internal error" in line]
    assert re.match(r"<3>internal error: RuntimeError\('out of order'\) in test_main\.py:\d+ broken < shell\.py:", told)


def test_a_log_that_nobody_reads_is_no_reason_to_stop(control: Control) -> None:
    command = [program("l2tp-ctl"), "--config", str(control.config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.close()
        poll(control.admin.is_socket, "the admin socket")
        assert (control.ask("show-tunnels") or {})["ok"]
        process.terminate()
        assert process.wait(10) == 0
