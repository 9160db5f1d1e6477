"""Every key of the configuration file: which values it takes, and what it is without one.

The tables at the end are literal; ``docs/configuration.md`` says the same for people, and a test compares the two.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

from l2tp_ctl.catalogue import Entry, Level
from l2tp_ctl.core.settings import (
    Compatibility,
    DigestPolicy,
    Encapsulation,
    Mode,
    PseudowireType,
    Sequencing,
    Sublayer,
)
from l2tp_ctl.core.templates import NUMBER
from l2tp_ctl.resolver_schema import is_name
from l2tp_kernel.schema import NAME, Plane

L2TP_PORT = 1701
"""IANA's UDP port of L2TP (RFC 3931, section 4.1.2.1)."""


_NO_LINK_LOCAL = "link-local addresses (fe80::/10) are not supported, write a global or unique local one"
_ONE_HOST = "write the address of one host"


class BadValue(Exception):  # noqa: N818  # the word operators see in the documentation; nothing went wrong in the program
    """A value that its key does not take."""

    def __init__(self, problem: str, remedy: str, entry: Entry = Entry.CONFIG_ERROR) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.entry = entry


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of value: ``takes`` says which values it has, ``read`` returns one or raises BadValue."""

    takes: str
    read: Callable[[object], Any]


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its kind, and how its default is written in the file."""

    kind: Kind
    default: object = None
    """What is written in the file to the same effect; None where there is no such value."""
    required: bool = False


def integer(low: int, high: int) -> Kind:
    """Return the kind of integers from ``low`` to ``high``."""
    takes = f"{low}..{high}"

    def read(value: object) -> int:
        if type(value) is not int:
            raise BadValue("not an integer", f"write a number, {takes}, without quotes")
        if not low <= value <= high:
            raise BadValue(f"{value} is out of range", f"write {takes}")
        return value

    return Kind(takes, read)


def seconds(high: int, *, none: bool) -> Kind:
    """Return the kind of seconds from 1 to ``high``, with "none" if ``none``: a float, or None."""
    number = integer(1, high)
    takes = f'{number.takes} or "none"' if none else number.takes

    def read(value: object) -> float | None:
        if none and value == "none":
            return None
        try:
            return float(number.read(value))
        except BadValue as bad:
            raise BadValue(bad.problem, f"write {takes}") from None

    return Kind(takes, read)


def text(longest: int) -> Kind:
    """Return the kind of texts of 1 to ``longest`` octets in UTF-8, without control characters: octets."""

    def read(value: object) -> bytes:
        if not isinstance(value, str):
            raise BadValue("not a text", 'write it in quotes: "..."')
        octets = value.encode()
        if not 1 <= len(octets) <= longest:
            raise BadValue(f"{len(octets)} octets long", f"write 1 to {longest} octets")
        if not value.isprintable():
            raise BadValue("holds a control character", "write printable characters")
        return octets

    return Kind(f"text of 1..{longest} octets", read)


def choice(values: Mapping[Any, Any]) -> Kind:
    """Return the kind of the keys of ``values``, read as their values."""
    takes = ", ".join(f'"{name}"' if isinstance(name, str) else _word(name) for name in values)

    def read(value: object) -> Any:  # noqa: ANN401  # whatever the table says
        for name, meaning in values.items():
            if type(value) is type(name) and value == name:
                return meaning
        raise BadValue(f"{value!r} is not a choice", f"write one of {takes}")

    return Kind(takes, read)


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _address(value: object, remedy: str = "write an IPv4 or IPv6 address") -> str:
    """Return an IP address in the spelling that the kernel uses for it."""
    try:
        # ip_address also takes an integer, which here is a mistake.
        address = ipaddress.ip_address(value if isinstance(value, str) else "")
    except ValueError:
        raise BadValue("", remedy, Entry.INVALID_ADDRESS) from None
    if problem := _address_problem(address):
        raise BadValue("", problem, Entry.INVALID_ADDRESS)
    return spelling(address)


def _address_problem(address: IPv4Address | IPv6Address) -> str:
    """Return what to do about an address that can be neither a host's nor a listener's; empty for any other."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None or address.is_link_local:
            return _NO_LINK_LOCAL
        if address.ipv4_mapped is not None:
            return "write the IPv4 address itself"
    if address.is_multicast or str(address) == "255.255.255.255":
        return _ONE_HOST
    return ""


def host_problem(address: IPv4Address | IPv6Address) -> str:
    """Return what to do about an address that can be no peer's; empty for any other."""
    return _ONE_HOST if address.is_unspecified else _address_problem(address)


def spelling(address: IPv4Address | IPv6Address) -> str:
    """Return an address in the spelling that the kernel uses for it."""
    return socket.inet_ntop(socket.AF_INET if address.version == 4 else socket.AF_INET6, address.packed)


def _host(value: object, remedy: str = "write an IPv4 or IPv6 address") -> str:
    address = _address(value, remedy)
    if is_wildcard(address):
        raise BadValue("", _ONE_HOST, Entry.INVALID_ADDRESS)
    return address


def _peer(value: object) -> str:
    """Return a host's address, or a host name in lower case; :func:`is_name` tells which."""
    if isinstance(value, str) and is_name(value):
        return value.lower()
    return _host(value, "write an IPv4 or IPv6 address, or a host name in ASCII")


def _addresses(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise BadValue("not a list of addresses", 'write ["ADDRESS", ...]')
    return tuple(_address(item) for item in value)


def _networks(value: object) -> tuple[IPv4Network | IPv6Network, ...]:
    if not isinstance(value, list) or not value:
        raise BadValue("not a list of prefixes", 'write ["ADDRESS/LENGTH", ...]')
    return tuple(_network(item) for item in value)


def _network(value: object) -> IPv4Network | IPv6Network:
    try:
        network = ipaddress.ip_network(value if isinstance(value, str) else "")
    except ValueError:
        raise BadValue(
            "", 'write ADDRESS/LENGTH, without bits beyond it: "192.0.2.0/24"', Entry.INVALID_ADDRESS
        ) from None
    if network.version == 6 and network.is_link_local:
        raise BadValue("", _NO_LINK_LOCAL, Entry.INVALID_ADDRESS)
    return network


def _router_id(value: object) -> int:
    try:
        return int(ipaddress.IPv4Address(value if isinstance(value, str) else ""))
    except ValueError:
        raise BadValue("", 'write a dotted quad: "192.0.2.1"', Entry.INVALID_ADDRESS) from None


def _interface(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(NAME, value):
        raise BadValue("not an interface name", "write 1 to 15 letters, digits, '.', '_' or '-'")
    return value


def _interface_pattern(value: object) -> str:
    name = value if isinstance(value, str) else ""
    if name.count(NUMBER) != 1 or not re.fullmatch(NAME, name.replace(NUMBER, "0")):
        raise BadValue(f"not an interface name with {NUMBER}", f"write one like pw{NUMBER}")
    return name


def _remote_end_id(value: object) -> bytes:
    if type(value) is int:
        return int(_END_ID_NUMBER.read(value)).to_bytes(4, "big")
    return bytes(_END_ID_TEXT.read(value))


def _cookie(value: object) -> bytes:
    """Return a cookie; what is wrong with one is told without it."""
    if not isinstance(value, str) or not re.fullmatch("(?:[0-9A-Fa-f]{8}){0,2}", value):
        raise BadValue("not 0, 8 or 16 hexadecimal digits", 'write two for each octet: "0123456789abcdef"')
    return bytes.fromhex(value)


def _path(value: object) -> Path:
    octets = text(4096).read(value)
    return Path(octets.decode())


EACH_FAMILY = ("0.0.0.0", "::")  # noqa: S104  # not bound to
"""An address of each family, for all of it."""


def is_wildcard(address: str) -> bool:
    """Whether an address stands for all of its family."""
    return address in EACH_FAMILY


def same_family(one: str, other: str) -> bool:
    """Whether two addresses are both IPv4 or both IPv6."""
    return (":" in one) == (":" in other)


_END_ID_NUMBER = integer(0, 0xFFFFFFFF)
_END_ID_TEXT = text(255)

ADDRESS = Kind("IPv4 or IPv6 address", _host)
PEER = Kind("IPv4 or IPv6 address, or host name", _peer)
ADDRESSES = Kind("list of IPv4 and IPv6 addresses", _addresses)
ROUTER_ID = Kind("dotted quad", _router_id)
NETWORKS = Kind("list of IPv4 and IPv6 prefixes", _networks)
INTERFACE = Kind("interface name", _interface)
INTERFACE_PATTERN = Kind(f"interface name with {NUMBER} in it", _interface_pattern)
REMOTE_END_ID = Kind(f"{_END_ID_TEXT.takes}, or {_END_ID_NUMBER.takes}", _remote_end_id)
COOKIE = Kind("0, 8 or 16 hexadecimal digits", _cookie)
PATH = Kind("path", _path)
IDENTIFIER = integer(1, 0xFFFFFFFF)
PORT = integer(1, 65535)
FLAG = choice({True: True, False: False})

TABLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
"""Names of tunnels, templates and sessions: what is easy to type after ``l2tp-admin clear tunnel``."""

LOCAL: Mapping[str, Key] = {
    "hostname": Key(text(255), required=True),
    "router-id": Key(ROUTER_ID, required=True),
}

LISTEN: Mapping[str, Key] = {
    "addresses": Key(ADDRESSES, ["0.0.0.0", "::"]),  # noqa: S104  # one socket for every address is the usual case
    "port": Key(PORT, L2TP_PORT),
}

DAEMON: Mapping[str, Key] = {
    "kernel-directory": Key(PATH, "/run/l2tp-kernel"),
    "admin-socket": Key(PATH, "/run/l2tp-ctl/admin.sock"),
    "resolver-socket": Key(PATH, "/run/l2tp-resolver/resolver.sock"),
    "plane": Key(choice({plane.name.lower(): plane for plane in Plane}), "auto"),
    "log-level": Key(choice({level.name.lower(): level for level in Level}), "info"),
    "log-format": Key(choice({"text": "text", "json": "json"}), "text"),
    "log-memory": Key(integer(16, 65536), 1024),
}

TUNNEL: Mapping[str, Key] = {
    "mode": Key(choice({mode.value: mode for mode in Mode}), "signalled"),
    "peer-address": Key(PEER, required=True),
    "local-address": Key(ADDRESS),
    "encapsulation": Key(choice({item.value: item for item in Encapsulation}), "udp"),
    "peer-port": Key(PORT),
    "hostname": Key(text(255)),
    "router-id": Key(ROUTER_ID),
    "password-file": Key(PATH),
    "password-file-next": Key(PATH),
    "digest": Key(choice({item.value: item for item in DigestPolicy}), "auto"),
    "hidden": Key(FLAG, default=False),
    "cookie": Key(choice({0: 0, 4: 4, 8: 8}), 0),
    "retry": Key(integer(1, 99), 10),
    "hello-interval": Key(seconds(3600, none=True), 60),
    "initiate": Key(FLAG, default=True),
    "reconnect-interval": Key(seconds(3600, none=False), 10),
    "compatibility": Key(choice({item.value: item for item in Compatibility}), "auto"),
    "reserved-bits": Key(choice({"ignore": False, "discard": True}), "ignore"),
}

SESSION: Mapping[str, Key] = {
    "remote-end-id": Key(REMOTE_END_ID, required=True),
    "interface": Key(INTERFACE, required=True),
    "pseudowire-type": Key(
        choice({"ethernet": PseudowireType.ETHERNET, "vlan": PseudowireType.ETHERNET_VLAN}), "ethernet"
    ),
    "mtu": Key(integer(68, 65535)),
    "bridge": Key(INTERFACE),
    "sublayer": Key(choice({"none": Sublayer.NONE, "default": Sublayer.DEFAULT}), "none"),
    "sequencing": Key(choice({"none": Sequencing.NONE, "non-ip": Sequencing.NON_IP, "all": Sequencing.ALL}), "none"),
}

STATIC_TUNNEL: Mapping[str, Key] = {
    "mode": replace(TUNNEL["mode"], default=None, required=True),
    "peer-address": Key(ADDRESS, required=True),
    **{name: TUNNEL[name] for name in ("local-address", "encapsulation", "peer-port")},
    "local-connection-id": Key(IDENTIFIER),
    "peer-connection-id": Key(IDENTIFIER),
    "hello-interval": replace(TUNNEL["hello-interval"], default=None),
    **{name: TUNNEL[name] for name in ("retry", "reconnect-interval")},
}
"""A tunnel whose mode is "static"."""

STATIC_SESSION: Mapping[str, Key] = {
    "interface": SESSION["interface"],
    "local-session-id": Key(IDENTIFIER, required=True),
    "peer-session-id": Key(IDENTIFIER, required=True),
    "local-cookie": Key(COOKIE, ""),
    "peer-cookie": Key(COOKIE, ""),
    **{name: SESSION[name] for name in ("mtu", "bridge", "sublayer", "sequencing")},
}

TEMPLATE: Mapping[str, Key] = {
    "addresses": Key(NETWORKS, required=True),
    "maximum": Key(integer(1, 9999), 256),
}
"""A template's own keys, beside those of the tunnels that it makes."""

TEMPLATE_TUNNEL: Mapping[str, Key] = {
    name: key for name, key in TUNNEL.items() if name not in {"mode", "peer-address", "peer-port", "initiate"}
}

TEMPLATE_SESSION: Mapping[str, Key] = {
    "remote-end-id": SESSION["remote-end-id"],
    "interface": Key(INTERFACE_PATTERN, required=True),
}
"""Keys of a template's session that are required; the others are SESSION's."""
