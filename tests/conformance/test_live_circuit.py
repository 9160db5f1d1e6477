"""A circuit that goes down at one end goes down at the other, through all processes (RFC 3931, section 5.4.5)."""

from __future__ import annotations

import pytest

from tests.support.daemons import daemons
from tests.support.netns import Namespace, poll, veth_pair

pytestmark = pytest.mark.root

CONFIGURATION = """\
[local]
hostname = "{name}"
router-id = "192.0.2.{number}"
[tunnel.other]
peer-address = "192.0.2.{peer}"
reconnect-interval = 1
[tunnel.other.session.wire]
remote-end-id = 7
interface = "pw0"
"""


def is_up(host: Namespace) -> bool:
    """Whether the pseudowire's interface is set up."""
    return ",UP" in host.ip("link show dev pw0")


def test_a_circuit_set_down_at_one_end_is_down_at_the_other() -> None:
    with veth_pair("circuit") as (west, east):
        first = CONFIGURATION.format(name="west", number=1, peer=2)
        second = CONFIGURATION.format(name="east", number=2, peer=1)
        with daemons(west, first) as ours, daemons(east, second) as theirs:
            session = ours.wait_for_state("sessions", "wire", "established")["local_session_id"]
            theirs.wait_for_state("sessions", "wire", "established")
            for here, there, other in ((west, east, theirs), (east, west, ours)):
                here.ip("link set dev pw0 down")
                poll(lambda there=there: not is_up(there), "the other end's interface down")  # type: ignore[misc]
                here.ip("link set dev pw0 up")
                poll(lambda there=there: is_up(there), "the other end's interface up again")  # type: ignore[misc]
                assert other.show("sessions")["wire"]["state"] == "established"
            assert is_up(west)
            assert is_up(east)
            assert ours.show("sessions")["wire"]["local_session_id"] == session
