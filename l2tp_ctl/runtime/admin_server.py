"""The admin socket: length-prefixed commands in, answers out, each request served by a task of its own.

Requests of one client are carried out at the same time, so that a slow one holds up no other.  A client that does not
read is cut after a while; it never holds up another client or the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from l2tp_ctl.admin_framing import Decoder, FramingError, HeaderLengthError, encode, encode_success, json_text
from l2tp_ctl.admin_schema import MAX_REQUEST, ErrorCode, Request, RequestError, event, failure, parse_request
from l2tp_ctl.catalogue import Entry
from l2tp_ctl.runtime.admin_commands import CommandError
from l2tp_ctl.runtime.feeds import Stream
from l2tp_ctl.runtime.log_sink import LogSink

MAX_CLIENTS = 32
"""Clients at one time; l2tp-admin needs one, and one for each stream.  One more is closed at once."""
MAX_REQUESTS = 64
"""Requests of one client under way; more are read when one is done."""
STALL = 10.0
"""Seconds for a client to take an answer."""
_READ_SIZE = 65536
_ACCEPT_PAUSE = 1.0
"""Seconds before accepting again where the system was out of descriptors or memory."""

Handler = Callable[[Request], Awaitable[Mapping[str, Any] | bytes | Stream]]
"""Carries out a command and returns its result, which may be JSON text already; raises CommandError."""


def listen(path: Path) -> socket.socket:
    """Bind the admin socket, for its owner and group alone; raises OSError.

    A socket file that a killed process left is replaced; one that is in use is not (EADDRINUSE).
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    mask = os.umask(0o117)
    try:
        if _abandoned(path):
            path.unlink()
        listener.bind(str(path))
        listener.listen()
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener


def _abandoned(path: Path) -> bool:
    """Whether ``path`` is a socket that nobody listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return path.is_socket()
        except OSError:
            return False
    return False


class AdminServer:
    """Serves the clients of ``listener``, which it closes in the end."""

    def __init__(self, listener: socket.socket, handler: Handler, log: LogSink) -> None:
        self._listener = listener
        self._handler = handler
        self._log = log
        self._clients: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Accept clients until cancelled, and cut them all then."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    client, _ = await loop.sock_accept(self._listener)
                except OSError as error:
                    self._log.write(Entry.FAILED_TO_ACCEPT, {"error": str(error.strerror)})
                    await asyncio.sleep(_ACCEPT_PAUSE)
                    continue
                if len(self._clients) >= MAX_CLIENTS:
                    client.close()
                    continue
                task = loop.create_task(self._serve(client))
                self._clients.add(task)
                task.add_done_callback(self._clients.discard)
        finally:
            self._listener.close()
            for task in self._clients:
                task.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)

    async def _serve(self, sock: socket.socket) -> None:
        client = _Client(sock)
        with sock:
            try:
                async with asyncio.TaskGroup() as answering:
                    await self._read(client, answering)
                    client.end_streams()
            except* _GoneError:
                pass

    async def _read(self, client: _Client, answering: asyncio.TaskGroup) -> None:
        """Take requests until the client sends no more, and have each answered by a task of its own."""
        decoder = Decoder(MAX_REQUEST)
        try:
            while data := await asyncio.get_running_loop().sock_recv(client.socket, _READ_SIZE):
                for body in decoder.feed(data):
                    await client.slots.acquire()
                    answering.create_task(self._answer(client, body))
        except OSError as error:
            self._log.write(Entry.FAILED_TO_RECV, {"error": str(error.strerror)})
            raise _GoneError from None
        except HeaderLengthError:
            self._log.write(Entry.INVALID_ADMIN_HEADER_LENGTH, {})
        except FramingError as error:
            await self._send(client, failure(None, ErrorCode.MALFORMED, str(error)))

    async def _answer(self, client: _Client, body: Mapping[str, Any]) -> None:
        """Carry out one request and send what there is to say."""
        try:
            request = parse_request(body)
        except RequestError as error:
            await self._send(client, failure(error.id, error.code, str(error)))
        else:
            await self._carry_out(client, request)
        finally:
            client.slots.release()

    async def _carry_out(self, client: _Client, request: Request) -> None:
        try:
            result = await self._handler(request)
        except CommandError as error:
            await self._send(client, failure(request.id, error.code, str(error), error.details))
        except Exception as error:  # noqa: BLE001  # a defect: it is reported, and the other requests go on
            asyncio.get_running_loop().call_exception_handler({"message": request.command.value, "exception": error})
            await self._send(client, failure(request.id, ErrorCode.INTERNAL, "internal error, see the log of l2tp-ctl"))
        else:
            if isinstance(result, Stream):
                await self._stream(client, request, result)
            else:
                await self._succeed(client, request, result)

    async def _stream(self, client: _Client, request: Request, stream: Stream) -> None:
        with contextlib.closing(stream.events), client.streaming():
            await self._succeed(client, request, stream.result)
            async for told in stream.events:
                await self._send(client, event(request.id, told))

    async def _succeed(self, client: _Client, request: Request, result: Mapping[str, Any] | bytes) -> None:
        text = result if isinstance(result, bytes) else json_text(result)
        await self._put(client, encode_success(request.id, text))

    async def _send(self, client: _Client, body: Mapping[str, Any]) -> None:
        await self._put(client, encode(body))

    async def _put(self, client: _Client, frame: bytes) -> None:
        """Send one frame; raises _GoneError where the client does not take it."""
        async with client.sending:
            if client.gone:
                raise _GoneError
            try:
                async with asyncio.timeout(STALL):
                    await asyncio.get_running_loop().sock_sendall(client.socket, frame)
            except OSError as error:  # TimeoutError is one
                reason = error.strerror or f"not read for {STALL:g} s"
                self._log.write(Entry.FAILED_TO_SEND_INFORMATION, {"error": reason})
                client.gone = True
                raise _GoneError from None


class _GoneError(Exception):
    """The client is gone, and that is in the log."""


class _Client:
    """One connection: how much of it is in use."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.sending = asyncio.Lock()
        self.slots = asyncio.Semaphore(MAX_REQUESTS)
        self.gone = False
        """Whether it did not take an answer."""
        self._streams: set[asyncio.Task[Any]] = set()
        self._ended = False

    @contextlib.contextmanager
    def streaming(self) -> Iterator[None]:
        """Let the current task go on for as long as the client is there."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # only tasks answer
        self._streams.add(task)
        if self._ended:
            task.cancel()
        try:
            yield
        finally:
            self._streams.discard(task)

    def end_streams(self) -> None:
        """End what would go on for ever."""
        self._ended = True
        for task in self._streams:
            task.cancel()
