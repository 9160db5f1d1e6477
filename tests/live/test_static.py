"""Static tunnels between two hosts with all three processes each, nothing signalled, real frames."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support.daemons import USER, Daemons, daemons
from tests.support.netns import Namespace, poll, veth_pair
from tests.support.static import TRANSPORTS, Wire, configuration, give_addresses, ping, tunnel_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.netns import Process

pytestmark = pytest.mark.root

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
WATCHED = "hello-interval = 1\nretry = 1\n"
"""A dead peer is found out after 1 s, and 1 s and 2 s for its answers."""


@contextlib.contextmanager
def pair(*wires: Wire, keys: str = "") -> Iterator[tuple[Daemons, Daemons]]:
    """Start both ends, and give the interfaces addresses once they are there."""
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(veth_pair("static"))
        west, east = (
            stack.enter_context(daemons(host, configuration(side, hosts, wires, keys)))
            for side, host in enumerate(hosts)
        )
        wait_until_up(west, east, *wires)
        yield west, east


def wait_until_up(west: Daemons, east: Daemons, *wires: Wire) -> None:
    for side, end in enumerate((west, east)):
        for wire in wires:
            end.wait_for_state("sessions", wire.name, "established")
        give_addresses(side, end.host, wires)


@contextlib.contextmanager
def again(end: Daemons, name: str = "again.log") -> Iterator[Process]:
    """Start the control process of an end once more."""
    command = ("l2tp-ctl", "--config", end.directory / "l2tpd.toml", "--user", USER)
    with end.host.start(*command, log=end.directory / name) as process:
        end.control = process
        process.wait_for_log("connected to l2tp-kernel")
        yield process


def is_up(host: Namespace, wire: Wire) -> bool:
    return ",UP" in host.ip(f"link show {wire.interface}").split(">")[0]


def is_down(host: Namespace, wire: Wire) -> bool:
    return not is_up(host, wire)


def index(host: Namespace, wire: Wire) -> str:
    return host.ip(f"-o link show {wire.interface}").split(":")[0]


@contextlib.contextmanager
def pinging(end: Daemons, wire: Wire) -> Iterator[None]:
    """Ping ten times a second, from before to after; AssertionError if one is lost."""
    log = end.directory / "ping.log"
    with end.host.start("ping", "-i0.1", "-W2", wire.inner(1), log=log) as process:
        yield
        answered = process.text().count("bytes from")
        process.wait_until(lambda: process.text().count("bytes from") >= answered + 10, "answers after the last change")
        process.signal(signal.SIGINT)
        process.wait()
        sent, received = map(int, re.findall(r"(\d+) (?:packets transmitted|received)", process.text()))
        assert received >= sent - 1, process.text()  # the last one may be under way when ping is told to stop
    log.unlink()


def test_every_transport_with_every_cookie_and_sublayer() -> None:
    with pair(*WIRES) as (west, east):
        for wire in WIRES:
            ping(west.host, wire)
        for side, end in enumerate((west, east)):
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
                assert session["counters"]["rx_frames"] >= 4
                drops = {name: count for name, count in session["counters"].items() if name.startswith("rx_")}
                assert [drops[name] for name in ("rx_cookie", "rx_malformed", "rx_sequence", "rx_source")] == [0] * 4
                assert (session["remote_end_id"], session["mtu"] > 1300) == ("", True)
        told = json.loads(west.command("show", "statistics", "--json"))
        assert (told["messages_sent"], told["datagrams"]) == ({}, 0), "nothing is signalled"
        shown = west.command("show", "tunnel", "udp4").splitlines()
        assert shown[0].startswith("tunnel udp4 is up")
        assert "mode:            static: identifiers and cookies are configured" in shown
        assert "dead peers:      are not found out" in shown
        assert "connection ids:  100 (0x64) local, 200 (0xc8) peer" in shown
        assert not any(line.startswith(("peer says", "authentication", "begun by")) for line in shown)
        session_shown = west.command("show", "session", "w0")
        assert "remote end id" not in session_shown
        for end in (west, east):
            text = end.command("show", "config") + end.control.text() + end.command("show", "log")
            assert not [cookie for pair in COOKIES for cookie in pair if cookie and cookie in text]


def test_a_wrong_cookie_lets_no_frame_through_and_a_reload_mends_it() -> None:
    wrong, right = Wire(0, cookies=("01234567", "")), Wire(1)
    with pair(wrong, right) as (west, east):
        config = east.directory / "l2tpd.toml"
        good = config.read_text()
        before = index(east.host, wrong)
        with pinging(west, right):
            config.write_text(good.replace('peer-cookie = "01234567"', 'peer-cookie = "00000000"'))
            assert east.command("reload") == "changed udp4\n"
            west.host.run("ping", "-c2", "-i0.1", "-W1", wrong.inner(1), check=False)
            assert west.show("sessions")["w0"]["counters"]["rx_cookie"] >= 1
            config.write_text(good)
            east.command("reload")
            ping(west.host, wrong)
        assert index(east.host, wrong) == before, "the interface stays"


def test_sessions_come_and_go_beside_one_that_loses_nothing() -> None:
    stays, comes = Wire(0), Wire(1, "ip6", ("0123456789abcdef", "fedcba9876543210"))
    with pair(stays) as (west, east):
        hosts = (west.host, east.host)
        first = [(end.directory / "l2tpd.toml").read_text() for end in (west, east)]
        with pinging(west, stays):
            for side, end in enumerate((west, east)):
                more = configuration(side, hosts, [comes]).partition("[tunnel.")
                (end.directory / "l2tpd.toml").write_text(first[side] + more[1] + more[2])
                assert end.command("reload") == "added ip6\n"
            wait_until_up(west, east, comes)
            ping(west.host, comes)
            for side, end in enumerate((west, east)):
                (end.directory / "l2tpd.toml").write_text(first[side])
                assert end.command("reload") == "removed ip6\n"
            poll(lambda: west.host.run("ip", "link", "show", "pw1", check=False).returncode == 1, "pw1 is gone")


def _told_more(end: Daemons, than: int) -> bool:
    return end.control.text().count("session [w0] is up on pw0") > than


def test_what_befalls_an_interface() -> None:
    wire = Wire(0)
    with pair(wire) as (west, east):
        before = index(west.host, wire)
        west.host.ip(f"link delete {wire.interface}")
        west.control.wait_for_log("session [w0] is down: the interface was removed")
        poll(partial(_told_more, west, 1), "made again")
        assert index(west.host, wire) != before
        for command in (("clear", "session", "w0"), ("clear", "tunnel", "udp4")):
            told = west.control.text().count("session [w0] is up on pw0")
            west.command(*command)
            poll(partial(_told_more, west, told), "made again")
        give_addresses(0, west.host, [wire])
        ping(west.host, wire)
        west.command("down", "udp4")
        poll(lambda: west.host.run("ip", "link", "show", "pw0", check=False).returncode == 1, "pw0 is gone")
        shown = west.command("show", "tunnel", "udp4").splitlines()
        assert shown[0] == "tunnel udp4 is not up: put down by the operator"
        west.command("up", "udp4")
        wait_until_up(west, east, wire)
        ping(west.host, wire)


def test_what_the_policy_forbids_is_told_and_tried_again() -> None:
    good, bad = Wire(0), Wire(1)
    with veth_pair("static") as hosts:
        text = configuration(0, hosts, [good, bad], "reconnect-interval = 1\n").replace('"pw1"', '"xx1"')
        with daemons(hosts[0], text) as west:
            west.wait_for_state("sessions", "w0", "established")
            failed = west.wait_for_state("sessions", "w1", "idle")
            assert failed["last_error"].startswith("set_pwe_param: ")
            west.control.wait_until(lambda: west.control.text().count("refused SET_PWE_PARAM") >= 2, "another attempt")
            assert west.control.text().count("set_pwe_param() failed") == 1
            config = west.directory / "l2tpd.toml"
            config.write_text(config.read_text().replace("xx1", "pw1"))
            west.command("reload")
            west.wait_for_state("sessions", "w1", "established")


def test_a_killed_control_process_costs_no_frame() -> None:
    wire = Wire(0, cookies=("01234567", "89abcdef"))
    with pair(wire) as (west, east), contextlib.ExitStack() as stack:
        before = index(east.host, wire)
        with pinging(west, wire):
            east.control.kill()
            stack.enter_context(again(east)).wait_for_log("session [w0] is up on pw0")
        assert index(east.host, wire) == before
        assert "pw0: removed" not in east.helper.text()


def test_a_helper_that_comes_back_makes_everything_again() -> None:
    wire = Wire(0, "ip4")
    with pair(wire, keys="hello-interval = 1\n") as (west, east):
        west.helper.kill()
        west.control.wait_for_log("connection to l2tp-kernel lost")
        told = west.control.text().count("connected to l2tp-kernel, plane")
        with west.host.start(
            "l2tp-kernel", "--policy", west.directory / "policy.toml", "--runtime-directory", west.directory / "kernel",
            log=west.directory / "second.log",
        ):  # fmt: skip
            west.control.wait_until(
                lambda: west.control.text().count("connected to l2tp-kernel, plane") > told, "the helper is back"
            )
            poll(lambda: west.host.run("ip", "link", "show", "pw0", check=False).returncode == 0, "pw0 is back")
            wait_until_up(west, east, wire)
            ping(west.host, wire)


@pytest.mark.parametrize("transport", ["udp4", "ip6"])
def test_a_peer_that_dies_takes_the_interface_down_until_it_is_back(transport: str) -> None:
    wire = Wire(0, transport)
    with pair(wire, keys=WATCHED) as (west, east):
        ping(west.host, wire)
        monitor = west.directory / "monitor.log"
        arguments = ("--socket", west.directory / "admin.sock", "monitor", "--json")
        with west.host.start("l2tp-admin", *arguments, log=monitor) as watching:
            west.wait_for_state("tunnels", transport, "established")
            east.control.kill()
            down = west.wait_for_state("tunnels", transport, "probing")
            assert (down["last_error"], down["uptime"]) == ("the peer does not answer", None)
            west.wait_for_state("sessions", "w0", "wait-peer")
            poll(partial(is_down, west.host, wire), "the interface is down")
            shown = west.command("show", "tunnel", transport).splitlines()
            assert shown[0] == f"tunnel {transport} is not up: the peer does not answer"
            assert "dead peers:      HELLO every 1s" in shown
            text = west.control.text()
            assert text.count("failed to send control message. tunnel shutdown") in {1, 2}, "perhaps before it came"
            assert f"tunnel [{transport}] is down: the peer does not answer" in text
            assert "session [w0] is down: the peer does not answer" in text
            told = json.loads(west.command("show", "statistics", "--json"))
            assert (told["tunnels_established"], told["sessions_established"]) == (0, 0)
            assert is_up(east.host, wire), "whose control process is not there to look"
            with again(east):
                wait_until_up(west, east, wire)
                poll(lambda: is_up(west.host, wire) and is_up(east.host, wire), "the interfaces are up")
                ping(west.host, wire)
                watching.wait_for_log('"state":"wait-peer"')
                watching.wait_until(
                    lambda: watching.text().rstrip().endswith('"reason":""}'), "the last change is for the better"
                )
            changes = [json.loads(line) for line in watching.text().splitlines()]
        reasons = {(one["session"], one["state"]): one["reason"] for one in changes}
        assert reasons["", "probing"] == reasons["w0", "wait-peer"] == "the peer does not answer"


def test_a_cut_cable_takes_both_ends_down() -> None:
    wire = Wire(0)
    with pair(wire, keys=WATCHED) as (west, east):
        west.host.ip("link set outer down")
        for end in (west, east):
            end.wait_for_state("tunnels", "udp4", "probing")
            poll(partial(is_down, end.host, wire), "the interface is down")
        west.host.ip("link set outer up")
        wait_until_up(west, east, wire)
        for end in (west, east):
            poll(partial(is_up, end.host, wire), "the interface is up")
        ping(west.host, wire)


def test_a_peer_that_begins_anew_is_not_missed() -> None:
    wire = Wire(0)
    with pair(wire, keys="hello-interval = 1\n") as (west, east):
        west.control.wait_until(lambda: west.show("tunnels")["udp4"]["ns"] >= 4, "some HELLOs")
        east.control.kill()
        with again(east) as control:
            control.wait_for_log("session [w0] is up on pw0")
            east.control.wait_until(lambda: east.show("tunnels")["udp4"]["ns"] >= 8, "HELLOs that count on")
            assert "is down" not in west.control.text()
            assert west.show("tunnels")["udp4"]["rtt"] is not None
            ping(west.host, wire)


def test_one_end_alone_may_look_after_the_other() -> None:
    wire = Wire(0)
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(veth_pair("static"))
        keys = (WATCHED, "")
        west, east = (
            stack.enter_context(daemons(host, configuration(side, hosts, [wire], keys[side])))
            for side, host in enumerate(hosts)
        )
        wait_until_up(west, east, wire)
        ping(west.host, wire)
        received = json.loads(east.command("show", "statistics", "--json"))["messages_received"]
        assert received["hello"] >= 1
        east.command("down", "udp4")
        west.wait_for_state("tunnels", "udp4", "probing")
        east.command("up", "udp4")
        wait_until_up(west, east, wire)
        poll(lambda: is_up(west.host, wire), "the interface is up")
        ping(west.host, wire)
