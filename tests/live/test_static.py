"""Static tunnels between two hosts with all three processes each: nothing signalled, real frames, on every plane."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from l2tp_kernel.schema import Plane
from tests.support.daemons import Daemons, daemons
from tests.support.netns import poll, veth_pair
from tests.support.planes import plane_of
from tests.support.static import TRANSPORTS, Wire, configuration, give_addresses, ping, tunnel_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.netns import Namespace
    from tests.support.planes import Planes

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]

COOKIES = [("", ""), ("01234567", "89abcdef"), ("0123456789abcdef", "fedcba9876543210"), ("01234567", "")]
WIRES = tuple(
    Wire(
        4 * number + shape,
        transport,
        COOKIES[(number + shape) % 4],
        "default" if shape % 2 else "none",
        "all" if shape == 3 else "none",
    )
    for number, transport in enumerate(TRANSPORTS)
    for shape in range(4)
)
WATCHED = "hello-interval = 1\nretry = 2\n"
"""A dead peer is found out after 1 s, and 1, 2 and 4 s for its answers."""
SILENCE = 30.0
"""Seconds in which that must be found out."""
alike = pytest.mark.planes("userspace", "kernel")
"""Tests of what one end does, which has one plane."""


@dataclass
class Pair:
    """Both ends, west first, and the wires between them."""

    west: Daemons
    east: Daemons
    planes: Planes
    wires: tuple[Wire, ...] = ()

    @property
    def ends(self) -> tuple[Daemons, Daemons]:
        return self.west, self.east

    @property
    def hosts(self) -> tuple[Namespace, Namespace]:
        return self.west.host, self.east.host

    def text(self, side: int, *wires: Wire, keys: str = "") -> str:
        return configuration(side, self.planes[side], self.hosts, wires, keys)

    def join(self, *wires: Wire, keys: str = "") -> None:
        """Let these wires be the only ones, and wait until they carry frames."""
        self.wires = wires
        for side, end in enumerate(self.ends):
            end.configure(self.text(side, *wires, keys=keys))
            end.reload()
        self.wait_until_up()

    def wait_until_up(self) -> None:
        for side, end in enumerate(self.ends):
            for wire in self.wires:
                end.wait_for_state("sessions", wire.name, "established", timeout=SILENCE)
            give_addresses(side, end.host, self.wires)

    def indices(self, wire: Wire) -> list[str]:
        """Index of the interface at either end, empty without one."""
        shown = [host.run("ip", "-o", "link", "show", wire.interface, check=False).stdout for host in self.hosts]
        return [line.split(":")[0] for line in shown]


@pytest.fixture(scope="module")
def lasting(planes: Planes) -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(veth_pair("static"))
        west, east = (
            stack.enter_context(daemons(host, configuration(side, planes[side], hosts, ())))
            for side, host in enumerate(hosts)
        )
        yield Pair(west, east, planes)


@pytest.fixture
def running(lasting: Pair) -> Pair:
    """A pair that the tests use one after the other; each says what it wants joined, and starts again what it kills."""
    return lasting


def is_up(host: Namespace, wire: Wire, *, up: bool = True) -> bool:
    return (",UP" in host.ip(f"link show {wire.interface}").split(">")[0]) is up


def statistics(end: Daemons) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(end.command("show", "statistics", "--json"))
    return told


@contextlib.contextmanager
def pinging(end: Daemons, wire: Wire) -> Iterator[None]:
    """Ping ten times a second, from before to after; AssertionError if one is lost."""
    log = end.directory / "ping.log"
    with end.host.start("ping", "-i0.1", "-W2", wire.inner(1), log=log) as process:
        process.wait_for_log("bytes from")
        yield
        answered = process.text().count("bytes from")
        process.wait_until(lambda: process.text().count("bytes from") >= answered + 10, "answers after the last change")
        process.signal(signal.SIGINT)
        process.wait()
        sent, received = map(int, re.findall(r"(\d+) (?:packets transmitted|received)", process.text()))
        assert received >= sent - 1, process.text()  # the last one may be under way when ping is told to stop
    log.unlink()


def test_every_transport_with_every_cookie_and_sublayer(running: Pair) -> None:
    before = statistics(running.west)
    running.join(*WIRES)
    for wire in WIRES:
        ping(running.west.host, wire)
        assert tuple(plane_of(host, wire.interface) for host in running.hosts) == running.planes
    for side, end in enumerate(running.ends):
        tunnels, sessions = end.show("tunnels"), end.show("sessions")
        assert {name: tunnel["mode"] for name, tunnel in tunnels.items()} == dict.fromkeys(TRANSPORTS, "static")
        for name, tunnel in tunnels.items():
            assert tunnel["state"] == "established"
            ids = (tunnel["local_connection_id"], tunnel["peer_connection_id"])
            assert ids == (tunnel_id(name, side), tunnel_id(name, 1 - side))
            assert (tunnel["peer_router_id"], tunnel["hello_interval"]) == ("", None)
        for wire in WIRES:
            session = sessions[wire.name]
            assert session["local_session_id"] == wire.session_id(side)
            lengths = (session["local_cookie_length"], session["peer_cookie_length"])
            assert lengths == tuple(len(wire.cookies[way]) // 2 for way in (side, 1 - side))
            counters = session["counters"]
            assert counters["rx_frames"] >= 6
            drops = ("rx_cookie", "rx_malformed", "rx_sequence", "rx_source")
            assert [counters[name] for name in drops] == [0] * 4
            assert (session["remote_end_id"], session["mtu"] > 1300) == ("", True)
    after = statistics(running.west)
    for kind in ("messages_sent", "datagrams"):
        assert after[kind] == before[kind], "nothing is signalled"
    shown = running.west.command("show", "tunnel", "udp4").splitlines()
    assert shown[0].startswith("tunnel udp4 is up")
    assert "mode:            static: identifiers and cookies are configured" in shown
    assert "dead peers:      are not found out" in shown
    assert "connection ids:  100 (0x64) local, 200 (0xc8) peer" in shown
    for end in running.ends:
        text = end.command("show", "config") + end.control.text() + end.helper.text() + end.command("show", "log")
        assert not [cookie for both in COOKIES for cookie in both if cookie and cookie in text]


@alike
def test_a_wrong_cookie_lets_no_frame_through_and_a_reload_mends_it(running: Pair) -> None:
    west, east = running.ends
    mended, right = Wire(0, cookies=("01234567", "")), Wire(1)
    wrong = running.text(1, mended, right).replace('peer-cookie = "01234567"', 'peer-cookie = "00000000"')
    running.join(mended, right)
    with pinging(west, right):
        east.configure(wrong)
        assert east.command("reload") == "changed udp4\n"
        east.wait_for_state("sessions", "w0", "established")
        before = west.show("sessions")["w0"]["counters"]["rx_cookie"]
        # Whatever the east sends by itself, and an answer that it cannot give, for the question arrives.
        west.host.run("ping", "-c2", "-i0.1", "-W1", mended.inner(1), check=False)
        give_addresses(1, east.host, running.wires)
        east.host.run("ping", "-c2", "-i0.1", "-W1", mended.inner(0), check=False)
        assert west.show("sessions")["w0"]["counters"]["rx_cookie"] > before
        east.configure(running.text(1, mended, right))
        east.reload()
        east.wait_for_state("sessions", "w0", "established")
        give_addresses(1, east.host, running.wires)
        ping(west.host, mended)


@alike
def test_sessions_come_and_go_beside_one_that_loses_nothing(running: Pair) -> None:
    stays, comes = Wire(0), Wire(1, "ip6", ("0123456789abcdef", "fedcba9876543210"))
    running.join(stays)
    indices = running.indices(stays)
    with pinging(running.west, stays):
        running.join(stays, comes)
        ping(running.west.host, comes)
        running.join(stays)
        poll(lambda: running.indices(comes) == ["", ""], "the other is gone")
    assert running.indices(stays) == indices


@alike
def test_what_befalls_an_interface(running: Pair) -> None:
    west, wire = running.west, Wire(0)
    running.join(wire)
    kernel = running.planes[0] is Plane.KERNEL  # whose interfaces go with their sessions alone
    remove = f"l2tp del session tunnel_id 100 session_id {wire.session_id(0)}" if kernel else "link delete pw0"

    def made_again(before: list[str]) -> bool:
        return running.indices(wire)[0] not in ("", before[0])

    for command in ((), ("clear", "session", "w0"), ("clear", "tunnel", "udp4")):
        before = running.indices(wire)
        if command:
            west.command(*command)
        else:
            west.host.ip(remove)
        poll(partial(made_again, before), f"made again after {command}")
        running.wait_until_up()
        ping(west.host, wire)
    west.command("down", "udp4")
    poll(lambda: running.indices(wire)[0] == "", "gone")
    assert west.command("show", "tunnel", "udp4").startswith("tunnel udp4 is not up: put down by the operator\n")
    west.command("up", "udp4")
    running.wait_until_up()
    ping(west.host, wire)


@alike
def test_what_the_policy_forbids_is_told_and_tried_again(running: Pair) -> None:
    west, good, bad = running.west, Wire(0), Wire(1)
    running.join(good)
    told = west.control.text()
    west.configure(running.text(0, good, bad, keys="reconnect-interval = 1\n").replace('"pw1"', '"xx1"'))
    west.reload()
    failed = west.wait_for_state("sessions", "w1", "idle")
    assert failed["last_error"].startswith("set_pwe_param: ")
    refused = told.count("refused SET_PWE_PARAM")
    west.control.wait_until(
        lambda: west.control.text().count("refused SET_PWE_PARAM") >= refused + 2, "another attempt"
    )
    assert west.control.text().count("set_pwe_param() failed") == told.count("set_pwe_param() failed") + 1
    running.join(good, bad)
    ping(west.host, bad)


@alike
def test_a_killed_control_process_costs_no_frame(running: Pair) -> None:
    wire = Wire(0, cookies=("01234567", "89abcdef"))
    running.join(wire)
    before = running.indices(wire)
    with pinging(running.west, wire):
        running.east.control.kill()
        running.east.start_control()
        running.east.control.wait_for_log("session [w0] is up on pw0")
    assert running.indices(wire) == before


@alike
def test_a_helper_that_comes_back_makes_everything_again(running: Pair) -> None:
    west, wire = running.west, Wire(0, "ip4")
    running.join(wire, keys="hello-interval = 1\n")
    west.helper.kill()
    west.control.wait_for_log("connection to l2tp-kernel lost")
    told = west.control.text().count("connected to l2tp-kernel, plane")
    west.start_helper()
    west.control.wait_until(
        lambda: west.control.text().count("connected to l2tp-kernel, plane") > told, "the helper is back"
    )
    poll(lambda: running.indices(wire)[0] != "", "the interface is there")
    running.wait_until_up()
    ping(west.host, wire)


def test_a_peer_that_dies_takes_the_interfaces_down_until_it_is_back(running: Pair) -> None:
    west, east = running.ends
    wires = (Wire(0, "udp4", COOKIES[1]), Wire(1, "ip6", COOKIES[2], "default"))
    running.join(*wires, keys=WATCHED)
    before = [running.indices(wire) for wire in wires]
    told = west.control.text().count("failed to send control message. tunnel shutdown")
    arguments = ("--socket", west.directory / "admin.sock", "monitor", "--json")
    with west.host.start("l2tp-admin", *arguments, log=west.directory / "monitor.log") as watching:
        poll(lambda: west.command("show", "version"), "monitor is there")
        east.control.kill()
        for wire in wires:
            down = west.wait_for_state("tunnels", wire.transport, "probing", timeout=SILENCE)
            assert (down["last_error"], down["uptime"]) == ("the peer does not answer", None)
            west.wait_for_state("sessions", wire.name, "wait-peer")
            poll(partial(is_up, west.host, wire, up=False), "the interface is down")
            assert is_up(east.host, wire), "where nobody looks"
            shown = west.command("show", "tunnel", wire.transport).splitlines()
            assert shown[0] == f"tunnel {wire.transport} is not up: the peer does not answer"
            assert "dead peers:      HELLO every 1s" in shown
            assert f"tunnel [{wire.transport}] is down: the peer does not answer" in west.control.text()
            assert f"session [{wire.name}] is down: the peer does not answer" in west.control.text()
        assert west.control.text().count("failed to send control message. tunnel shutdown") == told + 2
        counted = statistics(west)
        assert (counted["tunnels_established"], counted["sessions_established"]) == (0, 0)
        east.start_control()
        running.wait_until_up()
        for wire in wires:
            for host in running.hosts:
                poll(partial(is_up, host, wire), "the interface is up")
            ping(west.host, wire)
        watching.wait_until(lambda: len(changes(watching.text(), "established")) == 4, "the changes for the better")
        for state, names in (("probing", {"udp4", "ip6"}), ("wait-peer", {"w0", "w1"})):
            told_of = changes(watching.text(), state)
            assert {one["session"] or one["tunnel"] for one in told_of} == names
            assert {one["reason"] for one in told_of} == {"the peer does not answer"}
    assert [running.indices(wire) for wire in wires] == before, "no interface was made anew"


def changes(text: str, state: str) -> list[dict[str, Any]]:
    """What `monitor --json` has told of this state, and has written whole."""
    lines = (json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n"))
    return [one for one in lines if one["state"] == state]


def test_a_cut_cable_takes_both_ends_down(running: Pair) -> None:
    wire = Wire(0)
    running.join(wire, keys=WATCHED)
    before = running.indices(wire)
    running.west.host.ip("link set outer down")
    for end in running.ends:
        end.wait_for_state("tunnels", "udp4", "probing", timeout=SILENCE)
        poll(partial(is_up, end.host, wire, up=False), "the interface is down")
    running.west.host.ip("link set outer up")
    running.wait_until_up()
    for host in running.hosts:
        poll(partial(is_up, host, wire), "the interface is up")
    ping(running.west.host, wire)
    assert running.indices(wire) == before, "the interfaces stay, though there was no way to the peer"


@alike
def test_a_peer_that_begins_anew_is_not_missed(running: Pair) -> None:
    west, east = running.ends
    wire = Wire(0)
    running.join(wire, keys="hello-interval = 1\n")
    west.control.wait_until(lambda: west.show("tunnels")["udp4"]["ns"] >= 4, "some HELLOs", timeout=20.0)
    downs = west.control.text().count("is down")
    east.control.kill()
    east.start_control()
    east.control.wait_for_log("session [w0] is up on pw0")
    east.control.wait_until(lambda: east.show("tunnels")["udp4"]["ns"] >= 8, "HELLOs that count on", timeout=20.0)
    assert west.control.text().count("is down") == downs
    assert west.show("tunnels")["udp4"]["rtt"] is not None
    ping(west.host, wire)


@alike
def test_one_end_alone_may_look_after_the_other(running: Pair) -> None:
    west, east = running.ends
    wire = Wire(0)
    running.join(wire)
    before = statistics(east)["messages_received"].get("hello", 0)
    west.configure(running.text(0, wire, keys=WATCHED))
    west.reload()
    east.control.wait_until(lambda: statistics(east)["messages_received"].get("hello", 0) > before, "a HELLO")
    east.command("down", "udp4")
    west.wait_for_state("tunnels", "udp4", "probing", timeout=SILENCE)
    east.command("up", "udp4")
    running.wait_until_up()
    poll(partial(is_up, west.host, wire), "the interface is up")
    ping(west.host, wire)
