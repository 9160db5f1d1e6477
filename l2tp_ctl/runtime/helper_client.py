"""One connection to l2tp-kernel, by its contract in ``l2tp_kernel.schema``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import zmq
import zmq.asyncio

from l2tp_ctl.admin_schema import Latency
from l2tp_ctl.catalogue import Entry, Field
from l2tp_kernel.schema import TOKEN_LENGTH, VERSION, Flavour, Listener, Plane, Reason, Status, Verb

OnEvent = Callable[[list[Any]], None]
"""Called with ``[kind, interface, ...]`` when the helper tells something by itself."""
OnTunnel = Callable[[int, int, socket.socket | None], None]
"""Called with a listener's handle, the kernel's number of a tunnel and its socket, None to close that."""

COMMAND = "command"
DESCRIPTORS = "descriptors"
"""Names of the helper's two sockets in its directory."""

CONNECT_TIME = 5.0
"""Seconds for the helper to take a new client."""
ANSWER_TIME = 20.0
"""Seconds for the helper to answer; one that takes longer hangs."""
_LARGEST_ANSWER = 64 * 1024 * 1024
_LARGEST_PACKET = 64
"""Octets of the largest packet on the side channel."""


class HelperError(Exception):
    """The helper did not do what it was asked; the text says why."""

    def entry(self, _verb: Verb) -> Entry:
        """Return the log entry that tells of it."""
        return Entry.HELPER_LOST

    def fields(self, verb: Verb) -> dict[str, Field]:
        """Return the fields of that entry."""
        return {"error": str(self), "verb": verb.name}


class HelperGoneError(HelperError):
    """It cannot be reached, ended, or does not keep to the contract."""


class HelperRefusedError(HelperError):
    """It does not allow it."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.name.lower().replace("_", "-"))
        self.reason = reason

    def entry(self, _verb: Verb) -> Entry:
        """Return the log entry that tells of it."""
        return Entry.HELPER_REFUSED

    def fields(self, verb: Verb) -> dict[str, Field]:
        """Return the fields of that entry."""
        return {"reason": str(self), "verb": verb.name}


class HelperFailedError(HelperError):
    """The operating system did not let it."""

    def entry(self, verb: Verb) -> Entry:
        """Return the log entry that tells of it."""
        return _FAILURES.get(verb, Entry.HELPER_FAILED)


_FAILURES = {
    Verb.OPEN_LISTENER: Entry.FAILED_TO_SOCKET,
    Verb.SET_PWE_PARAM: Entry.FAILED_TO_IOCTL,
    Verb.DELETE_PWE: Entry.FAILED_TO_IOCTL,
}
"""What the log reference calls the failure of the system calls behind a verb."""


def result(status: int, value: Any) -> Any:  # noqa: ANN401  # each verb has its own result
    """Return the value of an answer; raises HelperRefusedError or HelperFailedError."""
    if status == Status.OK:
        return value
    if status == Status.REFUSED:
        raise HelperRefusedError(Reason(value))
    raise HelperFailedError(os.strerror(value))


class HelperClient:
    """A connection, from the helper's token to the end of its side channel; it is never used again after that."""

    def __init__(
        self, channel: socket.socket, dealer: zmq.asyncio.Socket, on_event: OnEvent, on_tunnel: OnTunnel
    ) -> None:
        self.planes: tuple[Plane, ...] = ()
        """What the helper can do here."""
        self.latencies: dict[str, Latency] = {}
        """By the verb's name, of what it has answered."""
        self._channel = channel
        self._dealer = dealer
        self._on_event = on_event
        self._on_tunnel = on_tunnel
        self._loop = asyncio.get_running_loop()
        self._sequence = 0
        self._answers: dict[int, asyncio.Future[tuple[int, Any]]] = {}
        self._descriptors: dict[int, int] = {}
        """Descriptors by handle whose answer is still on its way."""
        self._end: asyncio.Future[str] = self._loop.create_future()
        self._reader = self._loop.create_task(self._read_answers())

    @classmethod
    async def connect(
        cls, context: zmq.asyncio.Context, directory: Path, on_event: OnEvent, on_tunnel: OnTunnel
    ) -> HelperClient:
        """Connect and greet; raises HelperError."""
        channel, token = await _open_channel(directory / DESCRIPTORS)
        dealer = context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.RECONNECT_IVL, -1)  # a new helper is a new connection
        dealer.setsockopt(zmq.MAXMSGSIZE, _LARGEST_ANSWER)
        dealer.connect(f"ipc://{directory / COMMAND}")
        client = cls(channel, dealer, on_event, on_tunnel)
        try:
            client._loop.add_reader(channel, client._read_channel)
            planes, _pid = await client.request(Verb.HELLO, VERSION, token)
            client.planes = tuple(Plane(plane) for plane in planes)
        except BaseException:
            client.close()
            raise
        return client

    async def request(self, verb: Verb, *arguments: object) -> Any:  # noqa: ANN401  # each verb has its own result
        """Ask for one verb and return its result; raises HelperError.

        Requests go out in the order of the calls; many may wait for their answers at the same time.
        """
        if self._end.done():
            raise HelperGoneError(self._end.result())
        self._sequence += 1
        sequence = self._sequence
        answer = self._answers[sequence] = self._loop.create_future()
        began = self._loop.time()
        try:
            async with asyncio.timeout(ANSWER_TIME):
                # Not waiting: a helper that has ended takes nothing, and only the answer's future is told of its end.
                await self._dealer.send(msgpack.packb([sequence, verb, *arguments]), zmq.DONTWAIT)
                told = await answer
                self._measure(verb, self._loop.time() - began)
                return result(*told)
        except zmq.Again:
            del self._answers[sequence]
            self._read_channel()  # tells why, if its end has not been noticed yet
            self._finish("it takes no requests")
            raise HelperGoneError(self._end.result()) from None
        except TimeoutError:
            self._finish(f"no answer to {verb.name} for {ANSWER_TIME:g} s")
            raise HelperGoneError(self._end.result()) from None
        finally:
            self._answers.pop(sequence, None)

    def _measure(self, verb: Verb, seconds: float) -> None:
        known = self.latencies.setdefault(verb.name.lower().replace("_", "-"), Latency(count=0, seconds=0.0))
        known["count"] += 1
        known["seconds"] += seconds

    async def open_listener(self, listener: Listener) -> tuple[int, Flavour, socket.socket]:
        """Return a listener's handle, flavour and control socket; raises HelperError."""
        handle, flavour = await self.request(
            Verb.OPEN_LISTENER, listener.plane, listener.encapsulation, listener.address, listener.port
        )
        self._read_channel()  # the helper sent the descriptor before the answer
        descriptor = self._descriptors.pop(handle, None)
        if descriptor is None:
            self._finish("an answer came without its descriptor")
            raise HelperGoneError(self._end.result())
        return handle, Flavour(flavour), socket.socket(fileno=descriptor)

    async def ended(self) -> str:
        """Wait for the end of the connection and return its reason."""
        return await asyncio.shield(self._end)

    def close(self) -> None:
        """End it; what waits for an answer gets HelperGoneError."""
        self._finish("closed")
        self._reader.cancel()
        self._loop.remove_reader(self._channel)
        self._channel.close()
        self._dealer.close()
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def _finish(self, reason: str) -> None:
        if self._end.done():
            return
        self._end.set_result(reason)
        self._loop.remove_reader(self._channel)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(HelperGoneError(reason))

    def _read_channel(self) -> None:
        """Take the descriptors that have arrived, and notice the end of the side channel."""
        while not self._end.done():
            try:
                packet, descriptors, _, _ = socket.recv_fds(self._channel, _LARGEST_PACKET, 1)
            except BlockingIOError:
                return
            except OSError as error:
                self._finish(f"side channel: {error.strerror}")
                return
            if not packet:
                self._finish("it ended")
                return
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)  # noqa: FBT003  # the standard library's signature
            sequence, handle, *tunnel = msgpack.unpackb(packet)
            if sequence == 0:
                self._on_tunnel(handle, tunnel[0], socket.socket(fileno=descriptors[0]) if descriptors else None)
            elif descriptors:
                self._descriptors[handle] = descriptors[0]

    async def _read_answers(self) -> None:
        try:
            while True:
                sequence, status, value = msgpack.unpackb(await self._dealer.recv())
                if status == Status.EVENT:
                    self._loop.call_soon(self._on_event, value)
                elif (answer := self._answers.get(sequence)) and not answer.done():
                    answer.set_result((status, value))
        except (zmq.ZMQError, TypeError, ValueError) as error:
            self._finish(f"unreadable answer: {error}")


async def _open_channel(path: Path) -> tuple[socket.socket, bytes]:
    """Connect to the side channel and return it with the token; raises HelperGoneError."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    with contextlib.ExitStack() as undo:
        undo.callback(channel.close)
        try:
            channel.connect(str(path))
            async with asyncio.timeout(CONNECT_TIME):
                token = await asyncio.get_running_loop().sock_recv(channel, _LARGEST_PACKET)
        except OSError as error:  # TimeoutError is one
            raise HelperGoneError(error.strerror or f"no token for {CONNECT_TIME:g} s") from None
        if len(token) != TOKEN_LENGTH:
            raise HelperGoneError("it does not serve this user")
        undo.pop_all()
    return channel, token
