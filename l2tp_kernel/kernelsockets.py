"""The kernel plane's sockets: one listener for control messages, and one connected socket under each kernel tunnel.

Over UDP a tunnel's socket shares address and port with the listener; being connected it wins all that its peer sends.
The kernel takes the data messages off it and leaves the control messages to whoever holds a descriptor.  Over IP
protocol 115 a raw socket sees a copy of every control message, so the tunnels' own copies are dropped.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import socket
import struct
from typing import TYPE_CHECKING

from l2tp_kernel import sockets
from l2tp_kernel.plane import ControlSocket
from l2tp_kernel.schema import Encapsulation, Flavour

if TYPE_CHECKING:
    from l2tp_kernel.schema import Listener

_UDP_HEADER_LENGTH = 8
_NOWHERE = 9
"""The discard port: nothing is sent there, and nothing comes from it."""

_libc = ctypes.CDLL(None, use_errno=True)


def open_listener(listener: Listener, *, beside: bool) -> ControlSocket:
    """Open the control socket of a listener; ``beside`` tunnels' sockets that an earlier helper opened and left.

    Otherwise the port must be free.  OSError as socket, bind and setsockopt raise it, with nothing left open.
    """
    family, host = _place(listener.address)
    with contextlib.ExitStack() as undo:
        if listener.encapsulation is Encapsulation.UDP:
            control = undo.enter_context(sockets.make_socket(family, socket.SOCK_DGRAM, 0))
            if beside:
                control.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            control.bind((host, listener.port))
            control.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            _keep_control(control)
            flavour = Flavour.UDP
        else:
            control = undo.enter_context(sockets.make_socket(family, socket.SOCK_RAW, sockets.IPPROTO_L2TP))
            sockets.filter_sessions(control, control=True)
            control.bind((host, 0))
            flavour = Flavour.RAW4 if family == socket.AF_INET else Flavour.RAW6
        sockets.set_buffers(control, sockets.CONTROL_BUFFER)
        undo.pop_all()
        return ControlSocket(control, flavour)


def open_tunnel(listener: Listener, local: bytes, peer: bytes, peer_port: int) -> socket.socket:
    """Open a socket from ``local``, all zero for the route's choice, to ``peer``, ready to become a tunnel.

    Over IP it is bound to a Control Connection ID that nobody uses: control messages arrive at the listener, and the ID
    of a tunnel that is made again may still be taken by the copy that a client holds.
    """
    family, host = _place(local)
    with contextlib.ExitStack() as undo:
        if listener.encapsulation is Encapsulation.UDP:
            opened = undo.enter_context(sockets.make_socket(family, socket.SOCK_DGRAM, 0))
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            opened.bind((host, listener.port))
            opened.connect((_place(peer)[1], peer_port))
            _keep_control(opened)
        else:
            opened = undo.enter_context(sockets.make_socket(family, socket.SOCK_DGRAM, sockets.IPPROTO_L2TP))
            sockets.attach_filter(opened, [sockets.DROP])
            unused = 1 + secrets.randbelow(2**32 - 1)
            _call(_libc.bind, opened, _l2tpip(local, unused))
            _call(_libc.connect, opened, _l2tpip(peer, unused))
        sockets.set_buffers(opened, sockets.CONTROL_BUFFER)
        undo.pop_all()
        return opened


def retire(opened: socket.socket) -> None:
    """Take a tunnel's socket out of the way and close it: the client may hold its copy for a while yet."""
    with opened, contextlib.suppress(OSError):
        if opened.proto != sockets.IPPROTO_L2TP:
            opened.connect((opened.getsockname()[0], _NOWHERE))


def _keep_control(opened: socket.socket) -> None:
    """Drop data messages that belong to no session: the filter sees the UDP header first, then the T bit."""
    sockets.attach_filter(opened, sockets.keep_with_t_bit(_UDP_HEADER_LENGTH))


def _place(address: bytes) -> tuple[socket.AddressFamily, str]:
    family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
    return family, socket.inet_ntop(family, address)


def _l2tpip(address: bytes, connection_id: int) -> bytes:
    """Lay out a sockaddr_l2tpip or sockaddr_l2tpip6, which the socket module does not know."""
    if len(address) == 4:
        return struct.pack("=HH4sI4x", socket.AF_INET, 0, address, connection_id)
    return struct.pack("=HHI16sII", socket.AF_INET6, 0, 0, address, 0, connection_id)


def _call(function: ctypes._NamedFuncPointer, opened: socket.socket, address: bytes) -> None:
    if function(opened.fileno(), address, len(address)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
