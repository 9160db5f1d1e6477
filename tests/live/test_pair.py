"""Two hosts joined by a cable, each with all three processes, signalling with each other and carrying frames."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.daemons import USER, Daemons, daemons
from tests.support.netns import Namespace, poll, veth_pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.root

PASSWORD = "correct horse battery staple"
NAMES = ("west", "east")
ETH_P_ALL = 3


@dataclass(frozen=True)
class Way:
    """One tunnel between the two hosts; ``number`` tells it from the others."""

    number: int
    encapsulation: str
    family: int
    cookies: tuple[int, int] = (0, 0)
    """Octets that west and east ask for."""
    digest: str = "none"

    @property
    def name(self) -> str:
        return f"{self.encapsulation}{self.family}"

    @property
    def interface(self) -> str:
        return f"pw{self.number}"

    def inner(self, side: int) -> str:
        """Address of a side's end of the pseudowire."""
        return f"198.51.100.{16 * self.number + side + 1}"

    def tables(self, side: int, hosts: tuple[Namespace, Namespace]) -> str:
        peer = hosts[1 - side]
        address = peer.ipv4 if self.family == 4 else peer.ipv6
        password = "" if self.digest == "none" else 'password-file = "password"\n'
        return f"""
[tunnel.{self.name}]
peer-address = "{address}"
hostname = "{NAMES[1 - side]}"
router-id = "192.0.2.{2 - side}"
encapsulation = "{self.encapsulation}"
digest = "{self.digest}"
cookie = {self.cookies[side]}
initiate = {str(side == 0).lower()}
reconnect-interval = 1
{password}
[tunnel.{self.name}.session.s-{self.name}]
remote-end-id = "end {self.number}"
interface = "{self.interface}"
"""


@dataclass
class Pair:
    """Both ends, west first."""

    hosts: tuple[Namespace, Namespace]
    ends: tuple[Daemons, Daemons]
    ways: tuple[Way, ...]

    def wait_until_up(self) -> None:
        """Wait until every session is up at both ends, and give each interface its address."""
        for end in self.ends:
            for way in self.ways:
                end.wait_for_state("sessions", f"s-{way.name}", "established")
        for side, host in enumerate(self.hosts):
            for way in self.ways:
                host.ip(f"addr replace {way.inner(side)}/28 dev {way.interface}")

    def ping(self, way: Way, *options: str) -> None:
        """Ping east from west through the pseudowire; AssertionError if one is lost."""
        done = self.hosts[0].run("ping", "-q", "-c10", "-i0.01", "-W2", *options, way.inner(1))
        assert " 0% packet loss" in done.stdout

    def connection_ids(self, way: Way) -> tuple[int, int]:
        tunnel = self.ends[0].show("tunnels")[way.name]
        return tunnel["local_connection_id"], tunnel["peer_connection_id"]


@contextlib.contextmanager
def pair(
    *ways: Way,
    passwords: tuple[str, str] = (PASSWORD, PASSWORD),
    last: tuple[str, str] = ("", ""),
    admin: tuple[str, ...] = (),
) -> Iterator[Pair]:
    """Start both ends; ``last`` are keys for the last session of each, ``admin`` more options of l2tp-admin serve."""
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(veth_pair("pair"))
        ends = []
        for side, host in enumerate(hosts):
            local = f'[local]\nhostname = "{NAMES[side]}"\nrouter-id = "192.0.2.{side + 1}"\n'
            configuration = local + "".join(way.tables(side, hosts) for way in ways) + last[side]
            ends.append(stack.enter_context(daemons(host, configuration, password=passwords[side], admin=admin)))
        yield Pair(hosts, (ends[0], ends[1]), ways)


KINDS = [("udp", 4), ("udp", 6), ("ip", 4), ("ip", 6)]
COOKIES = [(0, 0), (4, 4), (8, 8)]
DIGESTS = ["none", "md5", "sha1"]


@pytest.mark.parametrize("turn", range(3))
def test_every_encapsulation_and_family_with_every_cookie_and_digest(turn: int) -> None:
    ways = tuple(
        Way(number, encapsulation, family, COOKIES[(number + turn) % 3], DIGESTS[(2 * number + turn) % 3])
        for number, (encapsulation, family) in enumerate(KINDS)
    )
    with pair(*ways) as running:
        running.wait_until_up()
        for way in ways:
            running.ping(way)
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
            # The largest frame that needs no fragment, and one that is as large as the interface takes.
            running.ping(way, "-Mdo", f"-s{here['mtu'] - 28}")


def overhead(way: Way) -> int:
    """Octets around an inner IP packet."""
    outer = {4: 20, 6: 40}[way.family] + {"udp": 16, "ip": 4}[way.encapsulation]
    return outer + max(way.cookies) + 14


UDP = Way(0, "udp", 4, digest="md5")


def test_the_ends_choose_their_cookies_and_sublayers_alone() -> None:
    way = Way(0, "ip", 4, cookies=(8, 4), digest="sha1")
    with pair(way, last=('sublayer = "default"\nsequencing = "all"\n', "")) as running:
        running.wait_until_up()
        running.ping(way)
        for end, cookies in zip(running.ends, ((8, 4), (4, 8)), strict=True):
            session = end.show("sessions")["s-ip4"]
            assert (session["local_cookie_length"], session["peer_cookie_length"]) == cookies
            assert session["counters"]["rx_sequence"] == session["counters"]["rx_malformed"] == 0


@pytest.fixture(scope="module")
def running() -> Iterator[Pair]:
    """A pair that several tests use one after the other; each leaves it up."""
    with pair(UDP) as made:
        yield made


def test_a_cleared_tunnel_comes_back(running: Pair) -> None:
    running.wait_until_up()
    before = running.connection_ids(UDP)
    running.ends[0].command("clear", "tunnel", UDP.name)
    poll(lambda: not set(before) & {0, *running.connection_ids(UDP)}, "other connection ids")
    running.wait_until_up()
    running.ping(UDP)


def test_a_cleared_session_comes_back_in_the_same_tunnel(running: Pair) -> None:
    running.wait_until_up()
    tunnel = running.connection_ids(UDP)
    before = running.ends[1].show("sessions")[f"s-{UDP.name}"]["local_session_id"]
    running.ends[1].command("clear", "session", UDP.interface)

    def another() -> bool:
        return running.ends[1].show("sessions")[f"s-{UDP.name}"]["local_session_id"] not in {0, before}

    poll(another, "another session id")
    running.wait_until_up()
    assert running.connection_ids(UDP) == tunnel
    running.ping(UDP)


def test_an_interface_that_somebody_removes_comes_back(running: Pair) -> None:
    running.wait_until_up()
    index = running.hosts[0].ip(f"-o link show {UDP.interface}").split(":")[0]
    running.hosts[0].ip(f"link delete {UDP.interface}")

    def anew() -> bool:
        found = running.hosts[0].run("ip", "-o", "link", "show", UDP.interface, check=False).stdout
        return bool(found) and found.split(":")[0] != index

    poll(anew, "a new interface")
    running.wait_until_up()
    running.ping(UDP)


def test_the_tunnel_outlives_its_helper(running: Pair) -> None:
    running.wait_until_up()
    west = running.ends[0]
    tunnel = running.connection_ids(UDP)
    west.helper.kill()
    west.control.wait_for_log("connection to l2tp-kernel lost")
    assert west.show("tunnels")[UDP.name]["state"] == "established"
    told = west.control.text().count("connected to l2tp-kernel, plane")
    with running.hosts[0].start(
        "l2tp-kernel", "--policy", west.directory / "policy.toml", "--runtime-directory", west.directory / "kernel",
        log=west.directory / "second.log",
    ):  # fmt: skip
        west.control.wait_until(
            lambda: west.control.text().count("connected to l2tp-kernel, plane") > told, "the helper is back"
        )
        poll(
            lambda: running.hosts[0].run("ip", "link", "show", UDP.interface, check=False).returncode == 0,
            "the interface is back",
        )
        running.wait_until_up()
        assert running.connection_ids(UDP) == tunnel
        running.ping(UDP)
        running.ends[0].command("clear", "tunnel", UDP.name)
        poll(lambda: not set(tunnel) & {0, *running.connection_ids(UDP)}, "a new tunnel through new sockets")
        running.wait_until_up()
        running.ping(UDP)


def test_one_end_leaves_and_comes_back() -> None:
    with pair(UDP) as running:
        running.wait_until_up()
        west, east = running.ends
        started = time.monotonic()
        assert west.control.stop() == 0
        assert time.monotonic() - started < 2.0
        lines = west.control.text().splitlines()
        assert [line for line in lines if re.search("signal|cleanup resources|exit", line)] == [
            f"<6>Received {signal.SIGTERM:d} signal",
            "<6>cleanup resources...",
            "<6>l2tpd exit.",
        ]
        assert not (west.directory / "ctl" / "control.sock").exists()
        east.control.wait_for_log("peer sent StopCCN: shutting down")
        assert east.show("tunnels")[UDP.name]["state"] == "idle"
        for host in running.hosts:
            assert host.run("ip", "link", "show", UDP.interface, check=False).returncode == 1
        again = ("l2tp-ctl", "--config", west.directory / "l2tpd.toml", "--user", USER)
        with running.hosts[0].start(*again, log=west.directory / "again.log") as west.control:
            west.control.wait_for_path(west.directory / "ctl" / "control.sock")
            running.wait_until_up()
            running.ping(UDP)


def test_a_killed_end_comes_back() -> None:
    with pair(UDP) as running:
        running.wait_until_up()
        west = running.ends[0]
        west.control.kill()
        again = ("l2tp-ctl", "--config", west.directory / "l2tpd.toml", "--user", USER)
        with running.hosts[0].start(*again, log=west.directory / "again.log") as west.control:
            west.control.wait_for_log(f"session [s-{UDP.name}] is up")
            running.wait_until_up()
            running.ping(UDP)


def test_a_wrong_password_gets_no_answer_and_one_line_of_log() -> None:
    with pair(UDP, passwords=("a password", "another")) as running:
        west, east = running.ends
        with running.hosts[1].inside():
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        with wire:
            wire.bind(("outer", ETH_P_ALL))
            wire.settimeout(0.1)
            west.control.wait_until(lambda: west.show("tunnels")[UDP.name]["retransmissions"] >= 3, "retransmissions")
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
            f'[daemon]\nadmin-socket = "{tmp_path}/admin.sock"\n[tunnel.east]\npeer-address = "x"\nretry = 0\n'
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
