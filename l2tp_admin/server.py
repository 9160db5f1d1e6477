"""The clients of ``l2tp-admin serve``: each in a task of its own, one request at a time, within the limits."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from typing import Any

from l2tp_admin.limits import Limits, Rate, place_to_take
from l2tp_admin.log import Log
from l2tp_admin.peer import Peer, Role, Roles, peer_of, user_name
from l2tp_admin.upstream import Upstream
from l2tp_ctl.admin_framing import Decoder, FramingError, HeaderLengthError, encode
from l2tp_ctl.admin_schema import READ_ONLY, STREAMS, ErrorCode, Request, RequestError, failure, parse_request
from l2tp_ctl.catalogue import Entry

_READ_SIZE = 64 * 1024
"""Octets read from a client at once."""

_ACCEPT_AGAIN = 0.1
"""Seconds until the next try when descriptors or memory have run out."""


class Client:
    """One connection: who it is and how far it has read its answers."""

    def __init__(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, now: float) -> None:
        self.peer = peer
        self.uid = peer.uid
        self.reader = reader
        self.writer = writer
        self.active_at = now
        # Draining means that everything is read, so that one answer at a time is held for a client.
        writer.transport.set_write_buffer_limits(high=0)

    @property
    def unread(self) -> int:
        """Octets of answers that the client has left with us."""
        return self.writer.transport.get_write_buffer_size()

    async def drain(self, stall: float) -> None:
        """Wait until the client has read everything; ``TimeoutError`` when it reads nothing for ``stall`` seconds."""
        loop = asyncio.get_running_loop()
        while unread := self.unread:
            try:
                async with asyncio.timeout(stall):
                    await self.writer.drain()
            except TimeoutError:
                if self.unread >= unread:
                    raise
            self.active_at = loop.time()


class Server:
    """Takes clients from a listening socket and passes what they may ask to the control process."""

    def __init__(self, upstream: Upstream, roles: Roles, limits: Limits, log: Log) -> None:
        self._upstream = upstream
        self._roles = roles
        self._limits = limits
        self._log = log
        self._rate = Rate(limits.requests_per_second, limits.burst, limits.clients_per_uid)
        self._streams = 0
        self._clients: set[Client] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, listener: socket.socket) -> None:
        """Accept clients until cancelled."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)  # noqa: FBT003 - the socket module takes it by position only
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                self._log(Entry.FAILED_TO_ACCEPT, error=error.strerror or str(error))
                await asyncio.sleep(_ACCEPT_AGAIN)
                continue
            reader, writer = await asyncio.open_unix_connection(sock=connection, limit=_READ_SIZE)
            self._admit(Client(peer_of(connection), reader, writer, loop.time()))

    async def close(self) -> None:
        """Let go of every client and of the control process, each command under way having its outcome in the log."""
        for client in self._clients:
            client.writer.transport.abort()
        await self._upstream.close()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _admit(self, client: Client) -> None:
        if victim := place_to_take(self._clients, client.uid, self._limits):
            self._cut(victim, "a new client needs its place")
        self._clients.add(client)
        task = asyncio.create_task(self._serve(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cut(self, client: Client, reason: str) -> None:
        self._log(Entry.ADMIN_CLIENT_CUT, who=str(client.peer), reason=reason)
        self._clients.discard(client)
        client.writer.transport.abort()

    async def _serve(self, client: Client) -> None:
        try:
            await self._converse(client)
        except TimeoutError:
            self._cut(client, f"it read nothing for {self._limits.stall:g} s")
        except OSError:
            pass  # it has gone, which is its right
        finally:
            self._clients.discard(client)
            client.writer.transport.abort()

    async def _converse(self, client: Client) -> None:
        decoder = Decoder(self._limits.request)
        try:
            while data := await client.reader.read(_READ_SIZE):
                for body in decoder.feed(data):
                    await self._respond(client, body)
        except FramingError as error:
            if isinstance(error, HeaderLengthError):
                self._log(Entry.INVALID_ADMIN_HEADER_LENGTH)
            else:
                self._log(Entry.ADMIN_CLIENT_CUT, who=str(client.peer), reason=str(error))
            await self._send(client, failure(None, ErrorCode.MALFORMED, str(error)))

    async def _respond(self, client: Client, body: dict[str, Any]) -> None:
        client.active_at = now = asyncio.get_running_loop().time()
        await asyncio.sleep(self._rate.reserve(client.uid, now))
        if client.writer.is_closing():
            raise ConnectionAbortedError("cut while its request waited")
        try:
            request = parse_request(body)
        except RequestError as error:
            await self._send(client, failure(error.id, error.code, str(error)))
            return
        role = self._roles.role_of(client.peer)
        if not role.may(request.command):
            may = "may only look" if role is Role.VIEWER else "may not use this socket"
            await self._refuse(client, request, ErrorCode.DENIED, f"user {user_name(client.uid)} {may}")
        elif request.command in STREAMS:
            await self._stream(client, request)
        else:
            answer = await self._upstream.ask(request)
            await self._told(client, request, answer.error, answer.frame(request.id))

    async def _told(self, client: Client, request: Request, error: Mapping[str, Any], frame: bytes) -> None:
        """Send the answer to a request, which was carried out unless there is an ``error``."""
        if request.command not in READ_ONLY:
            self._audit(client.peer, request, error)
        await self._put(client, frame)

    async def _refuse(self, client: Client, request: Request, code: ErrorCode, message: str) -> None:
        answer = failure(request.id, code, message)
        await self._told(client, request, answer["error"], encode(answer))

    async def _stream(self, client: Client, request: Request) -> None:
        """Pass on the answer and the events after it until either side ends; the connection is used up then."""
        if self._streams >= self._limits.streams:
            await self._refuse(client, request, ErrorCode.BUSY, "as many streams as there may be")
            return
        self._streams += 1
        forwarding = asyncio.create_task(self._forward(client, request))
        leaving = asyncio.create_task(client.reader.read(1))
        try:
            await asyncio.wait((forwarding, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._streams -= 1
            for task in (forwarding, leaving):
                task.cancel()
            await asyncio.gather(forwarding, leaving, return_exceptions=True)
        if not forwarding.cancelled():
            forwarding.result()
        raise ConnectionAbortedError("its stream has ended")

    async def _forward(self, client: Client, request: Request) -> None:
        async with contextlib.aclosing(self._upstream.stream(request)) as bodies:
            answer = await anext(bodies)
            await self._told(client, request, answer.get("error", {}), encode(answer))
            while answer.get("ok") is not False:
                answer = await anext(bodies)
                await self._send(client, answer)

    def _audit(self, peer: Peer, request: Request, error: Mapping[str, Any]) -> None:
        outcome = f"{error.get('code')}, {error.get('message')}" if error else "done"
        target = " ".join(request.args.values())
        self._log(Entry.ADMIN_COMMAND, command=request.command.value, target=target, who=str(peer), outcome=outcome)

    async def _send(self, client: Client, answer: dict[str, Any]) -> None:
        await self._put(client, encode(answer))

    async def _put(self, client: Client, frame: bytes) -> None:
        while self._unread() + len(frame) > self._limits.buffered and (reading := self._slow_readers(client)):
            self._cut(min(reading, key=lambda reader: reader.active_at), "too many answers are unread")
        client.writer.write(frame)
        await client.drain(self._limits.stall)

    def _unread(self) -> int:
        return sum(client.unread for client in self._clients)

    def _slow_readers(self, but: Client) -> list[Client]:
        return [client for client in self._clients if client.unread and client is not but]
