"""What one seed means: the settings of both ends, drawn at random, and the story that is played."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from l2tp_ctl.core.settings import (
    Address,
    DigestPolicy,
    Encapsulation,
    Secret,
    Sequencing,
    SessionSettings,
    Sublayer,
    TunnelSettings,
)
from tests.sim.world import Network, World, agreed

NEAR, FAR = "192.0.2.1", "192.0.2.2"
BOUND = 900.0
"""Virtual seconds within which every seed must have agreed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one seed ended."""

    seed: int
    failure: str
    """Empty if all went well."""
    seconds: float
    """Virtual time until both ends agreed."""
    trace: list[str]


def settings(random: Random) -> dict[str, tuple[TunnelSettings, ...]]:
    """Return both ends' settings: different in whatever may differ."""
    encapsulation = random.choice(list(Encapsulation))
    port = 1701 if encapsulation is Encapsulation.UDP else 0
    secrets = random.choice([(), (Secret(b"secret"),), (Secret(b"new"), Secret(b"old"))])
    policies = [DigestPolicy.AUTO, DigestPolicy.MD5, DigestPolicy.SHA1]
    digest = random.choice(policies if secrets else [*policies, DigestPolicy.NONE])
    initiators = random.choice([(True, True), (True, False), (False, True)])
    names = [f"s{number}" for number in range(random.randint(1, 3))]

    def end(local: str, peer: str, prefix: str, *, initiate: bool) -> tuple[TunnelSettings, ...]:
        sessions = tuple(
            SessionSettings(
                name=name,
                remote_end_id=name.encode(),
                interface=f"{prefix}{name}",
                sublayer=random.choice(list(Sublayer)),
                sequencing=random.choice(list(Sequencing)),
            )
            for name in names
        )
        tunnel = TunnelSettings(
            name=f"to-{peer}",
            address=Address(encapsulation, local, port, peer, port),
            local_host_name=local.encode(),
            peer_host_name=peer.encode(),
            secrets=secrets,
            digest=digest,
            cookie_length=random.choice([0, 4, 8]),
            initiate=initiate,
            reconnect_interval=5.0,
            sessions=sessions,
        )
        return (tunnel,)

    return {
        "A": end(NEAR, FAR, "a", initiate=initiators[0]),
        "B": end(FAR, NEAR, "b", initiate=initiators[1]),
    }


def play(seed: int, *, loss: float = 0.3) -> Outcome:
    """Bring both ends up over a bad network, and see that they stay up once it is good."""
    random = Random(f"settings {seed}")
    network = Network(loss=loss, duplication=0.2, reordering=0.3)
    world = World(seed, network, settings(random))
    for side in world.sides.values():
        world.at(random.choice([0.0, random.uniform(0.0, 2.0)]), lambda side=side: world.start(side))  # type: ignore[misc]
    if not world.run(BOUND, lambda: agreed(world)):
        return Outcome(seed, "not established", world.now, world.trace)
    seconds = world.now
    world.network = replace(network, loss=0.0, duplication=0.0, reordering=0.0)
    world.run(world.now + 200.0)
    failure = "" if agreed(world) else "established, then lost"
    return Outcome(seed, failure, seconds, world.trace)
