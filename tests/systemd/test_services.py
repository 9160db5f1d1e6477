"""The three services on two machines: who may do what, and that each comes back by itself."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.systemd.conftest import EAST
from tests.systemd.machine import UNITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.systemd.conftest import Pair
    from tests.systemd.machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

FLOOD = """
import os, socket, time
flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + 5
while time.monotonic() < end:
    flood.sendto(bytes.fromhex("c8030014000000000000000080080000000000 01") + os.urandom(40), ("192.0.2.1", 1701))
    flood.sendto(os.urandom(60), ("192.0.2.1", 1701))
"""


def process(host: Machine, pid: int) -> dict[str, str]:
    """Status of a process by key, and its title."""
    lines = host.shell(f"cat /proc/{pid}/status").splitlines()
    status = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return status | {"title": host.shell(f"tr '\\0' ' ' </proc/{pid}/cmdline").strip()}


def forwarder(host: Machine) -> int:
    """Pid of the helper's only child; 0 while there is none."""
    helper = host.main_pid("l2tp-kernel")
    return int(host.shell(f"cat /proc/{helper}/task/{helper}/children", check=False) or 0)


def test_every_service_runs_and_starts_with_the_machine(pair: Pair) -> None:
    for host in pair:
        for unit in UNITS:
            assert host.property(unit, "ActiveState") == "active"
            assert host.property(unit, "UnitFileState") == "enabled"
            assert host.property(unit, "NRestarts") == "0"
        assert host.shell("systemctl --failed --quiet --no-legend") == ""


def test_processes_say_what_they_are_and_hold_no_more_than_they_need(pair: Pair) -> None:
    helper, ctl, admin = (process(pair.west, pair.west.main_pid(unit)) for unit in UNITS)
    child = process(pair.west, forwarder(pair.west))
    titles = [each["title"] for each in (helper, child, admin)]
    assert titles == ["l2tp-kernel", "l2tp-kernel: forwarder", "l2tp-admin: serve"]
    pair.west.wait_until(
        lambda: (
            process(pair.west, pair.west.main_pid("l2tp-ctl"))["title"]
            == "l2tp-ctl: 1 of 1 tunnels up, 1 of 1 sessions up"
        ),
        "the title follows the state",
    )
    assert all(each["Uid"].split()[0] != "0" for each in (helper, child, ctl, admin))
    assert len({each["Uid"] for each in (helper, ctl, admin)}) == 3
    net_admin_and_raw = f"{(1 << 12) | (1 << 13):016x}"
    assert [helper[key] for key in ("CapEff", "CapPrm", "CapBnd")] == [net_admin_and_raw] * 3
    for each in (child, ctl, admin):
        assert [each[key] for key in ("CapEff", "CapPrm", "CapAmb")] == [f"{0:016x}"] * 3
    for each in (helper, child, ctl, admin):
        assert each["NoNewPrivs"] == "1"
        assert each["Seccomp"] == "2"


def test_frames_pass(pair: Pair) -> None:
    assert " 0% packet loss" in pair.west.run("ping", "-c20", "-i0.05", EAST).stdout
    assert " 0% packet loss" in pair.west.run("ping", "-c5", "-i0.05", "-s1400", EAST).stdout


@pytest.fixture(scope="module")
def users(pair: Pair) -> None:
    """Users of west: one of each role."""
    pair.west.shell("useradd --groups=l2tp-viewers vera; useradd --groups=l2tp-operators otto; useradd nina")


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize("user", ["vera", "otto"])
def test_viewers_and_operators_see_the_tunnels(pair: Pair, user: str) -> None:
    shown = pair.west.run("runuser", f"--user={user}", "--", "l2tp-admin", "show", "tunnels").stdout
    assert shown.splitlines()[1].split()[:3] == ["east", "established", "192.0.2.2:1701"]


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize(
    ("user", "command", "status", "words"),
    [
        ("vera", "clear session office", 1, "user vera may only look"),
        ("nina", "show tunnels", 1, "user nina may not use this socket"),
        ("nina", "clear session office", 1, "user nina may not use this socket"),
        ("otto", "clear session office", 0, "cleared office"),
    ],
)
def test_only_operators_may_clear(pair: Pair, user: str, command: str, status: int, words: str) -> None:
    done = pair.west.run("runuser", f"--user={user}", "--", "l2tp-admin", *command.split(), check=False)
    assert (done.returncode, words in done.stdout + done.stderr) == (status, True), done
    pair.west.wait_for_session()
    pair.west.wait_for_answer(EAST)


@pytest.mark.parametrize("unit", UNITS)
def test_a_killed_process_comes_back_and_so_does_the_traffic(pair: Pair, unit: str) -> None:
    before = {name: pair.west.main_pid(name) for name in UNITS}
    pair.west.signal("KILL", before[unit])
    pair.west.wait_until(lambda: pair.west.main_pid(unit) not in {0, before[unit]}, f"{unit} starts again")
    pair.west.wait_for_session()
    pair.west.wait_for_answer(EAST)
    after = {name: pair.west.main_pid(name) for name in UNITS}
    assert {name for name in UNITS if after[name] != before[name]} == {unit}


def test_a_killed_forwarder_comes_back_without_a_new_tunnel(pair: Pair) -> None:
    helper, before = pair.west.main_pid("l2tp-kernel"), forwarder(pair.west)
    uptime = pair.west.ask("tunnels")["east"]["uptime"]
    pair.west.signal("KILL", before)
    pair.west.wait_until(lambda: forwarder(pair.west) not in {0, before}, "the forwarder starts again")
    pair.west.wait_for_answer(EAST)
    assert pair.west.main_pid("l2tp-kernel") == helper
    assert pair.west.ask("tunnels")["east"]["uptime"] >= uptime


def test_the_policy_is_read_again(pair: Pair) -> None:
    helper = pair.west.main_pid("l2tp-kernel")
    pair.west.shell("systemctl reload l2tp-kernel")
    pair.west.wait_until(lambda: "l2tp-kernel.toml: read again" in pair.west.journal("l2tp-kernel"), "read again")
    assert pair.west.main_pid("l2tp-kernel") == helper


DAEMON = """\
[local]
hostname = "old"
router-id = "203.0.113.1"
[daemon]
kernel-directory = "/run/old"
admin-socket = "/run/old.sock"
"""


def test_a_daemon_of_the_old_style_logs_to_syslog(pair: Pair) -> None:
    """Started from a terminal, which script(1) makes, it is still there when that is gone."""
    host = pair.east
    host.write("/run/old.toml", DAEMON)
    host.shell("script -qec 'l2tp-ctl --config /run/old.toml --daemon --pid-file /run/old.pid' /dev/null")
    pid = int(host.shell("cat /run/old.pid"))
    host.wait_until(
        lambda: (
            "connection to l2tp-kernel lost"
            in host.shell(f"journalctl --output=cat SYSLOG_IDENTIFIER=l2tp-ctl SYSLOG_FACILITY=3 _PID={pid}")
        ),
        "the log is in syslog",
    )
    host.signal("TERM", pid)
    host.wait_until(lambda: host.run("test", "-e", "/run/old.pid", check=False).returncode == 1, "it ends")


@pytest.fixture(scope="module")
def impatient(pair: Pair) -> Iterator[None]:
    """West's services with a watchdog of two seconds."""
    for unit in UNITS:
        pair.west.write(f"/run/systemd/system/{unit}.service.d/watchdog.conf", "[Service]\nWatchdogSec=2\n")
    pair.west.shell(f"systemctl daemon-reload && systemctl restart {' '.join(UNITS)}")
    pair.west.wait_for_session()
    yield
    pair.west.shell(f"rm /run/systemd/system/l2tp-*.service.d/watchdog.conf; systemctl daemon-reload; "
                    f"systemctl restart {' '.join(UNITS)}")  # fmt: skip
    pair.west.wait_for_session()


@pytest.mark.usefixtures("impatient")
def test_a_busy_process_is_not_restarted(pair: Pair) -> None:
    before = [pair.west.main_pid(unit) for unit in UNITS]
    with subprocess.Popen(pair.east.command("python3", "-c", FLOOD)) as flood:
        while flood.poll() is None:
            pair.west.ask("sessions")
    assert [pair.west.main_pid(unit) for unit in UNITS] == before
    pair.west.wait_for_session()


@pytest.mark.usefixtures("impatient")
def test_a_process_that_hangs_is_restarted(pair: Pair) -> None:
    before = {unit: pair.west.main_pid(unit) for unit in UNITS}
    pair.west.signal("STOP", *before.values())
    for unit, pid in before.items():
        pair.west.wait_until(lambda: pair.west.main_pid(unit) not in {0, pid}, f"{unit} is restarted")  # noqa: B023
        assert "Watchdog timeout" in pair.west.journal(unit)
    pair.west.wait_for_session()
    pair.west.wait_for_answer(EAST)
