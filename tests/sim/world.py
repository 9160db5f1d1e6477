"""A world of two endpoints, a bad network and a helper each, on a virtual clock.

Everything that happens is drawn from one seeded generator, so a seed replays exactly.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

from l2tp_ctl.core.effects import DeletePwe, Effect, Log, Pseudowire, Send, SetPwe, StateChange
from l2tp_ctl.core.endpoint import Endpoint
from l2tp_ctl.core.settings import Address, TunnelSettings
from l2tp_ctl.core.views import SessionView, TunnelView


@dataclass(slots=True)
class Network:
    """What the network does to datagrams, as probabilities; delays are in seconds."""

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    delay: float = 0.02
    late: float = 3.0
    """How much later a reordered datagram comes, at most."""


@dataclass(slots=True)
class Side:
    """One LCCE: its endpoint and what its helper made."""

    name: str
    address: str
    settings: tuple[TunnelSettings, ...]
    endpoint: Endpoint
    born: int = 0
    """Rises with each start: what an earlier life is still owed is not delivered; 0 before the first."""
    alarm: float | None = None
    busy: float = 0.0
    """When its helper has done what it was asked."""
    helper: bool = True
    """Whether its helper answers."""
    pseudowires: dict[str, Pseudowire] = field(default_factory=dict)

    @property
    def tunnel(self) -> TunnelView:
        """Its one tunnel."""
        return self.endpoint.tunnels()[0]

    @property
    def sessions(self) -> tuple[SessionView, ...]:
        """Its sessions."""
        return self.tunnel.sessions


class World:
    """Runs events in the order of their time until a condition holds."""

    def __init__(self, seed: int, network: Network, settings: Mapping[str, tuple[TunnelSettings, ...]]) -> None:
        self.random = Random(seed)
        self.network = network
        self.now = 0.0
        self.trace: list[str] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.sides: dict[str, Side] = {}
        for name, tunnels in settings.items():
            endpoint = Endpoint(tunnels, entropy=self.random.randbytes)
            side = Side(name, tunnels[0].address.local, tunnels, endpoint)
            self.sides[side.address] = side

    def start(self, side: Side) -> None:
        """Start a side's endpoint."""
        side.born += 1
        side.alarm = None
        self.note(side, "start")
        side.endpoint.start(self.now)
        self._settle(side)

    def restart(self, side: Side, settings: tuple[TunnelSettings, ...] | None = None) -> None:
        """Let a side crash and come back at once, knowing nothing; its helper lives on."""
        side.settings = settings or side.settings
        side.endpoint = Endpoint(side.settings, entropy=self.random.randbytes)
        self.start(side)

    def reload(self, side: Side, tunnels: tuple[TunnelSettings, ...]) -> None:
        """Give a side a new configuration, every value of which is a new object as when a file is read."""
        side.settings = tunnels
        fresh = deepcopy(tunnels)
        self.do(side, "reload", lambda endpoint, now: endpoint.reload(fresh, now))

    def do(self, side: Side, what: str, action: Callable[[Endpoint, float], object]) -> None:
        """Let an operator or the system act on a side, if it runs."""
        if not side.born:
            return
        self.note(side, what)
        action(side.endpoint, self.now)
        self._settle(side)

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Run an action at a time."""
        self._count += 1
        heapq.heappush(self._events, (when, self._count, action))

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Run until a time, or until ``done`` holds after an event; return whether it does."""
        while self._events and self._events[0][0] <= until:
            self.now, _, action = heapq.heappop(self._events)
            action()
            if done():
                return True
        self.now = until
        return done()

    def note(self, side: Side, text: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.now:10.4f} {side.name} {text}")

    # ---- What effects do.

    def _settle(self, side: Side) -> None:
        for effect in side.endpoint.take_effects():
            self._execute(side, effect)
        due = side.endpoint.next_timer()
        if due is not None and (side.alarm is None or due < side.alarm):
            side.alarm = due
            self.at(max(due, self.now), partial(self._ring, side, side.born))

    def _ring(self, side: Side, born: int) -> None:
        if side.born == born:
            side.alarm = None
            side.endpoint.handle_timer(self.now)
            self._settle(side)

    def _execute(self, side: Side, effect: Effect) -> None:
        match effect:
            case Send():
                self._send(side, effect)
            case SetPwe() | DeletePwe():
                # The helper is slow, and does one thing after the other.
                side.busy = max(side.busy, self.now) + self.random.uniform(0.001, 0.05)
                self.at(side.busy, partial(self._ask, side, side.born, effect))
            case Log():
                self.note(side, effect.entry.render(dict(effect.fields)))
            case StateChange():
                self.note(side, f"{effect.tunnel} {effect.session} is {effect.state}")

    def _ask(self, side: Side, born: int, effect: SetPwe | DeletePwe) -> None:
        if side.born != born:
            return
        if isinstance(effect, DeletePwe):
            self.note(side, f"delete {effect.interface}")
            owned = side.pseudowires.get(effect.interface)
            if owned is not None and owned.local_session_id == effect.local_session_id:
                del side.pseudowires[effect.interface]
            return
        if not side.helper:
            side.endpoint.pwe_answer(effect.request, self.now, error="ECONNREFUSED")
            self._settle(side)
            return
        self.note(side, f"set {effect.pseudowire.interface} {effect.pseudowire.local_session_id:#x}")
        side.pseudowires[effect.pseudowire.interface] = effect.pseudowire
        side.endpoint.pwe_answer(effect.request, self.now, mtu=1400)
        self._settle(side)

    def _send(self, side: Side, effect: Send) -> None:
        network, draw = self.network, self.random.random
        self.note(side, f"sends {effect.data.hex()}")
        copies = 0 if draw() < network.loss else 2 if draw() < network.duplication else 1
        for _ in range(copies):
            delay = network.delay * (0.5 + draw())
            if draw() < network.reordering:
                delay += network.late * draw()
            peer = self.sides[effect.address.peer]
            source = replace(effect.address, local=peer.address, peer=side.address)
            self.at(self.now + delay, partial(self._arrive, peer, effect.data, source))

    def _arrive(self, side: Side, data: bytes, address: Address) -> None:
        if not side.born:
            return
        self.note(side, f"gets {data.hex()}")
        side.endpoint.receive_datagram(data, address, self.now)
        self._settle(side)


def agreed(world: World) -> bool:
    """Whether every tunnel and session is up on both sides, and the two sides mean the same ones."""
    one, other = world.sides.values()
    a, b = one.tunnel, other.tunnel
    if a.state != "established" or b.state != "established" or not a.sessions:
        return False
    if (a.local_connection_id, a.peer_connection_id) != (b.peer_connection_id, b.local_connection_id):
        return False
    if any(session.state != "established" for session in a.sessions + b.sessions):
        return False
    return all(_match(one, other, session.name) for session in a.sessions)


def _match(one: Side, other: Side, name: str) -> bool:
    near = one.pseudowires.get(_session(one, name).interface)
    far = other.pseudowires.get(_session(other, name).interface)
    if near is None or far is None:
        return False
    return (
        (near.local_session_id, near.peer_session_id) == (far.peer_session_id, far.local_session_id)
        and (near.local_cookie, near.peer_cookie) == (far.peer_cookie, far.local_cookie)
        and (near.local_connection_id, near.peer_connection_id) == (far.peer_connection_id, far.local_connection_id)
        and (near.receive_sublayer, near.send_sublayer) == (far.send_sublayer, far.receive_sublayer)
        and (near.receive_sequencing, near.send_sequencing) == (far.send_sequencing, far.receive_sequencing)
        and near.up
        and far.up
        and near.local_session_id == _session(one, name).local_session_id
        and far.local_session_id == _session(other, name).local_session_id
    )


def _session(side: Side, name: str) -> SessionView:
    return next(session for session in side.sessions if session.name == name)
