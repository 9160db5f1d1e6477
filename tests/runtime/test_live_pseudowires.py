"""The queue in front of the real helper: order, batches, and what becomes of it when the helper goes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
import zmq.asyncio

from l2tp_ctl.core.effects import DeletePwe, Pseudowire, SetPwe
from l2tp_ctl.core.settings import Address, Encapsulation
from l2tp_ctl.runtime import pseudowires
from l2tp_ctl.runtime.helper_client import HelperClient, HelperError
from l2tp_ctl.runtime.pseudowires import Pseudowires
from l2tp_kernel.schema import Plane, Verb
from tests.kernel import helper as helpers
from tests.support.netns import veth_pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.root

EAST = Address(Encapsulation.UDP, "", 1701, "192.0.2.2", 1701)
ELSEWHERE = Address(Encapsulation.UDP, "", 1701, "198.51.100.2", 1701)
NOWHERE = Address(Encapsulation.IP, "", 0, "192.0.2.2", 0)


def wish(number: int, *, session: int = 0, address: Address = EAST) -> SetPwe:
    """Request ``number`` for interface pw``number``."""
    return SetPwe(
        number,
        Pseudowire(
            interface=f"pw{number}",
            address=address,
            local_connection_id=1,
            peer_connection_id=2,
            local_session_id=session or 100 + number,
            peer_session_id=200 + number,
            local_cookie=b"",
            peer_cookie=b"",
            receive_sublayer=0,
            send_sublayer=0,
            receive_sequencing=0,
            send_sequencing=0,
            mtu=0,
            bridge="",
        ),
    )


class Queue:
    """A queue, what it answered and what failed."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, int, str]] = []
        self.failures: list[tuple[str, Verb]] = []
        self.handle = 0
        self.pseudowires = Pseudowires(
            Plane.AUTO,
            handle_of=lambda address: self.handle if address.encapsulation is Encapsulation.UDP else None,
            answer=lambda *answer: self.answers.append(answer),
            failed=self._failed,
        )

    def _failed(self, error: HelperError, verb: Verb) -> None:
        self.failures.append((str(error), verb))

    async def until_idle(self) -> None:
        async with asyncio.timeout(5):
            while not self.pseudowires.idle():  # noqa: ASYNC110  # the queue tells nobody
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def connected(helper: helpers.Helper, queue: Queue) -> AsyncIterator[HelperClient]:
    context = zmq.asyncio.Context()
    client = await HelperClient.connect(context, helper.directory, lambda event: None, lambda *tunnel: None)
    try:
        queue.handle, _, sock = await client.open_listener(helpers.listener("0.0.0.0"))
        with sock:
            queue.pseudowires.connect()
            running = asyncio.create_task(queue.pseudowires.run(client))
            yield client
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
    finally:
        queue.pseudowires.disconnect()
        client.close()
        context.destroy(linger=0)


@pytest.fixture(scope="module")
def helper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[helpers.Helper]:
    with veth_pair("wires") as (host, _):
        directory = tmp_path_factory.mktemp("helper")
        policy = helpers.POLICY.replace("maximum = 4", "maximum = 10")
        with helpers.running(host, directory, policy=policy) as running:
            yield running


@pytest.mark.parametrize("batch", [1, 3, 256])
def test_wishes_are_done_in_order_whatever_the_batches(
    helper: helpers.Helper, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pseudowires, "MAX_BATCH", batch)

    async def scenario() -> None:
        queue = Queue()
        async with connected(helper, queue) as client:
            for number in range(8):
                queue.pseudowires.put(wish(number))
            queue.pseudowires.put(DeletePwe("pw1", 101))
            queue.pseudowires.put(DeletePwe("pw2", 999))  # not its session any more
            queue.pseudowires.put(wish(1, session=500))
            await queue.until_idle()
            assert queue.answers == [(number, 1450, "") for number in [*range(8), 1]]
            _, listed = await client.request(Verb.LIST)
            assert {fields[1]: fields[8] for fields in listed} == {
                **{f"pw{number}": 100 + number for number in range(8)},
                "pw1": 500,
            }
            for number in range(8):
                queue.pseudowires.put(DeletePwe(f"pw{number}", 500 if number == 1 else 100 + number))
            await queue.until_idle()
            assert await client.request(Verb.LIST) == [[[1, 0, bytes(4), 1701, queue.handle]], []]
        assert queue.failures == []

    asyncio.run(scenario())


def test_one_refusal_leaves_the_others_alone(helper: helpers.Helper) -> None:
    async def scenario() -> None:
        queue = Queue()
        async with connected(helper, queue):
            for effect in (wish(0), wish(1, address=ELSEWHERE), wish(2, address=NOWHERE), wish(3)):
                queue.pseudowires.put(effect)
            await queue.until_idle()
            for number in (0, 3):
                queue.pseudowires.put(DeletePwe(f"pw{number}", 100 + number))
            await queue.until_idle()
        assert sorted(queue.answers) == [
            (0, 1450, ""),
            (1, 0, "policy"),
            (2, 0, "the control socket is not open"),
            (3, 1450, ""),
        ]
        assert queue.failures == [("policy", Verb.SET_PWE_PARAM)]

    asyncio.run(scenario())


def test_without_a_helper_a_wish_is_refused_later_and_a_delete_done_when_one_is_back(helper: helpers.Helper) -> None:
    async def scenario() -> None:
        queue = Queue()
        async with connected(helper, queue):
            queue.pseudowires.put(wish(0))
            queue.pseudowires.put(wish(1))
            await queue.until_idle()
        queue.pseudowires.put(DeletePwe("pw0", 100))
        queue.pseudowires.put(wish(2))
        assert len(queue.answers) == 2  # not from inside the event that made the effect
        await asyncio.sleep(0)
        assert queue.answers[2:] == [(2, 0, "l2tp-kernel is not there")]
        async with connected(helper, queue) as client:
            _, listed = await client.request(Verb.LIST)
            await queue.pseudowires.remove_strangers(client, listed)
            _, listed = await client.request(Verb.LIST)
            assert [fields[1] for fields in listed] == ["pw1"]
            queue.pseudowires.put(DeletePwe("pw1", 101))
            await queue.until_idle()
        assert queue.failures == []

    asyncio.run(scenario())
