"""A double for l2tp-kernel: ``helper_double.py DIRECTORY``.

It speaks the whole contract of ``l2tp_kernel.schema`` to one client at a time and opens real control sockets, but makes
no interface: every pseudowire is granted and remembered, and carries nothing.  So ten thousand of them cost the
machine nothing, and what is measured beside it is the control process.  It needs no privilege and has no policy.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import socket
import sys
from dataclasses import astuple
from pathlib import Path

import msgpack
import zmq

from l2tp_kernel import wire
from l2tp_kernel.schema import TOKEN_LENGTH, Counters, Listener, Plane, PweParam, Status
from l2tp_kernel.sockets import SocketPair, open_pair

MTU = 1446


class Double:
    """What it has granted, and the two sockets of its directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._visitors = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._visitors.bind(str(directory / "descriptors"))
        self._visitors.listen()
        self._router: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
        self._router.bind(f"ipc://{directory / 'command'}")
        self._channel: socket.socket | None = None
        self._handles = itertools.count(1)
        self._listeners: dict[int, tuple[Listener, SocketPair]] = {}
        self._pseudowires: dict[str, PweParam] = {}

    def serve(self) -> None:
        """Serve for ever."""
        poller = zmq.Poller()
        poller.register(self._visitors.fileno(), zmq.POLLIN)
        poller.register(self._router, zmq.POLLIN)
        while True:
            for source, _ in poller.poll():
                if source == self._visitors.fileno():
                    self._greet()
                else:
                    identity, frame = self._router.recv_multipart()
                    sequence, rest = wire.unpack(frame)
                    value = self._carry_out(sequence, wire.decode(rest))
                    self._router.send_multipart([identity, wire.encode(sequence, Status.OK, value)])

    def _greet(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._channel, _ = self._visitors.accept()
        self._channel.send(secrets.token_bytes(TOKEN_LENGTH))

    def _carry_out(self, sequence: int, request: wire.Request) -> object:
        match request:
            case wire.Hello():
                return [[Plane.USERSPACE], os.getpid()]
            case Listener():
                return self._open(sequence, request)
            case wire.SetPweParam(params):
                self._pseudowires |= {one.interface: one for one in params}
                return [[Status.OK, [one.interface, one.mtu or MTU, 1]] for one in params]
            case wire.DeletePwe(deletions):
                for one in deletions:
                    self._pseudowires.pop(one.interface, None)
                return [[Status.OK, None]] * len(deletions)
            case wire.List():
                listeners = [(*astuple(listener), handle) for handle, (listener, _) in self._listeners.items()]
                return [listeners, [astuple(one) for one in self._pseudowires.values()]]
            case wire.Stats(interfaces):
                counted = astuple(Counters(*range(1_000_000_000, 1_000_000_009)))
                return [(name, *counted) for name in interfaces or self._pseudowires]
            case wire.CloseListener(handle):
                self._listeners.pop(handle)[1].close()
        return None

    def _open(self, sequence: int, listener: Listener) -> list[int]:
        handle = next((handle for handle, (known, _) in self._listeners.items() if known == listener), 0)
        if not handle:
            handle = next(self._handles)
            self._listeners[handle] = listener, open_pair(listener)
        pair = self._listeners[handle][1]
        assert self._channel is not None, "an identity without a side channel"
        socket.send_fds(self._channel, [msgpack.packb([sequence, handle])], [pair.control.fileno()])
        return [handle, pair.flavour]


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        Double(Path(sys.argv[1])).serve()
