"""Two l2tp-ctl with as many sessions between them as one likes: real processes, sockets and messages.

Only l2tp-kernel is a double (``helper_double.py``): no interface exists, so it takes no more than a network namespace
with a loopback.  Each end of a tunnel has an address of its own in 127.0.0.0/8.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.admin.daemons import ENVIRONMENT, Daemons, ask, can_connect, connect, frame, open_directory, request
from tests.support.netns import Namespace, namespace, poll

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from tests.support.netns import Process

SIDES = ("west", "east")


class Scale:
    """Both ends, and l2tp-admin serve in front of west."""

    def __init__(
        self, host: Namespace, directory: Path, stack: contextlib.ExitStack, tunnels: int, sessions: int
    ) -> None:
        self.tunnels, self.sessions = tunnels, tunnels * sessions
        self.admin = Daemons(directory)
        self._directory = directory
        double = (sys.executable, "-m", "tests.support.helper_double")
        for side in SIDES:
            kernel = directory / f"{side}-kernel"
            helper = host.start(*double, kernel, log=directory / f"{side}-helper.log", environment=ENVIRONMENT)
            stack.enter_context(helper).wait_for_path(kernel / "command")
        self.controls: list[Process] = []
        for number, side in enumerate(SIDES):
            file = directory / f"{side}.toml"
            file.write_text(_configuration(directory, number, tunnels, sessions))
            control = host.start("l2tp-ctl", "--config", file, log=directory / f"{side}.log")
            self.controls.append(stack.enter_context(control))
        for number, control in enumerate(self.controls):
            control.wait_until(partial(can_connect, self.socket(number)), "l2tp-ctl", timeout=60)
        serve = ("l2tp-admin", "serve", "--listen", self.admin.admin, "--control", self.socket(0))
        self.server = stack.enter_context(host.start(*serve, log=directory / "admin.log"))
        self.server.wait_until(lambda: can_connect(self.admin.admin), "l2tp-admin serve")

    def socket(self, side: int) -> Path:
        """Where l2tp-ctl listens for commands: 0 is west, which calls, 1 is east."""
        return self._directory / f"{SIDES[side]}.sock"

    def statistics(self, side: int = 0) -> dict[str, Any]:
        """What an end has counted."""
        answer: dict[str, Any] = ask(self.socket(side), "show-statistics")["result"]
        return answer

    def wait_until_up(self, *, timeout: float) -> float:
        """Wait until every session is established at both ends; the seconds that it took."""
        begun = time.monotonic()

        def up() -> bool:
            return all(self.statistics(side)["sessions_established"] == self.sessions for side in (0, 1))

        poll(up, f"{self.sessions} sessions", timeout=timeout, interval=0.25)
        return time.monotonic() - begun


def processor_time(process: Process) -> float:
    """Seconds of processor time that a process has taken so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children() -> float:
    """Seconds of processor time that children of ours which have ended took."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def keep_showing(scale: Scale, done: threading.Event) -> int:
    """Ask for all sessions again and again until ``done``; how often it was answered."""
    shown = 0
    with connect(scale.admin.admin, timeout=60) as client, client.makefile("rb") as answers:
        while not done.is_set():
            client.sendall(frame(request(1, "show-sessions")))
            # Not read as JSON: the reader would take more of the machine than those that are watched.
            octets = answers.read(int.from_bytes(answers.read(4), "big"))
            assert octets.count(b'"local_session_id"') == scale.sessions
            shown += 1
    return shown


@contextlib.contextmanager
def running(tunnels: int, sessions: int) -> Iterator[Scale]:
    """Start both ends with ``tunnels`` tunnels of ``sessions`` sessions each, HELLO every 5 s."""
    with open_directory() as directory, namespace("scale") as host, contextlib.ExitStack() as stack:
        scale = Scale(host, directory, stack, tunnels, sessions)
        yield scale
        for control in scale.controls:
            control.kill()  # to say farewell to so many would take them longer than anybody waits


def _configuration(directory: Path, side: int, tunnels: int, sessions: int) -> str:
    name = SIDES[side]
    head = (
        f'[local]\nhostname = "{name}"\nrouter-id = "192.0.2.{side + 1}"\n'
        f'[listen]\naddresses = ["0.0.0.0"]\nport = {1701 + side}\n'
        f'[daemon]\nlog-level = "warn"\nkernel-directory = "{directory}/{name}-kernel"\n'
        f'admin-socket = "{directory}/{name}.sock"\n'
    )
    parts = [head]
    for tunnel in range(tunnels):
        place = f"{tunnel // 250}.{tunnel % 250 + 1}"
        parts.append(
            f'[tunnel.t{tunnel}]\nlocal-address = "127.{side + 1}.{place}"\npeer-address = "127.{2 - side}.{place}"\n'
            f"peer-port = {1702 - side}\ninitiate = {str(side == 0).lower()}\nhello-interval = 5\ncookie = 8\n"
        )
        parts += [
            f"[tunnel.t{tunnel}.session.s{tunnel}-{number}]\n"
            f'remote-end-id = {number}\ninterface = "p{tunnel}-{number}"\n'
            for number in range(sessions)
        ]
    return "".join(parts)
