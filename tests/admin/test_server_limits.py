"""The server's limits with small figures, in one event loop, over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from l2tp_admin.limits import Limits
from l2tp_admin.peer import Roles
from l2tp_admin.server import Server
from l2tp_admin.upstream import Upstream
from l2tp_ctl.catalogue import Entry, Field
from tests.admin import fake_control
from tests.admin.daemons import frame, request

Logged = list[tuple[Entry, dict[str, Field]]]


class Stage:
    """A server with its control process, and what it logged."""

    def __init__(self, directory: Path) -> None:
        self.admin = directory / "admin.sock"
        self.control = directory / "control.sock"
        self.logged: Logged = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self.admin)

    async def ask(self, command: str, /, **args: str) -> dict[str, Any]:
        reader, writer = await self.connect()
        writer.write(frame(request(1, command, **args)))
        try:
            return await receive(reader)
        finally:
            writer.close()

    def reasons(self) -> list[Field]:
        return [fields["reason"] for entry, fields in self.logged if entry is Entry.ADMIN_CLIENT_CUT]


async def receive(reader: asyncio.StreamReader) -> dict[str, Any]:
    body = json.loads(await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big")))
    assert isinstance(body, dict)
    return body


async def never(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def play(
    directory: Path,
    limits: Limits,
    scenario: Callable[[Stage], Awaitable[None]],
    control: Handler | None = fake_control.serve,
) -> Stage:
    stage = Stage(directory)

    def log(entry: Entry, /, **fields: Field) -> None:
        entry.render(fields)
        stage.logged.append((entry, fields))

    async def behind(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert control is not None
        try:
            await control(reader, writer)
        finally:
            writer.transport.abort()

    async def run() -> None:
        listening = await asyncio.start_unix_server(behind, stage.control) if control else None
        server = Server(Upstream(stage.control, limits.answer_time, log), Roles(os.getuid()), limits, log)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(stage.admin))
            listener.listen(64)
            accepting = asyncio.create_task(server.run(listener))
            try:
                async with asyncio.timeout(15):
                    await scenario(stage)
            finally:
                accepting.cancel()
                await server.close()
                if listening:
                    listening.close()

    asyncio.run(run())
    return stage


def test_a_client_that_reads_nothing_of_its_answer_is_cut(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        reader, writer = await stage.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport reads as well as writes
        writer.write(frame(request(1, "show-sessions", tunnel="huge")))
        while not stage.reasons():
            assert (await stage.ask("show-tunnels"))["ok"]
            await asyncio.sleep(0.02)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await receive(reader)
        writer.close()

    stage = play(tmp_path, Limits(stall=0.3), scenario)
    assert stage.reasons() == ["it read nothing for 0.3 s"]


def test_a_client_that_reads_slowly_gets_all_of_its_answer(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(0)
            await loop.sock_connect(client, str(stage.admin))
            await loop.sock_sendall(client, frame(request(1, "show-sessions", tunnel="huge")))
            received = 0
            begun = loop.time()
            while received < fake_control.HUGE:
                received += len(await loop.sock_recv(client, 65536))
                await asyncio.sleep(0.1)
            assert loop.time() - begun > 0.7  # longer than the stall that it never was

    assert play(tmp_path, Limits(stall=0.5), scenario).reasons() == []


def test_when_too_much_is_unread_the_longest_idle_reader_goes(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        silent = [await stage.connect() for _ in range(3)]
        for _, writer in silent:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(frame(request(1, "show-sessions", tunnel="huge")))
            assert (await stage.ask("show-tunnels"))["ok"]
        answer = await stage.ask("show-sessions", tunnel="huge")
        assert len(answer["result"]["padding"]) == fake_control.HUGE
        for _, writer in silent:
            writer.close()

    stage = play(tmp_path, Limits(buffered=fake_control.HUGE + 400_000), scenario)
    assert stage.reasons()[0] == "too many answers are unread"
    assert 1 <= len(stage.reasons()) <= 3


def test_places_are_limited_in_all_and_for_each_user(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        clients = [await stage.connect() for _ in range(6)]
        assert (await stage.ask("show-tunnels"))["ok"]
        for reader, writer in clients[:4]:
            assert await reader.read() == b""
            writer.close()
        for reader, writer in clients[4:]:
            writer.write(frame(request(9, "show-tunnels")))
            assert (await receive(reader))["id"] == 9
            writer.close()

    stage = play(tmp_path, Limits(clients=64, clients_per_uid=3), scenario)
    assert len(stage.reasons()) == 4


def test_a_request_of_a_client_that_was_cut_while_it_waited_is_not_carried_out(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        reader, waiting = await stage.connect()
        waiting.write(frame(request(1, "show-tunnels")) + frame(request(2, "clear-tunnel", target="osaka")))
        assert (await receive(reader))["ok"]
        _, other = await stage.connect()
        assert await reader.read() == b""
        assert stage.reasons() == ["a new client needs its place"]
        assert (await stage.ask("show-tunnels"))["ok"]
        waiting.close()
        other.close()

    limits = Limits(clients_per_uid=1, requests_per_second=2, burst=1)
    stage = play(tmp_path, limits, scenario)
    assert Entry.ADMIN_COMMAND not in [entry for entry, _ in stage.logged]


def test_no_answer_in_time_is_unreachable_and_a_late_one_is_dropped(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        late = await stage.ask("show-tunnel", name="late-400")
        assert late["error"] == {"code": "unreachable", "message": "l2tp-ctl gave no answer in 0.2 s"}
        await asyncio.sleep(0.3)
        assert (await stage.ask("show-tunnel", name="osaka"))["result"]["tunnel"]["name"] == "osaka"

    play(tmp_path, Limits(answer_time=0.2), scenario)


def test_without_a_control_process_the_answer_is_unreachable_at_once(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        for _ in range(5):
            answer = await stage.ask("show-tunnels")
            assert answer["error"] == {"code": "unreachable", "message": "l2tp-ctl is away: No such file or directory"}

    stage = play(tmp_path, Limits(answer_time=5), scenario, control=None)
    assert [entry for entry, _ in stage.logged] == [Entry.CONTROL_LOST]


WITHOUT_RESULT = b"".join(frame({"v": 1, "id": number, "ok": True}) for number in (1, 2, 3))
WITHOUT_ERROR = b"".join(frame({"v": 1, "id": number, "ok": False, "error": "no"}) for number in (1, 2, 3))


@pytest.mark.parametrize("octets", [b"\0\0\0\0", b"\0\0\0\2[]", b"\xff\xff\xff\xff", WITHOUT_RESULT, WITHOUT_ERROR])
def test_a_control_process_that_talks_nonsense_is_unreachable(tmp_path: Path, octets: bytes) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(octets)
        await reader.read(100)

    async def scenario(stage: Stage) -> None:
        for _ in range(3):
            assert (await stage.ask("show-tunnels"))["error"]["code"] == "unreachable"

    stage = play(tmp_path, Limits(), scenario, nonsense)
    assert [entry for entry, _ in stage.logged] == [Entry.CONTROL_CONNECTED, Entry.CONTROL_LOST] * 3


def test_answers_that_nobody_asked_for_are_dropped(tmp_path: Path) -> None:
    async def chatty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for body in ({}, {"id": "1"}, {"id": [1]}, {"id": 99}, {"id": True}):
            writer.write(frame(body))
        await fake_control.serve(reader, writer)

    async def scenario(stage: Stage) -> None:
        for _ in range(3):
            assert (await stage.ask("show-tunnels"))["ok"]

    stage = play(tmp_path, Limits(), scenario, chatty)
    assert [entry for entry, _ in stage.logged] == [Entry.CONTROL_CONNECTED]


def test_a_control_process_that_does_not_read_is_not_fed_without_end(tmp_path: Path) -> None:
    refused = "l2tp-ctl is away: it does not read"

    async def insist(stage: Stage) -> int:
        reader, writer = await stage.connect()
        asked = 0
        while asked < 500:
            writer.write(frame(request(1, "show-tunnel", name="漢" * 255)))
            asked += 1
            if (await receive(reader))["error"]["message"] == refused:
                break
        writer.close()
        return asked

    async def scenario(stage: Stage) -> None:
        asked = await asyncio.gather(*(insist(stage) for _ in range(20)))
        assert max(asked) < 500
        assert sum(asked) * 800 > 1024 * 1024

    play(tmp_path, Limits(answer_time=0.02, requests_per_second=1e6), scenario, never)
