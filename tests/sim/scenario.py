"""What one seed means: the settings of both ends, drawn at random, and the story that is played."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from random import Random

from l2tp_ctl.core.endpoint import Endpoint
from l2tp_ctl.core.settings import (
    Address,
    Compatibility,
    DigestPolicy,
    Encapsulation,
    Secret,
    Sequencing,
    SessionSettings,
    Sublayer,
    TunnelSettings,
)
from tests.sim.world import Network, Side, World, agreed

NEAR, FAR = "192.0.2.1", "192.0.2.2"
QUIET = 200.0
"""Virtual seconds for which all must stay as it is afterwards: three Hellos, and every lingering connection gone."""
TORMENT = 120.0
"""Virtual seconds of faults."""
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
            hidden=bool(secrets) and random.random() < 0.3,
            compatibility=random.choice(list(Compatibility)),
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
    world = World(seed, Network(loss=loss, duplication=0.2, reordering=0.3), settings(random))
    _start(world, random)
    if not world.run(BOUND, lambda: agreed(world)):
        return Outcome(seed, "not established", world.now, world.trace)
    seconds = world.now
    world.network = Network()
    world.run(world.now + QUIET)
    return Outcome(seed, _verdict(world), seconds, world.trace)


def torment(seed: int, *, operators: bool = False) -> Outcome:
    """Let both ends live through two minutes of faults of every kind, and see that they recover by themselves.

    With ``operators`` the password is changed meanwhile, where there is one, and a tunnel put down and up again.
    """
    random = Random(f"torment {seed}")
    both = settings(random)
    network = Network(loss=random.uniform(0.0, 0.5), duplication=random.uniform(0.0, 0.3), reordering=0.3)
    world = World(seed, network, both)
    _start(world, random)
    for _ in range(random.randint(1, 12)):
        world.at(random.uniform(0.0, TORMENT), partial(random.choice(FAULTS), world, random))
    if operators:
        _change_password(world, random)
        _put_down_and_up(world, random)
    world.run(TORMENT)
    for side in world.sides.values():
        if not side.born:
            world.start(side)
        _helper(world, side, back=True)
        for session in side.settings[0].sessions:
            _link(world, side, session.interface, up=True)
    world.network = Network()
    if not world.run(TORMENT + BOUND, lambda: agreed(world)):
        return Outcome(seed, "does not recover", world.now - TORMENT, world.trace)
    seconds = world.now - TORMENT
    world.run(world.now + QUIET)
    return Outcome(seed, _verdict(world), seconds, world.trace)


# ---- Faults.


def _crash(world: World, random: Random) -> None:
    """One end dies without a word and comes back; the passwords may have changed meanwhile, one end at a time."""
    side = random.choice([*world.sides.values()])
    tunnel = side.settings[0]
    if tunnel.secrets and random.random() < 0.5:
        # Whatever the order, each end signs with a password that the other accepts.
        tunnel = replace(tunnel, secrets=tunnel.secrets[::-1])
    world.restart(side, (tunnel,))


def _reload(world: World, random: Random) -> None:
    """An operator changes the configuration of one end while it runs."""
    side = random.choice([*world.sides.values()])
    tunnel = side.settings[0]
    match random.randrange(4):
        case 0:
            tunnel = replace(tunnel, secrets=tunnel.secrets[::-1])
        case 1:
            tunnel = replace(tunnel, hello_interval=random.choice([10.0, 60.0]), retry=random.choice([10, 12]))
        case 2:
            tunnel = replace(tunnel, cookie_length=random.choice([0, 4, 8]))
        case _:
            sessions = [*tunnel.sessions]
            place = random.randrange(len(sessions))
            sessions[place] = replace(sessions[place], sublayer=random.choice(list(Sublayer)))
            tunnel = replace(tunnel, sessions=tuple(sessions))
    world.reload(side, (tunnel,))


def _clear_tunnel(world: World, random: Random) -> None:
    side = random.choice([*world.sides.values()])
    world.do(side, "clear tunnel", lambda e, t: e.clear_tunnel("all", t))


def _clear_session(world: World, random: Random) -> None:
    side = random.choice([*world.sides.values()])
    name = random.choice(side.settings[0].sessions).name
    world.do(side, f"clear session {name}", lambda e, t: e.clear_session(name, t))


def _remove_interface(world: World, random: Random) -> None:
    side = random.choice([*world.sides.values()])
    if side.pseudowires:
        interface = random.choice(sorted(side.pseudowires))
        del side.pseudowires[interface]
        world.do(side, f"{interface} removed", lambda e, t: e.pwe_gone(interface, t))


def _set_link(world: World, random: Random) -> None:
    side = random.choice([*world.sides.values()])
    interface = random.choice(side.settings[0].sessions).interface
    up = random.random() < 0.5
    _link(world, side, interface, up=up)


def _link(world: World, side: Side, interface: str, *, up: bool) -> None:
    """Let an operator set an interface up or down; the helper tells what changed."""
    made = side.pseudowires.get(interface)
    if made is None or made.up == up:
        return
    side.pseudowires[interface] = replace(made, up=up)
    world.do(side, f"{interface} up {up}", lambda e, t: e.link_changed(interface, up, t))


def _lose_helper(world: World, random: Random) -> None:
    side = random.choice([*world.sides.values()])
    _helper(world, side, back=False)
    world.at(_later(world, random.uniform(0.0, 30.0)), lambda: _helper(world, side, back=True))


def _partition(world: World, random: Random) -> None:
    network = world.network
    world.network = replace(network, loss=1.0)

    def heal() -> None:
        world.network = replace(world.network, loss=network.loss)

    world.at(_later(world, random.uniform(1.0, 90.0)), heal)


def _shut_down(world: World, random: Random) -> None:
    """One end says goodbye and comes back some time later."""
    side = random.choice([*world.sides.values()])
    world.do(side, "shutdown", lambda e, t: e.shutdown(t))
    world.at(_later(world, random.uniform(0.5, 20.0)), lambda: world.restart(side))


def _change_password(world: World, random: Random) -> None:
    """Operators change the password at both ends step by step, as docs/configuration.md says, whatever else happens."""
    if not any(side.settings[0].secrets for side in world.sides.values()):
        return
    old, new = Secret(b"before"), Secret(b"after")
    times = sorted(random.uniform(0.0, TORMENT) for _ in range(6))
    for side in world.sides.values():
        _take_secrets(world, side, (old,))
    for number, secrets in enumerate(((old, new), (new, old), (new,))):
        sides = random.sample([*world.sides.values()], 2)
        for when, side in zip(times[2 * number :], sides, strict=False):
            world.at(when, partial(_take_secrets, world, side, secrets))


def _take_secrets(world: World, side: Side, secrets: tuple[Secret, ...]) -> None:
    world.reload(side, (replace(side.settings[0], secrets=secrets),))
    if not side.born:
        side.endpoint = Endpoint(side.settings, entropy=world.random.randbytes)


def _put_down_and_up(world: World, random: Random) -> None:
    side = random.choice([*world.sides.values()])
    name = side.settings[0].name
    down, up = sorted(random.uniform(0.0, TORMENT) for _ in range(2))
    world.at(down, lambda: world.do(side, "put down", lambda e, t: e.put_down(name, t)))
    world.at(up, lambda: world.do(side, "put up", lambda e, t: e.put_up(name, t)))


def _later(world: World, seconds: float) -> float:
    """Return a later time at which the faults have not ended yet."""
    return min(world.now + seconds, TORMENT)


FAULTS = (
    _crash,
    _reload,
    _clear_tunnel,
    _clear_session,
    _remove_interface,
    _set_link,
    _lose_helper,
    _partition,
    _shut_down,
)


def _helper(world: World, side: Side, *, back: bool) -> None:
    if back == side.helper:
        return
    side.helper = back
    if back:
        world.do(side, "helper back", lambda e, t: e.helper_back(t))
    else:
        world.do(side, "helper lost", lambda e, t: e.helper_lost(t))


# ---- Judgement.


def _start(world: World, random: Random) -> None:
    for side in world.sides.values():
        when = random.choice([0.0, random.uniform(0.0, 2.0)])
        world.at(when, partial(world.start, side))


def _verdict(world: World) -> str:
    """Say what is wrong once all should be quiet and up; empty if nothing is."""
    if not agreed(world):
        return "established, then lost"
    for side in world.sides.values():
        context = side.endpoint._context
        count = len(side.settings[0].sessions)
        if (len(context.connections), len(context.sessions), len(context.requests)) != (1, count, 0):
            return f"{side.name} keeps what nobody needs"
        if sorted(side.pseudowires) != sorted(session.interface for session in side.settings[0].sessions):
            return f"{side.name} has other pseudowires than sessions"
    return ""
