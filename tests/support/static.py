"""Static pseudowires between two hosts: the tables of l2tpd for either end, and the commands of `ip l2tp`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.netns import poll

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from l2tp_kernel.schema import Plane
    from tests.support.netns import Namespace

TRANSPORTS = ("udp4", "udp6", "ip4", "ip6")


@dataclass(frozen=True)
class Wire:
    """One pseudowire; side 0 is the left host, side 1 the right one."""

    number: int
    transport: str = "udp4"
    cookies: tuple[str, str] = ("", "")
    """Hexadecimal digits that the left and the right end expect."""
    sublayer: str = "none"
    sequencing: str = "none"
    keys: tuple[str, str] = field(default=("", ""))
    """More keys of the session of either end."""

    @property
    def name(self) -> str:
        return f"w{self.number}"

    @property
    def interface(self) -> str:
        return f"pw{self.number}"

    def session_id(self, side: int) -> int:
        return 1000 * (side + 1) + self.number

    def inner(self, side: int) -> str:
        """Address of a side's end of it."""
        return f"198.51.100.{4 * self.number + side + 1}"

    def table(self, side: int) -> str:
        return f"""
[tunnel.{self.transport}.session.{self.name}]
interface = "{self.interface}"
local-session-id = {self.session_id(side)}
peer-session-id = {self.session_id(1 - side)}
local-cookie = "{self.cookies[side]}"
peer-cookie = "{self.cookies[1 - side]}"
sublayer = "{self.sublayer}"
sequencing = "{self.sequencing}"
{self.keys[side]}
"""

    def ip_session(self, side: int) -> str:
        """What `ip` is to be told: the cookie is what it sends, the peer's cookie what it expects."""
        sent, expected = self.cookies[1 - side], self.cookies[side]
        words = f"l2tp add session name {self.interface} tunnel_id {tunnel_id(self.transport, side)}"
        words += f" session_id {self.session_id(side)} peer_session_id {self.session_id(1 - side)}"
        words += f" l2spec_type {self.sublayer}" + (f" cookie {sent}" if sent else "")
        words += f" peer_cookie {expected}" if expected else ""
        return words + (" seq both" if self.sequencing == "all" else "")


def tunnel_id(transport: str, side: int) -> int:
    """Control Connection ID of a side."""
    return 100 * (side + 1) + TRANSPORTS.index(transport)


def addresses(transport: str, hosts: Sequence[Namespace]) -> list[str]:
    return [host.ipv4 if transport.endswith("4") else host.ipv6 for host in hosts]


def configuration(side: int, plane: Plane, hosts: Sequence[Namespace], wires: Iterable[Wire], keys: str = "") -> str:
    """What a side's l2tpd is told, from the middle of its [daemon] table on; ``keys`` are more of each tunnel."""
    text = f'plane = "{plane.name.lower()}"\n[local]\nhostname = "host{side}"\nrouter-id = "192.0.2.{side + 1}"\n'
    wires = [*wires]
    for transport in sorted({wire.transport for wire in wires}):
        text += f"""
[tunnel.{transport}]
mode = "static"
peer-address = "{addresses(transport, hosts)[1 - side]}"
encapsulation = "{transport[:-1]}"
local-connection-id = {tunnel_id(transport, side)}
peer-connection-id = {tunnel_id(transport, 1 - side)}
{keys}
"""
        text += "".join(wire.table(side) for wire in wires if wire.transport == transport)
    return text


def ip_commands(side: int, hosts: Sequence[Namespace], wires: Iterable[Wire]) -> str:
    """What `ip -batch` is to be told for a side without l2tpd: its ends of all wires, up."""
    lines = []
    wires = [*wires]
    for transport in sorted({wire.transport for wire in wires}):
        ours, theirs = addresses(transport, hosts)[side], addresses(transport, hosts)[1 - side]
        ports = " udp_sport 1701 udp_dport 1701" if transport.startswith("udp") else ""
        ids = f"tunnel_id {tunnel_id(transport, side)} peer_tunnel_id {tunnel_id(transport, 1 - side)}"
        lines.append(f"l2tp add tunnel {ids} encap {transport[:-1]} local {ours} remote {theirs}{ports}")
    for wire in wires:
        lines += [wire.ip_session(side), f"link set {wire.interface} up"]
    return "".join(f"{line}\n" for line in lines)


def give_addresses(side: int, host: Namespace, wires: Iterable[Wire]) -> None:
    """Give a side's interfaces their inner addresses."""
    lines = (f"addr replace {wire.inner(side)}/30 dev {wire.interface}\n" for wire in wires)
    host.run("ip", "-batch", "-", text_input="".join(lines))


def ping(host: Namespace, wire: Wire, *options: str) -> None:
    """Ping the right end from the left one; AssertionError if one is lost."""
    # The first one finds the neighbour; a device that has just come up may lose it.
    poll(lambda: host.run("ping", "-c1", "-W1", wire.inner(1), check=False).returncode == 0, f"ping over {wire}")
    host.ping(wire.inner(1), *options, count=5)
