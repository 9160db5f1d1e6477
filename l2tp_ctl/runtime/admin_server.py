"""The admin socket: length-prefixed commands in, answers out, each client served by a task of its own.

A client that does not read is cut after a while; it never holds up another client or the protocol.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from l2tp_ctl.admin_framing import Decoder, FramingError, HeaderLengthError, encode
from l2tp_ctl.admin_schema import MAX_REQUEST, ErrorCode, Request, RequestError, failure, parse_request, success
from l2tp_ctl.catalogue import Entry
from l2tp_ctl.runtime.admin_commands import CommandError
from l2tp_ctl.runtime.log_sink import LogSink

MAX_CLIENTS = 32
"""Clients at one time; l2tp-admin needs one.  One more is closed at once."""
STALL = 10.0
"""Seconds for a client to take an answer."""
_READ_SIZE = 65536
_ACCEPT_PAUSE = 1.0
"""Seconds before accepting again where the system was out of descriptors or memory."""

Handler = Callable[[Request], Awaitable[Mapping[str, Any]]]
"""Carries out a command and returns its result; raises CommandError."""


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

    async def _serve(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        decoder = Decoder(MAX_REQUEST)
        with client:
            try:
                while data := await loop.sock_recv(client, _READ_SIZE):
                    for body in decoder.feed(data):
                        if not await self._answer(client, body):
                            return
            except OSError as error:
                self._log.write(Entry.FAILED_TO_RECV, {"error": str(error.strerror)})
            except HeaderLengthError:
                self._log.write(Entry.INVALID_ADMIN_HEADER_LENGTH, {})
            except FramingError as error:
                await self._send(client, failure(None, ErrorCode.MALFORMED, str(error)))

    async def _answer(self, client: socket.socket, body: Mapping[str, Any]) -> bool:
        """Carry out one request; False once the client takes no answer."""
        try:
            request = parse_request(body)
        except RequestError as error:
            return await self._send(client, failure(error.id, error.code, str(error)))
        try:
            answer = success(request.id, await self._handler(request))
        except CommandError as error:
            answer = failure(request.id, error.code, str(error))
        return await self._send(client, answer)

    async def _send(self, client: socket.socket, body: Mapping[str, Any]) -> bool:
        try:
            async with asyncio.timeout(STALL):
                await asyncio.get_running_loop().sock_sendall(client, encode(body))
        except OSError as error:  # TimeoutError is one
            reason = error.strerror or f"not read for {STALL:g} s"
            self._log.write(Entry.FAILED_TO_SEND_INFORMATION, {"error": reason})
            return False
        return True
