"""What an Endpoint tells of itself: all at once, one by one, or of one thing alone."""

from __future__ import annotations

import pytest

from l2tp_ctl.core.message import MessageType
from l2tp_ctl.core.views import SessionView, TunnelView
from tests.core.bench import Bench, session, tunnel, up


def idle() -> Bench:
    return Bench(tunnel(session("s1", mtu=1400), session("s2")))


def established() -> Bench:
    return up()[0]


@pytest.mark.parametrize("make", [idle, established])
def test_whichever_way_it_is_asked_it_tells_the_same(make: type) -> None:
    endpoint = make().endpoint
    [whole] = endpoint.tunnels()
    assert endpoint.tunnel("t1") == whole
    assert [*endpoint.sessions()] == [*whole.sessions]
    assert [endpoint.session(view.name) for view in whole.sessions] == [*whole.sessions]
    assert [*endpoint.overview()] == [whole._replace(sessions=())]
    assert whole.sessions_configured == len(whole.sessions)
    assert whole.sessions_established == [view.state for view in whole.sessions].count("established")


def test_nobody_by_that_name() -> None:
    endpoint = idle().endpoint
    assert endpoint.tunnel("s1") is None
    assert endpoint.session("t1") is None


def test_each_is_made_when_it_is_asked_for() -> None:
    """Who has thousands to show lets events come in between."""
    bench, _, _ = up()
    overview, sessions = bench.endpoint.overview(), bench.endpoint.sessions()
    bench.endpoint.clear_tunnel("all", bench.now)
    bench.settle()
    tunnels: list[TunnelView] = [*overview]
    views: list[SessionView] = [*sessions]
    assert [(one.state, one.sessions_established) for one in tunnels] == [("idle", 0)]
    assert [one.state for one in views] == ["idle"]


def test_what_the_helper_was_told() -> None:
    bench, far, ours = up()
    view = bench.session
    assert view.pseudowire == bench.made[-1].pseudowire
    assert (view.pending, view.circuit_up, view.mtu_fixed) == (False, True, False)
    bench.helper = False
    far.of_session(MessageType.SLI, 0x55, ours, circuit_status=0)
    assert (bench.session.pending, bench.session.circuit_up, bench.session.peer_circuit_up) == (True, True, False)
    bench.answer()
    assert not bench.session.pending
    bench.endpoint.link_changed("if-s1", up=False, now=bench.now)
    assert not bench.session.circuit_up
    assert [one.mtu_fixed for one in idle().endpoint.sessions()] == [True, False]
    assert [one.pseudowire for one in idle().endpoint.sessions()] == [None, None]
