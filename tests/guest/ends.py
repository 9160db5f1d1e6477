"""Two hosts with a helper each, and a pseudowire ``pw0`` between them as two clients of the helpers set it."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from l2tp_kernel.schema import Encapsulation, Flavour, Listener, Plane, PweParam, Verb
from tests.kernel.helper import Helper, running
from tests.support.netns import poll
from tests.support.planes import plane_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.helper_client import HelperClient
    from tests.support.netns import Namespace
    from tests.support.planes import Planes

POLICY = """
clients = ["root"]
forwarder-user = "nobody"
[listen]
addresses = ["192.0.2.0/24", "2001:db8::/64", "0.0.0.0/32", "::/128"]
ports = [1701, 0]
[peers]
addresses = ["192.0.2.0/24", "2001:db8::/64"]
[interfaces]
names = ["pw*"]
maximum = 20
[bridges]
names = ["br-*"]
"""
TRANSPORTS = ("udp4", "udp6", "ip4", "ip6")
SUBLAYER: dict[str, Any] = {"receive_sublayer": 1, "send_sublayer": 1}
SHAPES: dict[str, dict[str, Any]] = {
    "bare": {},
    "sublayer": SUBLAYER,
    "sequenced": {**SUBLAYER, "receive_sequencing": 2, "send_sequencing": 2},
}
KERNEL: Planes = (Plane.KERNEL, Plane.KERNEL)


class End:
    """One host: its helper, a client of that, and the listener that the client opened last."""

    helper: Helper
    client: HelperClient
    control: socket.socket

    def __init__(self, number: int, host: Namespace, directory: Path, stack: contextlib.ExitStack) -> None:
        self.number = number
        self.host = host
        self.handle = 0
        self.flavour = Flavour.UDP
        self._directory = directory
        self._stack = stack
        self.start()

    def start(self) -> None:
        """Start a helper, at first or after it has ended, and connect to it; an earlier client stays open."""
        (self._directory / "log").unlink(missing_ok=True)
        self.helper = self._stack.enter_context(running(self.host, self._directory, policy=POLICY))
        self.client = self._stack.enter_context(self.helper.client())

    def address(self, transport: str, number: int = 0) -> bytes:
        """Address of this host, or of the one with a number."""
        number = number or self.number
        return ipaddress.ip_address(f"192.0.2.{number}" if transport.endswith("4") else f"2001:db8::{number}").packed

    def listen(self, transport: str, plane: Plane, *, anywhere: bool = False) -> None:
        over = Encapsulation.UDP if transport.startswith("udp") else Encapsulation.IP
        ours = self.address(transport)
        where = bytes(len(ours)) if anywhere else ours
        wanted = Listener(plane, over, where, 1701 if over is Encapsulation.UDP else 0)
        self.close()
        self.handle, self.flavour, self.control = self.client.open_listener(wanted)

    def param(self, transport: str, interface: str = "pw0", **changes: Any) -> PweParam:
        """This end of a pseudowire without cookie or sublayer; the connection and session IDs tell the ends apart."""
        peer = 3 - self.number
        return replace(
            PweParam(
                plane=Plane.AUTO, interface=interface, listener=self.handle,
                local_address=bytes(len(self.address(transport))), peer_address=self.address(transport, peer),
                peer_port=1701 if transport.startswith("udp") else 0,
                local_connection_id=0x1000 + self.number, peer_connection_id=0x1000 + peer,
                local_session_id=0x2000 + self.number, peer_session_id=0x2000 + peer, local_cookie=b"",
                peer_cookie=b"", receive_sublayer=0, send_sublayer=0, receive_sequencing=0, send_sequencing=0, mtu=0,
                bridge="", up=True,
            ),
            **changes,
        )  # fmt: skip

    def set(self, param: PweParam) -> tuple[int, int]:
        """Set it, give it the inner address, and tell its MTU and index."""
        _, mtu, index = self.client.set_pwe(param)
        self.client.read_tunnels()
        self.host.ip(f"addr replace 198.51.100.{self.number}/24 dev {param.interface}")
        return mtu, index

    def close(self) -> None:
        """Close our copy of the listener's socket."""
        if self.handle:
            self.control.close()
        self.handle = 0

    def clear(self) -> None:
        """Remove all that the helper has."""
        listeners, pseudowires = self.client.request(Verb.LIST)
        self.client.request(Verb.DELETE_PWE, [[each[1], each[8]] for each in pseudowires])
        for each in listeners:
            self.client.request(Verb.CLOSE_LISTENER, each[-1])
        self.close()
        self.client.read_tunnels()
        assert self.client.tunnels == {}
        assert self.client.request(Verb.LIST) == [[], []]
        assert self.plane() is None
        assert self.host.run("ip", "l2tp", "show", "tunnel", check=False).stdout == ""
        self.client.events.clear()

    def plane(self, interface: str = "pw0") -> Plane | None:
        """Whose interface it is, None where there is none."""
        return plane_of(self.host, interface)


def set_both(
    ends: tuple[End, End], transport: str, local_cookie: bytes = b"", peer_cookie: bytes = b"", **shape: Any
) -> list[tuple[int, int]]:
    """Set both ends and give their MTU and index; the cookies are from the first end's point of view."""
    left, right = ends
    return [
        left.set(left.param(transport, local_cookie=local_cookie, peer_cookie=peer_cookie, **shape)),
        right.set(right.param(transport, local_cookie=peer_cookie, peer_cookie=local_cookie, **shape)),
    ]


def join(
    ends: tuple[End, End],
    transport: str,
    planes: Planes = KERNEL,
    local_cookie: bytes = b"",
    peer_cookie: bytes = b"",
    **shape: Any,
) -> list[tuple[int, int]]:
    """Open the listeners and set both ends."""
    for end, plane in zip(ends, planes, strict=True):
        end.listen(transport, plane)
    return set_both(ends, transport, local_cookie, peer_cookie, **shape)


def ping(end: End, *sizes: int, address: str = "", count: int = 1) -> None:
    """Ping the other end through the pseudowire."""
    target = address or f"198.51.100.{3 - end.number}"
    # The first one finds the neighbour; a device that has just come up may lose it.
    poll(lambda: end.host.run("ping", "-c1", "-W1", target, check=False).returncode == 0, "the first ping", timeout=4)
    for size in sizes:
        end.host.ping(target, f"-s{size}", count=count)


def iperf3(ends: tuple[End, End], log: Path, *, seconds: int) -> float:
    """Mbit/s that arrive of what the first end sends by TCP through the pseudowire."""
    left, right = ends
    with right.host.start("iperf3", "--server", "--one-off", "--forceflush", log=log) as server:
        server.wait_for_log("listening")
        command = ("iperf3", "--client", "198.51.100.2", "--time", seconds, "--json")
        told = json.loads(left.host.run(*command, timeout=30).stdout)["end"]
    assert told["sum_received"]["bytes"] > 0.5 * told["sum_sent"]["bytes"]
    return float(told["sum_received"]["bits_per_second"]) / 1e6


@contextlib.contextmanager
def helpers(hosts: tuple[Namespace, Namespace], directory: Path) -> Iterator[tuple[End, End]]:
    """Start both helpers, side by side, and connect to them."""

    def start(number: int) -> End:
        there = directory / str(number)
        there.mkdir()
        return End(number, hosts[number - 1], there, stacks[number - 1])

    with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        stacks = first, second
        with ThreadPoolExecutor(2) as pool:
            left, right = pool.map(start, (1, 2))
        yield left, right
        for end in (left, right):
            end.close()
