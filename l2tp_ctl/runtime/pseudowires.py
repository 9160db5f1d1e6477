"""What the core wants of the pseudowires, in order and in batches to the helper."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from l2tp_ctl.core.effects import DeletePwe, Pseudowire, SetPwe
from l2tp_ctl.core.settings import Address
from l2tp_ctl.runtime.helper_client import HelperClient, HelperError, HelperGoneError, HelperRefusedError, result
from l2tp_kernel.schema import MAX_BATCH, Plane, PweParam, Reason, Verb

_IDLE_POLL = 0.02

_fields: Callable[[PweParam], tuple[Any, ...]] = attrgetter(*(field.name for field in fields(PweParam)))

Answer = Callable[[int, int, str], None]
"""Called with a request's number, the interface's MTU, and an error's text, empty when it is done."""
Failure = Callable[[HelperError, Verb], None]


class Pseudowires:
    """A queue in front of the helper.

    ``handle_of`` gives the listener's handle for an address; ``failed`` is told of every error of the helper's.
    """

    def __init__(
        self, plane: Plane, *, handle_of: Callable[[Address], int | None], answer: Answer, failed: Failure
    ) -> None:
        self._plane = plane
        self._handle_of = handle_of
        self._answer = answer
        self._failed = failed
        self._queue: deque[SetPwe | DeletePwe] = deque()
        self._filled = asyncio.Event()
        self._connected = False
        self._batch: list[SetPwe | DeletePwe] = []
        """What the helper is doing."""
        self._wanted: dict[str, int] = {}
        """The local session id that each interface should carry now."""

    def expect(self, interface: str, local_session_id: int) -> None:
        """Take note of a pseudowire that will be wished for: what an earlier process left of it may stay."""
        self._wanted[interface] = local_session_id

    def put(self, effect: SetPwe | DeletePwe) -> None:
        """Take one wish.  While there is no helper a set is refused at once and a delete is done when one is back."""
        if isinstance(effect, SetPwe):
            self._wanted[effect.pseudowire.interface] = effect.pseudowire.local_session_id
        elif self._wanted.get(effect.interface) == effect.local_session_id:
            del self._wanted[effect.interface]
        if self._connected:
            self._queue.append(effect)
            self._filled.set()
        elif isinstance(effect, SetPwe):
            # Later: the core is still busy with the event that made this effect.
            loop = asyncio.get_running_loop()
            loop.call_soon(self._answer, effect.request, 0, "l2tp-kernel is not there")

    def idle(self) -> bool:
        """Whether the helper has done all that was wished."""
        return not self._queue and not self._batch

    def under_way(self) -> set[str]:
        """Return the interfaces for which the helper has not done yet what was wished."""
        return {
            effect.pseudowire.interface if isinstance(effect, SetPwe) else effect.interface
            for effect in itertools.chain(self._batch, self._queue)
        }

    def wanted(self, interface: str) -> bool:
        """Whether anybody wants a pseudowire on an interface."""
        return interface in self._wanted

    def parameters(self, pseudowire: Pseudowire) -> PweParam | None:
        """Return what the helper is told of a pseudowire, None while its control socket is not open."""
        handle = self._handle_of(pseudowire.address)
        return None if handle is None else self._parameters(pseudowire, handle)

    async def done(self) -> None:
        """Wait until it has."""
        while not self.idle():  # noqa: ASYNC110  # a queue that empties tells nobody
            await asyncio.sleep(_IDLE_POLL)

    def connect(self) -> None:
        """Queue from now on for a helper that is there."""
        self._connected = True

    def disconnect(self) -> None:
        """Forget what was queued for a helper that is gone: the core wishes again when one is back."""
        self._connected = False
        self._batch = []
        self._queue.clear()

    async def remove_strangers(self, client: HelperClient, pseudowires: list[list[Any]]) -> None:
        """Remove what the helper lists and nobody here wants: it was left by an earlier process."""
        owned = ((param.interface, param.local_session_id) for param in itertools.starmap(PweParam, pseudowires))
        left = [(interface, session) for interface, session in owned if self._wanted.get(interface) != session]
        for start in range(0, len(left), MAX_BATCH):
            for status, value in await client.request(Verb.DELETE_PWE, left[start : start + MAX_BATCH]):
                self._check(Verb.DELETE_PWE, status, value)

    async def run(self, client: HelperClient) -> None:
        """Carry out what is queued until the helper is gone."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                self._batch = self._take_batch()
                try:
                    await self._carry_out(client, self._batch)
                finally:
                    self._batch = []

    def _take_batch(self) -> list[SetPwe | DeletePwe]:
        """Take what may go in one request: the same verb, in order."""
        kind = type(self._queue[0])
        batch = [*itertools.takewhile(lambda effect: type(effect) is kind, itertools.islice(self._queue, MAX_BATCH))]
        for _ in batch:
            self._queue.popleft()
        return batch

    async def _carry_out(self, client: HelperClient, batch: list[SetPwe | DeletePwe]) -> None:
        sets = [effect for effect in batch if isinstance(effect, SetPwe)]
        if not sets:
            pairs = [(effect.interface, effect.local_session_id) for effect in batch if isinstance(effect, DeletePwe)]
            await self._request(client, Verb.DELETE_PWE, pairs)
            return
        ready = []
        for effect in sets:
            parameters = self.parameters(effect.pseudowire)
            if parameters is None:
                self._answer(effect.request, 0, "the control socket is not open")
            else:
                ready.append((effect, _fields(parameters)))
        if not ready:
            return
        answers = await self._request(client, Verb.SET_PWE_PARAM, [parameters for _, parameters in ready])
        for (effect, _), (mtu, error) in zip(ready, answers, strict=True):
            self._answer(effect.request, mtu, error)

    async def _request(
        self, client: HelperClient, verb: Verb, items: Sequence[tuple[Any, ...]]
    ) -> list[tuple[int, str]]:
        """Return the MTU and the error of each item; a helper that is gone answers nothing."""
        try:
            answers = await client.request(verb, items)
        except HelperGoneError:
            raise
        except HelperError as error:
            self._failed(error, verb)
            return [(0, str(error))] * len(items)
        return [self._check(verb, status, value) for status, value in answers]

    def _check(self, verb: Verb, status: int, value: Any) -> tuple[int, str]:  # noqa: ANN401  # the verb's
        try:
            made = result(status, value)
        except HelperError as error:
            gone = isinstance(error, HelperRefusedError) and error.reason is Reason.NOT_FOUND
            if not gone or verb is not Verb.DELETE_PWE:
                self._failed(error, verb)
            return 0, str(error)
        return (made[1] if verb is Verb.SET_PWE_PARAM else 0), ""

    def _parameters(self, pseudowire: Pseudowire, handle: int) -> PweParam:
        address = pseudowire.address
        peer = packed(address.peer)
        return PweParam(
            plane=self._plane,
            interface=pseudowire.interface,
            listener=handle,
            local_address=packed(address.local) if address.local else bytes(len(peer)),
            peer_address=peer,
            peer_port=address.peer_port,
            local_connection_id=pseudowire.local_connection_id,
            peer_connection_id=pseudowire.peer_connection_id,
            local_session_id=pseudowire.local_session_id,
            peer_session_id=pseudowire.peer_session_id,
            local_cookie=pseudowire.local_cookie,
            peer_cookie=pseudowire.peer_cookie,
            receive_sublayer=pseudowire.receive_sublayer,
            send_sublayer=pseudowire.send_sublayer,
            receive_sequencing=pseudowire.receive_sequencing,
            send_sequencing=pseudowire.send_sequencing,
            mtu=pseudowire.mtu,
            bridge=pseudowire.bridge,
            up=pseudowire.up,
        )


def packed(address: str) -> bytes:
    """Return an address's octets."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
