"""The helper's side of the forwarder: start it, hand it sockets and TAPs, ask for its counts, notice its end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, TypeVar

from l2tp_kernel.forwarder import wire
from l2tp_kernel.forwarder.wire import Strays, Verb, WireError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from l2tp_kernel.schema import Counters, Flavour, PweParam

_T = TypeVar("_T")
_Packed = TypeVar("_Packed")

START_TIMEOUT = 20.0
"""Seconds for the process to import, drop its privileges and say so."""
ANSWER_TIMEOUT = 2.0
"""Seconds for one answer, and for the process to end when it is told."""


class ForwarderDiedError(Exception):
    """The forwarder has ended, does not answer in time, or answers what no forwarder would; its frames are lost.

    :meth:`Forwarder.close` cleans up; after that :meth:`Forwarder.start` begins anew, without sockets and sessions.
    """


class Forwarder:
    """One forwarder process that runs as ``user`` without any privilege.

    Every request returns when it is in force: after :meth:`set_session` frames flow.  Each raises
    :class:`ForwarderDiedError`, and OSError when the forwarder refuses it (nothing was changed then): ENOENT for an
    unknown handle or interface, EEXIST for a handle or Session ID that is taken, EBUSY for a socket that sessions use,
    EINVAL for parameters that do not fit together, EMFILE at its limit of open files.  Not for several threads.
    """

    def __init__(self, user: str) -> None:
        self._user = user
        self._sequence = 0
        self._interfaces: set[str] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    @property
    def pid(self) -> int:
        """Of the running process, 0 before start and after close."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start the process and wait until it has dropped its privileges.

        ForwarderDiedError if it cannot (its own words are on stderr), OSError if no process can be made.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # It imports what we imported: from the same places, and never from the working directory (-P).
        path = os.pathsep.join(filter(None, sys.path))
        self._channel = ours
        self._sequence = 0
        self._interfaces.clear()
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603  # our own interpreter, and no word from anyone else
                    [sys.executable, "-P", "-m", "l2tp_kernel.forwarder", self._user, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env={"PYTHONPATH": path},
                    start_new_session=True,
                )
            self._answer(START_TIMEOUT)
        except (ForwarderDiedError, OSError):
            self.close()
            raise

    def add_socket(self, handle: int, data: socket.socket, flavour: Flavour) -> None:
        """Receive data messages from ``data``, a data socket of sockets.open_pair, known as ``handle`` from now on."""
        self._request(Verb.ADD_SOCKET, handle, int(flavour), descriptors=(data.fileno(),))

    def remove_socket(self, handle: int) -> None:
        """Close the forwarder's copy of this socket, which no session may use any more."""
        self._request(Verb.REMOVE_SOCKET, handle)

    def set_session(self, param: PweParam, tap: int | None) -> None:
        """Forward between ``param.interface`` and its peer with exactly these parameters.

        ``tap`` is the descriptor of the interface (IFF_TAP and IFF_NO_PI), made non-blocking; None keeps the one that
        the forwarder has.  Counters go on across changes.
        """
        self._request(Verb.SET_SESSION, *wire.pack_param(param), descriptors=() if tap is None else (tap,))
        self._interfaces.add(param.interface)

    def delete_session(self, interface: str) -> None:
        """Forward no more; the forwarder's copy of the TAP is closed."""
        self._request(Verb.DELETE_SESSION, interface)
        self._interfaces.discard(interface)

    def stats(self) -> dict[str, Counters]:
        """Counters of every session, by interface."""
        counters: dict[str, Counters] = {}
        for first in range(0, len(self._interfaces), wire.PAGE):
            counters |= self._checked(wire.unpack_counters, self._request(Verb.COUNTERS, first))
        if counters.keys() != self._interfaces:
            raise self._died("counts other interfaces than ours")
        return counters

    def strays(self, handle: int) -> Strays:
        """Datagrams of a socket that belong to no session."""
        return self._checked(wire.unpack_strays, self._request(Verb.STRAYS, handle))

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the forwarder has died."""
        return self._open_channel().fileno()

    def check(self) -> None:
        """Raise ForwarderDiedError if it has."""
        channel = self._open_channel()
        channel.settimeout(0)
        try:
            packet = channel.recv(wire.PACKET)
        except BlockingIOError:
            return
        except OSError as error:
            raise self._died(error.strerror or "channel") from error
        raise self._died("spoke unasked" if packet else "ended")

    def close(self) -> None:
        """End the process and wait for that; every interface that nobody else holds goes with it."""
        if self._channel:
            self._channel.close()
            self._channel = None
        if self._process:
            try:
                self._process.wait(ANSWER_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _request(self, verb: Verb, *arguments: object, descriptors: Sequence[int] = ()) -> object:
        channel = self._open_channel()
        self._sequence += 1
        channel.settimeout(ANSWER_TIMEOUT)
        try:
            socket.send_fds(channel, [wire.pack(self._sequence, verb, *arguments)], descriptors)
        except OSError as error:
            raise self._died(error.strerror or "does not listen") from error
        return self._answer(ANSWER_TIMEOUT)

    def _answer(self, timeout: float) -> object:
        channel = self._open_channel()
        channel.settimeout(timeout)
        try:
            packet = channel.recv(wire.PACKET)
        except OSError as error:
            raise self._died(error.strerror or "does not answer") from error
        if not packet:
            raise self._died("ended")
        sequence, refused, value = self._checked(wire.unpack_answer, packet)
        if sequence != self._sequence:
            raise self._died("answered another question")
        if refused:
            raise OSError(refused, os.strerror(refused))
        return value

    def _checked(self, unpack: Callable[[_Packed], _T], packed: _Packed) -> _T:
        try:
            return unpack(packed)
        except WireError as error:
            raise self._died(str(error)) from error

    def _open_channel(self) -> socket.socket:
        if self._channel is None:
            raise ForwarderDiedError("not started")
        return self._channel

    def _died(self, why: str) -> ForwarderDiedError:
        """Make it true, so that it cannot come back half way through a later request."""
        status = None
        if self._process:
            self._process.kill()
            status = self._process.wait()
        return ForwarderDiedError(f"forwarder: {why} (status {status})")
