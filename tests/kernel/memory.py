"""Interfaces and a forwarding plane in memory, for what the registry decides: nothing is forwarded."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, cast

from l2tp_kernel import netlink
from l2tp_kernel import policy as policies
from l2tp_kernel.links import Link, Setting
from l2tp_kernel.plane import Adopted, ControlSocket, Interface, TunnelSocket
from l2tp_kernel.schema import Counters, Flavour, Listener, Plane, PweParam
from l2tp_kernel.server import Server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from l2tp_kernel.links import Links
    from l2tp_kernel.plane import ForwardingPlane


def link(number: int, name: str = "", *, kind: str = "", mtu: int = 1500, up: bool = True, label: str = "") -> Link:
    """An interface as the kernel tells of it."""
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 1, number, int(up), 0)
    body += netlink.text(3, name) + netlink.u32(4, mtu) + netlink.octets(18, netlink.text(1, kind) if kind else b"")
    return Link(body + (netlink.text(20, label) if label else b""))


class MemoryLinks:
    """Interfaces by name; ``unset`` are MTUs that none can have, ``error`` comes instead of news."""

    def __init__(self) -> None:
        self._last = 0
        self.nothing = -1
        """A descriptor that is never readable, for those who wait."""
        self.path = 1500
        self.error = 0
        self.unset: set[int] = set()
        self.numbers: dict[str, int] = {}
        self.settings: dict[int, Setting] = {}
        self.bursts: list[int] = []
        self.asked: list[bytes] = []
        self.news: dict[int, Link | None] = {}

    def fileno(self) -> int:
        return self.nothing

    def add(self, name: str) -> int:
        self._last += 1
        self.numbers[name] = self._last
        self.settings[self._last] = Setting(self._last, master=0)
        return self._last

    def number(self, name: str) -> int:
        return self.numbers.get(name, 0)

    def name(self, number: int) -> str:
        return next((name for name, known in self.numbers.items() if known == number), "")

    def find(self, which: str | int) -> Link | None:
        number = self.numbers.get(which, 0) if isinstance(which, str) else which
        return link(number, str(which), kind="bridge") if number else None

    def all(self) -> dict[int, Link]:
        return {number: link(number, name) for name, number in self.numbers.items()}

    def configure(self, settings: Sequence[Setting]) -> list[OSError | None]:
        self.bursts.append(len(settings))
        errors: list[OSError | None] = []
        for each in settings:
            bad = each.mtu in self.unset or each.number not in self.numbers.values()
            errors.append(OSError(errno.EINVAL, os.strerror(errno.EINVAL)) if bad else None)
            if not bad:
                given = {name: value for name, value in each._asdict().items() if value is not None}
                self.settings[each.number] = self.settings[each.number]._replace(**given)
        return errors

    def path_mtu(self, peer: bytes, _source: bytes) -> int:
        self.asked.append(peer)
        return self.path

    def changes(self) -> dict[int, Link | None]:
        if self.error:
            raise OSError(self.error, "netlink")
        news, self.news = self.news, {}
        return news


class MemoryPlane:
    """Sessions by interface, each with a tunnel and a socket of its own.

    ``taken`` are Session IDs that somebody else has, ``broken`` ones that fail.  As Linux does, it makes an interface
    anew for another Session ID.
    """

    def __init__(self, links: MemoryLinks, kind: Plane = Plane.USERSPACE) -> None:
        self.kind = kind
        self.left: list[Adopted] = []
        self.taken: set[int] = set()
        self.broken: set[int] = set()
        self.sessions: dict[str, PweParam] = {}
        self.bursts: list[int] = []
        self.socket = socket.socket()
        self._links = links
        self._tunnels: dict[str, TunnelSocket] = {}
        self._news: list[TunnelSocket] = []

    def adopt(self) -> list[Adopted]:
        return self.left

    def open_listener(self, _handle: int, _listener: Listener) -> ControlSocket:
        return ControlSocket(self.socket, Flavour.UDP)

    def close_listener(self, _handle: int) -> None: ...

    def check(self, _param: PweParam) -> None: ...

    def set(self, params: Sequence[PweParam]) -> list[Interface | OSError]:
        if params:
            self.bursts.append(len(params))
        return [self._set(param) for param in params]

    def _set(self, param: PweParam) -> Interface | OSError:
        old = self.sessions.get(param.interface)
        if old is None or old.local_session_id != param.local_session_id:
            self.delete([param.interface])
            if self._links.number(param.interface):
                return FileExistsError(errno.EEXIST, "somebody else's")
            if param.local_session_id in self.taken:
                return FileExistsError(errno.EEXIST, "taken")
            if param.local_session_id in self.broken:
                return OSError(errno.ENOMEM, "broken")
            self._links.add(param.interface)
            tunnel = TunnelSocket(param.listener, param.local_session_id, socket.socket())
            self._tunnels[param.interface] = tunnel
            self._news.append(tunnel)
        self.sessions[param.interface] = param
        return Interface(self._links.number(param.interface), "label")

    def delete(self, interfaces: Sequence[str]) -> None:
        for interface in interfaces:
            if self.sessions.pop(interface, None):
                self._links.numbers.pop(interface, None)
                tunnel = self._tunnels.pop(interface)
                cast("socket.socket", tunnel.socket).close()
                self._news.append(tunnel._replace(socket=None))

    def stats(self) -> dict[str, Counters]:
        return {}

    def tunnel_sockets(self, listener: int) -> list[TunnelSocket]:
        return [each for each in self._tunnels.values() if each.listener == listener]

    def news(self) -> list[TunnelSocket]:
        news, self._news = self._news, []
        return news

    def fileno(self) -> int:
        return self.socket.fileno()

    def tend(self) -> None: ...

    def close(self) -> None:
        self.delete(list(self.sessions))
        self.socket.close()


def main() -> None:
    """Serve as the helper does, with interfaces in memory: ``--policy FILE --runtime-directory DIRECTORY``."""
    _, _, policy, _, directory = sys.argv
    links = MemoryLinks()
    plane: list[ForwardingPlane] = [MemoryPlane(links)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nothing:
        links.nothing = nothing.fileno()
        where, rules = Path(directory), Path(policy)
        with closing(Server(where, rules, policies.load(rules), plane, cast("Links", links))) as server:
            server.run()


if __name__ == "__main__":
    main()
