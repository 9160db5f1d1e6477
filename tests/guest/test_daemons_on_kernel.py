"""All three processes at each end, signalling for real: Linux forwards in the west, a process of ours in the east."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.live.test_pair import KINDS, NAMES, PASSWORD, Pair, Way
from tests.support.daemons import daemons
from tests.support.netns import veth_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]

PLANES = ("kernel", "userspace")
WAYS = tuple(
    Way(number, encapsulation, family, cookies=((4, 8), (8, 4), (0, 4), (8, 8))[number], digest="sha1")
    for number, (encapsulation, family) in enumerate(KINDS)
)


@pytest.fixture(scope="module")
def running() -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(veth_pair("mixed"))
        ends = []
        for side, host in enumerate(hosts):
            # What comes first is still of the [daemon] table.
            local = f'plane = "{PLANES[side]}"\n[local]\nhostname = "{NAMES[side]}"\nrouter-id = "192.0.2.{side + 1}"\n'
            configuration = local + "".join(way.tables(side, hosts) for way in WAYS)
            ends.append(stack.enter_context(daemons(host, configuration, password=PASSWORD)))
        made = Pair(hosts, (ends[0], ends[1]), WAYS)
        made.wait_until_up()
        yield made


def test_sessions_come_up_over_everything(running: Pair) -> None:
    for way in WAYS:
        running.ping(way)
        kinds = [host.ip(f"-d link show {way.interface}") for host in running.hosts]
        assert "alias l2tp-kernel" in kinds[0]
        assert "tun type tap" in kinds[1]


def test_frames_and_signalling_outlive_the_helper_and_the_next_one_adopts_them(running: Pair) -> None:
    west = running.ends[0]
    before = {way.interface: running.hosts[0].ip(f"-o link show {way.interface}").split(":")[0] for way in WAYS}
    ids = {way.name: running.connection_ids(way) for way in WAYS}
    west.helper.kill()
    west.control.wait_for_log("connection to l2tp-kernel lost")
    for way in WAYS:
        running.ping(way)
    told = west.control.text().count("connected to l2tp-kernel, plane")
    with running.hosts[0].start(
        "l2tp-kernel", "--policy", west.directory / "policy.toml", "--runtime-directory", west.directory / "kernel",
        log=west.directory / "second.log",
    ) as second:  # fmt: skip
        west.control.wait_until(
            lambda: west.control.text().count("connected to l2tp-kernel, plane") > told, "the helper is back"
        )
        for way in WAYS:
            assert f"{way.interface}: adopted" in second.text()
            running.ping(way)
            assert running.hosts[0].ip(f"-o link show {way.interface}").split(":")[0] == before[way.interface]
            assert running.connection_ids(way) == ids[way.name]
        west.command("clear", "tunnel", "all")
        west.control.wait_until(
            lambda: not any(set(ids[way.name]) & {0, *running.connection_ids(way)} for way in WAYS), "other connections"
        )
        running.wait_until_up()
        for way in WAYS:
            running.ping(way)
