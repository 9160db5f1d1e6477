"""Asking l2tp-resolver: a right one, a slow one, one that lies, one that is not there."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest

from l2tp_ctl.catalogue import Level
from l2tp_ctl.core.effects import LookUp
from l2tp_ctl.resolver_schema import MAX_ADDRESSES, MAX_QUESTIONS, Answer, Question, Status, decode_question
from l2tp_ctl.runtime import names as names_module
from l2tp_ctl.runtime.log_sink import LogSink
from l2tp_ctl.runtime.names import Names

BOTH = LookUp("gw.example.net", ipv4=True, ipv6=True)
A, B, SIX = (ip_address(text) for text in ("192.0.2.2", "192.0.2.3", "2001:db8::2"))


class Finding(NamedTuple):
    name: str
    addresses: tuple[str, ...]
    problem: str
    logged: bool


class Bench:
    """The client under test, and a resolver whose answers the test writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = io.StringIO()
        self.found: list[Finding] = []
        self.names = Names(path, LogSink(self.log, Level.DEBUG), self._take)
        self._news = asyncio.Event()
        self._listener: socket.socket | None = None
        self._resolvers: list[Resolver] = []

    def _take(
        self, look_up: LookUp, /, *, addresses: tuple[str, ...] = (), problem: str = "", logged: bool = False
    ) -> None:
        self.found.append(Finding(look_up.name, addresses, problem, logged))
        self._news.set()

    async def wait(self, count: int) -> list[Finding]:
        """Wait until there are so many findings."""
        async with asyncio.timeout(10):
            while len(self.found) < count:
                self._news.clear()
                await self._news.wait()
        return self.found

    def listen(self) -> None:
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self._listener.bind(str(self.path))
        self._listener.listen()

    async def accept(self) -> Resolver:
        assert self._listener is not None
        async with asyncio.timeout(10):
            client, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        self._resolvers.append(Resolver(client))
        return self._resolvers[-1]

    def close(self) -> None:
        self.names.close()
        for resolver in self._resolvers:
            resolver.close()
        if self._listener is not None:
            self._listener.close()


class Resolver:
    """The resolver's end of one connection."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        client.settimeout(0)

    async def question(self) -> Question:
        async with asyncio.timeout(10):
            return decode_question(await asyncio.get_running_loop().sock_recv(self._client, 1000))

    def send(self, octets: bytes) -> None:
        assert self._client.send(octets) == len(octets)

    async def ended(self) -> bool:
        """Whether the client has closed the connection."""
        async with asyncio.timeout(10):
            return await asyncio.get_running_loop().sock_recv(self._client, 1000) == b""

    def close(self) -> None:
        self._client.close()

    def asked_more(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            return bool(self._client.recv(1000, socket.MSG_PEEK))
        return False


def run(path: Path, story: Callable[[Bench], Awaitable[None]]) -> Bench:
    """Let a story happen on a loop of its own."""

    @contextlib.asynccontextmanager
    async def bench() -> AsyncIterator[Bench]:
        made = Bench(path)
        try:
            yield made
        finally:
            made.close()

    async def play() -> Bench:
        async with bench() as made:
            await story(made)
            return made

    return asyncio.run(play())


def test_a_question_and_its_answer(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.listen()
        bench.names.ask(BOTH)
        resolver = await bench.accept()
        question = await resolver.question()
        assert (question.name, question.families) == (BOTH.name, 3)
        resolver.send(Answer(question.number, Status.OK, (A, SIX, A)).encode())
        assert await bench.wait(1) == [Finding(BOTH.name, ("192.0.2.2", "2001:db8::2"), "", logged=False)]

    assert run(tmp_path / "r", story).log.getvalue() == "<6>connected to l2tp-resolver\n"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status.NO_NAME, "there is no such name"),
        (Status.NO_ADDRESS, "it has no address of a family that is listened on"),
        (Status.NO_ANSWER, "the name servers do not answer"),
        (Status.FAILED, "the name servers refuse"),
        (Status.BUSY, "l2tp-resolver has too much to do"),
    ],
)
def test_each_status_has_its_words(tmp_path: Path, status: Status, words: str) -> None:
    async def story(bench: Bench) -> None:
        bench.listen()
        bench.names.ask(BOTH)
        resolver = await bench.accept()
        resolver.send(Answer((await resolver.question()).number, status).encode())
        assert await bench.wait(1) == [Finding(BOTH.name, (), words, logged=False)]

    run(tmp_path / "r", story)


def test_what_is_no_hosts_address_is_left_out(tmp_path: Path) -> None:
    texts = ("0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "fe80::1", "::ffff:192.0.2.1")
    useless = [ip_address(text) for text in texts]

    async def story(bench: Bench) -> None:
        bench.listen()
        bench.names.ask(BOTH)
        resolver = await bench.accept()
        resolver.send(Answer((await resolver.question()).number, Status.OK, (*useless, B)).encode())
        await bench.wait(1)
        bench.names.ask(BOTH)
        resolver.send(Answer((await resolver.question()).number, Status.OK, tuple(useless[:2])).encode())
        await bench.wait(2)

    assert run(tmp_path / "r", story).found == [
        Finding(BOTH.name, ("192.0.2.3",), "", logged=False),
        Finding(BOTH.name, (), "0.0.0.0, ::: not the address of a host", logged=False),
    ]


def test_answers_come_in_any_order_and_one_serves_all_who_ask_the_same(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.listen()
        for look_up in (BOTH, LookUp("b", ipv4=True, ipv6=False), BOTH, LookUp("c", ipv4=False, ipv6=True)):
            bench.names.ask(look_up)
        resolver = await bench.accept()
        questions = [await resolver.question() for _ in range(3)]
        assert [(one.name, one.families) for one in questions] == [(BOTH.name, 3), ("b", 1), ("c", 2)]
        bench.names.ask(BOTH)
        await asyncio.sleep(0)
        assert not resolver.asked_more()
        for question in reversed(questions):
            resolver.send(Answer(question.number, Status.NO_NAME).encode())
        assert [one.name for one in await bench.wait(3)] == ["c", "b", BOTH.name]

    run(tmp_path / "r", story)


def test_no_more_than_so_many_are_under_way(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.listen()
        for number in range(3 * MAX_QUESTIONS):
            bench.names.ask(LookUp(f"n{number}", ipv4=True, ipv6=True))
        resolver = await bench.accept()
        for _ in range(MAX_QUESTIONS - 1):
            await resolver.question()
        last = await resolver.question()
        assert not resolver.asked_more()
        resolver.send(Answer(last.number, Status.NO_NAME).encode())
        assert (await resolver.question()).name == f"n{MAX_QUESTIONS}"
        assert not resolver.asked_more()

    run(tmp_path / "r", story)


HEAD = b"\0\0\0\1"
LIES: dict[str, bytes] = {
    "garbage": b"\xff" * 40,
    "nothing": b"\0",
    "text": b"192.0.2.2",
    "too many addresses": HEAD + b"\0" + b"\4\xc0\0\2\2" * 3 * (MAX_ADDRESSES + 1) + bytes(400),
    "no address": HEAD + b"\0",
    "half an address": HEAD + b"\0\4\xc0\0",
    "another version": HEAD + b"\0\7" + bytes(16),
    "another family": HEAD + b"\0\6" + SIX.packed,
    "another status": HEAD + b"\x63",
    "another number": b"\0\0\0\2\1",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_resolver_that_lies_loses_the_connection_and_is_asked_again_on_another(tmp_path: Path, lie: str) -> None:
    four = LookUp("gw", ipv4=True, ipv6=False)

    async def story(bench: Bench) -> None:
        bench.listen()
        bench.names.ask(four)
        first = await bench.accept()
        assert (await first.question()).number == 1
        first.send(LIES[lie])
        (found,) = await bench.wait(1)
        assert found.addresses == ()
        assert found.problem.startswith("l2tp-resolver is away: it does not keep to the contract: ")
        assert found.logged
        assert await first.ended()
        bench.names.ask(four)
        second = await bench.accept()
        second.send(Answer((await second.question()).number, Status.OK, (A,)).encode())
        assert (await bench.wait(2))[1].addresses == ("192.0.2.2",)

    lines = run(tmp_path / "r", story).log.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(
        "<3>connection to l2tp-resolver lost, host names cannot be resolved: it does not keep to"
    )


def test_an_answer_that_is_given_twice_ends_the_connection(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.listen()
        bench.names.ask(BOTH)
        resolver = await bench.accept()
        number = (await resolver.question()).number
        for _ in range(2):
            resolver.send(Answer(number, Status.OK, (A,)).encode())
        assert len(await bench.wait(1)) == 1
        assert await resolver.ended()

    run(tmp_path / "r", story)


def test_one_that_is_not_there_is_complained_of_once_for_all_names(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        for round_ in range(1, 4):
            for number in range(40):
                bench.names.ask(LookUp(f"n{number}", ipv4=True, ipv6=True))
            await bench.wait(40 * round_)
        bench.listen()
        bench.names.ask(BOTH)
        resolver = await bench.accept()
        resolver.send(Answer((await resolver.question()).number, Status.OK, (A,)).encode())
        assert (await bench.wait(121))[120].addresses == ("192.0.2.2",)

    made = run(tmp_path / "r", story)
    assert {one[1:] for one in made.found[:120]} == {((), "l2tp-resolver is away: No such file or directory", True)}
    assert made.log.getvalue().splitlines() == [
        "<3>connection to l2tp-resolver lost, host names cannot be resolved: No such file or directory",
        "<6>connected to l2tp-resolver",
    ]


def test_one_that_ends_is_asked_again_by_a_new_connection(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.listen()
        bench.names.ask(BOTH)
        first = await bench.accept()
        await first.question()
        first.close()
        assert (await bench.wait(1))[0].problem == "l2tp-resolver is away: it has closed the connection"
        bench.names.ask(BOTH)
        second = await bench.accept()
        number = (await second.question()).number
        second.send(Answer(number, Status.OK, (A,)).encode())
        await bench.wait(2)
        # With nothing under way, as when it is upgraded, this is nobody's business.
        second.close()
        await asyncio.sleep(0.05)
        bench.names.ask(BOTH)
        third = await bench.accept()
        third.send(Answer((await third.question()).number, Status.OK, (B,)).encode())
        assert (await bench.wait(3))[2].addresses == ("192.0.2.3",)

    assert len(run(tmp_path / "r", story).log.getvalue().splitlines()) == 2


def test_one_that_dies_with_a_question_unread_is_away(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.listen()
        bench.names.ask(BOTH)
        resolver = await bench.accept()
        async with asyncio.timeout(10):
            while not resolver.asked_more():  # noqa: ASYNC110  # a socket tells nobody that it was not read
                await asyncio.sleep(0)
        resolver.close()
        assert (await bench.wait(1))[0].problem == "l2tp-resolver is away: Connection reset by peer"

    run(tmp_path / "r", story)


def test_one_that_hangs_costs_each_question_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_module, "ANSWER_TIME", 0.1)

    async def story(bench: Bench) -> None:
        bench.listen()
        for number in range(MAX_QUESTIONS + 1):
            bench.names.ask(LookUp(f"n{number}", ipv4=True, ipv6=True))
        resolver = await bench.accept()
        found = await bench.wait(MAX_QUESTIONS + 1)
        assert {one.problem for one in found} == {"no answer within 0.1 s"}
        assert not any(one.logged for one in found)
        # It wakes up: late answers are of no use and no harm.
        late = await resolver.question()
        resolver.send(Answer(late.number, Status.OK, (A,)).encode())
        monkeypatch.setattr(names_module, "ANSWER_TIME", 10.0)
        bench.names.ask(BOTH)
        while (question := await resolver.question()).name != BOTH.name:
            pass
        resolver.send(Answer(question.number, Status.OK, (B,)).encode())
        assert (await bench.wait(MAX_QUESTIONS + 2))[-1].addresses == ("192.0.2.3",)

    run(tmp_path / "r", story)


def test_one_that_reads_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions are many, and each is given up at once: what the socket does not take fails."""
    monkeypatch.setattr(names_module, "ANSWER_TIME", 0.0)

    async def story(bench: Bench) -> None:
        bench.listen()
        asked = 0
        async with asyncio.timeout(30):
            while not any(one.logged for one in bench.found):
                for _ in range(100):
                    asked += 1
                    bench.names.ask(LookUp(f"{'n' * 60}{asked}", ipv4=True, ipv6=True))
                await bench.wait(asked)
        assert len(bench.names._late) == 0

    made = run(tmp_path / "r", story)
    assert "Resource temporarily unavailable" in made.log.getvalue()


def test_closed_it_forgets_everything(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        bench.listen()
        bench.names.ask(BOTH)
        resolver = await bench.accept()
        await resolver.question()
        bench.names.close()
        assert await resolver.ended()
        bench.names.ask(BOTH)
        bench.names.close()
        await asyncio.sleep(0.05)
        assert bench.found == []

    run(tmp_path / "r", story)
