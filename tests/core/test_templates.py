"""Tunnels from peers that a template allows."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from random import Random

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.effects import Effect, Log, Send, SetPwe
from l2tp_ctl.core.endpoint import Endpoint
from l2tp_ctl.core.settings import Address, Encapsulation, Secret, SessionSettings, TunnelSettings
from l2tp_ctl.core.templates import TemplateSettings

HUB = "192.0.2.1"


def spoke_settings(peer: str, **changes: object) -> TunnelSettings:
    tunnel = TunnelSettings(
        name="hub",
        address=Address(Encapsulation.UDP, peer, 1701, HUB, 1701),
        local_host_name=b"spoke",
        sessions=(SessionSettings(name="lan", remote_end_id=b"lan", interface="pw0"),),
    )
    return replace(tunnel, **changes)  # type: ignore[arg-type]


def template(**changes: object) -> TemplateSettings:
    tunnel = TunnelSettings(
        name="spokes",
        address=Address(Encapsulation.UDP, "", 1701, "", 0),
        peer_host_name=b"spoke",
        sessions=(SessionSettings(name="lan", remote_end_id=b"lan", interface="cpe{n}"),),
    )
    settings = TemplateSettings(tunnel=tunnel, networks=(ip_network("198.51.100.0/24"), ip_network("2001:db8::/32")))
    return replace(settings, **changes)  # type: ignore[arg-type]


class Star:
    """A hub with templates and its spokes on a perfect wire; helpers answer at once."""

    def __init__(self, *templates: TemplateSettings) -> None:
        self.random = Random(1)
        self.now = 0.0
        self.hub = Endpoint((), entropy=self.random.randbytes, templates=templates)
        self.spokes: dict[str, Endpoint] = {}
        self.interfaces: dict[str, list[str]] = {}
        self.logs: list[Log] = []

    def add(self, address: str, **changes: object) -> Endpoint:
        spoke = Endpoint((spoke_settings(address, **changes),), entropy=self.random.randbytes)
        self.spokes[address] = spoke
        spoke.start(self.now)
        return spoke

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            while self._move():
                pass
            due = [when for one in (self.hub, *self.spokes.values()) if (when := one.next_timer()) is not None]
            if not due or min(due) > end:
                break
            self.now = max(self.now, min(due))
            for endpoint in (self.hub, *self.spokes.values()):
                endpoint.handle_timer(self.now)
        self.now = end

    def _move(self) -> bool:
        moved = False
        for address, spoke in self.spokes.items():
            for effect in spoke.take_effects():
                moved |= self._carry(spoke, effect, self.hub, HUB, address)
        for effect in self.hub.take_effects():
            to = effect.address.peer if isinstance(effect, Send) else ""
            moved |= self._carry(self.hub, effect, self.spokes.get(to), to, HUB)
        return moved

    def _carry(self, origin: Endpoint, effect: Effect, target: Endpoint | None, to: str, source: str) -> bool:
        if isinstance(effect, SetPwe):
            if origin is self.hub:
                self.interfaces.setdefault(effect.pseudowire.address.peer, []).append(effect.pseudowire.interface)
            origin.pwe_answer(effect.request, self.now, mtu=1400)
            return True
        if isinstance(effect, Send) and target is not None:
            target.receive_datagram(effect.data, replace(effect.address, local=to, peer=source), self.now)
            return True
        if isinstance(effect, Log):
            self.logs.append(effect)
        return False


def test_each_peer_gets_a_tunnel_and_an_interface_of_its_own() -> None:
    star = Star(template())
    star.add("198.51.100.7")
    star.add("2001:db8::7")
    star.run(10)
    views = {view.name: view for view in star.hub.tunnels()}
    assert set(views) == {"spokes-198.51.100.7", "spokes-2001:db8::7"}
    assert {view.state for view in views.values()} == {"established"}
    sessions = [session for view in views.values() for session in view.sessions]
    assert {session.state for session in sessions} == {"established"}
    assert {session.interface for session in sessions} == {"cpe0", "cpe1"}
    assert {session.name for session in sessions} == {"lan@198.51.100.7", "lan@2001:db8::7"}


def test_no_template_is_for_a_peer_at_a_link_local_address() -> None:
    """Without the interface that it is on nothing can be sent there."""
    star = Star(template(networks=(ip_network("::/0"),)))
    star.add("fe80::7")
    star.add("2001:db8::7")
    star.run(10)
    assert [view.name for view in star.hub.tunnels()] == ["spokes-2001:db8::7"]
    assert star.hub.counters["dropped-unknown-peer"] > 0


def test_a_tunnel_is_forgotten_after_its_end_and_its_number_used_again() -> None:
    star = Star(template())
    spoke = star.add("198.51.100.7")
    star.run(10)
    spoke.shutdown(star.now)
    star.run(1)
    assert [view.state for view in star.hub.tunnels()] == ["idle"]
    star.run(60)
    assert star.hub.tunnels() == []
    star.add("198.51.100.8")
    star.run(10)
    assert star.interfaces["198.51.100.8"] == ["cpe0"]


def test_a_peer_that_comes_back_soon_finds_its_interface_again() -> None:
    star = Star(template())
    star.add("198.51.100.6")
    spoke = star.add("198.51.100.7")
    star.run(10)
    first = star.interfaces["198.51.100.7"][0]
    spoke.shutdown(star.now)
    star.run(5)
    star.add("198.51.100.7")
    star.run(100)
    assert set(star.interfaces["198.51.100.7"]) == {first}
    assert len(star.hub.tunnels()) == 2


def test_an_address_outside_makes_nothing() -> None:
    star = Star(template())
    star.add("203.0.113.7")
    star.run(5)
    assert star.hub.tunnels() == []
    assert star.hub.counters["dropped-unknown-peer"] > 0
    assert [log.entry for log in star.logs].count(Entry.PEER_UNKNOWN) == 1


def test_another_host_name_is_refused_and_told_why() -> None:
    star = Star(template())
    spoke = star.add("198.51.100.7", local_host_name=b"stranger")
    star.run(3)
    assert "not authorized" in spoke.tunnels()[0].last_error
    assert Entry.HOSTNAME_MISMATCH in [log.entry for log in star.logs]


def test_the_template_whose_names_fit_is_taken() -> None:
    other = template().tunnel
    star = Star(template(), template(tunnel=replace(other, name="guests", peer_host_name=b"guest")))
    star.add("198.51.100.7", local_host_name=b"guest")
    star.run(5)
    assert [view.name for view in star.hub.tunnels()] == ["guests-198.51.100.7"]


def test_a_template_holds_no_more_peers_than_it_may() -> None:
    star = Star(template(maximum=1))
    star.add("198.51.100.7")
    star.run(5)
    star.add("198.51.100.8")
    star.run(5)
    assert [view.name for view in star.hub.tunnels()] == ["spokes-198.51.100.7"]
    assert [log.entry for log in star.logs].count(Entry.PEER_LIMIT) == 1


def test_a_wrong_password_leaves_nothing_behind() -> None:
    tunnel = replace(template().tunnel, secrets=(Secret(b"right"),))
    star = Star(template(tunnel=tunnel))
    star.add("198.51.100.7", secrets=(Secret(b"wrong"),))
    star.run(5)
    assert star.hub.tunnels() == []
    assert star.hub.counters["dropped-authentication"] > 0
