"""Ten thousand established sessions between two l2tp-ctl, which go on signalling while they are shown."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.admin.daemons import ask, connect, exchange, request
from tests.support import scale
from tests.support.netns import PATIENCE, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

TUNNELS, SESSIONS = 100, 100
"""Tunnels, and sessions in each."""
HELLO = 5.0
"""Seconds of silence before a HELLO."""

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def large(measured: None) -> Iterator[scale.Scale]:
    del measured
    with scale.running(TUNNELS, SESSIONS) as made:
        made.wait_until_up(timeout=300)
        yield made


def tunnels(large: scale.Scale) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in ask(large.socket(0), "show-tunnels")["result"]["tunnels"]}


def test_every_one_of_them_is_shown_in_less_than_a_second(large: scale.Scale) -> None:
    """Of processor time, all programs together and one after the other: what a machine needs that does nothing else."""

    def once() -> float:
        processes = (large.controls[0], large.server)
        before = sum(map(scale.processor_time, processes)) + scale.children()
        done = large.admin.run("show", "sessions", "--json")
        after = sum(map(scale.processor_time, processes)) + scale.children()
        assert done.returncode == 0, done.stderr
        shown = json.loads(done.stdout)["sessions"]
        assert len({one["local_session_id"] for one in shown if one["state"] == "established"}) == TUNNELS * SESSIONS
        assert all(one["counters"]["rx_source"] for one in shown)
        return after - before

    # While others keep the machine's caches busy it takes up to twice as long.
    assert any(once() < 1 for _ in range(15))


def test_hello_and_setup_go_on_while_they_are_shown(large: scale.Scale) -> None:
    before = [large.statistics(side) for side in (0, 1)]
    known = tunnels(large)
    done = threading.Event()
    took: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        showing = pool.submit(scale.keep_showing, large, done)
        try:
            cleared = [f"t{number}" for number in range(5)]
            for name in cleared:
                assert ask(large.socket(0), "clear-tunnel", target=name)["ok"]
            old = known["t0"]["local_connection_id"]
            poll(lambda: tunnels(large)["t0"]["local_connection_id"] not in {0, old}, "a new control connection")
            large.wait_until_up(timeout=60)
            with connect(large.socket(0), timeout=30) as client:
                # Long enough for a HELLO in each tunnel, from one end or the other.
                end = time.monotonic() + 3 * HELLO
                while (begun := time.monotonic()) < end:
                    assert exchange(client, request(1, "show-version"))["ok"]
                    took.append(time.monotonic() - begun)
                    time.sleep(0.02)
        finally:
            done.set()
        assert showing.result(timeout=60) >= 5
    after = [large.statistics(side) for side in (0, 1)]
    hellos = sum(
        told["messages_sent"]["hello"] - then["messages_sent"].get("hello", 0)
        for told, then in zip(after, before, strict=True)
    )
    assert hellos >= 2 * TUNNELS
    # What is not acknowledged within 1 s is sent again.
    again = sum(told["retransmissions"] - then["retransmissions"] for told, then in zip(after, before, strict=True))
    assert again <= hellos / 10 * PATIENCE
    assert sorted(took)[len(took) // 2] < 0.25 * PATIENCE
    present = tunnels(large)
    assert {name for name, one in present.items() if one["state"] != "established"} == set()
    kept = {name for name, one in present.items() if one["local_connection_id"] == known[name]["local_connection_id"]}
    assert kept == set(known) - set(cleared)
