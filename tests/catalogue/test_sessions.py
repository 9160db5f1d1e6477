"""What a session logs, provoked by the octets of a peer, by the helper's answers and by operators."""

from __future__ import annotations

from typing import Any

import pytest

from l2tp_ctl.core.message import MessageType
from tests.catalogue.conftest import Witness
from tests.core.bench import Bench, FarEnd, answering, initiated, tunnel, up

IF_NAME = "if-s1"


def called(witness: Witness, *, cookie_length: int = 0, **changes: Any) -> tuple[Bench, FarEnd]:
    """A bench that was called by the peer with these changes."""
    bench = witness.watch(Bench(tunnel(cookie_length=cookie_length)))
    far = answering(bench)
    far.call(**changes)
    return bench, far


@pytest.mark.provokes("BEGIN_NEW_SESSION", "SEND_STATE")
def test_this_end_calls(witness: Witness) -> None:
    bench, far = initiated()
    far.accept()
    assert [line for line in witness.watch(bench).lines if "IC" in line and "state -->" in line] == [
        "send ICRQ, state --> WAIT-REPLY",
        "receive ICRP, state --> ESTABLISHED",
        "send ICCN, state --> ESTABLISHED",
    ]


@pytest.mark.provokes("CREATE_NEW_SESSION", "RECEIVE_STATE")
def test_the_peer_calls(witness: Witness) -> None:
    bench = witness.watch(up()[0])
    assert [line for line in bench.lines if "IC" in line and "state -->" in line] == [
        "receive ICRQ, state --> WAIT-CONNECT",
        "send ICRP, state --> WAIT-CONNECT",
        "receive ICCN, state --> ESTABLISHED",
    ]


@pytest.mark.provokes("SERIAL_NUMBER_NOT_FOUND")
def test_a_call_without_a_serial_number(witness: Witness) -> None:
    bench, _ = called(witness, serial_number=None)
    assert bench.session.state == "wait-connect"


@pytest.mark.provokes("COOKIE_NOT_FOUND")
def test_cookies_here_and_none_at_the_peer(witness: Witness) -> None:
    bench, _ = called(witness, cookie_length=8)
    assert bench.session.state == "wait-connect"


@pytest.mark.provokes("COOKIE_IS_OFF_BUT_FOUND")
def test_no_cookies_here_and_one_at_the_peer(witness: Witness) -> None:
    bench, _ = called(witness, cookie=b"eight oc")
    assert (bench.session.state, bench.session.peer_cookie_length) == ("wait-connect", 8)


@pytest.mark.provokes("REMOTE_END_ID_MISMATCH", "CANNOT_FIND_SESSION_CONFIG")
def test_an_unknown_remote_end_id(witness: Witness) -> None:
    bench, far = called(witness, name="nobody's")
    assert far.result(MessageType.CDN).code == 24
    assert any(line.endswith("can't find session config (remote-end-id=nobody's)") for line in bench.lines)


@pytest.mark.provokes("FAILED_TO_NEW_SESSION")
def test_another_pseudowire_type(witness: Witness) -> None:
    _, far = called(witness, pseudowire_type=7)
    assert far.result(MessageType.CDN).code == 14


@pytest.mark.provokes("NOT_SUPPORT_OCRQ")
def test_an_outgoing_call(witness: Witness) -> None:
    bench, far, _ = up()
    far.send(MessageType.OCRQ, local_session_id=1, remote_session_id=0, remote_end_id=b"s1")
    assert far.result(MessageType.CDN).code == 5
    assert witness.watch(bench).session.state == "established"


@pytest.mark.provokes("NOT_SUPPORT_OCRP", "NOT_SUPPORT_OCCN")
def test_answers_to_an_outgoing_call(witness: Witness) -> None:
    bench, far, _ = up()
    for message_type in (MessageType.OCRP, MessageType.OCCN):
        far.of_session(message_type, 1, 2)
    assert witness.watch(bench).session.state == "established"


@pytest.mark.provokes("CLEANUP_SESSION", "DELETE_SESSION")
def test_the_peer_ends_it(witness: Witness) -> None:
    bench, far, own = up()
    before = len(bench.lines)
    tunnel_id = bench.tunnel.local_connection_id
    far.of_session(MessageType.CDN, 0x55, own)
    told = witness.watch(bench).lines[before:]
    assert "receive CDN, state --> IDLE" in told
    assert f"[{tunnel_id}][{own}] cleanup session: s1" in told
    assert f"[{tunnel_id}][{own}] delete session" in told


@pytest.mark.provokes("CLEANUP_CALL")
def test_an_operator_clears_it_by_its_interface(witness: Witness) -> None:
    bench, _, _ = up()
    tunnel_id = bench.tunnel.local_connection_id
    assert bench.endpoint.clear_session(IF_NAME, bench.now) == ["s1"]
    bench.settle()
    assert f"[{tunnel_id}] clear: cleanup call: {IF_NAME}" in witness.watch(bench).lines
