"""l2tpd calls a SoftEther VPN server over UDP: somebody else's implementation of RFC 3931."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from l2tp_ctl.core.header import Header
from l2tp_ctl.core.message import MessageType
from tests.core.octets import split
from tests.support.daemons import Daemons, daemons
from tests.support.netns import PATIENCE, Namespace, veth_pair
from tests.support.softether import command, softether

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONFIGURATION = """\
[local]
hostname = "l2tpd"
router-id = "192.0.2.1"
[listen]
addresses = ["192.0.2.1"]
[tunnel.softether]
peer-address = "192.0.2.2"
reconnect-interval = 1
[tunnel.softether.session.hub]
remote-end-id = "hub"
interface = "pw0"
"""

RESULT_CODE, LOCAL_SESSION_ID, REMOTE_SESSION_ID = 1, 63, 64
ETH_P_ALL = 3

pytestmark = [pytest.mark.root, pytest.mark.softether]


@dataclass(frozen=True)
class Seen:
    """One control message on the wire."""

    ours: bool
    header: Header
    values: dict[int, bytes]
    """Of its AVPs, by Attribute Type; none in a ZLB."""

    def is_a(self, message_type: MessageType) -> bool:
        return self.values.get(0) == message_type.to_bytes(2, "big")


class Wire:
    """What passes over a host's cable, whoever sent it."""

    def __init__(self, host: Namespace) -> None:
        with host.inside():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self._socket.bind(("outer", ETH_P_ALL))
        self.seen: list[Seen] = []

    def close(self) -> None:
        self._socket.close()

    def read_until(self, enough: Callable[[list[Seen]], bool], what: str, *, timeout: float = 10.0) -> None:
        """Read control messages until those seen since the beginning are ``enough``."""
        deadline = time.monotonic() + timeout * PATIENCE
        while not enough(self.seen):
            left = deadline - time.monotonic()
            assert left > 0, f"{what}: not within {timeout:g} s\n" + "\n".join(map(repr, self.seen))
            self._socket.settimeout(left)
            with contextlib.suppress(TimeoutError):
                packet, (_, _, direction, _, _) = self._socket.recvfrom(2048)
                octets = packet[28:]
                if packet[0] == 0x45 and packet[9] == socket.IPPROTO_UDP and octets[0] & 0x80:
                    header, avps = split(octets)
                    values = {avp.type: avp.value for avp in avps}
                    self.seen.append(Seen(direction == socket.PACKET_OUTGOING, header, values))


def acknowledged_hellos(seen: list[Seen], *, ours: bool) -> int:
    """How many HELLOs of one end there were, each sent again counted once; 0 while one is not acknowledged."""
    hellos = {one.header.ns: at for at, one in enumerate(seen) if one.ours is ours and one.is_a(MessageType.HELLO)}
    for ns, at in hellos.items():
        if not any(one.ours is not ours and one.header.nr > ns for one in seen[at:]):
            return 0
    return len(hellos)


@pytest.fixture
def hosts() -> Iterator[tuple[Namespace, Namespace]]:
    with veth_pair("softether") as pair:
        yield pair


def established(ours: Daemons, *, timeout: float = 15.0) -> tuple[int, int]:
    """Wait for the session, and give the tunnel's and the session's identifiers at our end."""
    session = ours.wait_for_state("sessions", "hub", "established", timeout=timeout)
    tunnel = ours.wait_for_state("tunnels", "softether", "established")
    return tunnel["local_connection_id"], session["local_session_id"]


def test_signals_a_tunnel_and_a_session(hosts: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    here, there = hosts
    with softether(there, tmp_path / "softether.log"), daemons(here, CONFIGURATION) as ours:
        established(ours)
        tunnel = ours.show("tunnels")["softether"]
        session = ours.show("sessions")["hub"]
        assert tunnel["peer_vendor_name"] == "YAMAHA Corporation"  # whose routers it imitates
        assert tunnel["initiator"]
        assert not tunnel["authenticated"]
        assert tunnel["peer_connection_id"] > 0
        assert session["peer_session_id"] > 0
        assert session["pseudowire_type"] == "ethernet"
        assert "UP" in here.ip("link show dev pw0")


def test_sends_frames_and_answers_its_hello(hosts: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    here, there = hosts
    with softether(there, tmp_path / "softether.log"), daemons(here, CONFIGURATION) as ours:
        before = established(ours)
        here.ip("addr add 198.51.100.1/24 dev pw0")
        here.run("ping", "-c1", "-W1", "198.51.100.2", check=False)  # its hub forwards none but IPsec peers' frames
        assert ours.show("sessions")["hub"]["counters"]["tx_frames"] > 0
        # Its HELLO comes after 9 s of silence and again each 0.5 s until it is acknowledged.
        received = ours.show("tunnels")["softether"]["nr"]
        ours.control.wait_until(
            lambda: ours.show("tunnels")["softether"]["nr"] > received, "SoftEther's HELLO", timeout=14.0
        )
        assert established(ours) == before


@pytest.mark.timeout(240)
def test_hellos_of_both_ends_keep_it_up_for_more_than_a_minute(
    hosts: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    here, there = hosts
    configuration = CONFIGURATION.replace("reconnect-interval", "hello-interval = 5\nreconnect-interval")
    with (
        softether(there, tmp_path / "softether.log"),
        contextlib.closing(Wire(here)) as wire,
        daemons(here, configuration) as ours,
    ):
        before = established(ours)
        # Eight of its HELLOs, one each 8.8 s; it gives a tunnel up after 60 s without a sign of life.
        wire.read_until(
            lambda seen: acknowledged_hellos(seen, ours=False) >= 8 and acknowledged_hellos(seen, ours=True) >= 6,
            "HELLOs that are acknowledged",
            timeout=100,
        )
        tunnel = ours.show("tunnels")["softether"]
        assert tunnel["uptime"] > 60
        assert established(ours) == before
        counted = json.loads(ours.command("show", "statistics", "--json"))
        assert counted["messages_received"]["hello"] >= 8
        assert counted["messages_sent"]["hello"] >= 6
        assert not [one for one in wire.seen if one.is_a(MessageType.STOPCCN) or one.is_a(MessageType.CDN)]


def test_cleared_from_its_side_comes_back(hosts: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    here, there = hosts
    # Long enough that what we say of it can be read before the next attempt.
    configuration = CONFIGURATION.replace("reconnect-interval = 1", "reconnect-interval = 6")
    with (
        softether(there, tmp_path / "softether.log"),
        contextlib.closing(Wire(here)) as wire,
        daemons(here, configuration) as ours,
    ):
        before = established(ours)
        peer_session_id = ours.show("sessions")["hub"]["peer_session_id"]
        assert command(there, "Reboot", "/RESETCONFIG:no")
        down = ours.wait_for_state("tunnels", "softether", "idle")
        assert down["last_error"] == "peer: unknown result code (result 0, error 1536)"
        assert ours.show("sessions")["hub"]["last_error"] == "peer: administrative reasons (result 3)"
        told = ours.command("show", "tunnel", "softether")
        assert told.startswith("tunnel softether is not up: peer: unknown result code (result 0, error 1536)\n")
        wire.read_until(lambda seen: any(one.is_a(MessageType.STOPCCN) for one in seen), "its StopCCN")
        # What it sends is not what RFC 3931 has: a Result Code of 8 octets, and a session id that is not its own.
        stop, cdn = (
            next(one for one in wire.seen if one.is_a(kind)) for kind in (MessageType.STOPCCN, MessageType.CDN)
        )
        assert stop.values[RESULT_CODE] == bytes.fromhex("00 00 06 00 00 00 00 00")
        assert int.from_bytes(cdn.values[REMOTE_SESSION_ID], "big") == before[1]
        assert int.from_bytes(cdn.values[LOCAL_SESSION_ID], "big") != peer_session_id
        log = ours.control.text()
        assert log.count(f"[{before[0]}] peer sent CDN: administrative reasons (result 3)\n") == 1
        assert log.count(f"[{before[0]}] peer sent StopCCN: unknown result code (result 0, error 1536)\n") == 1
        after = established(ours, timeout=30.0)
        assert after[0] != before[0]
        assert after[1] != before[1]
        assert "UP" in here.ip("link show dev pw0")


@pytest.mark.parametrize("what", ["tunnel", "session"])
def test_cleared_comes_back(hosts: tuple[Namespace, Namespace], tmp_path: Path, what: str) -> None:
    here, there = hosts
    with softether(there, tmp_path / "softether.log"), daemons(here, CONFIGURATION) as ours:
        before = established(ours)
        ours.command("clear", what, {"tunnel": "softether", "session": "hub"}[what])
        ours.control.wait_until(lambda: established(ours) != before, f"another {what}", timeout=15.0)
        after = established(ours)
        assert after[1] != before[1]
        assert (after[0] != before[0]) == (what == "tunnel")


def test_comes_back_after_its_restart(hosts: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    here, there = hosts
    configuration = CONFIGURATION.replace(
        "reconnect-interval = 1", "reconnect-interval = 1\nhello-interval = 1\nretry = 1"
    )
    with daemons(here, configuration) as ours:
        with softether(there, tmp_path / "first.log"):
            before = established(ours)
        with softether(there, tmp_path / "second.log"):
            ours.control.wait_until(lambda: established(ours) != before, "another tunnel", timeout=15.0)
