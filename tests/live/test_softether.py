"""l2tpd calls a SoftEther VPN server over UDP: somebody else's implementation of RFC 3931."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.daemons import Daemons, daemons
from tests.support.netns import Namespace, veth_pair
from tests.support.softether import softether

if TYPE_CHECKING:
    from collections.abc import Iterator
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

pytestmark = [pytest.mark.root, pytest.mark.softether]


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
