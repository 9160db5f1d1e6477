"""Static sessions: made as configured, made again, and what helper, system and operators do to them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.effects import Pseudowire
from l2tp_ctl.core.message import MessageType
from l2tp_ctl.core.settings import Encapsulation, Mode, Sequencing, Sublayer
from tests.core import bench as signalled
from tests.core.bench import ADDRESS, Bench, FarEnd
from tests.core.static_bench import OURS, THEIRS, began, session, tunnel, watched

WIRE = session(
    local_cookie=b"12345678",
    peer_cookie=b"4321",
    mtu=1400,
    bridge="br0",
    sublayer=Sublayer.DEFAULT,
    sequencing=Sequencing.ALL,
)


def states(bench: Bench) -> list[str]:
    return [bench.tunnel.state, *(view.state for view in bench.tunnel.sessions)]


# ---- Made as configured.


def test_a_pseudowire_is_exactly_what_is_configured() -> None:
    bench = began(tunnel(WIRE, local_connection_id=OURS, peer_connection_id=THEIRS))
    assert [one.pseudowire for one in bench.made] == [
        Pseudowire(
            interface="if-s1",
            address=ADDRESS,
            local_connection_id=OURS,
            peer_connection_id=THEIRS,
            local_session_id=0x102,
            peer_session_id=0x202,
            local_cookie=b"12345678",
            peer_cookie=b"4321",
            receive_sublayer=1,
            send_sublayer=1,
            receive_sequencing=2,
            send_sequencing=2,
            mtu=1400,
            bridge="br0",
            up=True,
        )
    ]
    assert states(bench) == ["established", "established"]
    assert bench.astray == [], "nothing is signalled"


def test_identifiers_are_not_needed() -> None:
    bench = began()
    assert (bench.made[0].pseudowire.local_connection_id, bench.made[0].pseudowire.peer_connection_id) == (0, 0)
    assert bench.endpoint.next_timer() is None
    assert bench.endpoint.addresses() == set()


def test_a_session_is_established_once_the_helper_has_confirmed_it() -> None:
    bench = Bench(tunnel())
    bench.helper = False
    bench.start()
    bench.run(0.6)
    assert states(bench) == ["established", "wait-helper"]
    bench.answer(mtu=1444)
    assert states(bench) == ["established", "established"]
    assert bench.session.mtu == 1444
    assert [one.session for one in bench.logged(Entry.SESSION_UP)] == ["s1"]
    assert [(one.session, one.state) for one in bench.states] == [
        ("", "established"),
        ("s1", "wait-helper"),
        ("s1", "established"),
    ]


def test_views() -> None:
    bench = Bench(tunnel(WIRE))
    assert (bench.tunnel.mode, bench.tunnel.state, bench.session.state) == (Mode.STATIC, "idle", "idle")
    bench.start()
    assert bench.tunnel.next_attempt == bench.endpoint.next_timer()
    bench.run(0.6)
    view = bench.tunnel
    assert (view.next_attempt, view.authenticated, view.initiator, view.hello_interval) == (None, False, False, None)
    assert (view.ns, view.nr, view.window, view.unacknowledged, view.queued, view.rtt) == (0, 0, 0, 0, 0, None)
    one = bench.session
    assert (one.tunnel, one.interface, one.remote_end_id, one.pseudowire_type) == ("t1", "if-s1", b"", 5)
    assert (one.local_session_id, one.peer_session_id) == (0x102, 0x202)
    assert (one.local_cookie_length, one.peer_cookie_length, one.mtu) == (8, 4, 1400)


def test_cookies_show_in_no_repr_and_no_line() -> None:
    bench = began(tunnel(WIRE))
    assert "12345678" not in f"{WIRE!r} {bench.made!r} {bench.lines} {bench.tunnel!r}"


# ---- Made again.


def test_what_the_helper_could_not_do_is_tried_again_with_the_reconnect_interval() -> None:
    bench = Bench(tunnel(reconnect_interval=20.0))
    bench.helper = False
    bench.start()
    bench.run(0.6)
    for count, pause in enumerate((20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 120.0), start=1):
        bench.answer(error="EPERM")
        assert states(bench) == ["established", "idle"]
        assert bench.session.last_error == "set_pwe_param: EPERM"
        assert bench.deleted[-1].interface == "if-s1", "whatever there may be of it"
        bench.run(pause / 2 - 0.1)
        assert len(bench.made) == count
        bench.run(pause / 2 + 0.1)
        assert len(bench.made) == count + 1
    assert len(bench.logged(Entry.SET_PWE_PARAM_FAILED)) == 1, "the same reason is told once"
    bench.answer(error="ENODEV")
    assert len(bench.logged(Entry.SET_PWE_PARAM_FAILED)) == 2
    bench.helper = True
    bench.run(120.0)
    assert (states(bench), bench.session.last_error) == (["established", "established"], "")
    bench.helper = False
    bench.endpoint.helper_back(bench.now)
    bench.settle()
    bench.answer(error="EPERM")
    bench.run(20.0)
    assert bench.session.state == "wait-helper", "once it has worked the pause is short again"


@pytest.mark.parametrize("answered", [False, True])
def test_an_interface_that_somebody_removed_is_made_again_soon(answered: bool) -> None:  # noqa: FBT001 - pytest's
    bench = Bench(tunnel(reconnect_interval=100.0))
    bench.helper = answered
    bench.start()
    bench.run(0.6)
    bench.endpoint.pwe_gone("if-other", bench.now)
    bench.endpoint.pwe_gone("if-s1", bench.now)
    bench.settle()
    assert (bench.session.state, bench.session.last_error) == ("idle", "the interface was removed")
    assert len(bench.logged(Entry.SESSION_DOWN)) == answered
    bench.endpoint.pwe_gone("if-s1", bench.now)
    bench.settle()
    bench.helper = True
    bench.run(1.0)
    assert (bench.session.state, len(bench.made)) == ("established", 2)


def test_a_helper_that_comes_back_is_told_of_what_exists_and_of_what_has_failed() -> None:
    bench = began(tunnel(session("s1"), session("s22"), session("s333")))
    bench.helper = False
    bench.endpoint.pwe_gone("if-s22", bench.now)
    bench.endpoint.link_changed("if-s333", up=False, now=bench.now)
    bench.endpoint.pwe_gone("if-s333", bench.now)
    bench.settle()
    bench.run(1.0)
    assert states(bench) == ["established", "established", "wait-helper", "wait-helper"]
    bench.answer(error="EPERM")
    bench.endpoint.helper_lost(bench.now)
    bench.settle()
    waiting = [view.state for view in bench.tunnel.sessions]
    assert sorted(waiting) == ["established", "idle", "wait-helper"]
    before = len(bench.made)
    bench.endpoint.helper_back(bench.now)
    bench.endpoint.helper_back(bench.now)  # asked already
    bench.settle()
    assert sorted(one.pseudowire.interface for one in bench.made[before:]) == ["if-s1", "if-s22", "if-s333"]
    for index in (-3, -2, -1):
        bench.answer(index)
    assert states(bench) == ["established"] * 4


def test_a_helper_that_comes_back_to_a_tunnel_that_is_down_is_told_nothing() -> None:
    bench = began()
    bench.endpoint.put_down("t1", bench.now)
    bench.endpoint.helper_back(bench.now)
    bench.settle()
    assert len(bench.made) == 1


def test_a_change_that_the_helper_refuses_ends_the_session() -> None:
    bench = began(tunnel(reconnect_interval=10.0))
    bench.helper = False
    bench.endpoint.helper_back(bench.now)
    bench.settle()
    bench.answer(error="EPERM")
    assert bench.session.state == "idle"
    assert bench.logged(Entry.SESSION_DOWN)[0].fields["reason"] == "set_pwe_param: EPERM"
    bench.helper = True
    bench.run(10.0)
    assert bench.session.state == "established"


# ---- The interface's state.


def test_an_interface_that_an_operator_sets_down_stays_so() -> None:
    bench = began()
    bench.endpoint.link_changed("if-s1", up=False, now=bench.now)
    bench.endpoint.link_changed("if-other", up=False, now=bench.now)
    bench.settle()
    assert len(bench.made) == 1
    bench.endpoint.helper_back(bench.now)
    bench.settle()
    assert not bench.made[-1].pseudowire.up
    assert bench.session.state == "established"
    bench.endpoint.link_changed("if-s1", up=True, now=bench.now)
    bench.endpoint.helper_back(bench.now)
    bench.settle()
    assert bench.made[-1].pseudowire.up


def test_what_is_under_way_when_an_operator_acts_is_done_again() -> None:
    bench = began()
    bench.helper = False
    bench.endpoint.helper_back(bench.now)
    bench.endpoint.link_changed("if-s1", up=False, now=bench.now)
    bench.settle()
    assert [one.pseudowire.up for one in bench.made] == [True, True, False]
    bench.answer(1, error="EPERM")
    assert bench.session.state == "established", "the answer to what was overtaken tells nothing"


def test_an_interface_of_an_idle_session_is_no_matter() -> None:
    bench = Bench(tunnel())
    bench.endpoint.link_changed("if-s1", up=True, now=bench.now)
    bench.endpoint.pwe_gone("if-s1", bench.now)
    bench.settle()
    assert (bench.made, bench.states) == ([], [])


# ---- Operators.


@pytest.mark.parametrize("target", ["t1", "192.0.2.2", "all"])
def test_clear_tunnel(target: str) -> None:
    bench = began()
    assert bench.endpoint.clear_tunnel(target, bench.now) == ["t1"]
    bench.settle()
    assert states(bench) == ["idle", "idle"]
    assert bench.tunnel.last_error == bench.session.last_error == "cleared by the operator"
    assert [one.interface for one in bench.deleted] == ["if-s1"]
    assert bench.logged(Entry.CLEANUP_TUNNEL)[0].fields["IPaddress"] == "192.0.2.2"
    assert bench.logged(Entry.TUNNEL_DOWN)[0].fields["reason"] == "cleared by the operator"
    bench.run(1.0)
    assert states(bench) == ["established", "established"]
    assert bench.tunnel.last_error == ""


def test_clear_tunnel_again_before_it_is_back() -> None:
    bench = began()
    for _ in range(2):
        bench.endpoint.clear_tunnel("t1", bench.now)
        bench.settle()
    assert len(bench.deleted) == len(bench.logged(Entry.CLEANUP_TUNNEL)) == 1
    bench.run(1.0)
    assert bench.tunnel.state == "established"


@pytest.mark.parametrize("target", ["s1", "if-s1"])
def test_clear_session(target: str) -> None:
    bench = began(tunnel(session("s1"), session("s22")))
    assert bench.endpoint.clear_session(target, bench.now) == ["s1"]
    bench.settle()
    assert states(bench) == ["established", "idle", "established"]
    assert bench.logged(Entry.CLEANUP_CALL)[0].fields["if_name"] == "if-s1"
    bench.run(1.0)
    assert states(bench) == ["established"] * 3
    assert len(bench.made) == 3


def test_clear_session_shortens_a_long_wait() -> None:
    bench = Bench(tunnel(reconnect_interval=1000.0))
    bench.helper = False
    bench.start()
    bench.run(0.6)
    bench.answer(error="EPERM")
    bench.endpoint.clear_session("s1", bench.now)
    bench.settle()
    bench.helper = True
    bench.run(1.0)
    assert bench.session.state == "established"


def test_put_down_and_up() -> None:
    bench = began()
    assert bench.endpoint.put_down("t1", bench.now) == ["t1"]
    bench.settle()
    assert (bench.tunnel.state, bench.tunnel.down, bench.tunnel.last_error) == (
        "idle",
        True,
        "put down by the operator",
    )
    assert (bench.session.state, len(bench.deleted)) == ("idle", 1)
    bench.endpoint.clear_tunnel("t1", bench.now)
    bench.endpoint.clear_session("s1", bench.now)
    bench.endpoint.start(bench.now)
    bench.run(600.0)
    assert (states(bench), len(bench.made)) == (["idle", "idle"], 1)
    assert bench.tunnel.last_error == "put down by the operator"
    assert bench.endpoint.put_up("t1", bench.now) == ["t1"]
    bench.run(0.01)
    assert states(bench) == ["established", "established"]
    bench.endpoint.put_up("t1", bench.now)
    bench.run(1.0)
    assert (bench.tunnel.down, len(bench.made)) == (False, 2)


def test_put_down_before_it_begins() -> None:
    bench = Bench(tunnel())
    bench.start()
    bench.endpoint.put_down("t1", bench.now)
    bench.run(60.0)
    assert (bench.made, bench.tunnel.last_error) == ([], "put down by the operator")


def test_shutdown_removes_everything_for_good() -> None:
    bench = began(watched())
    bench.endpoint.shutdown(bench.now)
    bench.settle()
    assert [one.local_session_id for one in bench.deleted] == [0x102]
    assert bench.endpoint.quiet()
    bench.endpoint.clear_tunnel("all", bench.now)
    bench.run(60.0)
    assert (len(bench.made), bench.endpoint.next_timer(), bench.endpoint._context.connections) == (1, None, {})


def test_start_twice_is_start_once() -> None:
    bench = began()
    bench.start()
    bench.run(1.0)
    assert len(bench.made) == 1


# ---- A new configuration.


def reload(bench: Bench, *tunnels: object) -> None:
    bench.endpoint.reload(tunnels, bench.now)  # type: ignore[arg-type]  # tunnels of either mode
    bench.settle()
    bench.run(0.6)


def test_reload_with_the_same_touches_nothing() -> None:
    bench = began(tunnel(WIRE))
    reload(bench, tunnel(WIRE))
    assert (len(bench.made), bench.deleted) == (1, [])


def test_reload_touches_only_the_session_that_changed() -> None:
    bench = began(tunnel(session("s1"), session("s22"), session("s333")))
    changed = session("s22", peer_cookie=b"abcd", mtu=1300)
    reload(bench, tunnel(session("s1"), changed, session("s4444")))
    assert [one.pseudowire.interface for one in bench.made[3:]] == ["if-s22", "if-s4444"]
    assert (bench.made[3].pseudowire.peer_cookie, bench.made[3].pseudowire.mtu) == (b"abcd", 1300)
    assert [one.interface for one in bench.deleted] == ["if-s333"]
    assert [view.name for view in bench.tunnel.sessions] == ["s1", "s22", "s4444"]
    assert states(bench) == ["established"] * 4


@pytest.mark.parametrize("changes", [{"interface": "if-x"}, {"local_session_id": 0x999}])
def test_another_interface_or_session_id_is_another_session(changes: dict[str, object]) -> None:
    bench = began()
    reload(bench, tunnel(replace(session(), **changes)))  # type: ignore[arg-type]  # each is one of its fields
    assert [(one.interface, one.local_session_id) for one in bench.deleted] == [("if-s1", 0x102)]
    assert states(bench) == ["established", "established"]


def test_a_session_that_waits_is_tried_at_once_with_new_settings() -> None:
    bench = Bench(tunnel(reconnect_interval=1000.0))
    bench.helper = False
    bench.start()
    bench.run(0.6)
    bench.answer(error="EPERM")
    bench.helper = True
    reload(bench, tunnel(session(bridge="br1"), reconnect_interval=1000.0))
    assert (bench.session.state, bench.made[-1].pseudowire.bridge) == ("established", "br1")


def test_a_session_that_moves_to_another_tunnel_is_removed_before_it_is_made() -> None:
    other = replace(tunnel(session("s22")), name="t2", address=replace(ADDRESS, peer="192.0.2.3"))
    bench = began(other, tunnel(session("s1"), session("s333")))
    reload(bench, replace(other, sessions=(session("s22"), session("s1"))), tunnel(session("s333")))
    assert [view.state for view in bench.endpoint.tunnels()[0].sessions] == ["established"] * 2
    assert [one.interface for one in bench.deleted] == ["if-s1"]
    assert bench.made[-1].pseudowire.address.peer == "192.0.2.3"


def test_reload_while_it_is_down_makes_nothing() -> None:
    bench = began()
    bench.endpoint.put_down("t1", bench.now)
    reload(bench, tunnel(session("s1", mtu=1300), session("s22"), local_connection_id=9, peer_connection_id=9))
    assert (states(bench), len(bench.made)) == (["idle"] * 3, 1)
    bench.endpoint.put_up("t1", bench.now)
    bench.run(0.1)
    assert states(bench) == ["established"] * 3


def test_other_connection_ids_make_everything_anew() -> None:
    bench = began(watched())
    reload(bench, watched(local_connection_id=0xA1))
    assert bench.deleted[0].interface == "if-s1"
    assert bench.made[-1].pseudowire.local_connection_id == 0xA1
    assert [*bench.endpoint._context.connections] == [0xA1]


def test_other_connection_ids_before_the_beginning() -> None:
    bench = Bench(watched())
    bench.endpoint.reload([watched(local_connection_id=0xA1)], bench.now)
    bench.run(60.0)
    assert bench.made == [], "it has not begun yet"
    bench.start()
    bench.endpoint.reload([watched(local_connection_id=0xA2)], bench.now)
    bench.run(0.6)
    assert [one.pseudowire.local_connection_id for one in bench.made] == [0xA2]


def test_another_address_is_another_tunnel() -> None:
    bench = began()
    over_ip = replace(ADDRESS, encapsulation=Encapsulation.IP, local_port=0, peer_port=0)
    reload(bench, tunnel(address=over_ip))
    assert (len(bench.deleted), bench.made[-1].pseudowire.address) == (1, over_ip)


def test_a_static_tunnel_is_added_and_removed() -> None:
    bench = Bench(signalled.tunnel(signalled.session("s9"), name="t9"))
    bench.start()
    reload(bench, signalled.tunnel(signalled.session("s9"), name="t9"), tunnel())
    assert [view.state for view in bench.endpoint.tunnels()] == ["idle", "established"]
    reload(bench, signalled.tunnel(signalled.session("s9"), name="t9"))
    assert [one.interface for one in bench.deleted] == ["if-s1"]


def test_a_tunnel_changes_its_mode_both_ways_and_stays_down() -> None:
    bench = began()
    reload(bench, signalled.tunnel())
    assert (bench.tunnel.mode, len(bench.deleted)) == (Mode.SIGNALLED, 1)
    bench.endpoint.put_down("t1", bench.now)
    reload(bench, tunnel())
    assert (bench.tunnel.mode, bench.tunnel.down, len(bench.made)) == (Mode.STATIC, True, 1)
    assert bench.tunnel.last_error == "put down by the operator"


def test_a_signalled_tunnel_to_the_same_peer_goes_on_beside_it() -> None:
    bench = Bench(signalled.tunnel(name="t9"), tunnel(session("s22")))
    far = FarEnd(bench)
    far.establish()
    far.connect()
    bench.start()
    bench.run(0.6)
    reload(bench, signalled.tunnel(name="t9"))
    assert [view.state for view in bench.endpoint.tunnels()] == ["established"]
    assert bench.session.state == "established"


def test_a_signalled_session_that_has_a_static_ones_id_is_called_again_with_another() -> None:
    bench, far, ours = signalled.up()
    bench.start()
    other = tunnel(session("s22", local_session_id=ours), name="t2", address=replace(ADDRESS, peer="192.0.2.3"))
    bench.endpoint.reload([signalled.tunnel(), other], bench.now)
    bench.settle()
    assert far.result(MessageType.CDN).text == "its id is a static session's"
    assert bench.deleted[0].local_session_id == ours
    bench.run(5.0)
    assert far.pop(MessageType.ICRQ).message.local_session_id != ours
    assert bench.endpoint.tunnels()[1].sessions[0].state == "established"


def test_a_signalled_tunnel_that_has_a_static_ones_id_begins_anew_with_another() -> None:
    bench, far = signalled.initiated()
    ours = far.peer_id
    other = watched(session("s22"), name="t2", address=replace(ADDRESS, peer="192.0.2.3"), local_connection_id=ours)
    bench.endpoint.reload([signalled.tunnel(initiate=True), other], bench.now)
    far.inbox.clear()
    bench.settle()
    assert far.result(MessageType.STOPCCN).text == "its id is a static tunnel's"
    bench.run(1.2)
    assert bench.stray(MessageType.SCCRQ).message.assigned_connection_id != ours
    hello = bench.endpoint._context.connections[ours]
    assert hello.address.peer == "192.0.2.3"


def test_nobody_is_given_a_static_ones_id() -> None:
    numbers = iter([bytes(4), OURS.to_bytes(4, "big"), bytes([0, 0, 0, 7])] * 2)
    bench = Bench(
        watched(session(local_session_id=OURS)), entropy=lambda length: next(numbers) if length == 4 else bytes(length)
    )
    context = bench.endpoint._context
    assert (context.connection_id(), context.session_id()) == (7, 7)
