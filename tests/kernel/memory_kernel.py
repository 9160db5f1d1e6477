"""A kernel in memory that understands the octets of netlink: links, and tunnels and sessions of L2TP.

It stands where netlink sockets are opened.  What Linux really does is for tests/guest to prove; this one fails when it
is told to, and loses messages, which Linux rarely does.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING

from l2tp_kernel import netlink
from l2tp_kernel.netlink import integer, octets, text, u16, u32

if TYPE_CHECKING:
    from collections.abc import Iterator

FAMILY, GROUP = 0x1E, 0x0A
_HEADER = struct.Struct("=IHHII")
_ERROR, _DONE, _ACK, _DUMP = 2, 3, 0x4, 0x300

# Of linux/l2tp.h and linux/if_link.h, what is looked at here.
PW_TYPE, IFNAME, CONN_ID, SESSION_ID, RECV_SEQ, SEND_SEQ, FD, STATS = 1, 8, 9, 11, 18, 19, 23, 30
ADDRESSES = {4: (24, 25), 16: (31, 32)}
UDP_SPORT, UDP_DPORT = 26, 27
LINK_NAME, LINK_MTU, LINK_MASTER, LINK_ALIAS = 3, 4, 10, 20


class MemoryKernel:
    """Tunnels by number, sessions by tunnel and number, links by index; each is its attributes by kind.

    ``fails`` gives the errno of requests by command and number of the tunnel or session; ``stays`` how often a tunnel
    that was deleted is still told; ``lost`` the errno that the next look at the news has.
    """

    def __init__(self) -> None:
        self.tunnels: dict[int, dict[int, bytes]] = {}
        self.sessions: dict[tuple[int, int], dict[int, bytes]] = {}
        self.links: dict[int, dict[int, bytes]] = {}
        self.fails: dict[tuple[int, int], int] = {}
        self.stays: dict[int, int] = {}
        self.lost = 0
        self.route = 0
        """Index of the interface of every route."""
        self.asked: list[tuple[int, int]] = []
        """Commands of the family and how many of them came in one packet."""
        self._news: deque[bytes] = deque()
        self._last = 0

    def open(self, _protocol: int, groups: int = 0) -> MemorySocket:
        """Do what netlink._open does."""
        return MemorySocket(self, monitor=bool(groups))

    def index(self, name: str) -> int:
        """Index of a link, 0 if there is none of that name."""
        return next((at for at, link in self.links.items() if link[LINK_NAME] == name.encode() + b"\0"), 0)

    def add_link(self, name: str, label: str = "") -> int:
        """Make a link that has an MTU of 1500."""
        self._last += 1
        self.links[self._last] = {LINK_NAME: name.encode() + b"\0", LINK_MTU: (1500).to_bytes(4, "little")}
        if label:
            self.links[self._last][LINK_ALIAS] = label.encode() + b"\0"
        return self._last

    def add_tunnel(self, number: int, peer_port: int = 1701) -> None:
        """Make a tunnel over UDP to 127.0.0.2, of nobody's."""
        self.tunnels[number] = {
            CONN_ID: number.to_bytes(4, "little"), 10: (99).to_bytes(4, "little"), 24: bytes([127, 0, 0, 1]),
            25: bytes([127, 0, 0, 2]), UDP_SPORT: (1701).to_bytes(2, "little"),
            UDP_DPORT: peer_port.to_bytes(2, "little"),
        }  # fmt: skip

    def add_session(self, tunnel: int, number: int, name: str, label: str = "") -> int:
        """Make a session with its interface, of nobody's."""
        self.sessions[tunnel, number] = {
            PW_TYPE: b"\5\0", CONN_ID: tunnel.to_bytes(4, "little"), SESSION_ID: number.to_bytes(4, "little"),
            12: (7).to_bytes(4, "little"), IFNAME: name.encode() + b"\0",
        }  # fmt: skip
        return self.add_link(name, label)

    def delete_tunnel(self, number: int) -> None:
        """Delete a tunnel with all in it, and tell."""
        del self.tunnels[number]
        for session in [each for each in self.sessions if each[0] == number]:
            self._delete_session(session)
        self._news.append(_message(FAMILY, 0, struct.pack("=BBxx", 2, 1) + u32(CONN_ID, number)))

    def answers(self, kind: int, body: bytes, *, dump: bool) -> Iterator[bytes]:
        """Bodies of what is answered to a request; OSError for an error."""
        if kind == 16 and body[:1] == b"\3":
            group = u32(2, GROUP) + text(1, "l2tp")
            yield struct.pack("=BBxx", 1, 2) + u16(1, FAMILY) + octets(7, octets(1, group))
        elif kind == FAMILY:
            yield from self._family(body[0], netlink.attributes(body, 4), dump=dump)
        else:
            yield from self._links(kind, body, dump=dump)

    def _family(self, command: int, given: dict[int, bytes], *, dump: bool) -> Iterator[bytes]:
        tunnel, session = integer(given.get(CONN_ID)), (integer(given.get(CONN_ID)), integer(given.get(SESSION_ID)))
        if code := self.fails.get((command, session[1] or tunnel)):
            raise OSError(code, os.strerror(code))
        match command:
            case 1:
                self._create_tunnel(tunnel, given)
            case 2:
                _must(tunnel in self.tunnels, errno.ENODEV)
                self.delete_tunnel(tunnel)
            case 4 if dump:
                yield from (_body(4, each) for each in self.tunnels.values())
            case 4:
                if self.stays.get(tunnel, 0) > 0:
                    self.stays[tunnel] -= 1
                else:
                    _must(tunnel in self.tunnels, errno.ENODEV)
                yield _body(4, self.tunnels.get(tunnel, {}))
            case 5:
                _must(tunnel in self.tunnels, errno.ENODEV)
                name = netlink.string(given[IFNAME])
                _must(session not in self.sessions and not self.index(name), errno.EEXIST)
                self.sessions[session] = given
                self.add_link(name)
            case 6:
                _must(session in self.sessions, errno.ENODEV)
                self._delete_session(session)
            case 7:
                _must(session in self.sessions, errno.ENODEV)
                self.sessions[session] |= {kind: given[kind] for kind in (RECV_SEQ, SEND_SEQ)}
            case 8:
                yield from (_body(8, each) for each in self.sessions.values())

    def _create_tunnel(self, number: int, given: dict[int, bytes]) -> None:
        _must(number not in self.tunnels, errno.EEXIST)
        with socket.socket(fileno=os.dup(integer(given[FD]))) as opened:
            (here, port), (there, peer_port) = opened.getsockname(), opened.getpeername()
        ours, peers = ADDRESSES[4]
        self.tunnels[number] = given | {
            ours: socket.inet_aton(here), peers: socket.inet_aton(there),
            UDP_SPORT: port.to_bytes(2, "little"), UDP_DPORT: peer_port.to_bytes(2, "little"),
        }  # fmt: skip

    def _delete_session(self, session: tuple[int, int]) -> None:
        self.links.pop(self.index(netlink.string(self.sessions.pop(session)[IFNAME])), None)

    def _links(self, kind: int, body: bytes, *, dump: bool) -> Iterator[bytes]:
        if kind == 26:
            yield bytes(12) + u32(4, self.route)
        elif kind == 94:
            for index in self.links:
                yield struct.pack("=4xII", index, 1) + octets(1, struct.pack("=8Q", *range(index, index + 8)))
        elif kind == 18 and dump:
            yield from (_link(index, link) for index, link in self.links.items())
        else:
            wanted = struct.unpack_from("=i", body, 4)[0]
            _must(kind == 18 and wanted in self.links, errno.ENODEV)
            yield _link(wanted, self.links[wanted])

    def news(self) -> bytes:
        """What is told next; BlockingIOError for nothing."""
        if self.lost:
            code, self.lost = self.lost, 0
            self._news.clear()
            raise OSError(code, os.strerror(code))
        if self._news:
            return self._news.popleft()
        raise BlockingIOError

    def carry_out(self, packet: bytes) -> Iterator[bytes]:
        """Answer all requests of a packet: errors always, and acknowledge where that is asked for."""
        requests = list(_requests(packet))
        if requests[0][0] == FAMILY:
            self.asked.append((requests[0][3][0], len(requests)))
        for kind, flags, sequence, body in requests:
            dump = flags & _DUMP == _DUMP
            code = 0
            try:
                answers = list(self.answers(kind, body, dump=dump))
            except OSError as error:
                answers, code = [], error.errno or errno.EIO
            yield from (_message(kind, sequence, answer) for answer in answers)
            if code or dump or flags & _ACK:
                yield _message(_DONE if dump and not code else _ERROR, sequence, struct.pack("=i", -code))


class MemorySocket:
    """As much of a socket as l2tp_kernel.netlink uses."""

    def __init__(self, kernel: MemoryKernel, *, monitor: bool) -> None:
        self._kernel = kernel
        self._monitor = monitor
        self._waiting: deque[bytes] = deque()
        self.closed = False

    def setsockopt(self, _level: int, option: int, _value: object) -> None:
        if option == 1:  # NETLINK_ADD_MEMBERSHIP
            self._monitor = True

    def settimeout(self, _seconds: float) -> None: ...

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        self.closed = True

    def send(self, packet: bytes) -> None:
        self._waiting.extend(self._kernel.carry_out(packet))

    def recvfrom(self, _size: int) -> tuple[bytes, tuple[int, int]]:
        return (self._waiting.popleft() if self._waiting else self._kernel.news()), (0, 0)


def _must(condition: bool, code: int) -> None:  # noqa: FBT001  # it reads as a sentence
    if not condition:
        raise OSError(code, os.strerror(code))


def _message(kind: int, sequence: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, 0, sequence, 0) + body


def _body(command: int, attributes: dict[int, bytes]) -> bytes:
    return struct.pack("=BBxx", command, 1) + b"".join(octets(*each) for each in attributes.items())


def _link(index: int, link: dict[int, bytes]) -> bytes:
    return struct.pack("=BxHiII", 0, 1, index, 1, 0) + b"".join(octets(*each) for each in link.items())


def _requests(packet: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    offset = 0
    while offset < len(packet):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(packet, offset)
        yield kind, flags, sequence, packet[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3
