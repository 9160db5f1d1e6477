"""Measure ten thousand sessions: ``python -m bench.sessions [TUNNELS [SESSIONS]]`` as root, 100 of 100 by default.

Two l2tp-ctl signal with each other on one machine, each with a double of l2tp-kernel (``tests/support/scale.py``), so
that what is measured is the control process.  Printed are the time to set all up, what ``show sessions --json`` and
``show tunnels`` take, and how long l2tp-ctl keeps another command waiting meanwhile: as long as a HELLO would wait.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from typing import TYPE_CHECKING

from tests.admin.daemons import connect, exchange, request
from tests.support.scale import Scale, children, keep_showing, processor_time, running

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
WATCHED = 10.0
"""Seconds for which delays are taken."""


def main(tunnels: int = 100, sessions: int = 100) -> None:
    """Set all up, and print what was measured."""
    with running(tunnels, sessions) as scale:
        wall = scale.wait_until_up(timeout=600)
        spent = [processor_time(control) for control in scale.controls]
        again = [scale.statistics(side)["retransmissions"] for side in (0, 1)]
        print(f"set up {scale.sessions} sessions in {tunnels} tunnels: {wall:.1f} s, {scale.sessions / wall:.0f}/s")
        print(f"  processor time {spent[0]:.1f} s at the caller, {spent[1]:.1f} s at the other; sent again {again}")
        for words in (("show", "sessions", "--json"), ("show", "tunnels")):
            show(scale, words)
        delays("idle", scale)
        done = threading.Event()
        showing = threading.Thread(target=keep_showing, args=(scale, done))
        showing.start()
        try:
            delays("while all sessions are shown without a pause", scale)
        finally:
            done.set()
            showing.join()


def show(scale: Scale, words: tuple[str, ...]) -> None:
    """Print what one command takes: from its start to its end, and of each process."""
    rounds: list[list[float]] = []
    parts: tuple[Callable[[], float], ...] = (
        time.monotonic,
        lambda: processor_time(scale.controls[0]),
        lambda: processor_time(scale.server),
        children,
    )
    for _ in range(ROUNDS):
        before = [part() for part in parts]
        done = scale.admin.run(*words)
        if done.returncode:
            raise RuntimeError(done.stderr)
        rounds.append([part() - start for part, start in zip(parts, before, strict=True)])
    wall, control, server, client = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"{' '.join(words)}: {wall:.2f} s; processor time {control + server + client:.2f} s,")
    print(f"  of it l2tp-ctl {control:.2f}, l2tp-admin serve {server:.2f}, l2tp-admin {client:.2f}")


def delays(when: str, scale: Scale) -> None:
    """Print how long l2tp-ctl takes to answer the smallest command."""
    took: list[float] = []
    before = [scale.statistics(side)["retransmissions"] for side in (0, 1)]
    with connect(scale.socket(0), timeout=60) as client:
        end = time.monotonic() + WATCHED
        while (begun := time.monotonic()) < end:
            exchange(client, request(1, "show-version"))
            took.append(time.monotonic() - begun)
            time.sleep(0.01)
    again = [scale.statistics(side)["retransmissions"] - count for side, count in enumerate(before)]
    percentile = statistics.quantiles(took, n=100)[98]
    median, most = 1000 * statistics.median(took), 1000 * max(took)
    print(
        f"l2tp-ctl answers {when}: {median:.1f} ms median, {1000 * percentile:.0f} ms for 99 %, {most:.0f} ms at most;"
    )
    print(f"  messages sent again {again}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
