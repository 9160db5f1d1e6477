"""The admin socket, with real clients that behave and that do not."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import resource
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from l2tp_ctl.admin_framing import Decoder, encode
from l2tp_ctl.admin_schema import MAX_ANSWER, MAX_REQUEST, Command, ErrorCode, Request
from l2tp_ctl.catalogue import Level
from l2tp_ctl.runtime import admin_server
from l2tp_ctl.runtime.admin_commands import CommandError
from l2tp_ctl.runtime.admin_server import AdminServer, listen
from l2tp_ctl.runtime.feeds import QUEUE, Feed, Stream
from l2tp_ctl.runtime.log_sink import LogSink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    Scenario = Callable[["Server"], Coroutine[Any, Any, None]]
    Serve = Callable[[Scenario], "Server"]

LARGE = "x" * (4 * 1024 * 1024)
"""More than a UNIX socket holds."""


FEED = Feed()


async def commands(request: Request) -> Mapping[str, Any] | Stream:
    match request.command:
        case Command.SHOW_TUNNEL:
            return {"large": LARGE}
        case Command.SHOW_TUNNELS:
            return {"tunnels": []}
        case Command.SHOW_SESSIONS:
            await asyncio.sleep(float(request.args["tunnel"]))
            return {"sessions": []}
        case Command.MONITOR:
            return Stream({}, FEED.follow())
        case _:
            raise CommandError(ErrorCode.NOT_FOUND, "there is none")


class Client:
    """Asks without asyncio's streams, so that nothing is read before the test does."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.decoder = Decoder(MAX_ANSWER)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def answer(self) -> dict[str, Any] | None:
        """Next answer, None if the server hangs up; TimeoutError if nothing comes."""
        async with asyncio.timeout(5):
            while data := await asyncio.get_running_loop().sock_recv(self.sock, 1 << 20):
                if bodies := self.decoder.feed(data):
                    (body,) = bodies
                    return body
        return None

    async def ask(self, command: str = "show-tunnels", **args: str) -> dict[str, Any] | None:
        await self.send(encode({"v": 1, "id": 7, "command": command, "args": args}))
        return await self.answer()


class Server:
    """A running server and its log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = io.StringIO()

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
            await asyncio.get_running_loop().sock_connect(sock, str(self.path))
            yield Client(sock)

    async def until_logged(self, words: str) -> None:
        async with asyncio.timeout(10):
            while words not in self.log.getvalue():  # noqa: ASYNC110  # the log tells nobody that it has grown
                await asyncio.sleep(0.01)


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Run a scenario against a server, and give the server with its log."""

    def run(scenario: Scenario) -> Server:
        server = Server(tmp_path / "admin.sock")

        async def main() -> None:
            log = LogSink(server.log, Level.DEBUG)
            serving = asyncio.create_task(AdminServer(listen(server.path), commands, log).run())
            await scenario(server)
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(main())
        return server

    return run


def test_commands_are_answered_in_order(serve: Serve) -> None:
    async def scenario(server: Server) -> None:
        async with server.client() as client:
            assert await client.ask() == {"v": 1, "id": 7, "ok": True, "result": {"tunnels": []}}
            assert await client.ask("clear-tunnel", target="x") == {
                "v": 1,
                "id": 7,
                "ok": False,
                "error": {"code": "not-found", "message": "there is none"},
            }
            large = await client.ask("show-tunnel", name="east")
            assert large is not None
            assert large["result"]["large"] == LARGE

    assert serve(scenario).log.getvalue() == ""


def test_a_slow_request_holds_up_no_other_of_the_same_client(serve: Serve) -> None:
    async def scenario(server: Server) -> None:
        async with server.client() as client:
            await client.send(encode({"v": 1, "id": 1, "command": "show-sessions", "args": {"tunnel": "0.5"}}))
            started = asyncio.get_running_loop().time()
            for _ in range(admin_server.MAX_REQUESTS):  # all but one of its slots, one after the other
                assert (await client.ask() or {})["id"] == 7
            assert asyncio.get_running_loop().time() - started < 0.5
            assert (await client.answer() or {})["id"] == 1

    serve(scenario)


def test_a_stream_follows_and_other_requests_go_on(serve: Serve) -> None:
    async def scenario(server: Server) -> None:
        async with server.client() as client:
            assert await client.ask("monitor") == {"v": 1, "id": 7, "ok": True, "result": {}}
            for number in range(3):
                FEED.publish({"number": number})
                assert await client.answer() == {"v": 1, "id": 7, "event": {"number": number}}
            assert (await client.ask() or {})["ok"]
            assert FEED.followed
        async with asyncio.timeout(5):
            while FEED.followed:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)

    assert serve(scenario).log.getvalue() == ""


def test_a_slow_follower_is_told_how_much_it_missed() -> None:
    async def scenario() -> None:
        feed = Feed()
        listener = feed.follow(lambda event: event["number"] >= 0)
        for number in range(-5, QUEUE + 3):
            feed.publish({"number": number})
        assert await anext(listener) == {"lost": 3}
        assert [(await anext(listener))["number"] for _ in range(QUEUE)] == list(range(3, QUEUE + 3))
        listener.close()
        assert not feed.followed

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("body", "request_id", "code"),
    [
        ({"v": 1, "id": 3, "command": "reboot"}, 3, "unknown-command"),
        ({"v": 2, "id": 3, "command": "show-tunnels"}, 3, "version"),
        ({"v": 1, "id": 3, "command": "show-tunnel", "args": {}}, 3, "bad-arguments"),
        ({"hello": "world"}, None, "malformed"),
    ],
)
def test_what_is_no_command_is_refused_and_the_next_one_answered(
    serve: Serve, body: dict[str, Any], request_id: int | None, code: str
) -> None:
    async def scenario(server: Server) -> None:
        async with server.client() as client:
            await client.send(encode(body))
            refused = await client.answer()
            assert refused is not None
            assert (refused["ok"], refused["id"], refused["error"]["code"]) == (False, request_id, code)
            assert (await client.ask() or {})["ok"]

    serve(scenario)


@pytest.mark.parametrize("header", [bytes(4), (MAX_REQUEST + 1).to_bytes(4, "big"), b"\xff\xff\xff\xff", b"GET / HTTP"])
def test_a_bad_length_closes_that_client_alone(serve: Serve, header: bytes) -> None:
    async def scenario(server: Server) -> None:
        async with server.client() as good, server.client() as bad:
            assert (await good.ask() or {})["ok"]
            await bad.send(header)
            assert await bad.answer() is None
            assert (await good.ask() or {})["ok"]

    assert serve(scenario).log.getvalue() == "<3>invalid header length of admin command\n"


def test_a_body_that_is_no_json_is_refused_and_closes(serve: Serve) -> None:
    async def scenario(server: Server) -> None:
        async with server.client() as client:
            await client.send((3).to_bytes(4, "big") + b"{x}")
            assert ((await client.answer()) or {})["error"]["code"] == "malformed"
            assert await client.answer() is None

    assert serve(scenario).log.getvalue() == ""


def test_clients_that_do_not_read_delay_nobody(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_server, "STALL", 4.0)

    async def scenario(server: Server) -> None:
        async with contextlib.AsyncExitStack() as stack:
            slow = [await stack.enter_async_context(server.client()) for _ in range(4)]
            for client in slow:
                for _ in range(2):
                    await client.send(encode({"v": 1, "id": 1, "command": "show-tunnel", "args": {"name": "east"}}))
            fast = await stack.enter_async_context(server.client())
            loop = asyncio.get_running_loop()
            started = loop.time()
            assert (await fast.ask() or {})["ok"]
            assert loop.time() - started < 2
            await server.until_logged("failed to send l2tpd information: not read for 4 s")

    assert serve(scenario).log.getvalue().count("failed to send l2tpd information: not read for 4 s") >= 1


def test_a_client_that_is_gone_is_logged_and_forgotten(serve: Serve) -> None:
    async def scenario(server: Server) -> None:
        async with server.client() as client:
            await client.send(encode({"v": 1, "id": 1, "command": "show-tunnel", "args": {"name": "east"}}))
        await server.until_logged("failed to send l2tpd information")

    assert serve(scenario).log.getvalue() in {
        "<3>failed to send l2tpd information: Broken pipe\n",
        "<3>failed to send l2tpd information: Connection reset by peer\n",
    }


def test_a_client_that_resets_is_logged(serve: Serve) -> None:
    async def scenario(server: Server) -> None:
        async with server.client() as client:
            await client.ask()
            # Closing with an answer unread resets the connection.
            await client.send(encode({"v": 1, "id": 1, "command": "show-tunnels"}))
            await asyncio.get_running_loop().sock_recv(client.sock, 4)
        await server.until_logged("failed to recv: Connection reset by peer")

    serve(scenario)


def test_there_is_a_limit_on_clients(serve: Serve) -> None:
    async def scenario(server: Server) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(admin_server.MAX_CLIENTS):
                client = await stack.enter_async_context(server.client())
                assert (await client.ask() or {})["ok"]
            async with server.client() as refused:
                assert await refused.answer() is None
            assert (await client.ask() or {})["ok"]

    serve(scenario)


def test_running_out_of_descriptors_passes(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_server, "_ACCEPT_PAUSE", 0.05)

    async def scenario(server: Server) -> None:
        async with server.client() as client:
            with contextlib.ExitStack() as taken:
                with pytest.raises(OSError, match="Too many open files"):
                    while True:
                        taken.callback(os.close, os.dup(0))
                await server.until_logged("failed to accept: Too many open files")
            assert (await client.ask() or {})["ok"]

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        serve(scenario)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_the_socket_is_for_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    before = os.umask(0)
    try:
        with listen(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
    finally:
        assert os.umask(before) == 0
