"""Ten thousand sessions in a real l2tp-ctl, behind a real l2tp-admin serve."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.admin.daemons import (
    ENVIRONMENT,
    Daemons,
    ask,
    can_connect,
    connect,
    exchange,
    frame,
    open_directory,
    request,
)
from tests.support.netns import Process, poll, program

TUNNELS, SESSIONS = 100, 100
"""As many sessions in each of as many tunnels."""


class Large(NamedTuple):
    """Both processes, up."""

    daemons: Daemons
    control: Process
    admin: Process


def configuration(daemons: Daemons) -> str:
    parts = [
        '[local]\nhostname = "west"\nrouter-id = "192.0.2.1"\n',
        f'[daemon]\nkernel-directory = "{daemons.directory}/kernel"\nadmin-socket = "{daemons.control}"\n',
    ]
    for tunnel in range(TUNNELS):
        parts.append(f'[tunnel.t{tunnel}]\npeer-address = "198.51.100.{tunnel}"\ninitiate = false\n')
        parts += [
            f"[tunnel.t{tunnel}.session.s{tunnel}-{number}]\n"
            f'remote-end-id = {number}\ninterface = "p{tunnel}-{number}"\n'
            for number in range(SESSIONS)
        ]
    return "".join(parts)


@pytest.fixture(scope="module")
def large(measured: None) -> Iterator[Large]:
    del measured
    with open_directory() as directory:
        daemons = Daemons(directory)
        file = directory / "l2tpd.toml"
        file.write_text(configuration(daemons))
        with Process([program("l2tp-ctl"), "--config", str(file)], directory / "ctl.log", ENVIRONMENT) as control:
            control.wait_until(lambda: can_connect(daemons.control), "l2tp-ctl", timeout=30)
            with daemons.start_admin() as admin:
                yield Large(daemons, control, admin)


def spent(*processes: Process) -> float:
    """Seconds of processor time that some processes, and children of ours that have ended, have taken so far."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK") + children.ru_utime + children.ru_stime


def test_show_sessions_of_ten_thousand_takes_less_than_a_second(large: Large) -> None:
    """All three programs together, one after the other: what an idle machine needs, however busy this one is."""

    def once() -> float:
        before = spent(large.control, large.admin)
        done = large.daemons.run("show", "sessions", "--json")
        after = spent(large.control, large.admin)
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["sessions"]) == TUNNELS * SESSIONS
        return after - before

    assert min(once() for _ in range(3)) < 1


def test_show_tunnels_costs_little_process_time(large: Large) -> None:
    def once() -> float:
        before = spent()
        assert large.daemons.run("show", "tunnels").returncode == 0
        return spent() - before

    assert min(once() for _ in range(5)) < 0.15


def test_nobody_waits_long_while_all_of_them_are_shown(large: Large) -> None:
    """What answers within a fraction of a second keeps every timer of the protocol, the shortest of which is 1 s."""
    daemons = large.daemons
    done = threading.Event()

    def show() -> None:
        while not done.is_set():
            assert ask(daemons.admin, "show-sessions")["ok"]

    shower = threading.Thread(target=show)
    shower.start()
    try:
        with connect(daemons.admin) as client:
            took = []
            for _ in range(60):
                begun = time.monotonic()
                assert exchange(client, request(1, "show-version"))["ok"]
                took.append(time.monotonic() - begun)
    finally:
        done.set()
        shower.join()
    assert sorted(took)[len(took) // 2] < 0.5


def test_two_hundred_clients_that_never_read_delay_nobody(large: Large) -> None:
    """Each asks three times for 4 MiB; together they cost l2tp-ctl hardly more than one."""
    daemons = large.daemons
    before = spent(large.control)
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(daemons.admin))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(frame(request(1, "show-sessions")) * 3)
        poll(lambda: _takes(daemons) < 0.5, "an answer at once", timeout=15)
        assert sorted(_takes(daemons) for _ in range(5))[2] < 0.5
    assert spent(large.control) - before < 3
    assert large.admin.returncode is None


def _takes(daemons: Daemons) -> float:
    begun = time.monotonic()
    assert ask(daemons.admin, "show-version")["ok"]
    return time.monotonic() - begun
