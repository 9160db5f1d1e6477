"""Two hosts joined by a cable, each with all three processes, and the ways in which tunnels may join them."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from l2tp_kernel.schema import Plane
from tests.support.daemons import Daemons, daemons
from tests.support.netns import Namespace, poll, veth_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.planes import Planes

PASSWORD = "correct horse battery staple"
NAMES = ("west", "east")
KINDS = [("udp", 4), ("udp", 6), ("ip", 4), ("ip", 6)]


@dataclass(frozen=True)
class Way:
    """One tunnel between the two hosts; ``number`` tells it from the others."""

    number: int
    encapsulation: str
    family: int
    cookies: tuple[int, int] = (0, 0)
    """Octets that west and east ask for."""
    digest: str = "none"
    session: tuple[str, str] = ("", "")
    """More keys of the session at either end."""

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
{self.session[side]}
"""


@dataclass
class Pair:
    """Both ends, west first."""

    hosts: tuple[Namespace, Namespace]
    ends: tuple[Daemons, Daemons]
    planes: Planes
    ways: tuple[Way, ...]

    def join(self, *ways: Way) -> None:
        """Let these ways be the only ones, and wait until they are up; what is the same already stays."""
        self.configure(*ways)
        self.wait_until_up()

    def configure(self, *ways: Way) -> None:
        """Let these ways be the only ones."""
        self.ways = ways
        for side in (1, 0):  # east first: then west's first attempt finds it ready
            self.ends[side].configure(configuration(side, self.planes, self.hosts, ways))
            self.ends[side].reload()

    def wait_until_up(self) -> None:
        """Wait until every session is up at both ends, and give each interface its address."""
        for end in self.ends:
            for way in self.ways:
                end.wait_for_state("sessions", f"s-{way.name}", "established")
        for side, host in enumerate(self.hosts):
            for way in self.ways:
                host.ip(f"addr replace {way.inner(side)}/28 dev {way.interface}")

    def wait_for_another(self, way: Way, before: tuple[int, int]) -> None:
        """Wait until the control connection is another one than ``before``, and all is up again."""
        poll(lambda: not set(before) & {0, *self.connection_ids(way)}, "other connection ids")
        self.wait_until_up()

    def ping(self, way: Way, *options: str) -> None:
        """Ping east from west through the pseudowire; AssertionError if one is lost."""
        self.hosts[0].ping(way.inner(1), *options, count=10)

    def connection_ids(self, way: Way) -> tuple[int, int]:
        tunnel = self.ends[0].show("tunnels")[way.name]
        return tunnel["local_connection_id"], tunnel["peer_connection_id"]

    def index(self, way: Way, side: int = 0) -> str:
        """Index of the interface at one side, empty without an interface."""
        shown = self.hosts[side].run("ip", "-o", "link", "show", way.interface, check=False).stdout
        return shown.split(":")[0]


def configuration(side: int, planes: Planes, hosts: tuple[Namespace, Namespace], ways: tuple[Way, ...]) -> str:
    """Give the file of one end, from the middle of its ``[daemon]`` table on."""
    head = f"""\
plane = "{planes[side].name.lower()}"
[local]
hostname = "{NAMES[side]}"
router-id = "192.0.2.{side + 1}"
"""
    return head + "".join(way.tables(side, hosts) for way in ways)


@contextlib.contextmanager
def pair(
    *ways: Way,
    planes: Planes = (Plane.AUTO, Plane.AUTO),
    passwords: tuple[str, str] = (PASSWORD, PASSWORD),
    admin: tuple[str, ...] = (),
) -> Iterator[Pair]:
    """Start both ends, side by side; ``admin`` are more options of l2tp-admin serve."""

    def start(side: int) -> Daemons:
        text = configuration(side, planes, hosts, ways)
        return stacks[side].enter_context(daemons(hosts[side], text, password=passwords[side], admin=admin))

    with veth_pair("pair") as hosts, contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        stacks = first, second
        with ThreadPoolExecutor(2) as pool:
            west, east = pool.map(start, (0, 1))
        yield Pair(hosts, (west, east), planes, ways)


class Lasting:
    """A pair that test after test uses; the next one gets a new pair where a test left one of its processes dead."""

    def __init__(self, planes: Planes) -> None:
        self._planes = planes
        self._stack = contextlib.ExitStack()
        self._pair: Pair | None = None

    def get(self) -> Pair:
        """Give the pair, started now where there is none that lives."""
        if self._pair is None or not all(end.alive() for end in self._pair.ends):
            self.close()
            self._pair = self._stack.enter_context(pair(planes=self._planes))
        return self._pair

    def close(self) -> None:
        """End it."""
        self._pair = None
        self._stack.close()
