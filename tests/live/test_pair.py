"""Two hosts joined by a cable, each with all three processes, signalling with each other and carrying frames.

What does not depend on who forwards is one test for every forwarding plane.
"""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from l2tp_admin.client import CommandError
from l2tp_kernel.schema import Plane
from tests.live.pairs import KINDS, Lasting, Pair, Way, pair
from tests.support.netns import PATIENCE, poll, veth_pair
from tests.support.planes import plane_of, remove_interface

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.planes import Planes

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]

ETH_P_ALL = 3
COOKIES = [(0, 0), (4, 4), (8, 8)]
DIGESTS = ["none", "md5", "sha1"]
UDP = Way(0, "udp", 4, digest="md5")
ALL = tuple(Way(number, encapsulation, family) for number, (encapsulation, family) in enumerate(KINDS))
alike = pytest.mark.planes("userspace", "kernel")
"""Tests of what one end does, which has one plane."""


@pytest.fixture(scope="module")
def lasting(planes: Planes) -> Iterator[Lasting]:
    made = Lasting(planes)
    yield made
    made.close()


@pytest.fixture
def running(lasting: Lasting) -> Pair:
    """A pair that the tests use one after the other; each says what it wants joined."""
    return lasting.get()


@pytest.mark.parametrize("turn", range(3))
def test_every_encapsulation_and_family_with_every_cookie_and_digest(running: Pair, turn: int) -> None:
    ways = tuple(
        Way(number, encapsulation, family, COOKIES[(number + turn) % 3], DIGESTS[(2 * number + turn) % 3])
        for number, (encapsulation, family) in enumerate(KINDS)
    )
    running.join(*ways)
    for way in ways:
        running.ping(way)
        assert tuple(plane_of(host, way.interface) for host in running.hosts) == running.planes
    west, east = (end.show("tunnels") for end in running.ends)
    west_sessions, east_sessions = (end.show("sessions") for end in running.ends)
    for way in ways:
        ours, theirs = west[way.name], east[way.name]
        assert ours["local_connection_id"] == theirs["peer_connection_id"] != 0
        assert ours["peer_connection_id"] == theirs["local_connection_id"] != 0
        assert (ours["initiator"], theirs["initiator"]) == (True, False)
        for tunnel, peer in ((ours, "east"), (theirs, "west")):
            assert tunnel["encapsulation"] == way.encapsulation
            assert (tunnel["peer_host_name"], tunnel["peer_vendor_name"]) == (peer, "l2tpd")
            assert tunnel["authenticated"] == (way.digest != "none")
            assert (tunnel["sessions_configured"], tunnel["sessions_established"]) == (1, 1)
            assert tunnel["uptime"] is not None
        here, there = west_sessions[f"s-{way.name}"], east_sessions[f"s-{way.name}"]
        assert here["local_session_id"] == there["peer_session_id"] != 0
        assert here["peer_session_id"] == there["local_session_id"] != 0
        assert here["mtu"] == there["mtu"] == 1500 - overhead(way)
        for session in (here, there):
            assert (session["local_cookie_length"], session["peer_cookie_length"]) == way.cookies
            assert (session["interface"], session["remote_end_id"]) == (way.interface, f"end {way.number}")
            assert session["counters"]["rx_frames"] >= 10
            assert session["counters"]["rx_cookie"] == 0
        # The largest frame that needs no fragment.
        running.ping(way, "-Mdo", f"-s{here['mtu'] - 28}")


def overhead(way: Way) -> int:
    """Octets around an inner IP packet."""
    outer = {4: 20, 6: 40}[way.family] + {"udp": 16, "ip": 4}[way.encapsulation]
    return outer + max(way.cookies) + 14


def test_cookies_of_other_lengths_at_the_other_end_and_numbered_frames(running: Pair) -> None:
    numbered = 'sublayer = "default"\nsequencing = "all"\n'
    ways = [
        Way(number, *KINDS[number], cookies, "sha1", session=(keys, keys))
        for number, (cookies, keys) in enumerate(
            [((8, 4), numbered), ((4, 8), 'sublayer = "default"\n'), ((0, 4), numbered), ((8, 0), "")]
        )
    ]
    running.join(*ways)
    for way in ways:
        running.ping(way)
        running.ping(way, "-s4000")
        for end, cookies in zip(running.ends, (way.cookies, way.cookies[::-1]), strict=True):
            session = end.show("sessions")[f"s-{way.name}"]
            assert (session["local_cookie_length"], session["peer_cookie_length"]) == cookies
            assert [session["counters"][f"rx_{what}"] for what in ("cookie", "sequence", "malformed")] == [0, 0, 0]


@pytest.mark.planes("userspace")
def test_the_ends_choose_their_cookies_and_sublayers_alone(running: Pair) -> None:
    way = Way(0, "ip", 4, (8, 4), "sha1", session=('sublayer = "default"\nsequencing = "all"\n', ""))
    running.join(way)
    running.ping(way)
    for end, cookies in zip(running.ends, ((8, 4), (4, 8)), strict=True):
        session = end.show("sessions")["s-ip4"]
        assert (session["local_cookie_length"], session["peer_cookie_length"]) == cookies
        assert session["counters"]["rx_sequence"] == session["counters"]["rx_malformed"] == 0


@alike
def test_a_cleared_tunnel_comes_back(running: Pair) -> None:
    running.join(UDP)
    before = running.connection_ids(UDP)
    running.ends[0].command("clear", "tunnel", UDP.name)
    running.wait_for_another(UDP, before)
    running.ping(UDP)


@alike
def test_a_cleared_session_comes_back_in_the_same_tunnel(running: Pair) -> None:
    running.join(UDP)
    tunnel = running.connection_ids(UDP)
    before = running.ends[1].show("sessions")[f"s-{UDP.name}"]["local_session_id"]
    running.ends[1].command("clear", "session", UDP.interface)

    def another() -> bool:
        return running.ends[1].show("sessions")[f"s-{UDP.name}"]["local_session_id"] not in {0, before}

    poll(another, "another session id")
    running.wait_until_up()
    assert running.connection_ids(UDP) == tunnel
    running.ping(UDP)


@alike
def test_an_interface_that_somebody_removes_comes_back(running: Pair) -> None:
    running.join(UDP)
    index = running.index(UDP)
    remove_interface(running.hosts[0], UDP.interface)
    poll(lambda: running.index(UDP) not in {"", index}, "a new interface")
    running.wait_until_up()
    running.ping(UDP)


@alike
def test_tunnels_outlive_their_helper(running: Pair) -> None:
    """In the kernel plane their frames do, too, and the next helper takes the interfaces over as they are."""
    running.join(*ALL)
    west = running.ends[0]
    kernel = running.planes[0] is Plane.KERNEL
    before = {way: (running.connection_ids(way), running.index(way)) for way in ALL}
    west.helper.kill()
    west.control.wait_for_log("connection to l2tp-kernel lost")
    for way in ALL:
        assert west.show("tunnels")[way.name]["state"] == "established"
        if kernel:
            running.ping(way)
    told = west.control.text().count("connected to l2tp-kernel, plane")
    west.start_helper()
    west.control.wait_until(
        lambda: west.control.text().count("connected to l2tp-kernel, plane") > told, "the helper is back"
    )
    for way in ALL:
        poll(lambda: running.index(way) != "", f"{way.interface} is back")  # noqa: B023
    running.wait_until_up()
    for way in ALL:
        assert (f"{way.interface}: adopted" in west.helper.text()) is kernel
        assert running.connection_ids(way) == before[way][0]
        if kernel:
            assert running.index(way) == before[way][1]
        running.ping(way)
    west.command("clear", "tunnel", "all")
    for way in ALL:
        running.wait_for_another(way, before[way][0])  # through new sockets
        running.ping(way)


@alike
def test_a_helper_that_is_stopped_removes_all_and_the_next_one_makes_it_again(running: Pair) -> None:
    running.join(UDP)
    west = running.ends[0]
    tunnel = running.connection_ids(UDP)
    assert west.helper.stop() == 0
    assert running.index(UDP) == ""
    west.start_helper()
    poll(lambda: running.index(UDP) != "", "the interface is back")
    running.wait_until_up()
    assert running.connection_ids(UDP) == tunnel
    running.ping(UDP)


@alike
def test_nobody_misses_the_admin_process(running: Pair) -> None:
    running.join(UDP)
    west = running.ends[0]
    tunnel = running.connection_ids(UDP)
    west.admin.kill()
    running.ping(UDP)
    with pytest.raises(CommandError):
        west.show("tunnels")
    west.start_admin()
    assert running.connection_ids(UDP) == tunnel
    assert west.show("tunnels")[UDP.name]["state"] == "established"


@alike
def test_one_end_leaves_and_comes_back(running: Pair) -> None:
    running.join(UDP)
    west, east = running.ends
    started = time.monotonic()
    assert west.control.stop() == 0
    assert time.monotonic() - started < 2.0 * PATIENCE
    lines = west.control.text().splitlines()
    assert [line for line in lines if re.search("signal|cleanup resources|exit", line)] == [
        f"<6>Received {signal.SIGTERM:d} signal",
        "<6>cleanup resources...",
        "<6>l2tpd exit.",
    ]
    assert not (west.directory / "ctl" / "control.sock").exists()
    east.control.wait_for_log("peer sent StopCCN: shutting down")
    assert east.show("tunnels")[UDP.name]["state"] == "idle"
    assert [running.index(UDP, side) for side in (0, 1)] == ["", ""]
    west.start_control()
    running.wait_until_up()
    running.ping(UDP)


@alike
def test_frames_outlive_a_killed_control_process_and_the_next_one_calls_again(running: Pair) -> None:
    running.join(UDP)
    west = running.ends[0]
    before = running.ends[1].show("tunnels")[UDP.name]["local_connection_id"]
    west.control.kill()
    running.ping(UDP)
    west.start_control()
    west.control.wait_for_log(f"session [s-{UDP.name}] is up")
    running.wait_until_up()
    assert running.ends[1].show("tunnels")[UDP.name]["local_connection_id"] != before
    running.ping(UDP)


def test_a_wrong_password_gets_no_answer_and_one_line_of_log() -> None:
    with pair(UDP, passwords=("a password", "another")) as running:
        west, east = running.ends
        with running.hosts[1].inside():
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        with wire:
            wire.bind(("outer", ETH_P_ALL))
            wire.settimeout(0.1)
            before = west.show("tunnels")[UDP.name]["retransmissions"]
            west.control.wait_until(
                lambda: west.show("tunnels")[UDP.name]["retransmissions"] >= before + 2, "retransmissions", timeout=30
            )
            west.control.kill()  # it would wait for an answer to its farewell
            directions = Counter(control_messages(wire))
        assert directions[socket.PACKET_HOST] >= 2
        assert directions[socket.PACKET_OUTGOING] == 0
        assert east.show("tunnels")[UDP.name]["state"] == "idle"
        assert east.control.text().count("message digest invalid in SCCRQ") == 1
        for end in running.ends:
            assert "a password" not in end.control.text()
            assert "another" not in end.control.text()


def control_messages(wire: socket.socket) -> Iterator[int]:
    """Direction of every UDP packet that has been seen."""
    with contextlib.suppress(TimeoutError):
        while True:
            packet, (_, _, direction, _, _) = wire.recvfrom(2048)
            if packet[0] == 0x45 and packet[9] == socket.IPPROTO_UDP:
                yield direction


def test_mistakes_in_the_file_start_nothing(tmp_path: Path) -> None:
    with veth_pair("pair") as (host, _):
        bad = tmp_path / "bad.toml"
        bad.write_text(
            f'[daemon]\nadmin-socket = "{tmp_path}/admin.sock"\n[tunnel.east]\npeer-address = "192.0.2"\nretry = 0\n'
        )
        done = host.run("l2tp-ctl", "--config", bad, check=False)
        assert done.returncode == 2
        assert [line for line in done.stderr.splitlines() if line.startswith("<3>")] == [
            "<3>local.hostname: No param",
            "<3>local.router-id: No param",
            "<3>tunnel.east.peer-address: Invalid address",
            "<3>tunnel.east.retry: 0 is out of range",
            "<3>get tunnel configuration failed",
            "<3>l2tpd initialization failed",
        ]
        assert f"<5>{bad}: tunnel.east.retry: write 1..99" in done.stderr.splitlines()
        assert [path.name for path in tmp_path.iterdir()] == ["bad.toml"]
