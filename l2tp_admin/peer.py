"""Who is at the other end of a UNIX socket, and what that lets them do."""

from __future__ import annotations

import errno
import functools
import pwd
import socket
import struct
from dataclasses import dataclass
from enum import Enum

from l2tp_ctl.admin_schema import READ_ONLY, Command

SO_PEERGROUPS = 59
"""unix(7): the groups that the peer had when it connected.  Python's socket module does not name it."""

_CREDENTIALS = struct.Struct("iII")
_GROUPS_LENGTH = 1024
"""Octets of 256 groups, the most that Python's getsockopt takes."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A connected process, as the kernel vouched for it when it connected."""

    uid: int
    pid: int
    groups: frozenset[int]
    """Its group and its supplementary groups, by number; only its group where it has more than 256."""

    def __str__(self) -> str:
        return f"uid {self.uid} ({user_name(self.uid)}), pid {self.pid}"


def peer_of(connection: socket.socket) -> Peer:
    """Return who connected (SO_PEERCRED, SO_PEERGROUPS); raises ``OSError``."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(credentials)
    try:
        octets = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _GROUPS_LENGTH)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
        octets = b""
    return Peer(uid, pid, frozenset((gid, *struct.unpack(f"{len(octets) // 4}I", octets))))


@functools.lru_cache(maxsize=256)
def user_name(uid: int) -> str:
    """Return the login name of a user, or ``?`` where the number has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return "?"


class Role(Enum):
    """What a caller may do."""

    STRANGER = "stranger"
    """Nothing."""
    VIEWER = "viewer"
    """Commands that change nothing."""
    OPERATOR = "operator"
    """Every command."""

    def may(self, command: Command) -> bool:
        """Tell whether this role allows ``command``."""
        return self is Role.OPERATOR or (self is Role.VIEWER and command in READ_ONLY)


@dataclass(frozen=True, slots=True)
class Roles:
    """Who has which role.  Root and ``own_uid`` are always operators."""

    own_uid: int
    operators: int | None = None
    """Group of the operators, by number; None where there is none."""
    viewers: int | None = None

    def role_of(self, peer: Peer) -> Role:
        """Return the highest role that ``peer`` has."""
        if peer.uid in (0, self.own_uid) or self.operators in peer.groups:
            return Role.OPERATOR
        return Role.VIEWER if self.viewers in peer.groups else Role.STRANGER
