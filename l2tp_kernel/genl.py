"""The kernel's generic netlink family "l2tp": a message class of our own on pyroute2's codec, over a plain socket.

pyroute2's own L2tp class sends cookies as text, swaps the IPv6 checksum flags and cannot dump.  The traps of the
interface are kept here: what Linux calls the cookie is the one we send, and the peer's is the one we expect; the
sublayer is always stated, for without it Linux takes the default one; a checksum attribute is never sent, for its
presence means "on" whatever its value.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import socket
import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pyroute2.netlink import genlmsg, nla

if TYPE_CHECKING:
    from collections.abc import Iterator

FAMILY = "l2tp"
"""Name of the family, and of its one multicast group."""

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 0x1, 0x4, 0x300
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_GENL_ID_CTRL, _CTRL_CMD_GETFAMILY = 16, 3
_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP = 270, 1
_NETLINK_GENERIC = 16  # the socket module of Python 3.11 does not name it
_VERSION_3 = 3
_PWTYPE_ETH = 5


class Command(IntEnum):
    """Commands, in requests, answers and notifications alike."""

    TUNNEL_CREATE = 1
    TUNNEL_DELETE = 2
    TUNNEL_MODIFY = 3
    TUNNEL_GET = 4
    SESSION_CREATE = 5
    SESSION_DELETE = 6
    SESSION_MODIFY = 7
    SESSION_GET = 8


class Message(genlmsg):  # type: ignore[misc]  # pyroute2 ships no types
    """One message of the family, with the attributes that are in use (linux/l2tp.h)."""

    prefix = "L2TP_ATTR_"
    nla_map = (
        (1, "L2TP_ATTR_PW_TYPE", "uint16"),
        (2, "L2TP_ATTR_ENCAP_TYPE", "uint16"),
        (5, "L2TP_ATTR_L2SPEC_TYPE", "uint8"),
        (7, "L2TP_ATTR_PROTO_VERSION", "uint8"),
        (8, "L2TP_ATTR_IFNAME", "asciiz"),
        (9, "L2TP_ATTR_CONN_ID", "uint32"),
        (10, "L2TP_ATTR_PEER_CONN_ID", "uint32"),
        (11, "L2TP_ATTR_SESSION_ID", "uint32"),
        (12, "L2TP_ATTR_PEER_SESSION_ID", "uint32"),
        (15, "L2TP_ATTR_COOKIE", "cdata"),
        (16, "L2TP_ATTR_PEER_COOKIE", "cdata"),
        (18, "L2TP_ATTR_RECV_SEQ", "uint8"),
        (19, "L2TP_ATTR_SEND_SEQ", "uint8"),
        (20, "L2TP_ATTR_LNS_MODE", "uint8"),
        (23, "L2TP_ATTR_FD", "uint32"),
        (24, "L2TP_ATTR_IP_SADDR", "cdata"),
        (25, "L2TP_ATTR_IP_DADDR", "cdata"),
        (26, "L2TP_ATTR_UDP_SPORT", "uint16"),
        (27, "L2TP_ATTR_UDP_DPORT", "uint16"),
        (30, "L2TP_ATTR_STATS", "Statistics"),
        (31, "L2TP_ATTR_IP6_SADDR", "cdata"),
        (32, "L2TP_ATTR_IP6_DADDR", "cdata"),
    )

    class Statistics(nla):  # type: ignore[misc]  # pyroute2 ships no types
        """What a session has counted."""

        nla_map = (
            (6, "RX_SEQ_DISCARDS", "uint64"),
            (8, "RX_ERRORS", "uint64"),
            (10, "RX_COOKIE_DISCARDS", "uint64"),
        )


class _Control(genlmsg):  # type: ignore[misc]  # pyroute2 ships no types
    """A message of the controller, which knows the families by name."""

    nla_map = ((1, "FAMILY_ID", "uint16"), (2, "FAMILY_NAME", "asciiz"), (7, "GROUPS", "*Group"))

    class Group(nla):  # type: ignore[misc]  # pyroute2 ships no types
        """One multicast group."""

        nla_map = ((1, "NAME", "asciiz"), (2, "ID", "uint32"))


class Tunnel(NamedTuple):
    """A tunnel of the kernel: one socket, whose sessions all go to one peer."""

    number: int
    """Its connection ID here, unique in the network namespace."""
    peer_number: int
    encapsulation: int
    """0 over UDP, 1 over IP, as the contract has it too."""
    local: bytes
    peer: bytes
    """Addresses, 4 or 16 octets."""
    local_port: int
    peer_port: int
    """0 over IP."""


class Session(NamedTuple):
    """A session of the kernel with its interface; only the sequencing can be modified."""

    tunnel: int
    number: int
    """Its Session ID here."""
    peer_number: int
    interface: str
    local_cookie: bytes
    """What we expect to receive; ``peer_cookie`` is what we send."""
    peer_cookie: bytes
    sublayer: int
    """0 none, 1 default, in both directions; the kernel does not tell it back, and 0 stands for that."""
    receive_sequencing: bool
    """Frames without a sequence number are dropped."""
    send_sequencing: bool


class Discards(NamedTuple):
    """Received frames that a session has dropped."""

    errors: int
    """All of them."""
    cookie: int
    sequence: int


class L2tp:
    """The family; the constructor raises OSError ENOENT when this kernel has none, even as a module.

    Every method raises OSError with the kernel's errno: EEXIST for a number or a name in use, ENODEV for none such.
    """

    def __init__(self) -> None:
        self._sequences = itertools.count(1)
        with contextlib.ExitStack() as undo:
            self._socket = undo.enter_context(_open())
            self._events = undo.enter_context(_open())
            self._type, group = self._family()
            self._events.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
            self._events.settimeout(0)
            undo.pop_all()

    def close(self) -> None:
        """Close both sockets; what was made stays."""
        self._socket.close()
        self._events.close()

    def fileno(self) -> int:
        """Readable when :meth:`deleted_tunnels` has something."""
        return self._events.fileno()

    def deleted_tunnels(self) -> set[int]:
        """Numbers of the tunnels that anybody deleted since the last call; OSError ENOBUFS if some were lost."""
        deleted = set()
        with contextlib.suppress(BlockingIOError):
            while packet := self._events.recv(1 << 16):
                for _, _, octets in _messages(packet):
                    message = _decoded(Message, octets)
                    if message["cmd"] == Command.TUNNEL_DELETE:
                        deleted.add(_value(message, "CONN_ID"))
        return deleted

    def create_tunnel(self, number: int, peer_number: int, encapsulation: int, descriptor: int) -> Tunnel:
        """Make a tunnel of a socket that is bound and connected; it ends when the last descriptor is closed."""
        self._do(
            Command.TUNNEL_CREATE,
            CONN_ID=number,
            PEER_CONN_ID=peer_number,
            PROTO_VERSION=_VERSION_3,
            ENCAP_TYPE=encapsulation,
            FD=descriptor,
        )
        return _tunnel(self._ask(Command.TUNNEL_GET, CONN_ID=number))

    def delete_tunnel(self, number: int) -> None:
        """Delete a tunnel with its sessions; the kernel does it a moment later."""
        self._do(Command.TUNNEL_DELETE, CONN_ID=number)

    def tunnel(self, number: int) -> Tunnel | None:
        """One tunnel, None if there is none such."""
        try:
            return _tunnel(self._ask(Command.TUNNEL_GET, CONN_ID=number))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise

    def tunnels(self) -> list[Tunnel]:
        """Every L2TPv3 tunnel of the network namespace, whoever made it."""
        return [_tunnel(each) for each in self._dump(Command.TUNNEL_GET) if _value(each, "PROTO_VERSION") == _VERSION_3]

    def create_session(self, session: Session) -> None:
        """Make an Ethernet session and its interface, which is down."""
        cookies = {"COOKIE": session.peer_cookie, "PEER_COOKIE": session.local_cookie}
        self._do(
            Command.SESSION_CREATE, CONN_ID=session.tunnel, SESSION_ID=session.number,
            PEER_SESSION_ID=session.peer_number, PW_TYPE=_PWTYPE_ETH, IFNAME=session.interface,
            L2SPEC_TYPE=session.sublayer, **_sequencing(session),
            **{name: cookie for name, cookie in cookies.items() if cookie},
        )  # fmt: skip

    def modify_session(self, session: Session) -> None:
        """Change the sequencing of a session."""
        self._do(Command.SESSION_MODIFY, CONN_ID=session.tunnel, SESSION_ID=session.number, **_sequencing(session))

    def delete_session(self, tunnel: int, number: int) -> None:
        """Delete a session and its interface."""
        self._do(Command.SESSION_DELETE, CONN_ID=tunnel, SESSION_ID=number)

    def session(self, tunnel: int, number: int) -> Session | None:
        """One session, None if there is none such."""
        try:
            return _session(self._ask(Command.SESSION_GET, CONN_ID=tunnel, SESSION_ID=number))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise

    def sessions(self) -> dict[Session, Discards]:
        """Every Ethernet session of the network namespace, whoever made it, and what it has dropped."""
        dump = self._dump(Command.SESSION_GET)
        return {_session(each): _discards(each) for each in dump if _value(each, "PW_TYPE") == _PWTYPE_ETH}

    def _do(self, command: Command, **attributes: int | str | bytes) -> None:
        for _ in self._exchange(request(command, **attributes), self._type, _NLM_F_ACK):
            pass  # an answer here is an error, which raises

    def _ask(self, command: Command, **attributes: int) -> Message:
        answers = self._exchange(request(command, **attributes), self._type, _NLM_F_ACK)
        (answer,) = [_decoded(Message, each) for each in answers]
        return cast("Message", answer)

    def _dump(self, command: Command) -> list[Message]:
        return [_decoded(Message, each) for each in self._exchange(request(command), self._type, _NLM_F_DUMP)]

    def _family(self) -> tuple[int, int]:
        """Ask for the number of the family and of its group, which loads the module."""
        ask = _Control()
        ask["cmd"], ask["version"], ask["attrs"] = _CTRL_CMD_GETFAMILY, 1, [("FAMILY_NAME", FAMILY)]
        (answer,) = [_decoded(_Control, each) for each in self._exchange(ask, _GENL_ID_CTRL, _NLM_F_ACK)]
        groups = {each.get_attr("NAME"): each.get_attr("ID") for each in answer.get_attr("GROUPS")}
        return answer.get_attr("FAMILY_ID"), groups[FAMILY]

    def _exchange(self, message: genlmsg, kind: int, flags: int) -> Iterator[bytes]:
        """Send one request and give its answers up to the acknowledgement; OSError if that is an error."""
        sequence = next(self._sequences)
        message["header"]["type"] = kind
        message["header"]["flags"] = _NLM_F_REQUEST | flags
        message["header"]["sequence_number"] = sequence
        message.encode()
        self._socket.send(message.data)
        while True:
            for answer, answered, octets in _messages(self._socket.recv(1 << 16)):
                if answered != sequence:
                    continue  # the answer to a request that was given up
                if answer == _NLMSG_ERROR and (code := struct.unpack_from("=i", octets, _HEADER.size)[0]):
                    raise OSError(-code, os.strerror(-code))
                if answer in (_NLMSG_ERROR, _NLMSG_DONE):
                    return
                yield octets


def request(command: Command, **attributes: int | str | bytes) -> Message:
    """Make a request whose attributes are named without their prefix."""
    message = Message()
    message["cmd"], message["version"] = command, 1
    message["attrs"] = [(f"L2TP_ATTR_{name}", value) for name, value in attributes.items()]
    return message


def _open() -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_GENERIC)
    opened.settimeout(5)  # the kernel answers at once; the helper must not hang if it does not
    opened.bind((0, 0))
    return opened


def _messages(packet: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, sequence number and octets of every message in a packet."""
    offset = 0
    while offset + _HEADER.size <= len(packet):
        length, kind, _, sequence, _ = _HEADER.unpack_from(packet, offset)
        yield kind, sequence, packet[offset : offset + length]
        offset += (length + 3) & ~3


def _decoded(kind: type[genlmsg], octets: bytes) -> Any:  # noqa: ANN401  # pyroute2 ships no types
    message = kind(octets)
    message.decode()
    return message


def _value(message: Message, name: str, otherwise: Any = 0) -> Any:  # noqa: ANN401  # each attribute has its own type
    value = message.get_attr(f"L2TP_ATTR_{name}")
    return otherwise if value is None else value


def _sequencing(session: Session) -> dict[str, int]:
    """Give the attributes of sequencing.

    Without LNS_MODE Linux would follow the peer, and turn its own numbers on and off as frames come with or without.
    """
    return {"RECV_SEQ": session.receive_sequencing, "SEND_SEQ": session.send_sequencing, "LNS_MODE": 1}


def _tunnel(message: Message) -> Tunnel:
    return Tunnel(
        number=_value(message, "CONN_ID"),
        peer_number=_value(message, "PEER_CONN_ID"),
        encapsulation=_value(message, "ENCAP_TYPE"),
        local=bytes(_value(message, "IP_SADDR", b"") or _value(message, "IP6_SADDR", b"")),
        peer=bytes(_value(message, "IP_DADDR", b"") or _value(message, "IP6_DADDR", b"")),
        local_port=_value(message, "UDP_SPORT"),
        peer_port=_value(message, "UDP_DPORT"),
    )


def _session(message: Message) -> Session:
    return Session(
        tunnel=_value(message, "CONN_ID"),
        number=_value(message, "SESSION_ID"),
        peer_number=_value(message, "PEER_SESSION_ID"),
        interface=_value(message, "IFNAME", ""),
        local_cookie=bytes(_value(message, "PEER_COOKIE", b"")),
        peer_cookie=bytes(_value(message, "COOKIE", b"")),
        sublayer=_value(message, "L2SPEC_TYPE"),
        receive_sequencing=bool(_value(message, "RECV_SEQ")),
        send_sequencing=bool(_value(message, "SEND_SEQ")),
    )


def _discards(message: Message) -> Discards:
    statistics = _value(message, "STATS", Message.Statistics())
    names = ("RX_ERRORS", "RX_COOKIE_DISCARDS", "RX_SEQ_DISCARDS")  # an older kernel may not have all
    return Discards(*(statistics.get_attr(name) or 0 for name in names))
