"""Tunnels whose peer has a host name: looked up when it matters, and of no matter while the tunnel is up."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.effects import LookUp
from l2tp_ctl.core.message import MessageType, Result
from l2tp_ctl.core.settings import HostName, Limits, TunnelSettings
from l2tp_ctl.core.views import TunnelView
from tests.core.bench import ADDRESS, Bench, FarEnd, secrets, session, tunnel

NAME, OTHER = "gw.example.net", "backup.example.net"
A, B, C = "192.0.2.2", "192.0.2.3", "192.0.2.4"
SIX = "2001:db8::2"
NOWHERE = "there is no such name"
LIMITS = Limits()
ATTEMPT = LIMITS.setup
"""Seconds after which an attempt that nobody answers is given up."""


def named(name: str = NAME, host: HostName | None = None, *, tunnel_name: str = "t1", **changes: Any) -> TunnelSettings:
    settings = tunnel(session(f"s-{tunnel_name}"), name=tunnel_name, **{"initiate": True} | changes)
    return replace(settings, address=replace(ADDRESS, local="", peer=""), peer_name=host or HostName(name))


def bench(*tunnels: TunnelSettings, **names: tuple[str, ...] | str) -> Bench:
    """A bench that has run for a second; keywords say where the names' first labels lead."""
    made = Bench(*(tunnels or (named(),)))
    made.names = {f"{name}.example.net": leads for name, leads in names.items()}
    made.start()
    made.run(1.0)
    return made


def far_end(bench: Bench, address: str, connection_id: int = 0x7700, **options: Any) -> FarEnd:
    return FarEnd(bench, connection_id, address=replace(ADDRESS, peer=address), **options)


def reply(bench: Bench, address: str, connection_id: int = 0x7700) -> FarEnd:
    """Answer the latest SCCRQ, which went to this address."""
    far = far_end(bench, address, connection_id)
    opening = bench.stray(MessageType.SCCRQ)
    assert opening.address.peer == address
    far.learn(opening)
    far.send(far.opening(MessageType.SCCRP))
    far.inbox.clear()
    return far


def view(bench: Bench, name: str = "t1") -> TunnelView:
    return next(one for one in bench.endpoint.tunnels() if one.name == name)


def attempts(bench: Bench) -> list[object]:
    """Where attempts went since this was last asked."""
    begun = bench.logged(Entry.BEGIN_NEW_TUNNEL)
    bench.logs = [log for log in bench.logs if log not in begun]
    return [log.fields["IPaddress"] for log in begun]


# ---- From the name to the tunnel.


def test_the_tunnel_begins_where_the_name_leads() -> None:
    made = bench(gw=(A,))
    assert made.asked[0][1] == LookUp(NAME, ipv4=True, ipv6=True)
    reply(made, A)
    shown = view(made)
    assert (shown.state, shown.address.peer, shown.peer_name) == ("established", A, NAME)
    assert (shown.peer_addresses, shown.name_problem) == ((A,), "")
    assert made.logged(Entry.NAME_RESOLVED)[0].fields == {"tun_name": "t1", "name": NAME, "address": A}


def test_without_an_answer_nothing_is_begun_and_the_view_says_why() -> None:
    made = bench()
    shown = view(made)
    assert (shown.state, shown.address.peer, shown.last_error) == ("idle", "", f"looking up {NAME}")
    assert made.astray == []
    made.names[NAME] = (A,)
    made.resolve(made.asked[0][1])
    made.settle()
    assert attempts(made) == [A]


def test_a_name_that_leads_nowhere_is_tried_again_and_complained_of_once() -> None:
    made = bench(gw=NOWHERE)
    shown = view(made)
    assert (shown.state, shown.last_error) == ("idle", f"cannot resolve {NAME}: {NOWHERE}")
    assert shown.next_attempt is not None
    assert 0 < shown.next_attempt - made.now <= 10
    made.run(120.0)
    assert [one.fields for one in made.logged(Entry.NAME_NOT_RESOLVED)] == [
        {"tun_name": "t1", "name": NAME, "error": NOWHERE}
    ]
    assert 8 <= len(made.asked) <= 26
    assert [one.reason for one in made.states] == [f"cannot resolve {NAME}: {NOWHERE}"]
    made.names[NAME] = "the name servers do not answer"
    made.run(20.0)
    assert len(made.logged(Entry.NAME_NOT_RESOLVED)) == 2
    made.names[NAME] = (A,)
    made.run(10.5)
    reply(made, A)
    assert view(made).last_error == view(made).name_problem == ""


def test_what_is_wrong_with_all_names_is_not_logged_for_each() -> None:
    made = bench()
    made.names[NAME] = "l2tp-resolver is away"
    made.resolve(made.asked[0][1], logged=True)
    made.settle()
    assert view(made).last_error == f"cannot resolve {NAME}: l2tp-resolver is away"
    assert made.logged(Entry.NAME_NOT_RESOLVED) == []


def test_a_name_is_not_looked_up_more_often_than_every_few_seconds() -> None:
    made = bench(named(reconnect_interval=1.0), gw=NOWHERE)
    made.run(60.0)
    times = [when for when, _ in made.asked]
    assert min(later - earlier for earlier, later in pairwise(times)) >= LIMITS.look_up_again


@pytest.mark.parametrize(
    ("host", "asked", "sources"),
    [
        (HostName(NAME, "", None), (True, False), {A: ""}),
        (HostName(NAME, None, ""), (False, True), {SIX: ""}),
        (HostName(NAME, "192.0.2.1", "2001:db8::1"), (True, True), {A: "192.0.2.1", SIX: "2001:db8::1"}),
    ],
)
def test_our_address_follows_the_family(host: HostName, asked: tuple[bool, bool], sources: dict[str, str]) -> None:
    made = bench(named(host=host), gw=tuple(sources))
    assert made.asked[0][1] == LookUp(NAME, *asked)
    made.run(len(sources) * (ATTEMPT + 10))
    assert {one.address.peer: one.address.local for one in made.astray} == sources


# ---- Several addresses.


def test_each_address_has_its_turn() -> None:
    made = bench(gw=(A, B, C))
    made.run(3.5 * ATTEMPT)
    assert attempts(made) == [A, B, C, A]


def test_each_has_its_turn_whatever_the_order_of_the_answers() -> None:
    made = bench(gw=(A, B))
    made.names[NAME] = (B, A)
    made.run(ATTEMPT)
    made.names[NAME] = (A, B)
    made.run(1.5 * ATTEMPT)
    assert attempts(made) == [A, B, A]
    assert len(made.logged(Entry.NAME_RESOLVED)) == 1


def test_the_address_that_worked_comes_first() -> None:
    made = bench(gw=(A, B))
    made.run(ATTEMPT + 10)
    reply(made, B).send(MessageType.STOPCCN, result=Result(1), assigned_connection_id=0x7700)
    attempts(made)
    made.run(11.0)
    assert attempts(made) == [B]


# ---- The address changes.


def test_an_established_tunnel_keeps_its_address_whatever_the_name_says() -> None:
    made = bench(gw=(A,))
    far = reply(made, A)
    for leads in ((B,), NOWHERE, (C,)):
        made.names[NAME] = leads
        made.run(300.0)
        assert (view(made).state, view(made).address.peer) == ("established", A)
    assert MessageType.HELLO in far.types
    assert view(made).peer_addresses == (C,)
    assert [one.reason for one in made.states if NAME in one.reason] == [
        f"{NAME} is {A}", f"{NAME} is {B}", f"cannot resolve {NAME}: {NOWHERE}", f"{NAME} is {C}",
    ]  # fmt: skip


def test_the_next_attempt_goes_to_the_new_address() -> None:
    made = bench(gw=(A,))
    far = reply(made, A)
    made.names[NAME] = (B,)
    far.acks = False
    made.run(200.0)
    assert attempts(made)[-1] == B
    reply(made, B, 0x7701)
    assert (view(made).state, view(made).address.peer) == ("established", B)
    # The former address is nobody's now.
    far_end(made, A, 0x7702).begin()
    assert made.dropped("unknown-peer") == 1


def test_an_attempt_is_given_up_once_the_name_leads_elsewhere() -> None:
    made = bench(gw=(A,))
    made.names[NAME] = (B,)
    made.run(LIMITS.look_up_down + 1.5)
    assert attempts(made) == [A, B]
    assert made.now - 1000 < ATTEMPT


def test_names_that_cannot_be_looked_up_leave_the_last_address() -> None:
    made = bench(gw=(A,))
    far = reply(made, A)
    made.names[NAME] = "the name servers do not answer"
    far.send(MessageType.STOPCCN, result=Result(1), assigned_connection_id=far.local_id)
    made.run(11.0)
    reply(made, A, 0x7701)
    assert view(made).state == "established"
    assert "the name servers do not answer" in view(made).name_problem


def test_a_resolver_that_does_not_answer_delays_the_next_attempt_by_seconds_only() -> None:
    made = bench(gw=(A,))
    far = reply(made, A)
    del made.names[NAME]
    made.endpoint.clear_tunnel("t1", made.now)
    made.settle()
    far.pop(MessageType.STOPCCN)
    attempts(made)
    made.run(LIMITS.restart + LIMITS.look_up_patience)
    assert attempts(made) == [A]
    made.names[NAME] = (B,)
    made.resolve(made.asked[-1][1])
    made.run(1.5)
    assert attempts(made) == [B]


# ---- The peer begins.


def test_a_peer_that_begins_is_known_by_its_name() -> None:
    made = bench(named(initiate=False), gw=(A, B))
    assert made.astray == []
    far_end(made, C).begin()
    assert made.dropped("unknown-peer") == 1
    far_end(made, B, 0x7701).establish()
    assert view(made).address.peer == B


def test_a_peer_that_moved_takes_its_tunnel_with_it() -> None:
    """It begins from its new address while we still think that it is at the old one."""
    made = bench(named(initiate=False, secrets=secrets(b"key")), gw=(A,))
    far = far_end(made, A, secrets=[b"key"])
    far.establish()
    far.connect("s-t1")
    far.acks = False
    made.names[NAME] = (B,)
    made.run(LIMITS.look_up_up)
    assert view(made).state == "established"
    moved = far_end(made, B, 0x7701, secrets=[b"key"])
    moved.establish()
    moved.connect("s-t1", 0x77)
    shown = view(made)
    assert (shown.state, shown.address.peer, shown.sessions[0].state) == ("established", B, "established")


def test_a_peer_that_begins_from_another_address_than_we_try_is_no_rival() -> None:
    """Whose tie breaker is lower does not matter: our attempt goes to where it is no more."""
    made = bench(gw=(A, B))
    assert attempts(made) == [A]
    moved = far_end(made, B)
    moved.establish(tie_breaker=b"\xff" * 8)
    assert (view(made).state, view(made).address.peer) == ("established", B)
    made.run(ATTEMPT)
    assert view(made).state == "established"


def test_it_need_not_be_looked_up_first() -> None:
    """A peer that begins while we wait for an answer is served, and the answer begins nothing more."""
    made = bench(gw=(A,))
    reply(made, A).send(MessageType.STOPCCN, result=Result(1), assigned_connection_id=0x7700)
    del made.names[NAME]
    made.run(9.0)
    assert made.asked[-1][0] > 1001.0
    far_end(made, A, 0x7701).establish()
    attempts(made)
    made.names[NAME] = (A,)
    made.resolve(made.asked[-1][1])
    made.run(30.0)
    assert attempts(made) == []
    assert view(made).state == "established"


# ---- Two tunnels, one address.


def two(**changes: Any) -> tuple[TunnelSettings, TunnelSettings]:
    return named(**changes), named(OTHER, tunnel_name="t2", **changes)


def test_the_second_tunnel_to_an_address_is_refused_and_the_first_lives_on() -> None:
    made = bench(*two(), gw=(A,), backup=(A,))
    reply(made, A)
    made.run(60.0)
    assert [one.state for one in made.endpoint.tunnels()] == ["established", "idle"]
    assert attempts(made) == [A]
    words = f"{OTHER} is {A}, which tunnel t1 has"
    assert view(made, "t2").last_error == view(made, "t2").name_problem == words
    assert [one.fields for one in made.logged(Entry.NAME_CONFLICT)] == [
        {"tun_name": "t2", "name": OTHER, "address": A, "other": "t1"}
    ]


def test_it_gets_the_address_once_the_first_has_another() -> None:
    made = bench(*two(), gw=(A,), backup=(A,))
    far = reply(made, A)
    attempts(made)
    made.names[NAME] = (B,)
    made.run(100.0)
    assert view(made, "t2").last_error == f"{OTHER} is {A}, which tunnel t1 has"  # it is still in use
    far.send(MessageType.STOPCCN, result=Result(1), assigned_connection_id=far.local_id)
    made.run(30.0)
    assert sorted(map(str, attempts(made))) == [A, B]
    assert view(made, "t2").name_problem == ""


def test_other_addresses_of_the_second_are_used() -> None:
    made = bench(*two(), gw=(A,), backup=(A, B))
    assert sorted(map(str, attempts(made))) == [A, B]
    assert view(made, "t2").peer_addresses == (B,)
    assert view(made, "t2").name_problem == f"{OTHER} is {A}, which tunnel t1 has"


def test_a_configured_address_is_better_than_a_name() -> None:
    made = bench(tunnel(), named(tunnel_name="t2"), gw=(A,))
    assert view(made, "t2").last_error == f"{NAME} is {A}, which tunnel t1 has"
    far = far_end(made, A)
    far.establish()
    assert view(made, "t1").state == "established"


def test_a_configured_address_that_is_added_takes_it_and_the_other_lives_until_it_ends() -> None:
    made = bench(gw=(A,))
    far = reply(made, A)
    made.endpoint.reload([named(), tunnel(session("s2"), name="t2")], made.now)
    made.run(100.0)
    assert view(made).state == "established"
    assert view(made).name_problem == f"{NAME} is {A}, which tunnel t2 has"
    far.send(MessageType.STOPCCN, result=Result(1), assigned_connection_id=far.local_id)
    far_end(made, A, 0x7701).establish()
    assert [(one.name, one.state) for one in made.endpoint.tunnels()] == [("t1", "idle"), ("t2", "established")]


def test_both_encapsulations_may_lead_to_one_name() -> None:
    over_ip = named(tunnel_name="t2")
    over_ip = replace(over_ip, address=replace(over_ip.address, encapsulation=type(ADDRESS.encapsulation).IP))
    made = bench(named(), over_ip, gw=(A,))
    assert len(attempts(made)) == 2


# ---- Operators.


def test_a_reload_with_another_name_is_another_tunnel() -> None:
    made = bench(gw=(A,), backup=(B,))
    far = reply(made, A)
    attempts(made)
    made.endpoint.reload([named()], made.now)
    made.run(1.0)
    assert view(made).state == "established"
    made.endpoint.reload([named(OTHER)], made.now)
    made.settle()
    far.pop(MessageType.STOPCCN)
    made.run(1.0)
    assert attempts(made) == [B]
    far_end(made, A, 0x7701).begin()
    assert made.dropped("unknown-peer") == 1


def test_a_reload_that_changes_nothing_of_the_place_looks_nothing_up() -> None:
    made = bench(gw=(A,))
    reply(made, A)
    before = len(made.asked)
    made.endpoint.reload([named(hello_interval=10.0)], made.now)
    made.run(1.0)
    assert view(made).state == "established"
    assert len(made.asked) == before


@pytest.mark.parametrize("target", ["t1", NAME, A, "all"])
def test_it_is_cleared_by_name_address_or_host_name(target: str) -> None:
    made = bench(gw=(A,))
    reply(made, A)
    assert made.endpoint.clear_tunnel(target, made.now) == ["t1"]
    made.settle()
    assert view(made).state == "idle"


def test_put_down_it_stays_down_and_put_up_it_is_looked_up_again() -> None:
    made = bench(gw=(A,))
    made.endpoint.put_down("t1", made.now)
    attempts(made)
    made.run(200.0)
    made.run(made.asked[-1][0] + 2 * LIMITS.look_up_again - made.now)
    assert attempts(made) == []
    assert view(made).last_error == "put down by the operator"
    made.names[NAME] = (B,)
    made.endpoint.put_up("t1", made.now)
    made.run(1.0)
    assert attempts(made) == [B]


@pytest.mark.parametrize("leads", [(A,), NOWHERE, None])
def test_shut_down_it_leaves_nothing(leads: tuple[str, ...] | str | None) -> None:
    made = bench(**({} if leads is None else {"gw": leads}))
    made.endpoint.shutdown(made.now)
    made.run(100.0)
    made.names[NAME] = (A,)
    made.resolve(made.asked[-1][1])
    made.run(100.0)
    assert made.endpoint.next_timer() is None
    assert made.endpoint._context.connections == {}
