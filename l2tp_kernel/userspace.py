"""The userspace plane: TAP interfaces whose frames an unprivileged forwarder process carries."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from l2tp_kernel.catalogue import Line
from l2tp_kernel.forwarder.control import Forwarder, ForwarderDiedError
from l2tp_kernel.journal import log
from l2tp_kernel.plane import ControlSocket, Interface
from l2tp_kernel.schema import Plane
from l2tp_kernel.sockets import SocketPair, open_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from l2tp_kernel.plane import Adopted, TunnelSocket
    from l2tp_kernel.schema import Counters, Listener, PweParam

T = TypeVar("T")

RESTART_SECONDS = 1.0
"""From one start of the forwarder to the next, at least: what kills it may come again at once."""

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_TUN_EXCL = 0x0002, 0x1000, 0x8000


class _Tap(NamedTuple):
    """An interface lives as long as anybody holds its descriptor, so a forwarder's death does not take it away."""

    descriptor: int
    param: PweParam


class UserspacePlane:
    """The ForwardingPlane that works everywhere; ``user`` is whose rights the forwarder has.

    A forwarder that dies is started again with all sockets and sessions; its counters then begin at 0.
    """

    kind = Plane.USERSPACE

    def __init__(self, user: str) -> None:
        self._pairs: dict[int, SocketPair] = {}
        self._taps: dict[str, _Tap] = {}
        self._forwarder = Forwarder(user)
        self._started = -RESTART_SECONDS
        self._running = False
        self._start()

    def adopt(self) -> list[Adopted]:
        """Nothing: a TAP does not outlive the helper."""
        return []

    def open_listener(self, handle: int, listener: Listener) -> ControlSocket:
        """Open both sockets and give the forwarder the one for data."""
        pair = open_pair(listener)
        try:
            self._tell(lambda forwarder: forwarder.add_socket(handle, pair.data, pair.flavour))
        except OSError:
            pair.close()
            raise
        self._pairs[handle] = pair
        return ControlSocket(pair.control, pair.flavour)

    def close_listener(self, handle: int) -> None:
        """Close both sockets."""
        self._tell(lambda forwarder: forwarder.remove_socket(handle))
        self._pairs.pop(handle).close()

    def check(self, param: PweParam) -> None:
        """All can be done."""

    def set(self, params: Sequence[PweParam]) -> list[Interface | OSError]:
        """Make TAPs, and tell the forwarder all parameters."""
        outcomes: list[Interface | OSError] = []
        for param in params:
            try:
                outcomes.append(Interface(self._set(param), None))
            except OSError as error:
                outcomes.append(error)
        return outcomes

    def delete(self, interfaces: Sequence[str]) -> None:
        """Let go of TAPs, which ends them: a forwarder that cannot be told of one has no copy or dies."""
        for interface in interfaces:
            self._delete(interface)

    def stats(self) -> dict[str, Counters]:
        """Ask the forwarder."""
        return self._tell(lambda forwarder: forwarder.stats())

    def tunnel_sockets(self, listener: int) -> list[TunnelSocket]:
        """None: all control messages arrive at the listener."""
        del listener
        return []

    def news(self) -> list[TunnelSocket]:
        """None likewise."""
        return []

    def fileno(self) -> int:
        """Readable when the forwarder has died, -1 while there is none."""
        return self._forwarder.fileno() if self._running else -1

    def tend(self) -> None:
        """Notice that the forwarder has died, and start it again."""
        with contextlib.suppress(OSError):
            self._tell(lambda forwarder: forwarder.check())

    def close(self) -> None:
        """End the forwarder and close every socket."""
        self._forwarder.close()
        for pair in self._pairs.values():
            pair.close()

    def _set(self, param: PweParam) -> int:
        known = self._taps.get(param.interface)
        descriptor = known.descriptor if known else _open_tap(param.interface)
        try:
            number = socket.if_nametoindex(param.interface)
            self._tell(lambda forwarder: forwarder.set_session(param, None if known else descriptor))
        except OSError:
            if not known:
                os.close(descriptor)
            raise
        self._taps[param.interface] = _Tap(descriptor, param)
        return number

    def _delete(self, interface: str) -> None:
        os.close(self._taps.pop(interface).descriptor)
        with contextlib.suppress(OSError):
            self._tell(lambda forwarder: forwarder.delete_session(interface))

    def _tell(self, call: Callable[[Forwarder], T]) -> T:
        """Do one thing with the forwarder, again if it died meanwhile; OSError EAGAIN while there is none."""
        for _ in range(2):
            if not self._running:
                self._start()
            try:
                return call(self._forwarder)
            except ForwarderDiedError as died:
                log(Line.FORWARDER_FAILED, error=died)
                self._forwarder.close()
                self._running = False
        raise _none()

    def _start(self) -> None:
        if time.monotonic() - self._started < RESTART_SECONDS:
            raise _none()
        self._started = time.monotonic()
        try:
            self._forwarder.start()
            for handle, pair in self._pairs.items():
                self._forwarder.add_socket(handle, pair.data, pair.flavour)
            for tap in self._taps.values():
                self._forwarder.set_session(tap.param, tap.descriptor)
        except (ForwarderDiedError, OSError) as error:
            log(Line.FORWARDER_FAILED, error=error)
            self._forwarder.close()
            raise _none() from None
        self._running = True
        log(Line.FORWARDER_STARTED, pid=self._forwarder.pid, count=len(self._taps))


def _none() -> OSError:
    return OSError(errno.EAGAIN, "no forwarder at this moment")


def _open_tap(name: str) -> int:
    """Make a TAP that did not exist; FileExistsError if any interface has the name."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_TUN_EXCL
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    except OSError as error:
        os.close(descriptor)
        if error.errno == errno.EBUSY:
            raise FileExistsError(errno.EEXIST, name) from None
        raise
    return descriptor
