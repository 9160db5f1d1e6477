"""The connection to l2tp-kernel: to the real one, and to some that do not keep to the contract."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from dataclasses import astuple
from functools import partial
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zmq
import zmq.asyncio

from l2tp_ctl.runtime import helper_client
from l2tp_ctl.runtime.helper_client import HelperClient, HelperFailedError, HelperGoneError, HelperRefusedError
from l2tp_kernel.schema import VERSION, Counters, EventKind, Flavour, Plane, PweParam, Reason, Status, Verb
from tests.kernel import helper as real
from tests.support.netns import namespace, veth_pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@contextlib.asynccontextmanager
async def connected(directory: Path, events: list[list[Any]] | None = None) -> AsyncIterator[HelperClient]:
    context = zmq.asyncio.Context()
    try:
        told = [] if events is None else events
        client = await HelperClient.connect(context, directory, told.append, lambda *tunnel: None)
        try:
            yield client
        finally:
            client.close()
    finally:
        context.destroy(linger=0)


def test_no_helper_at_all(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with connected(tmp_path):
            pass

    with pytest.raises(HelperGoneError, match=r"^No such file or directory$"):
        asyncio.run(scenario())


# ---- The real one.


@pytest.fixture(scope="module")
def helper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.Helper]:
    with veth_pair("client") as (host, _), real.running(host, tmp_path_factory.mktemp("helper")) as running:
        yield running


@pytest.mark.root
def test_a_whole_life(helper: real.Helper) -> None:
    events: list[list[Any]] = []

    async def scenario() -> None:
        async with connected(helper.directory, events) as client:
            assert client.planes == (Plane.USERSPACE,)
            handle, flavour, sock = await client.open_listener(real.listener())
            with sock:
                assert flavour is Flavour.UDP
                assert sock.getsockname() == ("192.0.2.1", 1701)
                assert not os.get_inheritable(sock.fileno())
            listed, _ = await client.request(Verb.LIST)
            assert listed == [[Plane.USERSPACE, 0, real.address("192.0.2.1"), 1701, handle]]
            ((status, (interface, mtu, _)),) = await client.request(
                Verb.SET_PWE_PARAM, [astuple(real.param(handle, local_cookie=b"12345678"))]
            )
            assert (status, interface, mtu) == (Status.OK, "pw0", 1500 - 20 - 8 - 8 - 8 - 14)
            _, listed = await client.request(Verb.LIST)
            assert PweParam(*listed[0]).local_cookie == b"12345678"
            ((name, *values),) = await client.request(Verb.STATS, ["pw0"])
            assert (name, Counters(*values).rx_cookie) == ("pw0", 0)
            helper.host.ip("link set pw0 down")
            helper.host.ip("link delete pw0")
            async with asyncio.timeout(5):
                while [EventKind.PWE_GONE, "pw0"] not in events:
                    await client.request(Verb.LIST)
            await client.request(Verb.CLOSE_LISTENER, handle)
            assert await client.request(Verb.LIST) == [[], []]

    asyncio.run(scenario())


@pytest.mark.root
def test_many_requests_wait_at_the_same_time_and_each_gets_its_own_answer(helper: real.Helper) -> None:
    async def scenario() -> None:
        async with connected(helper.directory) as client:
            answers = await asyncio.gather(
                *(client.request(Verb.STATS, []) if number % 2 else client.request(Verb.LIST) for number in range(200))
            )
            assert answers == [[[], []], []] * 100

    asyncio.run(scenario())


@pytest.mark.root
def test_refusals_and_failures_are_told_apart(helper: real.Helper) -> None:
    async def scenario() -> None:
        async with connected(helper.directory) as client:
            with pytest.raises(HelperRefusedError, match=r"^policy$") as refused:
                await client.open_listener(real.listener("198.51.100.1"))
            assert refused.value.reason is Reason.POLICY
            assert refused.value.fields(Verb.OPEN_LISTENER) == {"verb": "OPEN_LISTENER", "reason": "policy"}
            with pytest.raises(HelperFailedError, match=r"^Cannot assign requested address$"):
                await client.open_listener(real.listener("192.0.2.9"))
            with pytest.raises(HelperRefusedError, match=r"^not-found$"):
                await client.request(Verb.CLOSE_LISTENER, 99)

    asyncio.run(scenario())


@pytest.mark.root
def test_a_stranger_is_not_served(tmp_path: Path) -> None:
    policy = re.sub(r'clients = \["root"\]', 'clients = ["nobody"]', real.POLICY)
    with namespace("client") as host, real.running(host, tmp_path, policy=policy) as running:

        async def scenario() -> None:
            async with connected(running.directory):
                pass

        with pytest.raises(HelperGoneError, match=r"^it does not serve this user$"):
            asyncio.run(scenario())


@pytest.mark.root
def test_the_end_of_the_helper_ends_every_request(tmp_path: Path) -> None:
    with namespace("client") as host, real.running(host, tmp_path) as running:

        async def scenario() -> None:
            async with connected(running.directory) as client:
                running.process.kill()
                with pytest.raises(HelperGoneError, match=r"^it ended$"):
                    await client.request(Verb.LIST)
                assert await client.ended() == "it ended"
                with pytest.raises(HelperGoneError, match=r"^it ended$"):
                    await client.request(Verb.LIST)

        asyncio.run(scenario())


# ---- Some that do not keep to the contract.


class Broken:
    """A helper that greets properly and then answers ``answer(sequence)`` to anything, or nothing for None."""

    def __init__(self, directory: Path, token: bytes = b"t" * 16) -> None:
        self.directory = directory
        self.token = token

    def answer(self, sequence: int) -> bytes | None:
        return None

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        context = zmq.asyncio.Context()
        router = context.socket(zmq.ROUTER)
        router.bind(f"ipc://{self.directory}/command")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as listener:
            listener.bind(str(self.directory / "descriptors"))
            listener.listen()
            task = asyncio.create_task(self._serve(listener, router))
            try:
                yield
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                context.destroy(linger=0)

    async def _send(self, router: zmq.asyncio.Socket, identity: bytes, answer: bytes) -> None:
        await router.send_multipart([identity, answer])

    async def _serve(self, listener: socket.socket, router: zmq.asyncio.Socket) -> None:
        loop = asyncio.get_running_loop()
        channel, _ = await loop.sock_accept(listener)
        with channel:
            if self.token:
                await loop.sock_sendall(channel, self.token)
            while True:
                identity, frame = await router.recv_multipart()
                self.send = partial(self._send, router, identity)
                sequence, verb, *arguments = msgpack.unpackb(frame)
                if verb == Verb.HELLO:
                    assert arguments == [VERSION, self.token]
                    answer: bytes | None = msgpack.packb([sequence, Status.OK, [[Plane.USERSPACE], 1]])
                else:
                    answer = self.answer(sequence)
                if answer is not None:
                    await self.send(answer)


def ask(broken: Broken) -> None:
    async def scenario() -> None:
        async with broken.serving(), connected(broken.directory) as client:
            await client.request(Verb.LIST)

    asyncio.run(scenario())


def test_a_helper_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper_client, "ANSWER_TIME", 0.2)
    with pytest.raises(HelperGoneError, match=r"^no answer to LIST for 0\.2 s$"):
        ask(Broken(tmp_path))


def test_a_helper_that_sends_no_token_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper_client, "CONNECT_TIME", 0.2)
    with pytest.raises(HelperGoneError, match=r"^no token for 0\.2 s$"):
        ask(Broken(tmp_path, token=b""))


@pytest.mark.parametrize("answer", [b"\xc1", b"", msgpack.packb(1), msgpack.packb([2, 0])])
def test_an_unreadable_answer_ends_the_connection(tmp_path: Path, answer: bytes) -> None:
    class Unreadable(Broken):
        def answer(self, sequence: int) -> bytes:
            return answer

    with pytest.raises(HelperGoneError, match=r"^unreadable answer: "):
        ask(Unreadable(tmp_path))


def test_a_listener_without_its_descriptor_ends_the_connection(tmp_path: Path) -> None:
    class WithoutDescriptor(Broken):
        def answer(self, sequence: int) -> bytes:
            packed: bytes = msgpack.packb([sequence, Status.OK, [1, Flavour.UDP]])
            return packed

    async def scenario() -> None:
        broken = WithoutDescriptor(tmp_path)
        async with broken.serving(), connected(broken.directory) as client:
            await client.open_listener(real.listener())

    with pytest.raises(HelperGoneError, match=r"^an answer came without its descriptor$"):
        asyncio.run(scenario())


def test_an_answer_that_nobody_waits_for_any_more_is_dropped(tmp_path: Path) -> None:
    class Late(Broken):
        def answer(self, sequence: int) -> bytes | None:
            return None if sequence == 2 else msgpack.packb([sequence, Status.OK, "in time"])

    async def scenario() -> None:
        broken = Late(tmp_path)
        async with broken.serving(), connected(broken.directory) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.request(Verb.LIST)
            await broken.send(msgpack.packb([2, Status.OK, "too late"]))
            assert await client.request(Verb.LIST) == "in time"

    asyncio.run(scenario())
