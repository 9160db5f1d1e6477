"""Peers by host name: two hosts with all processes, a name server of the test's own, and addresses that change."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.daemons import POLICY, Daemons, daemons
from tests.support.names import NameServer, name_server
from tests.support.netns import Namespace, veth_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.root

NAME, OTHER = "gw.example.net", "backup.example.net"
EAST, EAST_LATER, WEST = "192.0.2.2", "192.0.2.3", "192.0.2.1"

LOCAL = '[local]\nhostname = "{name}"\nrouter-id = "192.0.2.{number}"\n'
TUNNEL = """
[tunnel.{name}]
peer-address = "{peer}"
password-file = "password"
initiate = {initiate}
reconnect-interval = 1
hello-interval = 1
retry = 1
[tunnel.{name}.session.s-{name}]
remote-end-id = "one"
interface = "{interface}"
"""


def tunnel(name: str, peer: str, *, interface: str = "pw0", initiate: bool = True) -> str:
    return TUNNEL.format(name=name, peer=peer, interface=interface, initiate=str(initiate).lower())


@dataclass
class Net:
    """West, which knows east by its name, and east."""

    hosts: tuple[Namespace, Namespace]
    west: Daemons
    east: Daemons
    server: NameServer

    def established(self, address: str, *, timeout: float = 10.0) -> None:
        """Wait until the tunnel is up, its session too, and leads there; then send frames through it."""

        def up() -> bool:
            shown = self.west.show("tunnels")["east"]
            return (shown["state"], shown["peer_address"], shown["sessions_established"]) == ("established", address, 1)

        self.west.control.wait_until(up, f"established with {address}", timeout=timeout)
        self.east.wait_for_state("sessions", "s-west", "established")
        for number, host in enumerate(self.hosts, start=1):
            host.ip(f"addr replace 198.51.100.{number}/24 dev pw0")
        ping = ("ping", "-q", "-c1", "-W1", "198.51.100.2")
        self.west.control.wait_until(lambda: self.hosts[0].run(*ping, check=False).returncode == 0, "frames pass")

    def connection(self) -> int:
        """Our identifier of the control connection."""
        return int(self.west.show("tunnels")["east"]["local_connection_id"])

    def begin_anew_until(self, done: Callable[[], bool]) -> None:
        """Clear the tunnel and see that it comes back, until something has happened.

        What was found out a few seconds ago is not asked again.
        """

        def again() -> bool:
            before = self.connection()
            self.west.command("clear", "tunnel", "east")
            self.west.control.wait_until(lambda: self.connection() not in {0, before}, "another control connection")
            self.established(EAST)
            return done()

        self.west.control.wait_until(again, "it happens", timeout=30.0)

    def why(self, name: str = "east") -> str:
        """Why a tunnel of west's is not up."""
        return str(self.west.show("tunnels")[name]["last_error"])

    def move(self) -> None:
        """Give east another address, and its name with it."""
        self.hosts[1].ip(f"addr add {EAST_LATER}/24 dev outer")
        self.hosts[1].ip(f"addr del {EAST}/24 dev outer")
        # Linux takes the other addresses of the subnet away with the first.
        self.hosts[1].ip(f"addr replace {EAST_LATER}/24 dev outer")
        self.server.records[NAME] = [EAST_LATER]


@contextlib.contextmanager
def net(
    more: str = "", *, resolver: bool = True, initiate: bool = True, policy: str = POLICY, west: str = ""
) -> Iterator[Net]:
    """Two hosts; ``more`` is added to west's file, ``west`` is that file but for its [local]."""
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(veth_pair("names"))
        server = stack.enter_context(name_server(hosts[0]))
        ours = LOCAL.format(name="west", number=1) + (west or tunnel("east", NAME, initiate=initiate)) + more
        theirs = LOCAL.format(name="east", number=2) + tunnel("west", WEST, initiate=not initiate)
        east = stack.enter_context(daemons(hosts[1], theirs, password="secret"))
        made = stack.enter_context(daemons(hosts[0], ours, password="secret", resolver=resolver, policy=policy))
        yield Net(hosts, made, east, server)


def test_the_tunnel_comes_up_when_the_name_leads_somewhere() -> None:
    with net() as running:
        west, words = running.west, f"cannot resolve {NAME}: there is no such name"
        west.control.wait_until(lambda: running.why() == words, "the reason")
        shown = west.show("tunnels")["east"]
        assert (shown["state"], shown["peer_address"], shown["peer_name"]) == ("idle", "", NAME)
        assert 0 <= shown["next_attempt"] <= 1
        lines = west.command("show", "tunnel", "east").splitlines()
        assert lines[0] == f"tunnel east is not up: {words}"
        assert f"peer:            {NAME}:1701 over UDP" in lines
        assert f"peer's name:     leads nowhere yet; {words}" in lines
        row = west.command("show", "tunnels").splitlines()[1].split(maxsplit=7)
        assert (row[:3], row[7]) == (["east", "idle", f"{NAME}:1701"], words)
        assert west.command("show", "peers").splitlines()[1].split()[0] == NAME
        running.server.records[NAME] = [EAST]
        running.established(EAST)
        lines = west.command("show", "tunnel", "east").splitlines()
        assert f"peer:            {NAME}[{EAST}]:1701 over UDP" in lines
        assert f"peer's name:     leads to {EAST}" in lines
        log = west.control.text()
        assert f"<4>tunnel [east]: cannot resolve {NAME}: there is no such name" in log
        assert f"<5>tunnel [east]: {NAME} is {EAST}" in log


def test_the_tunnel_follows_a_peer_that_moves() -> None:
    with net() as running:
        running.server.records[NAME] = [EAST]
        running.established(EAST)
        running.move()
        running.established(EAST_LATER, timeout=30.0)


def test_a_moved_peer_that_begins_by_itself_is_known() -> None:
    with net(initiate=False) as running:
        running.server.records[NAME] = [EAST]
        running.established(EAST, timeout=25.0)  # the first look may have come too early, the next is 10 s later
        running.move()
        running.established(EAST_LATER, timeout=60.0)


def test_monitor_and_metrics_tell_of_it() -> None:
    with net() as running:
        west = running.west
        log = west.directory / "monitor.log"
        words = ("l2tp-admin", "--socket", west.directory / "admin.sock", "monitor")
        with running.hosts[0].start(*words, log=log) as monitor:
            running.server.failing = True
            monitor.wait_for_log("tunnel east is idle: cannot resolve gw.example.net: the name servers do not answer")
            running.server.failing = False
            running.server.records[NAME] = [EAST]
            monitor.wait_for_log(f"tunnel east is idle: {NAME} is {EAST}")
            monitor.wait_for_log("tunnel east is established")
        statistics = west.command("show", "statistics").splitlines()
        assert "tunnels:         1 established of 1" in statistics


def test_a_name_server_that_is_away_takes_no_tunnel_down_and_holds_none_up() -> None:
    with net() as running:
        running.server.records[NAME] = [EAST]
        running.established(EAST)
        running.server.silent = True
        asked = len(running.server.asked)
        running.begin_anew_until(lambda: len(running.server.asked) > asked)


def test_a_resolver_that_is_killed_or_hangs_does_not_matter_to_what_is_known() -> None:
    with net() as running:
        west = running.west
        running.server.records[NAME] = [EAST]
        running.established(EAST)
        west.resolver.signal(signal.SIGSTOP)
        stopped, asked = time.monotonic(), len(running.server.asked)
        running.begin_anew_until(lambda: time.monotonic() - stopped > 8)
        assert len(running.server.asked) == asked
        west.resolver.kill()
        lost = "connection to l2tp-resolver lost, host names cannot be resolved: "
        running.begin_anew_until(lambda: lost in west.control.text())
        running.move()
        west.start_resolver()
        running.established(EAST_LATER, timeout=30.0)
        west.control.wait_until(lambda: west.control.text().count("connected to l2tp-resolver") == 2, "it is back")


def test_without_a_resolver_one_line_says_what_to_do_and_other_tunnels_are_untouched() -> None:
    names = "".join(tunnel(f"n{number}", f"n{number}.example.net", interface=f"pw{number}") for number in range(2, 6))
    with net(west=tunnel("east", EAST) + names, resolver=False) as running:
        running.established(EAST)
        west = running.west
        words = "l2tp-resolver is away: No such file or directory"
        west.control.wait_until(lambda: running.why("n5").endswith(words), "the reason")
        lost = "connection to l2tp-resolver lost, host names cannot be resolved: No such file or directory"
        lines = [line for line in west.control.text().splitlines() if "resolve" in line]
        assert lines == [f"<3>{lost}"]
        explained = west.command("explain", lost)
        assert "systemctl start l2tp-resolver.socket" in " ".join(explained.split())


LIES: dict[str, Callable[[bytes], bytes]] = {
    "status 222": lambda _: b"\xde\xad\xbe\xef" * 16,
    "278 octets": lambda question: question[:4] + b"\0" + b"\4\xc0\0\2\2" * 64,
    "not an address": lambda question: question[:4] + b"\0\5" + bytes(16),
}
"""Garbage, too many addresses, and one of a wrong type; and what is said about each."""


@contextlib.contextmanager
def liar(path: Path, lie: Callable[[bytes], bytes]) -> Iterator[None]:
    """A resolver that answers each question like that."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen()
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError), listener.accept()[0] as client:
                    while question := client.recv(1000):
                        client.send(lie(question))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as last:
                last.connect(str(path))
            path.unlink()
            thread.join(20)
            assert not thread.is_alive()


def test_a_resolver_that_lies_is_not_believed() -> None:
    with net(resolver=False) as running:
        west = running.west
        for words, lie in LIES.items():
            with liar(west.directory / "names" / "resolver.sock", lie):
                west.control.wait_for_log(f"resolved: it does not keep to the contract: {words}", timeout=25)
            assert west.show("tunnels")["east"]["peer_address"] == ""
        running.server.records[NAME] = [EAST]
        west.start_resolver()
        running.established(EAST, timeout=25)


def test_two_names_for_one_address_are_one_tunnel_too_many() -> None:
    with net(tunnel("second", OTHER, interface="pw1")) as running:
        running.server.records[NAME] = [EAST]
        running.established(EAST)
        running.server.records[OTHER] = [EAST]
        words = f"{OTHER} is {EAST}, which tunnel east has"
        running.west.control.wait_until(lambda: running.why("second") == words, words)
        assert f"<4>tunnel [second]: {OTHER} is {EAST}, which tunnel [east] has" in running.west.control.text()
        running.established(EAST)


def test_a_reload_changes_the_name() -> None:
    with net() as running:
        running.server.records.update({NAME: [EAST], OTHER: ["192.0.2.77"]})
        running.established(EAST)
        west = running.west
        file = west.directory / "l2tpd.toml"
        text = file.read_text()
        ours = running.connection()
        assert west.command("reload") == "nothing has changed\n"
        assert running.connection() == ours
        file.write_text(text.replace(NAME, OTHER))
        assert west.command("reload") == "changed east\n"
        west.control.wait_until(lambda: west.show("tunnels")["east"]["peer_address"] == "192.0.2.77", "the other name")
        file.write_text(text.replace(NAME, EAST))
        assert west.command("reload") == "changed east\n"
        running.established(EAST)
        assert west.show("tunnels")["east"]["peer_name"] == ""
        file.write_text(text)
        assert west.command("reload") == "changed east\n"
        west.control.wait_until(lambda: west.show("tunnels")["east"]["peer_name"] == NAME, "a name again")
        running.established(EAST)


def test_the_policy_still_says_which_peers_there_may_be() -> None:
    policy = re.sub(r"\[peers\]\naddresses = .*", '[peers]\naddresses = ["203.0.113.0/24"]', POLICY)
    with net(policy=policy) as running:
        running.server.records[NAME] = [EAST]
        running.west.wait_for_state("tunnels", "east", "established")
        running.west.control.wait_for_log("l2tp-kernel refused SET_PWE_PARAM: policy")
        assert running.west.show("sessions")["s-east"]["state"] != "established"


def test_names_work_over_ipv6_and_over_ip() -> None:
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(veth_pair("names6"))
        server = stack.enter_context(name_server(hosts[0]))
        server.records[NAME] = [hosts[1].ipv6]
        over_ip = 'encapsulation = "ip"\n'
        ours = LOCAL.format(name="west", number=1) + tunnel("east", NAME).replace("hello", over_ip + "hello")
        theirs = LOCAL.format(name="east", number=2) + tunnel("west", hosts[0].ipv6, initiate=False).replace(
            "hello", over_ip + "hello"
        )
        stack.enter_context(daemons(hosts[1], theirs, password="secret"))
        west = stack.enter_context(daemons(hosts[0], ours, password="secret", resolver=True))
        shown = west.wait_for_state("tunnels", "east", "established")
        assert (shown["peer_address"], shown["peer_port"]) == (hosts[1].ipv6, 0)
        row = west.command("show", "tunnels").splitlines()[1].split()
        assert row[2] == f"{NAME}[{hosts[1].ipv6}]"


def test_the_check_of_a_file_looks_nothing_up(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(veth_pair("check"))
        server = stack.enter_context(name_server(hosts[0]))
        file = tmp_path / "l2tpd.toml"
        text = tunnel("east", NAME).replace('password-file = "password"\n', "")
        file.write_text(LOCAL.format(name="west", number=1) + text)
        assert hosts[0].run("l2tp-ctl", "--check", "--config", file).stdout.endswith("1 tunnels, no mistakes\n")
        assert server.asked == []


def test_everything_that_looks_names_up_is_without_rights() -> None:
    with net() as running:
        running.server.records[NAME] = [EAST]
        running.established(EAST)
        status = running.hosts[0].run("cat", f"/proc/{running.west.resolver.pid}/status").stdout
        assert "CapEff:\t0000000000000000" in status
        assert "Uid:\t65534\t65534\t65534\t65534" in status
