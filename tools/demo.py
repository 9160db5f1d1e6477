"""A pseudowire between two hosts of its own: two network namespaces, six processes, a ping.

west and east are joined by a cable.  On each run l2tp-kernel, l2tp-ctl and l2tp-admin; they signal an L2TPv3 control
connection and a session with passwords and cookies, and Ethernet frames that go in at one end come out at the other.
Ends with status 0 only if no ping was lost and every process ended well.  `make demo` runs it.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent  # of the virtual environment that this runs in
WIRE = ROOT / "tools" / "wire.py"
CONTROL_USER = "nobody"
PINGS = 10
PATIENCE = 20.0
"""Seconds for any one thing to happen."""
STARTED = time.monotonic()

POLICY = """\
clients = ["{user}"]
forwarder-user = "{user}"
[listen]
addresses = ["{address}/32"]
ports = [0, 1701]
[peers]
addresses = ["{peer_address}/32"]
[interfaces]
names = ["pw*"]
maximum = 4
"""

CONFIGURATION = """\
[local]
hostname = "{name}"
router-id = "{address}"
[listen]
addresses = ["{address}"]
[daemon]
kernel-directory = "{directory}/kernel"
admin-socket = "{directory}/ctl/control.sock"
[tunnel.{peer}]
peer-address = "{peer_address}"
hostname = "{peer}"
router-id = "{peer_address}"
encapsulation = "{encapsulation}"
password-file = "password"
digest = "md5"
cookie = 8
initiate = {initiate}
[tunnel.{peer}.session.demo]
remote-end-id = "demo"
interface = "pw0"
"""


class DemoError(Exception):
    """The demo cannot go on; the message is for a person."""


@dataclass(frozen=True)
class Host:
    """One of the two ends."""

    demo: str
    name: str
    address: str
    inner: str
    """Its address on the pseudowire."""

    @property
    def namespace(self) -> str:
        return f"{self.demo}-{self.name}"

    @property
    def directory(self) -> Path:
        return Path("/run", self.demo, self.name)

    def admin(self, *words: str) -> list[str]:
        return [str(BIN / "l2tp-admin"), "--socket", str(self.directory / "admin.sock"), *words]


@dataclass
class Demo:
    """One run: its hosts, and the programs that it started."""

    name: str
    encapsulation: str
    output: Path
    programs: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.west = Host(self.name, "west", "192.0.2.1", "198.51.100.1")
        self.east = Host(self.name, "east", "192.0.2.2", "198.51.100.2")
        self.hosts = (self.west, self.east)

    def run(self, *, keep: bool) -> None:
        self.join_hosts()
        password = secrets.token_urlsafe(18)
        for host, peer in (self.hosts, self.hosts[::-1]):
            self.configure(host, peer, password)
        self.capture = self.start(self.west, "capture", sys.executable, WIRE, "capture", "outer", self.capture_file)
        until(self.capture_file.exists, "the capture runs", self.check_programs)
        for host in self.hosts:
            self.start_daemons(host)
        self.await_sessions()
        for host in self.hosts:
            ip("-n", host.namespace, "addr", "add", f"{host.inner}/24", "dev", "pw0")
        lost = self.ping()
        for host in self.hosts:
            for what in ("tunnels", "sessions"):
                say(f"{host.name}: l2tp-admin show {what}")
                subprocess.run(host.admin("show", what), check=True, timeout=PATIENCE)
        if not keep:
            self.stop_daemons()
        stop_program(self.capture)
        say(f"the cable's capture is in {self.capture_file} (its password: {self.output / 'password'})")
        if lost:
            raise DemoError(f"{lost} of {PINGS} pings were lost")

    @property
    def capture_file(self) -> Path:
        return self.output / "l2tpd-demo.pcapng"

    def join_hosts(self) -> None:
        for host in self.hosts:
            ip("netns", "add", host.namespace)
        ip("link", "add", "outer", "netns", self.west.namespace, "type", "veth",
           "peer", "name", "outer", "netns", self.east.namespace)  # fmt: skip
        for host in self.hosts:
            for line in ("link set lo up", f"addr add {host.address}/24 dev outer", "link set outer up"):
                ip("-n", host.namespace, *line.split())
        say(f"west and east are two hosts joined by a cable: {self.west.address} and {self.east.address}")

    def configure(self, host: Host, peer: Host, password: str) -> None:
        words = {
            "user": CONTROL_USER,
            "name": host.name,
            "address": host.address,
            "peer": peer.name,
            "peer_address": peer.address,
            "directory": host.directory,
            "encapsulation": self.encapsulation,
            "initiate": str(host is self.west).lower(),
        }
        (host.directory / "ctl").mkdir(parents=True)
        shutil.chown(host.directory / "ctl", CONTROL_USER)
        write(host.directory / "l2tp-kernel.toml", POLICY.format(**words))
        write(host.directory / "l2tpd.toml", CONFIGURATION.format(**words), user=CONTROL_USER)
        write(host.directory / "password", password, user=CONTROL_USER)
        write(self.output / "password", password)

    def start_daemons(self, host: Host) -> None:
        directory = host.directory
        helper = self.start(
            host, "l2tp-kernel", BIN / "l2tp-kernel", "--policy", directory / "l2tp-kernel.toml",
            "--runtime-directory", directory / "kernel",
        )  # fmt: skip
        self.await_sockets(host, directory / "kernel")
        say(f"{host.name}: l2tp-kernel runs as {identity(helper.pid)}")
        control = self.start(
            host, "l2tp-ctl", BIN / "l2tp-ctl", "--config", directory / "l2tpd.toml", "--user", CONTROL_USER
        )
        self.await_sockets(host, directory / "ctl")
        say(f"{host.name}: l2tp-ctl runs as {identity(control.pid)}")
        admin = self.start(
            host, "l2tp-admin", BIN / "l2tp-admin", "serve", "--listen", directory / "admin.sock",
            "--control", directory / "ctl" / "control.sock",
        )  # fmt: skip
        until((directory / "admin.sock").is_socket, f"{host.name}: l2tp-admin listens", self.check_programs)
        say(f"{host.name}: l2tp-admin runs as {identity(admin.pid)}")

    def await_sockets(self, host: Host, directory: Path) -> None:
        def listening() -> bool:
            return directory.is_dir() and any(path.is_socket() for path in directory.iterdir())

        until(listening, f"{host.name}: a socket in {directory}", self.check_programs)

    def start(self, host: Host, title: str, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start a program on a host; its output goes to a file of its own."""
        with (self.output / f"{host.name}-{title}.log").open("wb") as log:
            program = subprocess.Popen(
                ["ip", "netns", "exec", host.namespace, *map(str, command)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.programs.append((f"{host.name}: {title}", program))
        return program

    def check_programs(self) -> None:
        for title, program in self.programs:
            if program.poll() is not None:
                log = self.output / f"{title.replace(': ', '-')}.log"
                raise DemoError(f"{title} ended with status {program.returncode}:\n{log.read_text()[-2000:]}")

    def await_sessions(self) -> None:
        """Show each change of state at either end until both sessions are established."""
        shown: dict[str, str] = {}

        def established() -> bool:
            states = []
            for host in self.hosts:
                for what in ("tunnels", "sessions"):
                    for item in ask(host, what):
                        key = f"{host.name}: {what[:-1]} {item['name']}"
                        if shown.get(key) != item["state"]:
                            say(f"{key} is {item['state']}")
                            shown[key] = item["state"]
                        states.append(item["state"])
            # At each end a tunnel and its session.
            return len(states) == 4 and set(states) == {"established"}

        until(established, "both sessions are established", self.check_programs)

    def ping(self) -> int:
        """Ping from west to east through the pseudowire; return how many were lost."""
        address = self.east.inner
        say(f"west: ping {address} through the pseudowire")
        program = (
            ["ping", "-c", str(PINGS), "-i", "0.1", "-W", "2", address]
            if shutil.which("ping")
            else [sys.executable, str(WIRE), "ping", address, str(PINGS)]
        )
        command = ["ip", "netns", "exec", self.west.namespace, *program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE + 2 * PINGS, check=False)
        print(done.stdout + done.stderr, end="", flush=True)
        received = re.search(r"(\d+) (?:packets )?received", done.stdout)
        return PINGS - int(received[1]) if received else PINGS

    def stop_daemons(self) -> None:
        """End the six processes one by one, so that the capture shows the farewell."""
        for title, program in reversed(self.programs):
            if program is not self.capture:
                status = stop_program(program)
                if status != 0:
                    raise DemoError(f"{title} ended with status {status} when it was told to stop")
        say("all six processes have ended well")

    def remove(self) -> None:
        """Remove namespaces, whatever runs in them, and directories, of this run or of one that was killed."""
        present = [host for host in self.hosts if Path("/run/netns", host.namespace).exists()]
        for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, PATIENCE)):
            for pid in pids(present):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            with contextlib.suppress(DemoError):
                until(lambda: not pids(present), "all processes have ended", self.reap, patience)
        for host in present:
            ip("netns", "delete", host.namespace)
        shutil.rmtree(Path("/run", self.name), ignore_errors=True)

    def reap(self) -> None:
        for _title, program in self.programs:
            program.poll()

    def leftovers(self) -> bool:
        return any(Path("/run/netns", host.namespace).exists() or host.directory.exists() for host in self.hosts)

    def explain(self) -> None:
        """Tell how to look around in what was left running."""
        west = self.west
        print(f"""
The demo is left running.  Look around:
  {" ".join(west.admin("show", "tunnel", "east"))}
  {" ".join(west.admin("clear", "tunnel", "east"))}
  ip netns exec {west.namespace} ping {self.east.inner}
  ip netns exec {west.namespace} tcpdump -ni outer
  ls {west.directory} {self.output}
Remove it:
  make demo-stop""")


def ask(host: Host, what: str) -> list[dict[str, str]]:
    """Give what ``l2tp-admin show WHAT --json`` lists, nothing while there is no answer yet."""
    done = subprocess.run(host.admin("show", what, "--json"), capture_output=True, timeout=PATIENCE, check=False)
    answer: dict[str, list[dict[str, str]]] = json.loads(done.stdout) if done.returncode == 0 else {what: []}
    return answer[what]


def identity(pid: int) -> str:
    """Say whose a process is and whether it has any capability, by the kernel's own word."""
    status = dict(re.findall(r"^(Uid|CapEff):\s+(\w+)", Path("/proc", str(pid), "status").read_text(), re.MULTILINE))
    capabilities = "no capability" if int(status["CapEff"], 16) == 0 else "capabilities"
    return f"uid {status['Uid']} with {capabilities}, pid {pid}"


def pids(hosts: list[Host]) -> list[int]:
    return [int(pid) for host in hosts for pid in ip("netns", "pids", host.namespace).split()]


def until(probe: Callable[[], bool], what: str, check: Callable[[], None], patience: float = PATIENCE) -> None:
    """Wait until ``probe`` is true, calling ``check`` in between; DemoError when patience is over."""
    deadline = time.monotonic() + patience
    while not probe():
        check()
        if time.monotonic() > deadline:
            raise DemoError(f"waited {patience:g} s in vain until {what}")
        time.sleep(0.05)


def stop_program(program: subprocess.Popen[bytes]) -> int:
    program.terminate()
    return program.wait(PATIENCE)


def ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode:
        raise DemoError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def write(path: Path, text: str, *, user: str = "root") -> None:
    """Write a file that only ``user`` can read."""
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_text(text)
    shutil.chown(path, user)


def say(line: str) -> None:
    print(f"[{time.monotonic() - STARTED:5.1f} s] {line}", flush=True)


@contextlib.contextmanager
def only_one(name: str) -> Iterator[None]:
    """Refuse to run beside another demo of this name."""
    with Path("/run", f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError("another demo is running just now") from None
        yield


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encapsulation", choices=("udp", "ip"), default="udp", help="how the cable carries it")
    parser.add_argument("--keep", action="store_true", help="leave it running")
    parser.add_argument("--stop", action="store_true", help="remove what --keep or a killed run left")
    parser.add_argument("--name", default="l2tpd-demo", help="prefix of the namespaces, and directory in /run")
    parser.add_argument("--output", type=Path, default=ROOT / "demo-output", help="directory of the capture and logs")
    options = parser.parse_args()
    demo = Demo(options.name, options.encapsulation, options.output)
    if os.geteuid() != 0 or shutil.which("ip") is None:
        print("demo: network namespaces need root and iproute2", file=sys.stderr)
        return 1
    try:
        with only_one(options.name):
            return carry_out(demo, stop=options.stop, keep=options.keep)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def carry_out(demo: Demo, *, stop: bool, keep: bool) -> int:
    if demo.leftovers():
        demo.remove()
        say("removed what an earlier run had left")
    if stop:
        return 0
    shutil.rmtree(demo.output, ignore_errors=True)
    demo.output.mkdir(parents=True)
    try:
        demo.run(keep=keep)
    except BaseException:
        demo.remove()
        raise
    if keep:
        demo.explain()
    else:
        demo.remove()
        say("all is removed again; no ping was lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
