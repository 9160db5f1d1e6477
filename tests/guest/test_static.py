"""Static tunnels on a real kernel, against `ip l2tp` set by hand at the other end."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING

import pytest

from l2tp_kernel.schema import Plane
from tests.support.daemons import Daemons, daemons
from tests.support.netns import Namespace, poll, veth_pair
from tests.support.planes import plane_of
from tests.support.static import (
    TRANSPORTS,
    Wire,
    configuration,
    give_addresses,
    ip_commands,
    ping,
    tunnel_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]

COOKIES = (
    ("", ""),
    ("01234567", "89abcdef"),
    ("0123456789abcdef", "fedcba9876543210"),
    ("01234567", "fedcba9876543210"),
)
SUBLAYERS = ("none", "default")
WIRES = tuple(
    Wire(8 * transport + 2 * cookies + sublayer, name, COOKIES[cookies], SUBLAYERS[sublayer])
    for transport, name in enumerate(TRANSPORTS)
    for cookies in range(len(COOKIES))
    for sublayer in range(len(SUBLAYERS))
)
SEQUENCED = tuple(
    Wire(32 + number, name, COOKIES[1], "default", "all") for number, name in enumerate(TRANSPORTS)
)  # fmt: skip
EVERY = WIRES + SEQUENCED
KEYED = """
[tunnel.keyed{number}]
mode = "static"
local-address = "{local}"
peer-address = "{peer}"
encapsulation = "ip"
reconnect-interval = 1
[tunnel.keyed{number}.session.k{number}]
interface = "pw{number}"
local-session-id = 0xffffffff
peer-session-id = 0xffffffff
local-cookie = "0123456789abcdef"
peer-cookie = "fedcba9876543210"
"""


def by_hand(host: Namespace, commands: str) -> None:
    host.run("ip", "-batch", "-", text_input=commands)


def linux_tunnels(host: Namespace) -> dict[int, int]:
    """Peers' ids by ours."""
    shown = host.ip("l2tp show tunnel")
    return {
        int(ours): int(peers) for ours, peers in re.findall(r"Tunnel (\d+), .*?Peer tunnel (\d+)", shown, re.DOTALL)
    }


def is_up(host: Namespace, interface: str, *, up: bool = True) -> bool:
    return (",UP" in host.ip(f"link show {interface}").split(">")[0]) is up


@pytest.fixture(scope="module")
def facing(plane: Plane) -> Iterator[tuple[Plane, Daemons, Namespace]]:
    """A plane, l2tpd at the left end, and the right host, where all has been set by hand."""
    with veth_pair("static") as hosts, daemons(hosts[0], configuration(0, plane, hosts, EVERY)) as left:
        by_hand(hosts[1], ip_commands(1, hosts, EVERY))
        for wire in EVERY:
            left.wait_for_state("sessions", wire.name, "established")
        for side, host in enumerate(hosts):
            give_addresses(side, host, EVERY)
        yield plane, left, hosts[1]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_frames_pass_to_linux_with_every_cookie_and_sublayer(
    facing: tuple[Plane, Daemons, Namespace], transport: str
) -> None:
    _, left, _ = facing
    for wire in EVERY:
        if wire.transport == transport:
            ping(left.host, wire)
            ping(left.host, wire, "-s1300")
            counters = left.show("sessions")[wire.name]["counters"]
            assert counters["rx_frames"] >= 6, wire
            assert (counters["rx_cookie"], counters["rx_malformed"], counters["rx_sequence"]) == (0, 0, 0), wire


def test_the_linux_tunnels_have_the_ids_of_the_configuration(facing: tuple[Plane, Daemons, Namespace]) -> None:
    plane, left, right = facing
    expected = [{tunnel_id(name, side): tunnel_id(name, 1 - side) for name in TRANSPORTS} for side in (0, 1)]
    assert linux_tunnels(right) == expected[1]
    assert linux_tunnels(left.host) == (expected[0] if plane is Plane.KERNEL else {})
    assert {plane_of(left.host, wire.interface) for wire in EVERY} == {plane}


def test_a_wrong_cookie_at_either_end_lets_nothing_through(facing: tuple[Plane, Daemons, Namespace]) -> None:
    _, left, right = facing
    wire = WIRES[4]  # UDP over IPv4, 8 octets, no sublayer
    assert wire.cookies == COOKIES[2]
    config = left.directory / "l2tpd.toml"
    good = config.read_text()
    ping(left.host, wire)
    config.write_text(good.replace(f'peer-cookie = "{wire.cookies[1]}"', 'peer-cookie = "0000000000000000"'))
    left.command("reload")
    left.wait_for_state("sessions", wire.name, "established")
    before = received(right, wire)
    give_addresses(0, left.host, [wire])
    assert left.host.run("ping", "-c2", "-i0.2", "-W1", wire.inner(1), check=False).returncode == 1
    assert received(right, wire) == before
    config.write_text(good)
    left.command("reload")
    left.wait_for_state("sessions", wire.name, "established")
    give_addresses(0, left.host, WIRES)
    ping(left.host, wire)


def received(host: Namespace, wire: Wire) -> int:
    """Frames that came out of an end."""
    shown = json.loads(host.ip(f"-j -s link show {wire.interface}"))
    return int(shown[0]["stats64"]["rx"]["packets"])


def test_a_keyed_ipv6_tunnel_of_rfc_8159(plane: Plane) -> None:
    with veth_pair("keyed") as hosts:
        hosts[0].ip("addr add 2001:db8::11/64 dev outer nodad")
        text = configuration(0, plane, hosts, ())
        text += '[listen]\naddresses = ["2001:db8::1", "2001:db8::11"]\n'
        text += KEYED.format(number=0, local="2001:db8::1", peer="2001:db8::2")
        text += KEYED.format(number=1, local="2001:db8::11", peer="2001:db8::3")
        by_hand(
            hosts[1],
            "l2tp add tunnel tunnel_id 7 peer_tunnel_id 8 encap ip local 2001:db8::2 remote 2001:db8::1\n"
            "l2tp add session name pw0 tunnel_id 7 session_id 4294967295 peer_session_id 4294967295 l2spec_type none "
            "cookie 0123456789abcdef peer_cookie fedcba9876543210\n"
            "link set pw0 up\n",
        )
        with daemons(hosts[0], text) as left:
            states = poll(partial(settled, left), "one session or two")
            assert sorted(states) == (["established"] * 2 if plane is Plane.USERSPACE else ["established", "idle"])
            if states == ["idle", "established"]:  # Linux has one such session at a time: give way to the first
                left.command("down", "keyed1")
            left.wait_for_state("sessions", "k0", "established")
            for side, host in enumerate(hosts):
                give_addresses(side, host, [Wire(0)])
            ping(left.host, Wire(0))


def settled(left: Daemons) -> list[str]:
    """States of both sessions once nothing more is under way: established, or refused with a reason."""
    sessions = left.show("sessions")
    done = all(each["state"] == "established" or "not-owned" in each["last_error"] for each in sessions.values())
    return [sessions[name]["state"] for name in ("k0", "k1")] if done else []


def test_linux_has_the_ids_that_a_reload_gives() -> None:
    wire = Wire(0)
    with veth_pair("static") as hosts, daemons(hosts[0], configuration(0, Plane.KERNEL, hosts, [wire])) as left:
        left.wait_for_state("sessions", "w0", "established")
        assert linux_tunnels(left.host) == {100: 200}
        config = left.directory / "l2tpd.toml"
        config.write_text(config.read_text().replace("connection-id = 100", "connection-id = 777"))
        left.command("reload")
        poll(lambda: linux_tunnels(left.host) == {777: 200}, "the new id")
        left.wait_for_state("sessions", "w0", "established")


def test_what_others_have_is_left_to_them() -> None:
    wire = Wire(0)
    with veth_pair("static") as hosts:
        by_hand(hosts[0], ip_commands(0, hosts, [Wire(5, "ip4")]).replace("tunnel_id 102", "tunnel_id 100"))
        text = configuration(0, Plane.KERNEL, hosts, [wire], "reconnect-interval = 1\n")
        with daemons(hosts[0], text) as left:
            failed = left.wait_for_state("sessions", "w0", "idle")
            assert failed["last_error"] == "set_pwe_param: not-owned"
            assert linux_tunnels(left.host) == {100: 202}
            left.host.ip("l2tp del tunnel tunnel_id 100")
            left.wait_for_state("sessions", "w0", "established")
            assert linux_tunnels(left.host) == {100: 200}
