"""Network interfaces and routes through rtnetlink (rtnetlink(7), linux/if_link.h)."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from functools import cache, cached_property
from typing import TYPE_CHECKING, NamedTuple

from l2tp_kernel import netlink
from l2tp_kernel.netlink import HEADER, Request
from l2tp_kernel.sockets import drop_without

if TYPE_CHECKING:
    from collections.abc import Sequence

_RTM_NEWLINK, _RTM_GETLINK, _RTM_GETROUTE, _RTM_GETSTATS = 16, 18, 26, 94
_RTMGRP_LINK = 1
_IFF_UP = 1
_IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_IFALIAS, _IFLA_EXT_MASK = 3, 4, 10, 18, 20, 29
_IFLA_INFO_KIND = 1
_SKIP_STATISTICS = 8  # of what IFLA_EXT_MASK asks for
_IFLA_STATS_LINK_64 = 1
_RTA_DST, _RTA_SRC, _RTA_OIF, _RTA_METRICS, _RTAX_MTU = 1, 2, 4, 8, 2
_SIOCGIFNAME, _SIOCGIFINDEX = 0x8910, 0x8933

_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, mask of flags to change
_CHANGE = struct.Struct("=4xH10xBxxxi")  # of struct nlmsghdr the kind of message, of ifinfomsg family and index
_NEWS = drop_without(_IFLA_LINKINFO, HEADER + _LINK.size, kind=_RTM_NEWLINK, word=HEADER + 12)
"""What changes flags, removes, or is of a kind with a name, such as bridges.

Three messages come for each session that is made, and this leaves one of them.
"""
_ROUTE = struct.Struct("=BBB9x")  # struct rtmsg: family and lengths of the prefixes
_STATISTICS = struct.Struct("=4xII")  # struct if_stats_msg: index, mask of what is wanted
_IFREQ = struct.Struct("=16si20x")  # struct ifreq: name and index
_COUNTERS = struct.Struct("=8Q")  # the first of struct rtnl_link_stats64


class Link:
    """An interface as a message of the kernel's has it, read only as far as it is asked for: there are thousands."""

    def __init__(self, body: bytes) -> None:
        _, _, self.number, flags, _ = _LINK.unpack_from(body)
        self.up = bool(flags & _IFF_UP)
        self._body = body

    @cached_property
    def _attributes(self) -> dict[int, bytes]:
        return netlink.attributes(self._body, _LINK.size)

    @property
    def name(self) -> str:
        """Its name now."""
        return netlink.string(self._attributes.get(_IFLA_IFNAME))

    @property
    def mtu(self) -> int:
        """Its MTU."""
        return netlink.integer(self._attributes.get(_IFLA_MTU))

    @property
    def kind(self) -> str:
        """``bridge``, ``tun``, …, empty for a device of its own."""
        information = netlink.attributes(self._attributes.get(_IFLA_LINKINFO, b""))
        return netlink.string(information.get(_IFLA_INFO_KIND))

    @property
    def label(self) -> str:
        """Its alias, empty without."""
        return netlink.string(self._attributes.get(_IFLA_IFALIAS))

    @property
    def master(self) -> int:
        """Index of the bridge that it is in, 0 without."""
        return netlink.integer(self._attributes.get(_IFLA_MASTER))


class Setting(NamedTuple):
    """What is to be set on the interface with an index; None leaves a thing as it is."""

    number: int
    mtu: int | None = None
    up: bool | None = None
    """The administrative state."""
    master: int | None = None
    """Index of the bridge that it is put into, 0 for none."""
    label: str | None = None
    """Its alias, which operators see too."""


class Traffic(NamedTuple):
    """What an interface has counted, as ``struct rtnl_link_stats64`` begins."""

    rx_packets: int
    tx_packets: int
    rx_octets: int
    tx_octets: int
    rx_errors: int
    tx_errors: int
    rx_dropped: int
    tx_dropped: int


class Links:
    """The interfaces and routes of this network namespace; every call may raise OSError with the kernel's errno."""

    def __init__(self) -> None:
        self._netlink = netlink.Netlink(socket.NETLINK_ROUTE)
        self._monitor = netlink.Monitor(socket.NETLINK_ROUTE, groups=_RTMGRP_LINK, keep=_NEWS)

    def close(self) -> None:
        """Close both sockets."""
        self._netlink.close()
        self._monitor.close()

    def fileno(self) -> int:
        """Readable when :meth:`changes` has something."""
        return self._monitor.fileno()

    def name(self, number: int) -> str:
        """Name of the interface with an index, empty if there is none."""
        return netlink.string(self._ioctl(_SIOCGIFNAME, b"", number)[0])

    def number(self, name: str) -> int:
        """Index of the interface with a name, 0 if there is none."""
        return self._ioctl(_SIOCGIFINDEX, name.encode(), 0)[1]

    def _ioctl(self, request: int, name: bytes, number: int) -> tuple[bytes, int]:
        """Have an interface's name and index told by either, both empty if there is none: faster than by netlink."""
        try:
            return _IFREQ.unpack(fcntl.ioctl(self._netlink.fileno(), request, _IFREQ.pack(name, number)))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return b"", 0
            raise

    def find(self, which: str | int) -> Link | None:
        """Look an interface up by name or index."""
        try:
            return Link(self._netlink.ask(get_link(which)))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise

    def all(self) -> dict[int, Link]:
        """Every interface, by index."""
        links = map(Link, self._netlink.dump(get_link(0)))
        return {link.number: link for link in links}

    def configure(self, settings: Sequence[Setting]) -> list[OSError | None]:
        """Set many interfaces, and give the error of each: one that fails may be half set."""
        return self._netlink.burst(_RTM_NEWLINK, [set_link(each) for each in settings])

    def traffic(self) -> dict[int, Traffic]:
        """Counters of every interface, by index."""
        counted = {}
        for body in self._netlink.dump(Request(_RTM_GETSTATS, _STATISTICS.pack(0, _IFLA_STATS_LINK_64))):
            counters = netlink.attributes(body, _STATISTICS.size)[_IFLA_STATS_LINK_64]
            counted[_STATISTICS.unpack_from(body)[0]] = Traffic(*_COUNTERS.unpack_from(counters))
        return counted

    def path_mtu(self, peer: bytes, source: bytes) -> int:
        """Octets of the largest packet to ``peer`` by the route and its interface; ``source`` all zero for any."""
        route = netlink.attributes(self._netlink.ask(get_route(peer, source)), _ROUTE.size)
        link = self.find(netlink.integer(route.get(_RTA_OIF)))
        if link is None:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        metrics = netlink.attributes(route.get(_RTA_METRICS, b""))
        return min(link.mtu, netlink.integer(metrics.get(_RTAX_MTU)) or link.mtu, 65535)

    def changes(self) -> dict[int, Link | None]:
        """Give what was set up or down since the last call, as it is now, by index; None for what went.

        What Linux knows by a kind, such as bridges, is among it too when it comes, and after any change.  OSError
        ENOBUFS if some was lost.
        """
        latest: dict[int, bytes | None] = {}
        for packet in self._monitor.packets():
            kind, family, number = _CHANGE.unpack_from(packet)
            if family == socket.AF_UNSPEC:  # bridges tell of their ports in a family of their own
                latest[number] = packet if kind == _RTM_NEWLINK else None
        return {number: Link(packet[HEADER:]) if packet else None for number, packet in latest.items()}


def get_link(which: str | int) -> Request:
    """Ask for an interface by name or index, for all by index 0."""
    number, name = (0, netlink.text(_IFLA_IFNAME, which)) if isinstance(which, str) else (which, b"")
    return Request(_RTM_GETLINK, _LINK.pack(0, 0, number, 0, 0) + netlink.u32(_IFLA_EXT_MASK, _SKIP_STATISTICS) + name)


def set_link(setting: Setting) -> bytes:
    """Give the body of an RTM_NEWLINK that sets what is not None."""
    body = _LINK.pack(0, 0, setting.number, _IFF_UP * bool(setting.up), _IFF_UP * (setting.up is not None))
    if setting.mtu is not None:
        body += netlink.u32(_IFLA_MTU, setting.mtu)
    if setting.label is not None:
        body += _alias(setting.label)
    if setting.master is not None:
        body += netlink.u32(_IFLA_MASTER, setting.master)
    return body


@cache  # there are two
def _alias(label: str) -> bytes:
    return netlink.text(_IFLA_IFALIAS, label)


def get_route(peer: bytes, source: bytes) -> Request:
    """Ask for the route to an address, from one unless it is all zero."""
    family, bits = (socket.AF_INET, 32) if len(peer) == 4 else (socket.AF_INET6, 128)
    body = _ROUTE.pack(family, bits, bits * any(source)) + netlink.octets(_RTA_DST, peer)
    return Request(_RTM_GETROUTE, body + (netlink.octets(_RTA_SRC, source) if any(source) else b""))
