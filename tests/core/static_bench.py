"""Static tunnels for a bench, a peer of one that counts as RFC 3931 has it, and two endpoints that face each other."""

from __future__ import annotations

import heapq
from dataclasses import replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from l2tp_ctl.core.effects import Pseudowire, Send, SetPwe
from l2tp_ctl.core.endpoint import Endpoint
from l2tp_ctl.core.settings import Address, Encapsulation, StaticSessionSettings, StaticTunnelSettings
from tests.core.bench import ADDRESS, FAR, NEAR, Bench, FarEnd

if TYPE_CHECKING:
    from collections.abc import Callable

    from l2tp_ctl.core.views import TunnelView

OURS, THEIRS = 0xA0A0, 0xB0B0
"""Control Connection IDs."""


def session(name: str = "s1", **changes: Any) -> StaticSessionSettings:
    plain = StaticSessionSettings(
        name=name, interface=f"if-{name}", local_session_id=0x100 + len(name), peer_session_id=0x200 + len(name)
    )
    return replace(plain, **changes)


def tunnel(*sessions: StaticSessionSettings, **changes: Any) -> StaticTunnelSettings:
    """Settings of a static tunnel to FAR; one session unless told otherwise."""
    return replace(StaticTunnelSettings(name="t1", address=ADDRESS, sessions=sessions or (session(),)), **changes)


def watched(*sessions: StaticSessionSettings, **changes: Any) -> StaticTunnelSettings:
    """Settings of one that looks after its peer, every 10 s and with three retransmissions: for 1 + 2 + 4 + 8 s."""
    given: dict[str, Any] = {"local_connection_id": OURS, "peer_connection_id": THEIRS, "hello_interval": 10.0}
    return tunnel(*sessions, **(given | {"retry": 3} | changes))


SILENCE = 15.0
"""Seconds after which a peer of such a tunnel counts as dead."""


def began(*tunnels: StaticTunnelSettings) -> Bench:
    """A bench that has begun, the helper having done its part."""
    bench = Bench(*tunnels or (tunnel(),))
    bench.start()
    bench.run(0.6)
    return bench


def far_end(bench: Bench) -> FarEnd:
    """The peer of such a tunnel, which counts and acknowledges as any control connection does."""
    far = FarEnd(bench, THEIRS)
    far.peer_id = OURS
    return far


def faced(*sessions: StaticSessionSettings, **changes: Any) -> tuple[Bench, FarEnd]:
    """A bench whose static tunnel has heard of its peer, and that peer."""
    bench = Bench(watched(*sessions, **changes))
    far = far_end(bench)
    bench.start()
    bench.run(0.6)
    assert bench.tunnel.state == "established"
    return bench, far


class Facing:
    """Two endpoints with the same static tunnel between them, each with a helper that does all at once."""

    def __init__(self, seed: int, *, loss: float = 0.0) -> None:
        self.random = Random(seed)
        self.loss = loss
        self.now = 0.0
        self.cut: set[str] = set()
        """Addresses whose messages get lost."""
        self.made: dict[str, dict[str, Pseudowire]] = {NEAR: {}, FAR: {}}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.ends = {NEAR: self._end(NEAR), FAR: self._end(FAR)}
        for address in self.ends:
            self.restart(address)

    def restart(self, address: str) -> None:
        """Let one end begin anew, with nothing that it knew."""
        self.ends[address] = self._end(address)
        self.ends[address].start(self.now)
        self._settle(address)

    def tunnels(self) -> list[TunnelView]:
        return [end.tunnels()[0] for end in self.ends.values()]

    @property
    def states(self) -> list[str]:
        return [view.state for view in self.tunnels()]

    @property
    def up(self) -> bool:
        """Whether both ends carry frames."""
        wires = [wire.up for made in self.made.values() for wire in made.values()]
        return self.states == ["established"] * 2 and wires == [True] * 2

    def run(self, seconds: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Run for some time, or until ``done``; return whether it is."""
        end = self.now + seconds
        while not done():
            timers = [(due, address) for address, one in self.ends.items() if (due := one.next_timer()) is not None]
            due, address = min(timers)
            arrival = self._queue[0][0] if self._queue else end
            if min(due, arrival) >= end:
                self.now = end
                return done()
            self.now = max(self.now, min(due, arrival))
            if arrival <= due:
                heapq.heappop(self._queue)[2]()
            else:
                self.ends[address].handle_timer(self.now)
                self._settle(address)
        return True

    def _end(self, address: str) -> Endpoint:
        near = address == NEAR
        ids = {
            "local_connection_id": OURS if near else THEIRS,
            "peer_connection_id": THEIRS if near else OURS,
            "address": Address(Encapsulation.UDP, address, 1701, FAR if near else NEAR, 1701),
        }
        return Endpoint([watched(**ids)], entropy=self.random.randbytes)

    def _settle(self, address: str) -> None:
        end = self.ends[address]
        while effects := end.take_effects():
            for effect in effects:
                if isinstance(effect, SetPwe):
                    self.made[address][effect.pseudowire.interface] = effect.pseudowire
                    end.pwe_answer(effect.request, self.now, mtu=1400)
                elif isinstance(effect, Send) and address not in self.cut and self.random.random() >= self.loss:
                    self._count += 1
                    arrival = self.now + self.random.uniform(0.01, 0.5)
                    source = replace(effect.address, local=effect.address.peer, peer=address)
                    deliver: Callable[[], None] = partial(self._arrive, effect.address.peer, effect.data, source)
                    heapq.heappush(self._queue, (arrival, self._count, deliver))

    def _arrive(self, address: str, data: bytes, source: Address) -> None:
        self.ends[address].receive_datagram(data, source, self.now)
        self._settle(address)
