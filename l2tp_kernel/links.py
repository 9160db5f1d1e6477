"""Network interfaces and routes through rtnetlink: pyroute2's messages on two plain sockets, one of them listening."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import itertools
import os
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ifstatsmsg import ifstatsmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

if TYPE_CHECKING:
    from collections.abc import Iterator

_NLMSG_ERROR = 2
_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK, _RTM_GETROUTE, _RTM_GETSTATS = 16, 17, 18, 26, 94
_NLM_F_REQUEST, _NLM_F_ACK = 1, 4
_RTMGRP_LINK = 1
_IFF_UP = 1
_IFLA_STATS_LINK_64 = 1
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port


class Link(NamedTuple):
    """An interface as the kernel has it."""

    number: int
    """Its index."""
    name: str
    mtu: int
    kind: str
    """``bridge``, ``tun``, …, empty for a device of its own."""
    up: bool
    """The administrative state."""
    label: str
    """Its alias, empty without."""


class Links:
    """The interfaces and routes of this network namespace; every call may raise OSError with the kernel's errno."""

    def __init__(self) -> None:
        self._sequences = itertools.count(1)
        self._socket = _open(0)
        self._monitor = _open(_RTMGRP_LINK)
        self._monitor.settimeout(0)

    def close(self) -> None:
        """Close both sockets."""
        self._socket.close()
        self._monitor.close()

    def fileno(self) -> int:
        """Readable when :meth:`changes` has something."""
        return self._monitor.fileno()

    def find(self, which: str | int) -> Link | None:
        """Look an interface up by name or index."""
        message = ifinfmsg()
        if isinstance(which, int):
            message["index"] = which
        else:
            message["attrs"] = [("IFLA_IFNAME", which)]
        try:
            return _link(self._ask(message, _RTM_GETLINK))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise

    def configure(self, index: int, *, mtu: int, up: bool, master: int | None) -> None:
        """Set MTU and administrative state, and the bridge by its index: 0 takes it out, None leaves it."""
        message = ifinfmsg()
        message["index"] = index
        message["flags"], message["change"] = (_IFF_UP if up else 0), _IFF_UP
        message["attrs"] = [("IFLA_MTU", mtu)]
        if master is not None:
            message["attrs"].append(("IFLA_MASTER", master))
        self._ask(message, _RTM_NEWLINK, _NLM_F_ACK)

    def join(self, index: int, master: int) -> None:
        """Put an interface into a bridge, by the indices of both."""
        message = ifinfmsg()
        message["index"] = index
        message["attrs"] = [("IFLA_MASTER", master)]
        self._ask(message, _RTM_NEWLINK, _NLM_F_ACK)

    def label(self, index: int, text: str) -> None:
        """Set the alias, which operators see too."""
        message = ifinfmsg()
        message["index"] = index
        message["attrs"] = [("IFLA_IFALIAS", text)]
        self._ask(message, _RTM_NEWLINK, _NLM_F_ACK)

    def traffic(self, index: int) -> dict[str, int]:
        """Give the interface's counters, by the names of ``struct rtnl_link_stats64``."""
        message = ifstatsmsg()
        message["ifindex"], message["filter_mask"] = index, _IFLA_STATS_LINK_64
        answer = ifstatsmsg(self._ask(message, _RTM_GETSTATS))
        answer.decode()
        return dict(answer.get_attr("IFLA_STATS_LINK_64"))

    def path_mtu(self, peer: bytes, source: bytes) -> int:
        """Octets of the largest packet to ``peer`` by the route and its interface; ``source`` all zero for any."""
        message = rtmsg()
        message["family"] = socket.AF_INET if len(peer) == 4 else socket.AF_INET6
        message["dst_len"] = len(peer) * 8
        message["attrs"] = [("RTA_DST", str(ipaddress.ip_address(peer)))]
        if any(source):
            message["src_len"] = len(source) * 8
            message["attrs"].append(("RTA_SRC", str(ipaddress.ip_address(source))))
        route = rtmsg(self._ask(message, _RTM_GETROUTE))
        route.decode()
        link = self.find(route.get_attr("RTA_OIF") or 0)
        if link is None:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        metrics = route.get_attr("RTA_METRICS")
        return min(link.mtu, (metrics and metrics.get_attr("RTAX_MTU")) or link.mtu, 65535)

    def changes(self) -> set[int]:
        """Give the indices of what changed, came or went since the last call; OSError ENOBUFS if some were lost."""
        changed: set[int] = set()
        with contextlib.suppress(BlockingIOError):
            while packet := self._monitor.recv(1 << 20):
                changed.update(_indices(packet))
        return changed

    def _ask(self, message: ifinfmsg | ifstatsmsg | rtmsg, kind: int, flags: int = 0) -> bytes:
        """Send one request and give its one answer; OSError if that is an error."""
        sequence = next(self._sequences)
        message["header"]["type"] = kind
        message["header"]["flags"] = _NLM_F_REQUEST | flags
        message["header"]["sequence_number"] = sequence
        message.encode()
        self._socket.send(message.data)
        while True:
            answer = self._socket.recv(1 << 16)
            _, kind, _, answered, _ = _HEADER.unpack_from(answer)
            if answered != sequence:
                continue  # the answer to a request that was given up
            if kind == _NLMSG_ERROR and (code := struct.unpack_from("=i", answer, _HEADER.size)[0]):
                raise OSError(-code, os.strerror(-code))
            return answer


def _open(groups: int) -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    opened.settimeout(5)  # the kernel answers at once; the helper must not hang if it does not
    opened.bind((0, groups))
    return opened


def _indices(packet: bytes) -> Iterator[int]:
    """Index in every link message of a packet: it follows the header, family and type."""
    offset = 0
    while offset + _HEADER.size < len(packet):
        length, kind, *_ = _HEADER.unpack_from(packet, offset)
        if kind in (_RTM_NEWLINK, _RTM_DELLINK):
            yield struct.unpack_from("=4xi", packet, offset + _HEADER.size)[0]
        offset += (length + 3) & ~3


def _link(octets: bytes) -> Link:
    message = ifinfmsg(octets)
    message.decode()
    information = message.get_attr("IFLA_LINKINFO")
    kind = information.get_attr("IFLA_INFO_KIND") if information else None
    return Link(
        message["index"],
        message.get_attr("IFLA_IFNAME") or "",
        message.get_attr("IFLA_MTU") or 0,
        kind or "",
        bool(message["flags"] & _IFF_UP),
        message.get_attr("IFLA_IFALIAS") or "",
    )
