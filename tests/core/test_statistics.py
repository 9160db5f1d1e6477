"""What the core counts and measures."""

from __future__ import annotations

import pytest

from l2tp_ctl.core.channel import Channel
from l2tp_ctl.core.message import Message, MessageType
from l2tp_ctl.core.settings import Limits
from tests.core.bench import Bench, initiated, tunnel


def channel() -> Channel:
    made = Channel(retry=5, receive_window=4, limits=Limits())
    for _ in range(3):
        made.submit(Message(type=MessageType.HELLO))
    return made


def test_the_round_trip_time_is_smoothed() -> None:
    measured = channel()
    measured.transmit(10.0)
    assert measured.rtt is None
    measured.acknowledge(1, 10.4)
    assert measured.rtt == pytest.approx(0.4)
    measured.transmit(11.0)
    measured.acknowledge(3, 11.1)
    assert measured.rtt == pytest.approx(0.4 + (0.1 - 0.4) / 8 + (0.1 - (0.4 - 0.3 / 8)) / 8)


def test_a_message_that_was_sent_again_measures_nothing() -> None:
    measured = channel()
    measured.transmit(10.0)
    measured.expire(12.0)
    measured.transmit(12.0)
    measured.acknowledge(1, 12.1)
    assert measured.rtt is None


def test_messages_are_counted_by_direction_and_type() -> None:
    bench, far = initiated()
    far.accept()
    counters = bench.endpoint.counters
    assert {name: count for name, count in counters.items() if name.startswith("sent-") and name != "sent-zlb"} == {
        "sent-sccrq": 1,
        "sent-scccn": 1,
        "sent-icrq": 1,
        "sent-iccn": 1,
    }
    assert (counters["received-sccrp"], counters["received-icrp"]) == (1, 1)
    assert counters["received-zlb"] == 3  # the SCCRP acknowledged the SCCRQ
    assert counters["sent-zlb"] >= 1
    assert counters["retransmissions"] == 0


def test_retransmissions_are_counted_over_all_tunnels() -> None:
    bench = Bench(tunnel(initiate=True, retry=3))
    bench.start()
    bench.run(9)
    assert bench.endpoint.counters["retransmissions"] == 3
    assert bench.endpoint.counters["sent-sccrq"] == 4


def test_where_control_connections_are_until_they_have_lingered() -> None:
    bench, far = initiated()
    assert bench.endpoint.addresses() == {bench.tunnel.address}
    far.acks = False
    bench.endpoint.put_down("t1", bench.now)
    bench.settle()
    assert bench.endpoint.addresses()
    bench.run(120)
    assert bench.endpoint.addresses() == set()
