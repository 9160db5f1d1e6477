"""The one connection to the control process, shared by every client."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from l2tp_admin.log import Log
from l2tp_ctl.admin_framing import (
    BodyError,
    Decoder,
    FramingError,
    encode,
    encode_success,
    json_text,
    parse,
    split_success,
)
from l2tp_ctl.admin_schema import (
    MAX_ANSWER,
    MAX_ID,
    READ_ONLY,
    VERSION,
    Command,
    Error,
    ErrorCode,
    Request,
    failure,
)
from l2tp_ctl.catalogue import Entry

_READ_SIZE = 256 * 1024
"""Octets read at once."""

_UNSENT_LIMIT = 1024 * 1024
"""Octets of requests that a control process which does not read may leave with us."""


class Answer(NamedTuple):
    """An answer of the control process: a result, passed on as it came to all clients that get it, or an error."""

    result: bytes
    """JSON text; empty where there is an error."""
    error: Mapping[str, Any]

    def frame(self, request_id: int) -> bytes:
        """Return the frame of the answer to one client's request."""
        if self.result:
            return encode_success(request_id, self.result)
        return encode({"v": VERSION, "id": request_id, "ok": False, "error": self.error})


class Upstream:
    """Asks the control process, connecting when there is something to ask.

    Requests of all clients share the connection, each under an id of our own.  ``answer_time`` is in seconds.
    A command that takes no arguments and changes nothing is under way once at a time: all that ask for it meanwhile
    share the next one, so that many clients cost the control process no more than one.
    """

    def __init__(self, path: Path, answer_time: float, log: Log) -> None:
        self._path = path
        self._answer_time = answer_time
        self._log = log
        self._connecting = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._receiving: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._under_way: defaultdict[Command, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._next: dict[Command, asyncio.Task[Answer]] = {}
        self._closed = False
        self._last_id = 0
        self._reported_lost = False

    async def ask(self, request: Request) -> Answer:
        """Return the control process's answer; ``unreachable`` where there is none."""
        try:
            async with asyncio.timeout(self._answer_time):
                if request.command in READ_ONLY and not request.args:
                    return await self._share(request)
                return await self._exchange(request)
        except TimeoutError:
            reason = f"l2tp-ctl gave no answer in {self._answer_time:g} s"
        except OSError as error:
            reason = f"l2tp-ctl is away: {_reason(error)}"
        return Answer(b"", Error(code=ErrorCode.UNREACHABLE, message=reason))

    async def _share(self, request: Request) -> Answer:
        task = self._next.get(request.command)
        if task is None:
            task = self._next[request.command] = asyncio.create_task(self._ask_next(request))
            # Whoever waited may have gone when it fails.
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(task)

    async def _ask_next(self, request: Request) -> Answer:
        """Ask once what is under way has been answered; who asks from then on waits for the one after."""
        async with self._under_way[request.command]:
            del self._next[request.command]
            async with asyncio.timeout(self._answer_time):
                return await self._exchange(request)

    async def stream(self, request: Request) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the answer and the events that follow it, over a connection of its own, until that ends."""
        writer = None
        try:
            async with asyncio.timeout(self._answer_time):
                reader, writer = await asyncio.open_unix_connection(self._path, limit=_READ_SIZE)
                writer.write(encode(request.body()))
                data = await reader.read(_READ_SIZE)
            decoder = Decoder(MAX_ANSWER)
            while data:
                for body in decoder.feed(data):
                    yield body
                data = await reader.read(_READ_SIZE)
        except TimeoutError:
            yield failure(request.id, ErrorCode.UNREACHABLE, f"l2tp-ctl gave no answer in {self._answer_time:g} s")
        except (OSError, FramingError) as error:
            yield failure(request.id, ErrorCode.UNREACHABLE, f"l2tp-ctl is away: {_reason(error)}")
        else:
            yield failure(request.id, ErrorCode.UNREACHABLE, "l2tp-ctl has ended the stream")
        finally:
            if writer is not None:
                writer.transport.abort()

    async def _exchange(self, request: Request) -> Answer:
        writer = await self._connected()
        if writer.transport.get_write_buffer_size() > _UNSENT_LIMIT:
            raise BlockingIOError("it does not read")
        self._last_id = self._last_id % MAX_ID + 1
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[own_id := self._last_id] = answer
        try:
            writer.write(encode(request._replace(id=own_id).body()))
            return await answer
        finally:
            del self._waiting[own_id]

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._closed:
                raise ConnectionAbortedError("l2tp-admin is ending")
            if self._writer is None:
                try:
                    reader, self._writer = await asyncio.open_unix_connection(self._path, limit=_READ_SIZE)
                except OSError as error:
                    self._report_lost(error)
                    raise
                self._reported_lost = False
                self._log(Entry.CONTROL_CONNECTED)
                self._receiving = asyncio.create_task(self._receive(reader, self._writer))
            return self._writer

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand out answers until the connection ends, then fail whatever still waits on it."""
        decoder = Decoder(MAX_ANSWER)
        error: Exception = ConnectionResetError("it closed the connection")
        try:
            while data := await reader.read(_READ_SIZE):
                for body in decoder.cut(data):
                    self._hand_out(body)
        except (OSError, FramingError) as cause:
            error = cause
        self._writer = None
        writer.transport.abort()
        self._report_lost(error)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionResetError(_reason(error)))

    def _hand_out(self, body: bytes) -> None:
        own_id, answer = _read(body)
        waiting = self._waiting.get(own_id) if type(own_id) is int else None
        if waiting is None or waiting.done():
            return  # it came after its time, and nobody waits for it any more
        if answer is None:
            raise BodyError("an answer is neither a result nor an error")
        waiting.set_result(answer)

    def _report_lost(self, error: Exception) -> None:
        """Log the loss once, not at every request until the control process is back."""
        if not self._reported_lost:
            self._reported_lost = True
            self._log(Entry.CONTROL_LOST, error=_reason(error))

    async def close(self) -> None:
        """Drop the connection; whoever still waits is told ``unreachable``."""
        self._closed = True
        if self._writer is not None and self._receiving is not None:
            self._reported_lost = True
            self._writer.transport.abort()
            await self._receiving


def _read(body: bytes) -> tuple[object, Answer | None]:
    """Return the id and the answer in a body, None where that is none; raises BodyError.

    A result that is written as l2tp-ctl writes it is not looked into: it may be large, and is only passed on.
    """
    if (found := split_success(body)) is not None:
        return found[0], Answer(found[1], {})
    told = parse(body)
    result, error = told.get("result"), told.get("error")
    if told.get("ok") is True:
        return told.get("id"), Answer(json_text(result), {}) if isinstance(result, dict) else None
    return told.get("id"), Answer(b"", error) if isinstance(error, dict) else None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
