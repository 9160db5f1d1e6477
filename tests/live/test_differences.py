"""Where l2tp-kernel and l2tp-ctl differ, as ``l2tp-admin show tunnel`` and ``show session`` tell it.

The state is made to differ behind l2tp-ctl's back: on the interface, by another client of the helper, and by a helper
that stands still or is gone.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from l2tp_admin.client import ask
from l2tp_ctl.admin_schema import Command
from l2tp_kernel.schema import PweParam, Verb
from tests.kernel.helper import address
from tests.support.daemons import POLICY, Daemons, daemons
from tests.support.helper_client import HelperClient
from tests.support.netns import PATIENCE, Namespace, poll, veth_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

SESSIONS = ("first", "second")
PEER = "192.0.2.2"


def configuration(side: int) -> str:
    own, other = ("192.0.2.1", PEER) if side == 0 else (PEER, "192.0.2.1")
    return f"""
[local]
hostname = "h{side}"
router-id = "{own}"
[tunnel.t]
peer-address = "{other}"
initiate = {str(side == 0).lower()}
reconnect-interval = 1
cookie = 8
[tunnel.t.session.first]
remote-end-id = "first"
interface = "pw0"
[tunnel.t.session.second]
remote-end-id = "second"
interface = "pw1"
""" + ("" if side else 'mtu = 1400\nbridge = "br-lan"\n')


@dataclass
class Ends:
    """Both hosts; what is made to differ is at west."""

    west: Daemons
    east: Daemons
    host: Namespace

    def tunnel(self) -> list[str]:
        return self._ask(Command.SHOW_TUNNEL, "t")

    def session(self, name: str = "first") -> list[str]:
        return self._ask(Command.SHOW_SESSION, name)

    def _ask(self, command: Command, name: str) -> list[str]:
        told: list[str] = ask(self.west.directory / "admin.sock", 10.0 * PATIENCE, command, name=name)["differences"]
        return told

    def until(self, *lines: str) -> None:
        """Wait until just these differences are told of the tunnel."""
        poll(lambda: self.tunnel() == [*lines], f"differences {lines}, not {self.tunnel()}")

    @contextlib.contextmanager
    def other_client(self) -> Iterator[HelperClient]:
        """Somebody else whom the helper obeys."""
        with self.host.inside(), HelperClient(self.west.directory / "kernel") as client:
            yield client

    def wait_until_up(self) -> None:
        for end in (self.west, self.east):
            for name in SESSIONS:
                end.wait_for_state("sessions", name, "established")


@pytest.fixture(scope="module")
def pair() -> Iterator[Ends]:
    policy = POLICY.replace('"nobody"]', '"nobody", "root"]', 1) + '[bridges]\nnames = ["br-*"]\n'
    with veth_pair("differ") as (west, east):
        west.ip("link add br-lan type bridge")
        west.ip("link add br-other type bridge")
        with (
            daemons(west, configuration(0), policy=policy) as ours,
            daemons(east, configuration(1), policy=policy) as theirs,
        ):
            yield Ends(ours, theirs, west)


@pytest.fixture
def ends(pair: Ends) -> Iterator[Ends]:
    """Both ends, up and of one mind, before and after."""
    pair.wait_until_up()
    pair.until()
    yield pair
    pair.wait_until_up()
    pair.until()


def listed(client: HelperClient, interface: str) -> PweParam:
    [found] = (PweParam(*row) for row in client.request(Verb.LIST)[1] if row[1] == interface)
    return found


def test_the_mtu_and_where_it_comes_from(ends: Ends) -> None:
    first, second = (ends.west.show("sessions")[name] for name in SESSIONS)
    assert (first["mtu"], first["mtu_fixed"]) == (1500 - 20 - 8 - 8 - 8 - 14, False)
    assert (second["mtu"], second["mtu_fixed"]) == (1400, True)
    said = ends.west.command("show", "session", "first")
    assert f"mtu:             {first['mtu']}, computed from the path to the peer\n" in said
    assert "differs" not in said


def test_an_mtu_that_somebody_has_set(ends: Ends) -> None:
    computed = ends.west.show("sessions")["first"]["mtu"]
    first = f"pw0: MTU is 1300 at l2tp-kernel, {computed} here"
    second = "pw1: MTU is 1350 at l2tp-kernel, 1400 here"
    ends.host.ip("link set pw0 mtu 1300")
    ends.host.ip("link set pw1 mtu 1350")
    ends.until(first, second)
    assert (ends.session(), ends.session("second")) == ([first], [second])
    assert f"differs:         {second}\n" in ends.west.command("show", "tunnel", "t")
    ends.host.ip(f"link set pw0 mtu {computed}")
    ends.until(second)
    ends.host.ip("link set pw1 mtu 1400")


def test_an_interface_that_somebody_has_set_down(ends: Ends) -> None:
    ends.host.ip("link set pw0 down")
    ends.until("pw0: somebody has set the interface down; to undo it: ip link set pw0 up")
    ends.host.ip("link set pw0 up")


def test_an_interface_that_somebody_took_out_of_its_bridge(ends: Ends) -> None:
    ends.host.ip("link set pw1 nomaster")
    ends.until("pw1: bridge is none at l2tp-kernel, br-lan here")
    ends.host.ip("link set pw1 master br-other")
    ends.until("pw1: bridge is br-other at l2tp-kernel, br-lan here")
    ends.host.ip("link set pw1 master br-lan")
    ends.until()
    ends.host.ip("link del br-lan")
    ends.until("pw1: bridge is none at l2tp-kernel, br-lan here")
    ends.host.ip("link add br-lan type bridge")


def test_an_interface_that_somebody_has_deleted_is_back_before_anybody_can_ask(ends: Ends) -> None:
    before = ends.west.show("sessions")["first"]["local_session_id"]
    ends.host.ip("link del pw0")
    poll(lambda: ends.west.show("sessions")["first"]["local_session_id"] not in {0, before}, "another session")


def test_parameters_that_another_client_has_set(ends: Ends) -> None:
    with ends.other_client() as client:
        right = listed(client, "pw0")
        assert len(right.local_cookie) == len(right.peer_cookie) == 8
        client.set_pwe(
            replace(
                right, local_connection_id=11, peer_session_id=12, local_cookie=b"MINE", peer_cookie=b"NOBODYS!",
                send_sublayer=1, receive_sublayer=1, receive_sequencing=2, mtu=1280, up=False,
            )
        )  # fmt: skip
        ends.until(
            f"pw0: local Control Connection ID is 11 at l2tp-kernel, {right.local_connection_id} here",
            f"pw0: peer's session id is 12 at l2tp-kernel, {right.peer_session_id} here",
            "pw0: cookie of received frames is one of 4 octets at l2tp-kernel, one of 8 octets here",
            "pw0: cookie of sent frames is one of 8 octets at l2tp-kernel, another here",
            "pw0: sublayer of received frames is default at l2tp-kernel, none here",
            "pw0: sublayer of sent frames is default at l2tp-kernel, none here",
            "pw0: sequencing of received frames is all at l2tp-kernel, none here",
            f"pw0: MTU is 1280 at l2tp-kernel, {ends.west.show('sessions')['first']['mtu']} here",
            "pw0: interface is down at l2tp-kernel, up here",
        )
        said = ends.west.command("show", "tunnel", "t") + ends.west.command("show", "session", "first", "--json")
        for cookie in (b"MINE", b"NOBODYS!", right.local_cookie, right.peer_cookie):
            assert cookie.hex() not in said.lower()
            assert cookie.decode("latin-1") not in said
        client.set_pwe(right)


def test_another_peer_or_address(ends: Ends) -> None:
    with ends.other_client() as client:
        right = listed(client, "pw0")
        client.set_pwe(replace(right, peer_address=address("192.0.2.9"), peer_port=1702))
        ends.until(
            "pw0: peer's address is 192.0.2.9 at l2tp-kernel, 192.0.2.2 here",
            "pw0: peer's port is 1702 at l2tp-kernel, 1701 here",
        )
        client.set_pwe(right)


def test_a_pseudowire_that_another_client_has_removed(ends: Ends) -> None:
    with ends.other_client() as client:
        right = listed(client, "pw0")
        client.delete_pwe("pw0", right.local_session_id)
        ends.until("pw0: missing at l2tp-kernel")
        assert ends.session() == ["pw0: missing at l2tp-kernel"]
        assert ends.session("second") == []
        client.set_pwe(right)


def test_pseudowires_that_nobody_wants(ends: Ends) -> None:
    with ends.other_client() as client:
        right = listed(client, "pw0")
        client.set_pwe(replace(right, interface="pw7", local_session_id=77))
        client.set_pwe(replace(right, interface="pw8", local_session_id=78, peer_address=address("192.0.2.9")))
        ends.until("pw7: l2tp-kernel has it for local session id 77, which nobody wants")
        assert ends.session() == []
        ends.west.command("down", "t")
        poll(lambda: "pw0" not in ends.host.ip("link show"), "pw0 is gone")
        client.set_pwe(replace(right, local_session_id=99))
        assert ends.session() == ["pw0: l2tp-kernel has it for local session id 99, which nobody wants"]
        for interface, number in (("pw0", 99), ("pw7", 77), ("pw8", 78)):
            client.delete_pwe(interface, number)
    ends.west.command("up", "t")


def test_many_of_them_are_counted(ends: Ends) -> None:
    with ends.other_client() as client:
        right = listed(client, "pw0")
        for number in range(10, 35):
            client.set_pwe(replace(right, interface=f"pw{number}", local_session_id=number))
        lines = ends.tunnel()
        assert len(lines) == 21
        assert lines[-1] == "and 5 more"
        for number in range(10, 35):
            client.delete_pwe(f"pw{number}", number)


def test_a_helper_that_stands_still_keeps_no_other_command_waiting(ends: Ends) -> None:
    ends.west.helper.signal(signal.SIGSTOP)
    try:
        ends.host.ip("link set pw0 mtu 1300")
        with ThreadPoolExecutor(1) as pool:
            begun = time.monotonic()
            asked = pool.submit(ends.west.command, "show", "tunnel", "t")
            assert json.loads(ends.west.command("show", "tunnels", "--json"))["tunnels"][0]["state"] == "established"
            assert not asked.done()
            said = asked.result(timeout=20 * PATIENCE)
            assert 2 <= time.monotonic() - begun < 4 * PATIENCE
        assert "differs:         l2tp-kernel has not answered for 2 s\n" in said
        assert said.startswith("tunnel t is up for ")
        assert ends.session() == ["l2tp-kernel has not answered for 2 s"]
    finally:
        ends.west.helper.signal(signal.SIGCONT)
    mtu = ends.west.show("sessions")["first"]["mtu"]
    ends.until(f"pw0: MTU is 1300 at l2tp-kernel, {mtu} here")
    ends.host.ip(f"link set pw0 mtu {mtu}")


def test_a_helper_that_is_away(ends: Ends) -> None:
    west = ends.west
    west.helper.kill()
    west.control.wait_for_log("connection to l2tp-kernel lost")
    [line] = ends.tunnel()
    assert line.startswith("l2tp-kernel is away")
    assert ends.session() == [line]
    west.start_helper()
