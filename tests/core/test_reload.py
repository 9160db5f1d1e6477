"""A new configuration under living tunnels: what it does not change is not touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network

import pytest

from l2tp_ctl.core.settings import Address, Encapsulation, Secret, SessionSettings, TunnelSettings
from l2tp_ctl.core.templates import TemplateSettings
from tests.core.test_templates import Star, template
from tests.sim.world import Network, Side, World, agreed

NEAR, FAR = "192.0.2.1", "192.0.2.2"


def tunnel(local: str, peer: str, *, initiate: bool) -> TunnelSettings:
    return TunnelSettings(
        name=f"to-{peer}",
        address=Address(Encapsulation.UDP, local, 1701, peer, 1701),
        secrets=(Secret(b"old"),),
        initiate=initiate,
        sessions=tuple(
            SessionSettings(name=name, remote_end_id=name.encode(), interface=f"if-{name}") for name in ("one", "two")
        ),
    )


@pytest.fixture
def world() -> World:
    both = {"A": (tunnel(NEAR, FAR, initiate=True),), "B": (tunnel(FAR, NEAR, initiate=False),)}
    world = World(1, Network(), both)
    for side in world.sides.values():
        world.start(side)
    assert world.run(30.0, lambda: agreed(world))
    return world


def reload(world: World, side: Side, change: Callable[[TunnelSettings], TunnelSettings]) -> None:
    world.reload(side, (change(side.settings[0]),))


def identity(side: Side) -> tuple[object, ...]:
    view = side.tunnel
    return (view.local_connection_id, *((one.name, one.local_session_id, one.since) for one in view.sessions))


def test_nothing_changed_touches_nothing(world: World) -> None:
    a, _ = world.sides.values()
    before = identity(a)
    reload(world, a, lambda old: old)
    world.run(world.now + 5)
    assert identity(a) == before


def test_a_password_changes_without_downtime(world: World) -> None:
    a, b = world.sides.values()
    before = identity(a), identity(b)
    old, new = Secret(b"old"), Secret(b"new")
    steps = [(a, (old, new)), (b, (new, old)), (a, (new, old)), (b, (new,)), (a, (new,))]
    for side, secrets in steps:
        reload(world, side, lambda settings, secrets=secrets: replace(settings, secrets=secrets))  # type: ignore[misc]
        world.run(world.now + 150)  # two Hellos
    assert (identity(a), identity(b)) == before
    assert a.endpoint.counters["dropped-authentication"] == b.endpoint.counters["dropped-authentication"] == 0


def test_a_session_is_called_again_after_a_change_that_kept_it(world: World) -> None:
    a, b = world.sides.values()
    for side in (a, b):
        reload(world, side, lambda old: replace(old, hello_interval=30.0))
    before = identity(b)
    world.do(a, "clear session", lambda endpoint, now: endpoint.clear_session("one", now))
    assert world.run(world.now + 10, lambda: agreed(world) and identity(b) != before)
    assert identity(b)[0] == before[0]


def test_a_session_is_added_and_another_removed_beside_one_that_stays(world: World) -> None:
    a, b = world.sides.values()
    stays = next(one for one in a.sessions if one.name == "one")
    three = SessionSettings(name="three", remote_end_id=b"three", interface="if-three")
    for side in (a, b):
        reload(world, side, lambda old: replace(old, sessions=(old.sessions[0], three)))
    assert world.run(world.now + 30, lambda: agreed(world))
    assert {one.name for one in a.sessions} == {"one", "three"}
    assert next(one for one in a.sessions if one.name == "one") == stays
    assert sorted(a.pseudowires) == sorted(b.pseudowires) == ["if-one", "if-three"]


def test_a_session_added_by_the_responder_comes_up_too(world: World) -> None:
    a, b = world.sides.values()
    three = SessionSettings(name="three", remote_end_id=b"three", interface="if-three")
    for side in (b, a):
        reload(world, side, lambda old: replace(old, sessions=(*old.sessions, three)))
    assert world.run(world.now + 30, lambda: agreed(world))
    assert len(a.sessions) == 3


def test_what_cannot_change_in_a_living_tunnel_begins_it_anew(world: World) -> None:
    a, b = world.sides.values()
    before = identity(a)
    reload(world, a, lambda old: replace(old, cookie_length=8))
    assert world.run(world.now + 30, lambda: agreed(world) and identity(a) != before)
    assert {len(one.local_cookie) for one in a.pseudowires.values()} == {8}
    assert {len(one.peer_cookie) for one in b.pseudowires.values()} == {8}


def test_a_removed_tunnel_ends_with_a_word_and_an_added_one_begins(world: World) -> None:
    a, b = world.sides.values()
    settings = a.settings
    world.do(a, "reload", lambda endpoint, now: endpoint.reload((), now))
    world.run(world.now + 1)
    assert a.endpoint.tunnels() == []
    assert b.tunnel.state == "idle"
    assert "shutting down" in b.tunnel.last_error
    assert a.pseudowires == {}
    world.do(a, "reload", lambda endpoint, now: endpoint.reload(settings, now))
    assert world.run(world.now + 60, lambda: agreed(world))


def test_another_address_is_another_tunnel(world: World) -> None:
    a, _ = world.sides.values()
    reload(world, a, lambda old: replace(old, address=replace(old.address, encapsulation=Encapsulation.IP)))
    assert a.tunnel.address.encapsulation is Encapsulation.IP
    assert a.tunnel.state == "idle"


def test_an_end_that_may_not_begin_any_more_waits(world: World) -> None:
    a, b = world.sides.values()
    reload(world, a, lambda old: replace(old, initiate=False))
    assert agreed(world)
    world.do(b, "clear", lambda endpoint, now: endpoint.clear_tunnel("all", now))
    world.run(world.now + 60)
    assert a.tunnel.state == b.tunnel.state == "idle"
    reload(world, a, lambda old: replace(old, initiate=True))
    assert world.run(world.now + 30, lambda: agreed(world))


def test_peers_of_an_unchanged_template_stay_and_others_go() -> None:
    star = Star(template())
    star.add("198.51.100.7")
    star.run(10)
    star.hub.reload((), star.now, templates=(template(),))
    star.run(1)
    assert [view.state for view in star.hub.tunnels()] == ["established"]
    narrowed: TemplateSettings = template(networks=(ip_network("203.0.113.0/24"),))
    star.hub.reload((), star.now, templates=(narrowed,))
    star.run(1)
    assert star.hub.tunnels() == []
