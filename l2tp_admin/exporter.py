"""Prometheus's end of ``l2tp-admin serve``: ``GET /metrics``, and nothing else, over a TCP socket.

So little HTTP is needed that a loop and its limits are shorter, and safer, than any server of the standard library.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import Any

from l2tp_admin.upstream import Upstream
from l2tp_ctl.admin_framing import parse
from l2tp_ctl.admin_schema import Command, Request

DEFAULT_PORT = 9120
MAX_CLIENTS = 16
"""Scrapes at one time; one more is closed at once."""
TIME = 20.0
"""Seconds for one scrape, from connecting to the last octet."""
FRESH = 0.5
"""Seconds for which what was collected serves other scrapes too."""
_MAX_HEAD = 8192


class Exporter:
    """Answers scrapes with what ``upstream`` tells."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._clients = 0
        self._collecting = asyncio.Lock()
        self._collected_at = -FRESH
        self._answers: list[dict[str, Any] | None] = []

    async def run(self, listener: socket.socket) -> None:
        """Answer until cancelled."""
        async with await asyncio.start_server(self._serve, sock=listener, limit=_MAX_HEAD) as server:
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients <= MAX_CLIENTS:
                async with asyncio.timeout(TIME):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self._response(head.decode("latin-1").split("\r\n")))
                    await writer.drain()
                    writer.write_eof()
                    await reader.read()  # until the client has all of it and closes
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # it asks for nothing, has gone, or takes too long
        finally:
            self._clients -= 1
            writer.transport.abort()

    async def _response(self, head: list[str]) -> bytes:
        method, _, rest = head[0].partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method != "GET":
            return _http("405 Method Not Allowed", b"GET /metrics\n", "text/plain")
        if path != "/metrics":
            return _http("404 Not Found", b"GET /metrics\n", "text/plain")
        headers = dict(line.lower().split(":", 1) for line in head[1:] if ":" in line)
        from l2tp_admin.metrics import exposition, families  # it costs half a second that nobody else needs

        statistics, tunnels, sessions = await self._collect()
        if statistics is None or tunnels is None or sessions is None:
            told = families(None)
        else:
            told = families(statistics, tunnels["tunnels"], sessions["sessions"])
        return _http("200 OK", *exposition(told, headers.get("accept", "")))

    async def _collect(self) -> list[dict[str, Any] | None]:
        """Return the results of three commands, each None where it had none."""
        async with self._collecting:
            now = asyncio.get_running_loop().time()
            if now - self._collected_at >= FRESH:
                commands = (Command.SHOW_STATISTICS, Command.SHOW_TUNNELS, Command.SHOW_SESSIONS)
                self._answers = [await self._ask(command) for command in commands]
                self._collected_at = asyncio.get_running_loop().time()
            return self._answers

    async def _ask(self, command: Command) -> dict[str, Any] | None:
        answer = await self._upstream.ask(Request(0, command, {}))
        return parse(answer.result) if answer.result else None


def listen(address: str) -> socket.socket:
    """Listen on ``HOST:PORT``, HOST being an IPv4 address or an IPv6 one in brackets; raises OSError, ValueError."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    return socket.create_server((host.strip("[]"), int(port)), family=family)


def _http(status: str, body: bytes, content_type: str) -> bytes:
    fields: Iterable[str] = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return "\r\n".join(fields).encode() + b"\r\n\r\n" + body
