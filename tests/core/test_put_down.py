"""A tunnel that an operator puts down stays down until it is put up: it neither begins nor answers."""

from __future__ import annotations

from dataclasses import replace

from l2tp_ctl.core.message import MessageType
from l2tp_ctl.core.results import StopResult
from tests.core.bench import Bench, FarEnd, initiated, tunnel, up
from tests.core.test_templates import Star, template


def test_the_peer_is_told_and_nothing_is_begun() -> None:
    bench, far = initiated()
    far.inbox.clear()
    assert bench.endpoint.put_down("t1", bench.now) == ["t1"]
    bench.settle()
    assert far.result(MessageType.STOPCCN).text == "put down by the operator"
    bench.run(600)
    assert (bench.tunnel.state, bench.tunnel.down, bench.tunnel.next_attempt) == ("idle", True, None)
    assert bench.tunnel.last_error == "put down by the operator"
    assert bench.astray == []


def test_a_peer_that_begins_is_refused_with_the_reason() -> None:
    bench, _, _ = up()
    bench.endpoint.put_down("t1", bench.now)
    bench.settle()
    again = FarEnd(bench, 0x8800)
    again.begin()
    result = again.result(MessageType.STOPCCN)
    assert (result.code, result.text) == (StopResult.SHUTDOWN, "put down by the operator")
    assert bench.tunnel.state == "idle"


def test_put_up_it_begins_at_once() -> None:
    bench, _ = initiated()
    bench.endpoint.put_down("t1", bench.now)
    bench.settle()
    bench.endpoint.put_up("t1", bench.now)
    bench.run(0.01)
    assert (bench.tunnel.state, bench.tunnel.down, bench.tunnel.last_error) == ("wait-ctl-reply", False, "")
    assert [one.type for one in bench.astray] == [MessageType.SCCRQ]


def test_put_up_twice_is_put_up_once() -> None:
    bench, _ = initiated()
    before = bench.tunnel
    assert bench.endpoint.put_up("t1", bench.now) == ["t1"]
    bench.run(0.01)
    assert bench.tunnel == before


def test_put_down_while_the_next_attempt_is_due() -> None:
    bench = Bench(tunnel(initiate=True))
    bench.start()
    assert bench.tunnel.next_attempt is not None
    bench.endpoint.put_down("t1", bench.now)
    bench.run(60)
    assert bench.astray == []


def test_it_stays_down_through_a_reload_even_at_another_address() -> None:
    bench, _ = initiated()
    bench.endpoint.put_down("t1", bench.now)
    for changes in ({"hello_interval": 5.0}, {"cookie_length": 8}, {"address": replace(tunnel().address, peer_port=2)}):
        bench.endpoint.reload((tunnel(initiate=True, **changes),), bench.now)
        bench.run(60)
        assert (bench.tunnel.state, bench.tunnel.down) == ("idle", True)
    bench.endpoint.put_up("t1", bench.now)
    bench.run(0.01)
    assert bench.tunnel.state == "wait-ctl-reply"


def test_no_such_tunnel() -> None:
    bench = Bench()
    assert bench.endpoint.put_down("other", bench.now) == bench.endpoint.put_up("other", bench.now) == []


def test_a_peer_of_a_template_is_remembered_while_it_is_down() -> None:
    star = Star(template())
    star.add("198.51.100.7")
    star.run(10)
    [view] = star.hub.tunnels()
    star.hub.put_down(view.name, star.now)
    star.run(300)
    assert [(one.name, one.down, one.state) for one in star.hub.tunnels()] == [(view.name, True, "idle")]
    star.hub.put_up(view.name, star.now)
    star.run(60)
    assert [one.state for one in star.hub.tunnels()] == ["established"]
