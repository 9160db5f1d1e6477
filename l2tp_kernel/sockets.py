"""The two sockets of one listener: control messages reach the one, data messages the other, told apart by the kernel.

Both share the address and, over UDP, the port.  A classic BPF program looks at the first octets: over UDP it picks the
socket of a SO_REUSEPORT group by the T bit (RFC 3931, section 3.2.1), over IP protocol 115 each raw socket sees its
own copy of every packet and filters on the Session ID, zero for control (section 4.1.1).

UDP_GRO stays off, though it would save calls: control and data share addresses and ports, so GRO glues a control
message to the end of a train of data messages that goes before it, and the program sees the train's first octets only.
Under load the data socket would swallow most control messages.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from l2tp_kernel.schema import Encapsulation, Flavour

if TYPE_CHECKING:
    from l2tp_kernel.schema import Listener

IPPROTO_L2TP = 115

CONTROL_BUFFER = 1 << 20
"""Octets of receive and of send buffer that are asked for; the kernel counts its own overhead in."""
DATA_BUFFER = 8 << 20

# Numbers of Linux that the socket module of Python 3.11 does not name.
_IP_PKTINFO = 8
_IP_MTU_DISCOVER = 10
_IPV6_MTU_DISCOVER = 23
_PMTUDISC_DONT = 0
_SO_ATTACH_FILTER = 26
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_SO_ATTACH_REUSEPORT_CBPF = 51

# Classic BPF, each instruction (code, jump if true, jump if false, operand).
_LOAD_OCTET, _LOAD_WORD, _LOAD_WORD_AT_X, _LOAD_HEADER_LENGTH_TO_X = 0x30, 0x20, 0x40, 0xB1
_SET_TO, _SET_X_TO = 0x00, 0x01
_JUMP_IF_SET, _JUMP_IF_EQUAL, _RETURN = 0x45, 0x15, 0x06
_ALL = 0xFFFFFFFF
_T_BIT = 0x80
_KIND_OF_NETLINK = 4 if sys.byteorder == "little" else 5
"""Where the lower octet of a netlink message's kind is."""
_FIND_ATTRIBUTE = 0xFFFFF000 + 12
"""Loaded from there: where the first netlink attribute of kind X is from offset A on, or 0 (SKF_AD_NLATTR)."""

Instruction = tuple[int, int, int, int]
DROP: Instruction = (_RETURN, 0, 0, 0)
"""A filter of this alone keeps nothing."""

_STEER: list[Instruction] = [
    (_LOAD_OCTET, 0, 0, 0),
    (_JUMP_IF_SET, 0, 1, _T_BIT),
    (_RETURN, 0, 0, 0),  # the group's first socket: control
    (_RETURN, 0, 0, 1),  # its second: data
]


@dataclass(frozen=True, slots=True)
class SocketPair:
    """Both sockets of one listener, bound, not blocking, closed on exec, and told the local address of each packet."""

    control: socket.socket
    data: socket.socket
    flavour: Flavour

    def close(self) -> None:
        """Close both; what the forwarder or the control process holds stays open."""
        self.control.close()
        self.data.close()


def open_pair(listener: Listener) -> SocketPair:
    """Open the control and the data socket of ``listener``.

    Over UDP the port must be free: nobody else's socket joins the group unnoticed.  Raises OSError as socket, bind and
    setsockopt do (EADDRINUSE, EADDRNOTAVAIL, EPERM without CAP_NET_RAW over IP), with nothing left open.
    """
    family = socket.AF_INET if len(listener.address) == 4 else socket.AF_INET6
    host = socket.inet_ntop(family, listener.address)
    with contextlib.ExitStack() as undo:
        if listener.encapsulation is Encapsulation.UDP:
            flavour = Flavour.UDP
            control, data = (undo.enter_context(make_socket(family, socket.SOCK_DGRAM, 0)) for _ in range(2))
            # Bound before it shares: that fails if anyone is there. Control is then the first of the group, index 0.
            control.bind((host, listener.port))
            control.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            data.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            data.bind((host, listener.port))
            _attach(data, _SO_ATTACH_REUSEPORT_CBPF, _STEER)
        else:
            flavour = Flavour.RAW4 if family == socket.AF_INET else Flavour.RAW6
            control, data = (undo.enter_context(make_socket(family, socket.SOCK_RAW, IPPROTO_L2TP)) for _ in range(2))
            for sock, wants_control in ((control, True), (data, False)):
                filter_sessions(sock, control=wants_control)
                sock.bind((host, 0))
        for sock, octets in ((control, CONTROL_BUFFER), (data, DATA_BUFFER)):
            set_buffers(sock, octets)
        undo.pop_all()
        return SocketPair(control, data, flavour)


def make_socket(family: socket.AddressFamily, kind: socket.SocketKind, protocol: int) -> socket.socket:
    """Open an unbound socket as every socket here is: not blocking, and told local addresses."""
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
    try:
        # A tunnel carries whole frames through any path: outer packets are fragmented, here and on the way.
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DONT)
        else:
            if protocol == 0:  # UDP; sockets of protocol 115 know no other family
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_DONT)
    except OSError:
        sock.close()
        raise
    return sock


def filter_sessions(sock: socket.socket, *, control: bool) -> None:
    """Keep packets with Session ID zero, or all others; IPv4 raw sockets see the IP header first, IPv6 ones do not."""
    load: list[Instruction] = [(_LOAD_WORD, 0, 0, 0)]
    if sock.family == socket.AF_INET:
        load = [(_LOAD_HEADER_LENGTH_TO_X, 0, 0, 0), (_LOAD_WORD_AT_X, 0, 0, 0)]
    if_zero, otherwise = (_ALL, 0) if control else (0, _ALL)
    attach_filter(sock, [*load, (_JUMP_IF_EQUAL, 0, 1, 0), (_RETURN, 0, 0, if_zero), (_RETURN, 0, 0, otherwise)])


def keep_with_t_bit(offset: int) -> list[Instruction]:
    """Make a filter that keeps control messages alone, whose first octet is at ``offset``."""
    return [(_LOAD_OCTET, 0, 0, offset), (_JUMP_IF_SET, 0, 1, _T_BIT), (_RETURN, 0, 0, _ALL), DROP]


def keep_octet(offset: int, value: int) -> list[Instruction]:
    """Make a filter that keeps only what has this octet at ``offset``."""
    return [(_LOAD_OCTET, 0, 0, offset), (_JUMP_IF_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALL), DROP]


def drop_without(attribute: int, offset: int, *, kind: int, word: int) -> list[Instruction]:
    """Make a filter that drops of one kind of netlink messages those without ``attribute`` from ``offset`` on.

    It keeps them where any, but not every bit is set in the 32 bits at ``word``.
    """
    return [
        (_LOAD_OCTET, 0, 0, _KIND_OF_NETLINK),
        (_JUMP_IF_EQUAL, 0, 7, kind),
        (_LOAD_WORD, 0, 0, word),
        (_JUMP_IF_EQUAL, 1, 0, 0),
        (_JUMP_IF_EQUAL, 0, 4, _ALL),
        (_SET_X_TO, 0, 0, attribute),
        (_SET_TO, 0, 0, offset),
        (_LOAD_WORD, 0, 0, _FIND_ATTRIBUTE),
        (_JUMP_IF_EQUAL, 1, 0, 0),
        (_RETURN, 0, 0, _ALL),
        DROP,
    ]


def attach_filter(sock: socket.socket, program: list[Instruction]) -> None:
    """Let a socket receive only what ``program`` keeps."""
    _attach(sock, _SO_ATTACH_FILTER, program)


def set_buffers(sock: socket.socket, octets: int) -> None:
    """Set the receive and the send buffer."""
    _set_buffer(sock, _SO_RCVBUFFORCE, socket.SO_RCVBUF, octets)
    _set_buffer(sock, _SO_SNDBUFFORCE, socket.SO_SNDBUF, octets)


def _attach(sock: socket.socket, option: int, program: list[Instruction]) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("@HP", len(program), ctypes.addressof(code)))


def _set_buffer(sock: socket.socket, force: int, ordinary: int, octets: int) -> None:
    """Take the size past the system's limit where CAP_NET_ADMIN allows it, else as much as the limit gives."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, force, octets)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, ordinary, octets)
