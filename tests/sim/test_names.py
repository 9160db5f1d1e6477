"""Two endpoints that know each other by name alone, whose addresses change while names lead astray or nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from random import Random

import pytest

from l2tp_ctl.core.effects import Effect, LookUp, Send
from l2tp_ctl.core.settings import Address, Encapsulation, HostName, Secret, SessionSettings, TunnelSettings
from tests.sim.world import Network, Side, World, agreed

FAULTY = 400.0
"""Virtual seconds in which addresses change and names are of little use."""
BOUND = 240.0
"""Virtual seconds within which both ends must have found each other after that."""


@dataclass
class NameService:
    """What looking up a name comes to, as probabilities."""

    failure: float = 0.0
    stale: float = 0.0
    """An address that was the right one before."""
    slow: float = 0.0


class RoamingWorld(World):
    """A world in which addresses change and names follow."""

    def __init__(self, seed: int, initiators: tuple[bool, bool]) -> None:
        near, far = (tunnel(name, peer, initiate=initiate) for name, peer, initiate in
                     (("near", "far", initiators[0]), ("far", "near", initiators[1])))  # fmt: skip
        super().__init__(seed, Network(loss=0.2, reordering=0.1), {"near": (near,), "far": (far,)})
        self.service = NameService(failure=0.3, stale=0.3, slow=0.2)
        self.known = {"near": ["192.0.2.1"], "far": ["192.0.2.2"]}
        """Each side's addresses, the last one its own now."""
        self.place()

    def place(self) -> None:
        """Put each side where its last address is."""
        by_name = {side.name: side for side in self.sides.values()}
        for name, side in by_name.items():
            side.address = self.known[name][-1]
        self.sides = {side.address: side for side in by_name.values()}

    def move(self, name: str) -> None:
        """Give a side another address."""
        count = sum(map(len, self.known.values()))
        self.known[name].append(f"198.51.100.{count}")
        self.place()

    def _execute(self, side: Side, effect: Effect) -> None:
        match effect:
            case LookUp():
                delay = self.random.uniform(5.0, 30.0) if self.random.random() < self.service.slow else 0.05
                self.at(self.now + delay, partial(self._found, side, side.endpoint, effect))
            case Send(address) if address.peer not in self.sides:
                self.note(side, f"sends to {address.peer}, where nobody is")
            case _:
                super()._execute(side, effect)

    def _found(self, side: Side, endpoint: object, look_up: LookUp) -> None:
        if side.endpoint is not endpoint:
            return
        addresses = self.known[look_up.name]
        if self.random.random() < self.service.failure:
            side.endpoint.looked_up(look_up, self.now, problem="the name servers do not answer")
        elif self.random.random() < self.service.stale:
            side.endpoint.looked_up(look_up, self.now, addresses=tuple(self.random.choices(addresses)))
        else:
            side.endpoint.looked_up(look_up, self.now, addresses=(addresses[-1],))
        self._settle(side)


def tunnel(name: str, peer: str, *, initiate: bool) -> TunnelSettings:
    return TunnelSettings(
        name=f"to-{peer}",
        address=Address(Encapsulation.UDP, name, 1701, "", 1701),
        peer_name=HostName(peer),
        secrets=(Secret(b"secret"),),
        initiate=initiate,
        reconnect_interval=5.0,
        sessions=(SessionSettings(name="s", remote_end_id=b"s", interface=f"if-{name}"),),
    )


@pytest.mark.parametrize("initiators", [(True, True), (True, False)], ids=["both-begin", "one-begins"])
@pytest.mark.parametrize("seed", range(30))
def test_they_find_each_other_again(seed: int, initiators: tuple[bool, bool]) -> None:
    world = RoamingWorld(seed, initiators)
    random = Random(f"names {seed}")
    for side in world.sides.values():
        world.start(side)
    for _ in range(random.randint(1, 6)):
        world.at(random.uniform(0.0, FAULTY), partial(world.move, random.choice(["near", "far"])))
    if random.random() < 0.5:
        world.at(random.uniform(0.0, FAULTY), lambda: world.restart(random.choice([*world.sides.values()])))
    world.run(FAULTY)
    world.network, world.service = Network(), NameService()
    assert world.run(FAULTY + BOUND, lambda: agreed(world)), world.trace[-40:]
    found = world.now - FAULTY
    world.run(world.now + 300.0)
    assert agreed(world), f"established after {found:.0f} s, then lost"
    for side in world.sides.values():
        peer = next(other for other in world.sides.values() if other is not side)
        assert side.tunnel.address.peer == peer.address


@pytest.mark.parametrize("seed", range(5))
def test_names_that_lead_nowhere_do_not_matter_to_a_tunnel_that_is_up(seed: int) -> None:
    world = RoamingWorld(seed, (True, False))
    world.network, world.service = Network(), NameService()
    for side in world.sides.values():
        world.start(side)
    assert world.run(60.0, lambda: agreed(world))
    one, _ = world.sides.values()
    since = one.tunnel.since
    world.service = NameService(failure=1.0)
    world.run(world.now + 3600.0)
    assert agreed(world)
    assert one.tunnel.since == since
