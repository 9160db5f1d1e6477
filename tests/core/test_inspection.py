"""What is wrong with a message's octets is told once a minute, and does no more harm than RFC 3931 says."""

from __future__ import annotations

import pytest

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.message import MessageType
from l2tp_ctl.core.settings import Limits
from tests.core.bench import Bench, FarEnd, answering, session, tunnel, up
from tests.core.octets import avp, packet


def _deliver(far: FarEnd, *avps: bytes) -> None:
    far.send_octets(packet(*avps, connection_id=far.peer_id, ns=far.ns, nr=far.nr))
    far.ns += 1


HELLO = avp(0, "0006")


@pytest.mark.parametrize("discard", [False, True])
def test_reserved_bits_of_an_avp(discard: bool) -> None:  # noqa: FBT001 - a parameter
    """RFC 3931, section 5.1: ignored; a message with one is discarded only where the configuration says so."""
    bench, far, _ = up(discard_reserved=discard)
    _deliver(far, HELLO, avp(8, "00", flags=0x0400))
    assert bench.dropped("reserved") == discard
    assert bench.endpoint.counters["received-hello"] == (not discard)
    assert len(bench.logged(Entry.RESERVED_BIT_IS_SET)) == discard
    assert bench.tunnel.state == "established"


@pytest.mark.parametrize(
    ("octets", "entry", "fields"),
    [
        (avp(1, "00", vendor=52845, flags=0), Entry.UNKNOWN_VENDOR_ID, {"vendor_code": 52845, "type": 1, "len": 7}),
        (avp(999, "", flags=0), Entry.NO_HANDLER_M_BIT_NOT_SET, {"type": 999}),
        (avp(7, "61"), Entry.AVP_INVALID, {"AVP_name": "Host Name", "msg_type": "HELLO"}),
    ],
)
def test_a_strange_avp_is_told_once_and_ignored(octets: bytes, entry: Entry, fields: dict[str, object]) -> None:
    bench, far, _ = up()
    for _ in range(3):
        _deliver(far, HELLO, octets)
    (log,) = bench.logged(entry)
    assert fields.items() <= log.fields.items()
    assert bench.endpoint.counters["received-hello"] == 3
    assert bench.tunnel.state == "established"


@pytest.mark.parametrize(
    ("octets", "entry", "text"),
    [
        (avp(999), Entry.NO_HANDLER, "unknown AVP, vendor 0 type 999"),
        (avp(65, "000102"), Entry.INVALID_COOKIE_LENGTH, "Assigned Cookie AVP cannot be read"),
        (avp(68, "00"), Entry.AVP_INVALID, "Pseudowire Type AVP cannot be read"),
    ],
)
def test_what_a_mandatory_avp_may_not_be(octets: bytes, entry: Entry, text: str) -> None:
    bench = Bench()
    far = answering(bench)
    _deliver(far, avp(0, "000a"), avp(63, "00000055"), avp(64, "00000000"), avp(66, b"s1".hex()), octets)
    assert far.result(MessageType.CDN).text == text
    assert len(bench.logged(entry)) == 1
    assert bench.tunnel.state == "established"


def test_a_malformed_cookie_without_the_m_bit_is_none() -> None:
    bench = Bench()
    far = answering(bench)
    cookie = avp(65, "000102", flags=0)
    _deliver(far, avp(0, "000a"), avp(63, "00000055"), avp(64, "00000000"), avp(66, b"s1".hex()), cookie)
    far.pop(MessageType.ICRP)
    assert bench.made[0].pseudowire.peer_cookie == b""
    assert bench.logged(Entry.INVALID_COOKIE_LENGTH)[0].fields["len"] == 3


def test_softethers_result_code_is_told_and_taken() -> None:
    bench, far, _ = up()
    _deliver(far, avp(0, "0004"), avp(61, "00007700"), avp(1, "0000060000000000"))
    assert bench.tunnel.state == "idle"
    assert bench.logged(Entry.RESULT_CODE_OUT_OF_RANGE)[0].fields == {
        "tunnel_id": far.peer_id, "result": 0, "error": 0x0600,
    }  # fmt: skip


# ---- Messages that cannot be made.


@pytest.mark.parametrize(
    ("changes", "limits"),
    [({"local_host_name": b"h" * 1018}, Limits()), ({"receive_window": 65536}, Limits()), ({}, Limits(message=60))],
)
def test_a_message_that_cannot_be_made_ends_the_attempt(changes: dict[str, object], limits: Limits) -> None:
    bench = Bench(tunnel(initiate=True, **changes), limits=limits)
    bench.start()
    bench.run(0.5)
    assert len(bench.logged(Entry.FAILED_TO_NEW_PACKET)) == 1
    assert bench.astray == []
    assert bench.tunnel.state == "idle"
    assert bench.tunnel.next_attempt is not None
    assert bench.endpoint._context.connections == {}


def test_a_call_that_cannot_be_made_ends_the_tunnel() -> None:
    bench = Bench(tunnel(session(remote_end_id=b"e" * 1018), initiate=True))
    far = FarEnd(bench)
    far.await_sccrq()
    far.send(far.opening(MessageType.SCCRP))
    assert far.types == [MessageType.SCCCN]
    assert len(bench.logged(Entry.FAILED_TO_NEW_PACKET)) == 1
    assert (bench.tunnel.state, bench.session.state) == ("idle", "idle")


# ---- Identifiers.


def test_identifiers_are_never_0_and_never_in_use() -> None:
    """Entropy that repeats itself, and gives zeros."""
    numbers = iter([0, 7, 7, 0, 8] * 2)

    def entropy(count: int) -> bytes:
        return next(numbers).to_bytes(4, "big") if count == 4 else bytes(count)

    bench = Bench(tunnel(session("s1"), session("s2")), entropy=entropy)
    far = answering(bench)
    other = FarEnd(bench, 0x8800)
    other.begin()
    assert (far.peer_id, other.peer_id) == (7, 8)
