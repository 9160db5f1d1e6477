"""Network namespaces and real processes for tests.

A test makes its hosts, joins them, and starts the project's own programs in them::

    with veth_pair("mine") as (left, right):
        left.run("ping", "-c1", right.ipv4)
        with left.start("l2tp-kernel", "--policy", policy, log=tmp_path / "kernel.log") as helper:
            helper.wait_for_log("ready")

Everything that was made is removed on the way out, processes by their own pid.  Names carry the pid of the test
run, so that two runs never meet, and the next run sweeps what a killed one left behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    Argument = str | int | Path

PREFIX = "l2tpd-test"
BIN = Path(sys.executable).parent
"""Where the console scripts of the interpreter under test are."""

PATIENCE = float(os.environ.get("L2TPD_TEST_PATIENCE", "1"))
"""How many times longer than usual to wait: more than 1 where the machine is an emulated one."""

_CLONE_NEWNET = 0x40000000
_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)
_T = TypeVar("_T")


def poll(probe: Callable[[], _T], what: str, *, timeout: float = 10.0, interval: float = 0.02) -> _T:
    """Call ``probe`` until it answers something true and give that back; AssertionError after ``timeout`` seconds."""
    timeout *= PATIENCE
    deadline = time.monotonic() + timeout
    while True:
        if answer := probe():
            return answer
        assert time.monotonic() < deadline, f"{what}: not within {timeout:g} s"
        time.sleep(interval)


def program(name: str) -> str:
    """Path of one of the project's console scripts for this interpreter, or ``name`` itself for any other program."""
    ours = BIN / name
    return str(ours) if ours.exists() else name


class Process:
    """A started program whose output goes to a file; leaving the context stops it."""

    def __init__(self, command: list[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        self.pid = self._popen.pid

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is not None:
            error.add_note(f"--- {self.log.name}\n{self.text()[-4000:]}")
        self.stop()

    @property
    def returncode(self) -> int | None:
        """Exit status, None while it runs."""
        return self._popen.poll()

    def text(self) -> str:
        """All that it has printed."""
        return self.log.read_text(errors="replace")

    def wait_until(self, probe: Callable[[], _T], what: str, *, timeout: float = 10.0) -> _T:
        """Poll while it runs; AssertionError with its output if it ends first or the time is over."""

        def alive() -> _T:
            assert self.returncode is None, f"{what}: ended with {self.returncode}\n{self.text()[-4000:]}"
            return probe()

        return poll(alive, f"{what} (see {self.log})", timeout=timeout)

    def wait_for_log(self, words: str, *, timeout: float = 10.0) -> None:
        """Wait until it has printed ``words``."""
        self.wait_until(lambda: words in self.text(), f"{words!r} in the log", timeout=timeout)

    def wait_for_path(self, path: Path, *, timeout: float = 10.0) -> None:
        """Wait until it has made ``path``."""
        self.wait_until(path.exists, f"{path}", timeout=timeout)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    def wait(self, *, timeout: float = 10.0) -> int:
        """Exit status; subprocess.TimeoutExpired if it does not end in time."""
        return self._popen.wait(timeout * PATIENCE)

    def kill(self) -> None:
        """End it without any chance to clean up."""
        self._popen.kill()
        self._popen.wait()

    def stop(self, *, timeout: float = 10.0) -> int:
        """SIGTERM, and its exit status; SIGKILL if it does not end in time."""
        self._popen.terminate()
        try:
            return self._popen.wait(timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


class Namespace:
    """One network namespace, a host of its own with its loopback up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ipv4 = ""
        """Its address on the link that veth_pair made, likewise ``ipv6``."""
        self.ipv6 = ""

    def command(self, *arguments: Argument) -> list[str]:
        """The command line that runs ``arguments`` inside; it replaces itself, so its pid is the program's."""
        name, *rest = map(str, arguments)
        return ["ip", "netns", "exec", self.name, program(name), *rest]

    def run(
        self, *arguments: Argument, check: bool = True, timeout: float = 15.0, text_input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside to its end; AssertionError with its output if it fails and ``check`` is set."""
        done = subprocess.run(
            self.command(*arguments),
            input=text_input,
            stdin=subprocess.DEVNULL if text_input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout * PATIENCE,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def ping(self, address: str, *options: Argument, count: int = 1) -> None:
        """Ping from inside; AssertionError unless all ``count`` are answered.

        They go out at once.  With pauses in between, ping would give up two round trips after the last one, however
        busy the machine is.
        """
        done = self.run("ping", "-n", "-q", f"-c{count}", f"-l{count}", "-i2", "-W2", *options, address)
        assert " 0% packet loss" in done.stdout, done.stdout

    def ip(self, line: str) -> str:
        """Run ``ip LINE`` inside and give back what it printed."""
        return _ip("-n", self.name, *line.split())

    def start(self, *arguments: Argument, log: Path, environment: Mapping[str, str] | None = None) -> Process:
        """Start a program inside that goes on; use it as a context manager."""
        return Process(self.command(*arguments), log, environment)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Make sockets of the calling thread inside: a socket stays where it was made."""
        with Path("/proc/thread-self/ns/net").open() as home, Path("/run/netns", self.name).open() as there:
            _setns(there.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    def pids(self) -> list[int]:
        """Every process that runs inside."""
        return [int(pid) for pid in _ip("netns", "pids", self.name).split()]

    def remove(self) -> None:
        """End what still runs inside and remove the namespace with its links."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _ip("netns", "delete", self.name)


@contextlib.contextmanager
def namespace(label: str) -> Iterator[Namespace]:
    """One empty network namespace; ``label`` tells people whose it is."""
    made = Namespace(f"{PREFIX}-{os.getpid()}-{next(_numbers)}-{label}")
    _ip("netns", "add", made.name)
    try:
        # Addresses are usable at once: there is nobody whose duplicate could be found.
        for scope in ("all", "default"):
            made.run("sh", "-c", f"echo 0 > /proc/sys/net/ipv6/conf/{scope}/accept_dad")
        made.ip("link set lo up")
        yield made
    finally:
        made.remove()


@contextlib.contextmanager
def veth_pair(label: str, *, mtu: int = 1500, link: str = "outer") -> Iterator[tuple[Namespace, Namespace]]:
    """Two hosts joined by a cable, 192.0.2.1 and 2001:db8::1 to 192.0.2.2 and 2001:db8::2, device ``link`` in each."""
    with namespace(f"{label}-a") as left, namespace(f"{label}-b") as right:
        _ip("link", "add", link, "mtu", str(mtu), "netns", left.name, "type", "veth",
            "peer", "name", link, "mtu", str(mtu), "netns", right.name)  # fmt: skip
        for number, host in enumerate((left, right), start=1):
            host.ipv4, host.ipv6 = f"192.0.2.{number}", f"2001:db8::{number}"
            host.ip(f"addr add {host.ipv4}/24 dev {link}")
            host.ip(f"addr add {host.ipv6}/64 dev {link} nodad")
            host.ip(f"link set {link} up")
        for host in (left, right):
            # IPv6 sends nothing before it has heard of the carrier, which comes a moment after both ends are up.
            _wait_for_carrier(host)
        yield left, right


def sweep() -> None:
    """Remove what test runs that are no more left behind."""
    for line in _ip("netns", "list").splitlines():
        name = line.split()[0]
        if name.startswith(f"{PREFIX}-") and not Path("/proc", name.split("-")[2]).exists():
            with contextlib.suppress(AssertionError):  # another run may be sweeping too
                Namespace(name).remove()


def _wait_for_carrier(host: Namespace) -> None:
    poll(lambda: host.run("ip", "-6", "route", "get", "2001:db8::9", check=False).returncode == 0, "carrier")


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=15, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr.strip()}"
    return done.stdout


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
