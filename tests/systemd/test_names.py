"""l2tp-resolver on a machine: started where a name is to be looked up, within its sandbox, back whatever happens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.systemd.conftest import EAST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.systemd.conftest import Pair
    from tests.systemd.machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

NAME, EAST_OUTER = "gw.example.net", "192.0.2.2"
FILE = "/etc/l2tpd/l2tpd.toml"


def peer(host: Machine) -> str:
    """Where the tunnel leads."""
    return str(host.ask("tunnels").get("east", {}).get("peer_address", ""))


def test_without_names_it_waits_to_be_needed(pair: Pair) -> None:
    for host in pair:
        assert host.property("l2tp-resolver.socket", "ActiveState") == "active"
        assert host.property("l2tp-resolver.socket", "UnitFileState") == "enabled"
        assert host.property("l2tp-resolver.service", "ActiveState") == "inactive"


@pytest.fixture(scope="module")
def named(pair: Pair) -> Iterator[Machine]:
    """West, which knows east by its name, and the tunnel is up."""
    west = pair.west
    west.shell(f"cp -p {FILE} /run/l2tpd.toml.before && ! test -e /etc/hosts")
    west.write("/etc/hosts", f"{EAST_OUTER} {NAME}\n")
    west.shell(f"sed -i 's/^peer-address = .*/peer-address = \"{NAME}\"/' {FILE} && systemctl reload l2tp-ctl")
    west.wait_until(lambda: west.ask("tunnels").get("east", {}).get("peer_name") == NAME, "reloaded")
    west.wait_for_session()
    yield west
    west.shell(f"rm /etc/hosts; cp -p /run/l2tpd.toml.before {FILE}; systemctl reload l2tp-ctl")
    west.wait_until(lambda: west.ask("tunnels").get("east", {}).get("peer_name") == "", "reloaded")
    west.wait_for_session()
    west.wait_for_answer(EAST)


def test_a_tunnel_by_name_comes_up(named: Machine) -> None:
    assert peer(named) == EAST_OUTER
    named.wait_for_answer(EAST)
    assert named.property("l2tp-resolver", "ActiveState") == "active"
    shown = named.run("l2tp-admin", "show", "tunnels").stdout
    assert shown.splitlines()[1].split()[:3] == ["east", "established", f"{NAME}[{EAST_OUTER}]:1701"]


def test_it_holds_no_more_than_it_needs(named: Machine) -> None:
    pid = named.main_pid("l2tp-resolver")
    lines = named.shell(f"cat /proc/{pid}/status").splitlines()
    status = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    assert named.shell(f"tr '\\0' ' ' </proc/{pid}/cmdline").strip() == "l2tp-resolver"
    assert status["Uid"].split()[0] == named.shell("id -u l2tp-resolver").strip() != "0"
    assert [status[key] for key in ("CapEff", "CapPrm", "CapBnd", "CapAmb")] == [f"{0:016x}"] * 4
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def begin_anew(host: Machine) -> None:
    """Clear the tunnel and wait until it is up again."""
    before = host.ask("tunnels")["east"]["local_connection_id"]
    host.run("l2tp-admin", "clear", "tunnel", "east")
    host.wait_until(lambda: host.ask("tunnels")["east"]["local_connection_id"] not in {0, before}, "another")
    host.wait_for_session()


def test_killed_it_is_back_and_the_tunnel_stays(named: Machine) -> None:
    up = named.ask("tunnels")["east"]["local_connection_id"]
    pid, ours = named.main_pid("l2tp-resolver"), named.main_pid("l2tp-ctl")
    named.signal("KILL", pid)
    named.wait_until(lambda: named.main_pid("l2tp-resolver") not in {0, pid}, "it starts again")
    assert named.ask("tunnels")["east"]["local_connection_id"] == up
    assert named.main_pid("l2tp-ctl") == ours
    begin_anew(named)


def test_stopped_for_good_it_is_told_and_names_that_are_known_do(named: Machine) -> None:
    named.shell("systemctl stop l2tp-resolver.socket l2tp-resolver")

    def told() -> bool:
        begin_anew(named)
        return "connection to l2tp-resolver lost" in named.journal("l2tp-ctl")

    named.wait_until(told, "it is told", timeout=40.0)
    assert peer(named) == EAST_OUTER
    named.shell("systemctl start l2tp-resolver.socket")

    def found() -> bool:
        begin_anew(named)
        return bool(named.ask("tunnels")["east"]["name_problem"] == "")

    named.wait_until(found, "it is back", timeout=40.0)
    assert named.property("l2tp-resolver", "ActiveState") == "active"


def test_one_that_hangs_is_restarted(named: Machine) -> None:
    drop_in = "/run/systemd/system/l2tp-resolver.service.d/watchdog.conf"
    named.write(drop_in, "[Service]\nWatchdogSec=2\n")
    named.shell("systemctl daemon-reload && systemctl restart l2tp-resolver")
    pid = named.main_pid("l2tp-resolver")
    named.signal("STOP", pid)
    named.wait_until(lambda: named.main_pid("l2tp-resolver") not in {0, pid}, "it is restarted")
    assert "Watchdog timeout" in named.journal("l2tp-resolver")
    named.shell(f"rm {drop_in}; systemctl daemon-reload; systemctl restart l2tp-resolver")


ATTEMPTS = """\
import errno, json, os, socket
from pathlib import Path

def outcome(attempt):
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"

def write(path):
    with open(path, "ab") as file:
        file.write(b"probe")

kinds = {"datagram": socket.SOCK_DGRAM, "raw": socket.SOCK_RAW}
attempts = {
    "look a name up": lambda: socket.getaddrinfo("gw.example.net", None),
    "datagram socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
    "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 115).close(),
    "netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "read the configuration": lambda: Path("/etc/l2tpd/l2tpd.toml").read_bytes(),
    "read a password": lambda: Path("/etc/l2tpd/passwords/east").read_bytes(),
    "read /etc/shadow": lambda: Path("/etc/shadow").read_bytes(),
    "ask the helper": lambda: Path("/run/l2tp-kernel/command").stat(),
    "ask l2tp-ctl": lambda: Path("/run/l2tp-ctl/admin.sock").stat(),
    "see its own socket": lambda: Path("/run/l2tp-resolver/resolver.sock").stat(),
    "write run": lambda: write("/run/probe"),
    "write etc": lambda: write("/etc/probe"),
    "write root": lambda: write("/probe"),
    "become root": lambda: os.setuid(0),
    "see process 1": lambda: Path("/proc/1/status").read_bytes(),
}
print(json.dumps({name: outcome(attempt) for name, attempt in attempts.items()}), flush=True)
"""

EXPECTED = {
    "look a name up": "done", "datagram socket": "done",
    "raw socket": "EPERM", "netlink socket": "EAFNOSUPPORT", "packet socket": "EAFNOSUPPORT",
    "read the configuration": "EACCES", "read a password": "EACCES", "read /etc/shadow": "EACCES",
    "ask the helper": "ENOENT", "ask l2tp-ctl": "ENOENT", "see its own socket": "ENOENT",
    "write run": "EROFS", "write etc": "EROFS", "write root": "EROFS",
    "become root": "EPERM", "see process 1": "ENOENT",
}  # fmt: skip


def test_taken_over_it_can_look_names_up_and_nothing_else(named: Machine) -> None:
    drop_in = "/run/systemd/system/l2tp-resolver.service.d/probe.conf"
    named.write("/usr/lib/probe.py", ATTEMPTS)
    instead = "Type=exec\nWatchdogSec=0\nRestart=no\nExecStart=\nExecStart=/usr/bin/python3 /usr/lib/probe.py"
    named.write(drop_in, f"[Service]\n{instead}\n")
    named.shell("systemctl daemon-reload && systemctl restart l2tp-resolver")
    named.wait_until(lambda: "look a name up" in named.journal("l2tp-resolver"), "the probe is done")
    printed = next(line for line in named.journal("l2tp-resolver").splitlines() if line.startswith("{"))
    named.shell(f"rm {drop_in} /usr/lib/probe.py; systemctl daemon-reload; systemctl restart l2tp-resolver")
    assert json.loads(printed) == EXPECTED


CONNECT = """
import socket
socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect("/run/l2tp-resolver/resolver.sock")
print("connected")
"""


@pytest.mark.parametrize(
    ("user", "group", "answer"),
    [
        ("nobody", "nogroup", "PermissionError"),
        ("l2tp-admin", "l2tp-admin", "PermissionError"),
        ("l2tp-ctl", "l2tp-ctl", "connected"),
    ],
)
def test_only_l2tp_ctl_may_ask(named: Machine, user: str, group: str, answer: str) -> None:
    done = named.run(
        "setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "python3", "-c", CONNECT, check=False
    )
    assert (done.stdout + done.stderr).splitlines()[-1].split(":")[0] == answer
