"""The kernel's generic netlink family "l2tp" (linux/l2tp.h).

The traps of the interface are kept here: what Linux calls the cookie is the one we send, and the peer's is the one we
expect; the sublayer is always stated, for without it Linux takes the default one; a checksum attribute is never sent,
for its presence means "on" whatever its value.
"""

from __future__ import annotations

import contextlib
import errno
import struct
from typing import TYPE_CHECKING, NamedTuple

from l2tp_kernel import netlink
from l2tp_kernel.netlink import Request, integer, octets, text, u8, u16, u32
from l2tp_kernel.sockets import keep_octet

if TYPE_CHECKING:
    from collections.abc import Sequence

FAMILY = "l2tp"
"""Name of the family, and of its one multicast group."""

_NETLINK_GENERIC = 16  # the socket module of Python 3.11 does not name it
_HEADER = struct.Struct("=BBxx")  # struct genlmsghdr: command and version
_CREATE_SESSION = struct.Struct("=BBxx HHI HHI HHI HHHxx HHB3x HHB3x HHB3x HHB3x")  # at once: thousands may be made
_CONTROLLER, _GETFAMILY = 16, 3
_FAMILY_ID, _FAMILY_NAME, _GROUPS, _GROUP_NAME, _GROUP_ID = 1, 2, 7, 1, 2
_VERSION_3 = 3
_PWTYPE_ETH = 5

_TUNNEL_CREATE, _TUNNEL_DELETE, _TUNNEL_GET = 1, 2, 4  # commands, in notifications too
_SESSION_CREATE, _SESSION_DELETE, _SESSION_MODIFY, _SESSION_GET = 5, 6, 7, 8

# Attributes, by their names in linux/l2tp.h without L2TP_ATTR_; those of the last line are inside STATS.
_PW_TYPE, _ENCAP_TYPE, _L2SPEC_TYPE, _PROTO_VERSION, _IFNAME = 1, 2, 5, 7, 8
_CONN_ID, _PEER_CONN_ID, _SESSION_ID, _PEER_SESSION_ID, _COOKIE, _PEER_COOKIE = 9, 10, 11, 12, 15, 16
_RECV_SEQ, _SEND_SEQ, _LNS_MODE, _FD, _STATS = 18, 19, 20, 23, 30
_IP_SADDR, _IP_DADDR, _UDP_SPORT, _UDP_DPORT, _IP6_SADDR, _IP6_DADDR = 24, 25, 26, 27, 31, 32
_RX_SEQ_DISCARDS, _RX_ERRORS, _RX_COOKIE_DISCARDS = 6, 8, 10


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
    """A session of the kernel with its interface."""

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

    @property
    def fixed(self) -> tuple[object, ...]:
        """What cannot be modified: all but the sequencing."""
        return self[:-2]


class Discards(NamedTuple):
    """Received frames that a session has dropped."""

    errors: int
    """All of them."""
    cookie: int
    sequence: int


class L2tp:
    """The family; the constructor raises OSError ENOENT when this kernel has none, even as a module.

    Errors have the kernel's errno: EEXIST for a number or a name in use, ENODEV for none such.
    """

    def __init__(self) -> None:
        with contextlib.ExitStack() as undo:
            self._netlink = undo.enter_context(contextlib.closing(netlink.Netlink(_NETLINK_GENERIC)))
            deletions = netlink.Monitor(_NETLINK_GENERIC, keep=keep_octet(netlink.HEADER, _TUNNEL_DELETE))
            self._monitor = undo.enter_context(contextlib.closing(deletions))
            # Asking for the family loads the module.
            self._family, group = read_family(self._netlink.ask(Request(_CONTROLLER, get_family())))
            self._monitor.join(group)
            undo.pop_all()

    def close(self) -> None:
        """Close both sockets; what was made stays."""
        self._netlink.close()
        self._monitor.close()

    def fileno(self) -> int:
        """Readable when :meth:`deleted_tunnels` has something."""
        return self._monitor.fileno()

    def deleted_tunnels(self) -> set[int]:
        """Numbers of the tunnels that anybody deleted since the last call; OSError ENOBUFS if some were lost."""
        told = (body for packet in self._monitor.packets() for _, _, body in netlink.messages(packet))
        return {integer(netlink.attributes(body, _HEADER.size)[_CONN_ID]) for body in told}

    def carry_out(self, requests: Sequence[bytes]) -> list[OSError | None]:
        """Have many of the requests below carried out in order, and give the error of each."""
        return self._netlink.burst(self._family, requests)

    def create_tunnel(self, number: int, peer_number: int, encapsulation: int, descriptor: int) -> Tunnel:
        """Make a tunnel of a socket that is bound and connected; it ends when the last descriptor is closed."""
        request = create_tunnel(number, peer_number, encapsulation, descriptor)
        for error in filter(None, self.carry_out([request])):
            raise error
        return read_tunnel(self._netlink.ask(Request(self._family, get_tunnel(number))))

    def tunnel(self, number: int) -> Tunnel | None:
        """One tunnel, None if there is none such."""
        try:
            return read_tunnel(self._netlink.ask(Request(self._family, get_tunnel(number))))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise

    def tunnels(self) -> list[Tunnel]:
        """Every tunnel of the network namespace, whoever made it."""
        return list(map(read_tunnel, self._netlink.dump(Request(self._family, _HEADER.pack(_TUNNEL_GET, 1)))))

    def sessions(self) -> dict[Session, Discards]:
        """Every Ethernet session of the network namespace, whoever made it, and what it has dropped."""
        found = self._netlink.dump(Request(self._family, _HEADER.pack(_SESSION_GET, 1)))
        return dict(filter(None, map(read_session, found)))


def get_family() -> bytes:
    """Ask for the number of the family and of its group."""
    return _HEADER.pack(_GETFAMILY, 1) + text(_FAMILY_NAME, FAMILY)


def get_tunnel(number: int) -> bytes:
    """Ask for one tunnel."""
    return _HEADER.pack(_TUNNEL_GET, 1) + u32(_CONN_ID, number)


def create_tunnel(number: int, peer_number: int, encapsulation: int, descriptor: int) -> bytes:
    """Make a tunnel of a socket."""
    return (
        _HEADER.pack(_TUNNEL_CREATE, 1) + u32(_CONN_ID, number) + u32(_PEER_CONN_ID, peer_number)
        + u8(_PROTO_VERSION, _VERSION_3) + u16(_ENCAP_TYPE, encapsulation) + u32(_FD, descriptor)
    )  # fmt: skip


def delete_tunnel(number: int) -> bytes:
    """Delete a tunnel with its sessions; the kernel does it a moment later."""
    return _HEADER.pack(_TUNNEL_DELETE, 1) + u32(_CONN_ID, number)


def create_session(session: Session) -> bytes:
    """Make an Ethernet session and its interface, which is down."""
    fixed = _CREATE_SESSION.pack(
        _SESSION_CREATE, 1,
        8, _CONN_ID, session.tunnel,
        8, _SESSION_ID, session.number,
        8, _PEER_SESSION_ID, session.peer_number,
        6, _PW_TYPE, _PWTYPE_ETH,
        5, _L2SPEC_TYPE, session.sublayer,
        5, _RECV_SEQ, session.receive_sequencing,
        5, _SEND_SEQ, session.send_sequencing,
        5, _LNS_MODE, 1,  # see _sequencing
    )  # fmt: skip
    cookie = octets(_COOKIE, session.peer_cookie) if session.peer_cookie else b""
    peer_cookie = octets(_PEER_COOKIE, session.local_cookie) if session.local_cookie else b""
    return fixed + text(_IFNAME, session.interface) + cookie + peer_cookie


def modify_session(session: Session) -> bytes:
    """Change the sequencing of a session."""
    return _session(_SESSION_MODIFY, session) + _sequencing(session)


def delete_session(session: Session) -> bytes:
    """Delete a session and its interface."""
    return _session(_SESSION_DELETE, session)


def _session(command: int, session: Session) -> bytes:
    return _HEADER.pack(command, 1) + u32(_CONN_ID, session.tunnel) + u32(_SESSION_ID, session.number)


def _sequencing(session: Session) -> bytes:
    """Give the attributes of sequencing.

    Without LNS_MODE Linux would follow the peer, and turn its own numbers on and off as frames come with or without.
    """
    return u8(_RECV_SEQ, session.receive_sequencing) + u8(_SEND_SEQ, session.send_sequencing) + u8(_LNS_MODE, 1)


def read_family(body: bytes) -> tuple[int, int]:
    """Numbers of the family and of its group."""
    found = netlink.attributes(body, _HEADER.size)
    groups = [netlink.attributes(each) for each in netlink.attributes(found[_GROUPS]).values()]
    (group,) = (integer(each[_GROUP_ID]) for each in groups if netlink.string(each[_GROUP_NAME]) == FAMILY)
    return integer(found[_FAMILY_ID]), group


def read_tunnel(body: bytes) -> Tunnel:
    """Read a tunnel, of either version of the protocol."""
    found = netlink.attributes(body, _HEADER.size)
    return Tunnel(
        number=integer(found.get(_CONN_ID)),
        peer_number=integer(found.get(_PEER_CONN_ID)),
        encapsulation=integer(found.get(_ENCAP_TYPE)),
        local=found.get(_IP_SADDR) or found.get(_IP6_SADDR) or b"",
        peer=found.get(_IP_DADDR) or found.get(_IP6_DADDR) or b"",
        local_port=integer(found.get(_UDP_SPORT)),
        peer_port=integer(found.get(_UDP_DPORT)),
    )


def read_session(body: bytes) -> tuple[Session, Discards] | None:
    """Read a session and what it has dropped; None if it is no Ethernet session."""
    found = netlink.attributes(body, _HEADER.size)
    if integer(found.get(_PW_TYPE)) != _PWTYPE_ETH:
        return None
    session = Session(
        tunnel=integer(found.get(_CONN_ID)),
        number=integer(found.get(_SESSION_ID)),
        peer_number=integer(found.get(_PEER_SESSION_ID)),
        interface=netlink.string(found.get(_IFNAME)),
        local_cookie=found.get(_PEER_COOKIE, b""),
        peer_cookie=found.get(_COOKIE, b""),
        sublayer=integer(found.get(_L2SPEC_TYPE)),
        receive_sequencing=bool(integer(found.get(_RECV_SEQ))),
        send_sequencing=bool(integer(found.get(_SEND_SEQ))),
    )
    counted = netlink.attributes(found.get(_STATS, b""))  # an older kernel may not have all
    kinds = (_RX_ERRORS, _RX_COOKIE_DISCARDS, _RX_SEQ_DISCARDS)
    return session, Discards(*(integer(counted.get(kind)) for kind in kinds))
