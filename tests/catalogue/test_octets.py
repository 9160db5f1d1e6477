"""What strange headers and AVPs make the daemon log, each provoked by such octets."""

from __future__ import annotations

import pytest

from l2tp_ctl.core.message import MessageType, Result
from tests.catalogue.conftest import Witness
from tests.core.bench import Bench, FarEnd, answering, up
from tests.core.octets import avp, packet

HELLO = avp(0, "0006")


def deliver(far: FarEnd, *avps: bytes) -> None:
    """Send a message made of these AVPs, numbered."""
    far.send_octets(packet(*avps, connection_id=far.peer_id, ns=far.ns, nr=far.nr))
    far.ns += 1


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param("4803000c0000000000000000", marks=pytest.mark.provokes("T_BIT_IS_NOT_SET")),
        pytest.param("8803000c0000000000000000", marks=pytest.mark.provokes("L_BIT_IS_NOT_SET")),
        pytest.param("c003000c0000000000000000", marks=pytest.mark.provokes("S_BIT_IS_NOT_SET")),
        pytest.param("c802000c0000000100000000", marks=pytest.mark.provokes("SUPPORT_ONLY_L2TPV3")),
    ],
)
def test_a_header(witness: Witness, octets: str) -> None:
    bench = witness.watch(Bench())
    bench.deliver(bytes.fromhex(octets))
    assert len(bench.lines) == 1


@pytest.mark.provokes("WRONG_SIZE")
def test_an_avp_that_runs_past_its_message(witness: Witness) -> None:
    bench, far, _ = up()
    far.send_octets(packet(HELLO, avp(8, "00", flags=0x8100), connection_id=far.peer_id, ns=far.ns, nr=far.nr))
    assert f"[{far.peer_id}] receive: wrong size(263), discarding packet" in witness.watch(bench).lines


@pytest.mark.provokes("FIRST_AVP_IS_NOT_MESSAGE_TYPE")
def test_another_avp_comes_first(witness: Witness) -> None:
    bench, far, _ = up()
    deliver(far, avp(7, "00"), HELLO)
    assert witness.watch(bench).dropped("first-avp") == 1


@pytest.mark.provokes("UNKNOWN_MESSAGE_TYPE", "CANNOT_HANDLE_MESSAGE")
def test_an_unknown_message_that_insists(witness: Witness) -> None:
    bench, far, _ = up()
    deliver(far, avp(0, "0063"))
    assert witness.watch(bench).tunnel.state == "idle"


@pytest.mark.provokes("UNKNOWN_MESSAGE_TYPE")
def test_an_unknown_message_that_does_not_insist(witness: Witness) -> None:
    bench, far, _ = up()
    deliver(far, avp(0, "0063", flags=0))
    assert witness.watch(bench).tunnel.state == "established"
    assert not any("can't hanle" in line for line in bench.lines)


@pytest.mark.provokes("UNKNOWN_VENDOR_ID")
def test_another_vendors_avp(witness: Witness) -> None:
    bench, far, _ = up()
    deliver(far, HELLO, avp(3, "0102", vendor=4711, flags=0))
    assert "<Unknown Vendor-ID, Vendor=4711, Type=3, Length=8" in witness.watch(bench).lines
    assert bench.tunnel.state == "established"


@pytest.mark.provokes("NO_HANDLER_M_BIT_NOT_SET")
def test_an_unknown_avp_that_does_not_insist(witness: Witness) -> None:
    bench, far, _ = up()
    deliver(far, HELLO, avp(999, flags=0))
    assert witness.watch(bench).tunnel.state == "established"


@pytest.mark.provokes("NO_HANDLER", "AVP_HANDLER_FAILED")
def test_an_unknown_avp_that_insists(witness: Witness) -> None:
    bench, far, _ = up()
    deliver(far, HELLO, avp(999))
    assert witness.watch(bench).tunnel.state == "idle"


@pytest.mark.provokes("AVP_INVALID", "AVP_HANDLER_FAILED")
def test_an_avp_that_cannot_be_read(witness: Witness) -> None:
    bench = witness.watch(Bench())
    far = FarEnd(bench)
    far.begin(host_name=None)  # the mandatory AVP is missing
    assert any(line.endswith("failed to processing packet in AVP handler") for line in bench.lines)
    router_id = avp(60, "00")
    bench.deliver(packet(avp(0, "0001"), avp(7, "61"), avp(61, "00000001"), avp(62, "0005"), router_id))
    assert any(line.endswith("AVP: Router ID: invalid in SCCRQ") for line in bench.lines)


@pytest.mark.provokes("AVP_INVALID")
def test_an_avp_out_of_its_place(witness: Witness) -> None:
    bench, far, _ = up()
    far.send(MessageType.HELLO, host_name=b"far")
    assert f"[{far.peer_id}] AVP: Host Name: invalid in HELLO" in witness.watch(bench).lines
    assert bench.tunnel.state == "established"


@pytest.mark.provokes("INVALID_COOKIE_LENGTH")
def test_a_cookie_of_five_octets(witness: Witness) -> None:
    bench = witness.watch(Bench())
    far = answering(bench)
    deliver(far, avp(0, "000a"), avp(63, "00000055"), avp(66, "7331"), avp(65, "0102030405"))
    assert f"[{far.peer_id}] ICRQ: invalid cookie length (5)" in bench.lines
    assert far.result(MessageType.CDN).code == 2


@pytest.mark.provokes("RESERVED_BIT_IS_SET")
def test_a_reserved_bit_where_such_messages_are_discarded(witness: Witness) -> None:
    """RFC 3931 has the bits ignored; the reference discards the packet, which is ``reserved-bits = "discard"``."""
    bench, far, _ = up(discard_reserved=True)
    deliver(far, HELLO, avp(8, "00", flags=0x0400))
    assert witness.watch(bench).dropped("reserved") == 1
    ignoring, peer, _ = up()
    deliver(peer, HELLO, avp(8, "00", flags=0x0400))
    assert not any("reserved" in line for line in ignoring.lines)


@pytest.mark.provokes("RESULT_CODE_OUT_OF_RANGE")
def test_a_reason_that_nobody_knows(witness: Witness) -> None:
    bench, far, _ = up()
    far.send(MessageType.STOPCCN, result=Result(99, 77), assigned_connection_id=far.local_id)
    assert f"[{far.peer_id}] result code out of range (99,77). Ignoring" in witness.watch(bench).lines
    assert bench.tunnel.state == "idle"
