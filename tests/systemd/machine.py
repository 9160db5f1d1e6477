"""Machines for tests: a real systemd as process 1 of private namespaces, on a Debian of its own.

A machine starts in less than a second from the root directory that :mod:`tests.systemd.root` made, and writes to memory
alone.  Nothing of it is left when its first process has ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tests.support.netns import poll

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

UNITS = ("l2tp-kernel", "l2tp-ctl", "l2tp-admin")
BOOT = Path(__file__).with_name("boot.sh")
CGROUPS = next(path for path in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")) if path.is_dir())

NAMESPACES = "--mount --pid --uts --ipc --net --cgroup"


class Machine:
    """A running machine; ``share`` is the directory of the host that it sees as /mnt."""

    def __init__(self, name: str, pid: int, share: Path) -> None:
        self.name = name
        self.pid = pid
        """Of its first process, as the host sees it."""
        self.share = share

    def command(self, *arguments: str | Path) -> list[str]:
        """The command line, for the host, that runs ``arguments`` on the machine as root."""
        return ["nsenter", f"--target={self.pid}", "--all", "env", "--ignore-environment",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", *map(str, arguments)]  # fmt: skip

    def run(
        self, *arguments: str | Path, check: bool = True, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; AssertionError with its output if it fails and ``check`` is set."""
        done = subprocess.run(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            start_new_session=True,
        )
        if check and done.returncode:
            last = self.run("journalctl", "--output=short-monotonic", "--no-pager", "--lines=40", check=False).stdout
            raise AssertionError(f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}{last}")
        return done

    def shell(self, line: str, *, check: bool = True, timeout: float = 60.0) -> str:
        """Run a line of shell as root and give what it printed."""
        return self.run("sh", "-c", line, check=check, timeout=timeout).stdout

    def write(self, path: str, text: str, *, mode: str = "644") -> None:
        """Write a file, with the directories above it."""
        (self.share / "written").write_text(text)
        self.shell(f"install -D -m {mode} /mnt/written {path}")

    def property(self, unit: str, name: str) -> str:
        """What systemd says of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip()

    def main_pid(self, unit: str) -> int:
        """Pid of a unit's main process as the machine sees it, 0 while it has none."""
        return int(self.property(unit, "MainPID"))

    def signal(self, name: str, *pids: int) -> None:
        """Send a signal to processes of the machine."""
        assert all(pid > 1 for pid in pids), pids
        self.run("sh", "-c", 'kill "$@"', "sh", f"-{name}", *map(str, pids))

    def journal(self, unit: str) -> str:
        """All that a unit has logged."""
        return self.run("journalctl", "--output=cat", "--no-pager", f"--unit={unit}").stdout

    def ask(self, what: str) -> dict[str, dict[str, Any]]:
        """The ``tunnels`` or ``sessions`` by name, empty while there is no answer."""
        done = self.run("l2tp-admin", "show", what, "--json", check=False)
        return {each["name"]: each for each in json.loads(done.stdout)[what]} if done.returncode == 0 else {}

    def wait_until(self, probe: Callable[[], T], what: str, *, timeout: float = 20.0) -> T:
        """Call ``probe`` until it answers something true; AssertionError with the logs if it does not come to that."""
        try:
            return poll(probe, f"{self.name}: {what}", timeout=timeout, interval=0.1)
        except AssertionError as error:
            for unit in UNITS:
                error.add_note(f"--- {self.name}: {unit}\n{self.journal(unit)[-3000:]}")
            raise

    def wait_for_session(self, name: str = "office") -> None:
        """Wait until a session is established."""
        self.wait_until(lambda: self.ask("sessions").get(name, {}).get("state") == "established", f"session {name}")

    def answers(self, address: str) -> bool:
        """Whether one ping is answered within a second."""
        return self.run("ping", "-c1", "-W1", address, check=False).returncode == 0

    def wait_for_answer(self, address: str) -> None:
        """Wait until a ping is answered."""
        self.wait_until(lambda: self.answers(address), f"{address} answers")


@contextlib.contextmanager
def machine(name: str, root: Path, share: Path) -> Iterator[Machine]:
    """Start a machine and wait until systemd has started everything; end it on the way out."""
    group = CGROUPS / f"l2tpd-test-{os.getpid()}-{name}"
    group.mkdir()
    # Its own control group: two machines in one would share their slices.
    start = f"echo $$ >{group}/cgroup.procs && exec unshare {NAMESPACES} --fork --kill-child"
    with (share / f"{name}.console").open("wb") as console:
        outer = subprocess.Popen(
            ["sh", "-c", f'{start} bash "$@"', "sh", BOOT, root, name, share],
            stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        pid = poll(lambda: _first_process(outer.pid), f"{name} starts (see {console.name})")
        made = Machine(name, pid, share)
        poll(lambda: made.run("systemctl", "is-active", "multi-user.target", check=False).returncode == 0, name)
        yield made
        made.run("systemctl", "poweroff", "--no-block")
        outer.wait(60)
    finally:
        if outer.poll() is None:
            outer.send_signal(signal.SIGKILL)  # unshare takes its child with it
            outer.wait()
        poll(lambda: "populated 0" in (group / "cgroup.events").read_text(), f"{name} has ended")
        for directory, _, _ in os.walk(group, topdown=False):
            Path(directory).rmdir()


@contextlib.contextmanager
def cable(left: Machine, right: Machine) -> Iterator[None]:
    """Join two machines: ``outer`` in each, 192.0.2.1 and 192.0.2.2."""
    command = ["ip", "link", "add", "outer", "netns", str(left.pid), "type", "veth",
               "peer", "name", "outer", "netns", str(right.pid)]  # fmt: skip
    subprocess.run(command, check=True, timeout=15)
    for number, each in enumerate((left, right), start=1):
        each.shell(f"ip addr add 192.0.2.{number}/24 dev outer && ip link set outer up")
    yield


def _first_process(outer: int) -> int:
    """Pid of systemd, once boot.sh has become it; 0 before."""
    children = Path(f"/proc/{outer}/task/{outer}/children")
    for child in children.read_text().split() if children.exists() else []:
        if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
            return int(child)
    return 0


def root_directory() -> Path:
    """Where the machines' root directory is."""
    return Path(__file__).resolve().parents[2] / "build" / "machine"


def debian_package() -> Path:
    """The package under test."""
    (package,) = root_directory().with_name("deb").glob("l2tpd_*.deb")
    return package


def have_tools() -> bool:
    """Whether machines can be started here."""
    return os.geteuid() == 0 and all(map(shutil.which, ("unshare", "nsenter", "ip")))
