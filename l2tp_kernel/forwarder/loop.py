"""The forwarder's loop: one epoll over the helper's channel, the data sockets and the TAPs."""

from __future__ import annotations

import errno
import itertools
import os
import select
import socket
from typing import TYPE_CHECKING, Protocol

from l2tp_kernel.forwarder import wire
from l2tp_kernel.forwarder.ports import End, Port
from l2tp_kernel.forwarder.wire import Verb
from l2tp_kernel.schema import Flavour

if TYPE_CHECKING:
    from collections.abc import Callable


class _Ready(Protocol):
    """Something with a descriptor and work to do when that is readable."""

    def fileno(self) -> int: ...

    def turn(self) -> None: ...


class _ClosedError(Exception):
    """The helper has closed the channel."""


class Loop:
    """Forward until the helper closes ``channel``, a SOCK_SEQPACKET socket."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._ports: dict[int, Port] = {}
        self._ends: dict[str, End] = {}
        self._ready: dict[int, _Ready] = {}
        self._epoll = select.epoll()
        self._verbs: dict[Verb, Callable[..., object]] = {
            Verb.ADD_SOCKET: self._add_socket,
            Verb.REMOVE_SOCKET: self._remove_socket,
            Verb.SET_SESSION: self._set_session,
            Verb.DELETE_SESSION: self._delete_session,
            Verb.COUNTERS: self._counters,
            Verb.STRAYS: self._strays,
        }

    def run(self) -> None:
        """Say that we work, then forward; returns when the helper has gone."""
        self._channel.send(wire.pack(0, 0, None))
        self._epoll.register(self._channel, select.EPOLLIN)
        channel = self._channel.fileno()
        try:
            while True:
                for descriptor, _ in self._epoll.poll():
                    if descriptor == channel:
                        self._serve()
                    elif (ready := self._ready.get(descriptor)) is not None:
                        self._turn(descriptor, ready)
        except _ClosedError:
            return

    def _turn(self, descriptor: int, ready: _Ready) -> None:
        try:
            ready.turn()
        except OSError:  # only a TAP whose interface somebody removed: leave it until the helper deletes the session
            self._ignore(descriptor)

    def _serve(self) -> None:
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._channel, wire.PACKET, 1)
        except ConnectionError as gone:
            raise _ClosedError from gone
        if not packet:
            raise _ClosedError
        sequence, verb, arguments = wire.unpack_request(packet)
        error, value = 0, None
        try:
            value = self._verbs[verb](descriptors, *arguments)
        except OSError as failed:
            error = failed.errno or errno.EIO
            for descriptor in descriptors:
                os.close(descriptor)
        try:
            self._channel.send(wire.pack(sequence, error, value))
        except ConnectionError as gone:
            raise _ClosedError from gone

    def _add_socket(self, descriptors: list[int], handle: int, flavour: int) -> None:
        if handle in self._ports:
            raise OSError(errno.EEXIST, "handle")
        descriptor = _one(descriptors)
        os.set_blocking(descriptor, False)
        self._ports[handle] = port = Port(socket.socket(fileno=descriptor), Flavour(flavour))
        self._watch(port)

    def _remove_socket(self, _: list[int], handle: int) -> None:
        port = self._port(handle)
        if port.ends:
            raise OSError(errno.EBUSY, "sessions use it")
        del self._ports[handle]
        self._ignore(port.fileno())
        port.socket.close()

    def _set_session(self, descriptors: list[int], *fields: object) -> None:
        param = wire.unpack_param(list(fields))
        port = self._port(param.listener)
        end = self._ends.get(param.interface)
        if port.ends.get(param.local_session_id, end) is not end:
            raise OSError(errno.EEXIST, "session ID")
        try:
            if end is None:
                end = self._ends[param.interface] = End(port, param, _one(descriptors))
            else:
                before, session_id = end.port, end.pseudowire.param.local_session_id
                end.set(port, param)
                del before.ends[session_id]
                if descriptors:
                    self._release(end)
                    end.tap = _one(descriptors)
        except ValueError as unfit:
            raise OSError(errno.EINVAL, str(unfit)) from unfit
        port.ends[param.local_session_id] = end
        if descriptors:
            os.set_blocking(end.tap, False)
            self._watch(end)

    def _delete_session(self, _: list[int], interface: str) -> None:
        end = self._ends.get(interface)
        if end is None:
            raise OSError(errno.ENOENT, "interface")
        del self._ends[interface]
        del end.port.ends[end.pseudowire.param.local_session_id]
        self._release(end)

    def _release(self, end: End) -> None:
        """Close the TAP; not before epoll forgot it, which would go on while the helper holds it too."""
        self._ignore(end.tap)
        os.close(end.tap)

    def _counters(self, _: list[int], first: int) -> object:
        ends = itertools.islice(self._ends.items(), first, first + wire.PAGE)
        return wire.pack_counters([(interface, end.pseudowire.counters()) for interface, end in ends])

    def _strays(self, _: list[int], handle: int) -> object:
        port = self._port(handle)
        return [port.unknown, port.malformed]

    def _port(self, handle: int) -> Port:
        if (port := self._ports.get(handle)) is None:
            raise OSError(errno.ENOENT, "handle")
        return port

    def _watch(self, ready: _Ready) -> None:
        self._ready[ready.fileno()] = ready
        self._epoll.register(ready.fileno(), select.EPOLLIN)

    def _ignore(self, descriptor: int) -> None:
        if self._ready.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)


def _one(descriptors: list[int]) -> int:
    """Return the descriptor that came with the request; without it our limit of open files is reached."""
    if not descriptors:
        raise OSError(errno.EMFILE, "no descriptor")
    return descriptors[0]
