"""A small synchronous client of l2tp-kernel: what the control process does, one step at a time."""

from __future__ import annotations

import os
import select
import socket
import time
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import msgpack
import zmq

from l2tp_kernel.schema import VERSION, Flavour, Listener, PweParam, Reason, Status, Verb
from tests.support.netns import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

TIMEOUT = 5.0 * PATIENCE


class RefusedError(Exception):
    """The helper refused; ``reason`` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.name)
        self.reason = reason


class FailedError(OSError):
    """The helper failed, with the errno it answered."""


class HelperClient:
    """One connection to the helper whose sockets are in ``directory``; ``greet=False`` leaves HELLO to the caller.

    ``unread`` limits the answers that wait here to be read.
    """

    def __init__(self, directory: Path, *, greet: bool = True, unread: int = 1000) -> None:
        self.events: list[list[Any]] = []
        """What the helper has told by itself, oldest first."""
        self.tunnels: dict[int, socket.socket] = {}
        """Sockets of the kernel plane, by the number of the tunnel."""
        self.sequence = 0
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(TIMEOUT)
        self._context = zmq.Context()
        self._dealer = self._context.socket(zmq.DEALER)
        self._dealer.set(zmq.LINGER, 0)
        self._dealer.set(zmq.RCVHWM, unread)
        try:
            self.channel.connect(str(directory / "descriptors"))
            self.token = self.channel.recv(64)
            self._dealer.connect(f"ipc://{directory / 'command'}")
            if greet:
                self.planes, self.helper_pid = self.request(Verb.HELLO, VERSION, self.token)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> HelperClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, as a crash of the client would."""
        self.channel.close()
        for each in self.tunnels.values():
            each.close()
        self._context.destroy()

    def send(self, *frames: bytes) -> None:
        """Send a message as it is."""
        self._dealer.send_multipart(list(frames))

    def receive(self, timeout: float = TIMEOUT) -> list[Any] | None:
        """Next answer as ``[sequence, status, value]``, events put aside; None if none comes in time."""
        deadline = time.monotonic() + timeout
        while self._dealer.poll(max(0, int((deadline - time.monotonic()) * 1000))):
            answer: list[Any] = msgpack.unpackb(self._dealer.recv())
            if answer[1] != Status.EVENT:
                return answer
            self.events.append(answer[2])
        return None

    def request(self, verb: Verb, *arguments: object) -> Any:
        """Ask for one verb and give its result; RefusedError or FailedError."""
        self.sequence += 1
        self.send(msgpack.packb([self.sequence, verb, *arguments]))
        answer = self.receive()
        assert answer is not None, f"no answer to {verb.name}"
        assert answer[0] == self.sequence
        return result(answer[1:])

    def event(self, timeout: float = TIMEOUT) -> list[Any]:
        """Next event; AssertionError if none comes in time."""
        deadline = time.monotonic() + timeout
        while not self.events:
            left = deadline - time.monotonic()
            assert left > 0, f"no event within {timeout:g} s"
            assert self.receive(min(left, 0.05)) is None, "an answer that nobody waits for"
        return self.events.pop(0)

    def open_listener(self, listener: Listener) -> tuple[int, Flavour, socket.socket]:
        """Handle, flavour and control socket of a listener."""
        handle, flavour = self.request(Verb.OPEN_LISTENER, *astuple(listener))
        packet, descriptors, _, _ = socket.recv_fds(self.channel, 64, 1)
        while msgpack.unpackb(packet)[0] == 0:
            self._take_tunnel(packet, descriptors)
            packet, descriptors, _, _ = socket.recv_fds(self.channel, 64, 1)
        assert msgpack.unpackb(packet) == [self.sequence, handle]
        os.set_inheritable(descriptors[0], False)  # noqa: FBT003  # the standard library's signature
        return handle, Flavour(flavour), socket.socket(fileno=descriptors[0])

    def read_tunnels(self) -> None:
        """Take the kernel plane's sockets that have come."""
        while select.select([self.channel], [], [], 0)[0]:
            packet, descriptors, _, _ = socket.recv_fds(self.channel, 64, 1)
            self._take_tunnel(packet, descriptors)

    def _take_tunnel(self, packet: bytes, descriptors: list[int]) -> None:
        _, _, tunnel = msgpack.unpackb(packet)
        if tunnel in self.tunnels:
            self.tunnels.pop(tunnel).close()
        if descriptors:
            os.set_inheritable(descriptors[0], False)  # noqa: FBT003  # the standard library's signature
            self.tunnels[tunnel] = socket.socket(fileno=descriptors[0])

    def set_pwe(self, param: PweParam) -> tuple[str, int, int]:
        """Set one pseudowire: its interface, MTU and index."""
        (outcome,) = self.request(Verb.SET_PWE_PARAM, [astuple(param)])
        interface, mtu, index = result(outcome)
        return interface, mtu, index

    def delete_pwe(self, interface: str, local_session_id: int) -> None:
        """Delete one pseudowire."""
        (outcome,) = self.request(Verb.DELETE_PWE, [[interface, local_session_id]])
        result(outcome)


def result(outcome: list[Any]) -> Any:
    """Value of ``[status, value]``; RefusedError or FailedError."""
    status, value = outcome
    if status == Status.REFUSED:
        raise RefusedError(Reason(value))
    if status == Status.FAILED:
        raise FailedError(value, os.strerror(value))
    assert status == Status.OK
    return value
