"""What operators, the helper and the system do to an endpoint, and what it shows of itself."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.message import MessageType, Result
from l2tp_ctl.core.templates import TemplateSettings
from tests.core.bench import ADDRESS, Bench, FarEnd, answering, initiated, secrets, session, tunnel, up
from tests.core.stages import between_calls, wait_ctl_reply


def _clear_tunnel(bench: Bench, target: str) -> list[str]:
    names = bench.endpoint.clear_tunnel(target, bench.now)
    bench.settle()
    return names


def _clear_session(bench: Bench, target: str) -> list[str]:
    names = bench.endpoint.clear_session(target, bench.now)
    bench.settle()
    return names


# ---- clear tunnel.


@pytest.mark.parametrize("target", ["t1", "192.0.2.2", "all"])
def test_clear_tunnel(target: str) -> None:
    bench, far, _ = up()
    assert _clear_tunnel(bench, target) == ["t1"]
    assert far.result(MessageType.STOPCCN) == Result(1, 0, "cleared by the operator")
    assert bench.tunnel.state == bench.session.state == "idle"
    assert "cleared by the operator" in bench.tunnel.last_error
    assert len(bench.deleted) == 1


def test_clear_tunnel_touches_the_others_not() -> None:
    elsewhere = tunnel(session("s2"), name="t2", address=replace(ADDRESS, peer="192.0.2.3"))
    bench = Bench(tunnel(), elsewhere)
    answering(bench)
    assert _clear_tunnel(bench, "t2") == ["t2"]
    assert bench.tunnel.state == "established"
    assert _clear_tunnel(bench, "all") == ["t1", "t2"]
    assert bench.tunnel.state == "idle"


def test_clear_tunnel_of_nobody() -> None:
    bench, _, _ = up()
    assert _clear_tunnel(bench, "192.0.2.77") == []
    assert bench.logged(Entry.NO_SUCH_ADDRESS_PEER)[0].fields["IPaddress"] == "192.0.2.77"
    assert bench.tunnel.state == "established"


def test_a_cleared_tunnel_is_begun_anew_soon() -> None:
    bench, far = initiated(reconnect_interval=100.0)
    _clear_tunnel(bench, "all")
    bench.run(1.0)
    far = FarEnd(bench, 0x8800)
    far.reply()
    assert bench.tunnel.state == "established"


def test_clear_tunnel_ends_candidates_too() -> None:
    bench, _, _ = up()
    candidate = FarEnd(bench, 0x8800)
    candidate.begin()
    candidate.inbox.clear()
    _clear_tunnel(bench, "t1")
    assert candidate.types == [MessageType.STOPCCN]
    assert bench.tunnel.state == "idle"


def test_clear_tunnel_before_the_peer_answers() -> None:
    bench, far = wait_ctl_reply()
    far.inbox.clear()
    _clear_tunnel(bench, "t1")
    stop = bench.stray(MessageType.STOPCCN)
    assert (stop.header.connection_id, stop.message.assigned_connection_id) == (0, far.peer_id)
    assert bench.tunnel.state == "idle"


# ---- clear session.


@pytest.mark.parametrize("target", ["s1", "if-s1"])
def test_clear_session(target: str) -> None:
    bench, far, ours = up()
    assert _clear_session(bench, target) == ["s1"]
    cdn = far.pop(MessageType.CDN)
    assert cdn.message.result == Result(3, 0, "cleared by the operator")
    assert (cdn.message.local_session_id, cdn.message.remote_session_id) == (ours, 0x55)
    assert (bench.session.state, bench.tunnel.state) == ("idle", "established")
    assert bench.deleted[0].local_session_id == ours
    bench.run(4.1)
    far.accept()
    assert bench.session.state == "established"


def test_clear_session_of_nobody() -> None:
    bench, _, _ = up()
    assert _clear_session(bench, "s9") == []
    assert bench.logged(Entry.NO_SUCH_IF_NAME)[0].fields["if_name"] == "s9"
    assert bench.session.state == "established"


def test_clear_session_of_several_ends_one() -> None:
    bench, far = initiated(session("s1"), session("s2"))
    far.accept(0x55)
    _clear_session(bench, "s2")
    assert [view.state for view in bench.tunnel.sessions] == ["established", "idle"]


def test_clear_session_without_a_tunnel() -> None:
    bench = Bench()
    assert _clear_session(bench, "s1") == ["s1"]
    assert bench.session.state == "idle"


def test_clear_session_that_ended_sends_nothing() -> None:
    bench, far = between_calls()
    far.inbox.clear()
    _clear_session(bench, "s1")
    assert far.inbox == []
    bench.run(4.1)
    assert far.types == [MessageType.ICRQ]


def test_clear_session_before_its_tunnel_is_up_keeps_its_call() -> None:
    bench, far = wait_ctl_reply()
    _clear_session(bench, "s1")
    assert bench.session.state == "wait-control-conn"
    far.send(far.opening(MessageType.SCCRP))
    far.pop(MessageType.SCCCN)
    assert {one.message.remote_end_id for one in far.inbox} == {b"s1", b"2"}


def test_clear_session_shortens_a_long_wait() -> None:
    bench, far = initiated(reconnect_interval=1000.0)
    for _ in range(2):
        icrq = far.pop(MessageType.ICRQ).message
        far.of_session(MessageType.CDN, 0, icrq.local_session_id or 0, result=Result(24))
        bench.run(1.1)
    assert far.inbox == []
    _clear_session(bench, "s1")
    bench.run(1.1)
    assert far.types == [MessageType.ICRQ]


# ---- The helper and the system.


def test_an_interface_that_somebody_removed() -> None:
    bench, far, ours = up()
    bench.endpoint.pwe_gone("if-other", bench.now)
    bench.settle()
    assert bench.session.state == "established"
    bench.endpoint.pwe_gone("if-s1", bench.now)
    bench.settle()
    assert far.result(MessageType.CDN) == Result(1, 0, "the interface was removed")
    assert bench.session.state == "idle"
    assert bench.deleted[0].local_session_id == ours


def test_a_lost_helper_refuses_what_waits_for_it_alone() -> None:
    bench, far = initiated(session("s1"), session("s2"))
    far.accept(0x55)
    bench.helper = False
    far.accept(0x56)
    assert far.types == [MessageType.ICCN]
    bench.endpoint.helper_lost(bench.now)
    bench.settle()
    far.pop(MessageType.ICCN)
    assert far.result(MessageType.CDN) == Result(4, 0, "set_pwe_param: l2tp-kernel is away")
    assert [view.state for view in bench.tunnel.sessions] == ["established", "idle"]
    assert len(bench.made) == 2


def test_a_helper_that_is_back_is_told_what_should_exist() -> None:
    bench, far = initiated(session("s1"), session("s2"), session("s3"))
    far.accept(0x55)
    far.accept(0x56)
    bench.helper = False
    bench.endpoint.helper_lost(bench.now)
    bench.endpoint.helper_back(bench.now)
    bench.settle()
    assert [one.pseudowire for one in bench.made[2:]] == [one.pseudowire for one in bench.made[:2]]
    bench.endpoint.helper_back(bench.now)
    bench.settle()
    assert len(bench.made) == 4, "asked already"
    bench.answer(2, mtu=1300)
    bench.answer(3, error="ENODEV")
    assert [view.state for view in bench.tunnel.sessions] == ["established", "idle", "wait-reply"]
    assert bench.session.mtu == 1300
    assert far.inbox[-1].message.result == Result(4, 0, "set_pwe_param: ENODEV")


def test_a_helper_lost_twice_changes_nothing_more() -> None:
    bench, _, _ = up()
    bench.helper = False
    bench.endpoint.helper_back(bench.now)
    bench.settle()
    bench.endpoint.helper_lost(bench.now)
    bench.endpoint.helper_lost(bench.now)
    bench.answer()
    assert bench.session.state == "established"


def test_an_answer_to_no_request_is_ignored() -> None:
    bench, _, _ = up()
    bench.endpoint.pwe_answer(12345, bench.now, error="EPERM")
    bench.settle()
    assert bench.session.state == "established"


# ---- Views.


def test_views_of_an_idle_endpoint() -> None:
    bench = Bench(tunnel(initiate=True, secrets=secrets(b"secret")), tunnel(session("s2"), name="t2"))
    assert [view.name for view in bench.endpoint.tunnels()] == ["t1", "t2"]
    view = bench.tunnel
    assert (view.state, view.initiator, view.authenticated, view.next_attempt) == ("idle", True, True, None)
    assert (view.ns, view.nr, view.window, view.local_connection_id) == (0, 0, 0, 0)
    assert view.address == ADDRESS
    bench.start()
    assert bench.tunnel.since == bench.now
    assert bench.tunnel.next_attempt == bench.endpoint.next_timer()


def test_views_of_an_established_tunnel() -> None:
    bench, far, ours = up(cookie_length=8)
    bench.run(5.0)
    view = bench.tunnel
    assert (view.ns, view.nr, view.unacknowledged, view.queued, view.retransmissions) == (2, 4, 0, 0, 0)
    assert (view.local_connection_id, view.peer_connection_id) == (far.peer_id, far.local_id)
    assert view.since == bench.now - 5.0
    (one,) = view.sessions
    assert (one.name, one.tunnel, one.interface, one.remote_end_id) == ("s1", "t1", "if-s1", b"s1")
    assert (one.local_session_id, one.peer_session_id) == (ours, 0x55)
    assert (one.local_cookie_length, one.peer_cookie_length, one.mtu) == (8, 0, 1400)
    assert (one.since, one.last_error) == (bench.now - 5.0, "")


def test_why_a_session_failed_is_shown_after_its_tunnel_is_gone() -> None:
    bench, far, ours = up()
    far.of_session(MessageType.CDN, 0x55, ours, result=Result(3))
    far.send(MessageType.STOPCCN, result=Result(6))
    assert bench.session.last_error == "peer: administrative reasons (result 3)"
    answering(bench, connection_id=0x8800)
    assert bench.session.last_error == "peer: administrative reasons (result 3)"


# ---- Templates.


def _template(**changes: object) -> TemplateSettings:
    settings = replace(tunnel(session("lan", interface="cpe{n}"), name="cpe"), address=replace(ADDRESS, peer=""))
    made = TemplateSettings(tunnel=settings, networks=(ip_network("198.51.100.0/24"),))
    return replace(made, **changes)  # type: ignore[arg-type]  # each is one of its fields


def _spoke(bench: Bench, connection_id: int, peer: str = "198.51.100.1") -> FarEnd:
    return FarEnd(bench, connection_id, address=replace(ADDRESS, peer=peer))


def test_shutdown_makes_no_more_tunnels_by_templates() -> None:
    bench = Bench(templates=[_template()])
    bench.endpoint.shutdown(bench.now)
    spoke = _spoke(bench, 0x100)
    spoke.begin()
    assert spoke.received == []
    assert bench.dropped("unknown-peer") == 1


def test_a_peers_number_is_free_once_and_belongs_to_the_next_then() -> None:
    bench = Bench(templates=[_template(maximum=2)])
    for number, pause in ((0x100, 5.0), (0x101, 27.0)):
        spoke = _spoke(bench, number)
        spoke.establish()
        spoke.send(MessageType.STOPCCN, result=Result(6), assigned_connection_id=number)
        bench.run(pause)
    second = _spoke(bench, 0x200, "198.51.100.2")
    second.establish()
    bench.run(10.0)
    third = _spoke(bench, 0x300, "198.51.100.3")
    third.establish()
    interfaces = [view.sessions[0].interface for view in bench.endpoint.tunnels()[1:]]
    assert len(set(interfaces)) == len(interfaces)


def test_a_configured_tunnel_takes_an_address_over_from_a_template() -> None:
    bench = Bench(templates=[_template()])
    spoke = _spoke(bench, 0x100)
    spoke.establish()
    own = tunnel(session("s7"), name="own", address=spoke.address)
    bench.endpoint.reload([tunnel(), own], bench.now, templates=[_template()])
    spoke.send(MessageType.STOPCCN, result=Result(6), assigned_connection_id=0x100)
    bench.run(40.0)
    again = _spoke(bench, 0x101)
    again.establish()
    assert [view.name for view in bench.endpoint.tunnels() if view.state == "established"] == ["own"]


def test_a_template_that_is_gone_takes_its_peers_with_it() -> None:
    bench = Bench(templates=[_template()])
    spoke = _spoke(bench, 0x100)
    spoke.establish()
    bench.endpoint.reload([tunnel()], bench.now)
    bench.settle()
    assert spoke.types == [MessageType.STOPCCN]
    assert [view.name for view in bench.endpoint.tunnels()] == ["t1"]
    bench.run(40.0)
    assert bench.endpoint._context.connections == {}
    assert bench.endpoint.next_timer() is None
