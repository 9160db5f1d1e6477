"""Wireshark, written by others, reads what the codec writes: every message, every AVP, every digest."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from l2tp_ctl.core.codec import encode
from l2tp_ctl.core.digest import DigestType, Signer, shared_key
from l2tp_ctl.core.hiding import hiding_key
from l2tp_ctl.core.message import CircuitErrors, Message, MessageType, Result
from l2tp_ctl.core.presence import missing

from .octets import Datagram, write_capture

pytestmark = pytest.mark.tshark

SECRET = "a shared secret"
LEFT, RIGHT = "192.0.2.1", "192.0.2.2"
LEFT_ID, RIGHT_ID = 0x11223344, 0x55667788
LEFT_NONCE, RIGHT_NONCE = bytes(range(16)), bytes(range(100, 120))
IDENTITY: dict[str, Any] = {
    "host_name": b"lcce-a",
    "router_id": 0x0A000001,
    "pseudowire_capabilities": (5, 4),
    "vendor_name": b"vendor",
    "receive_window": 16,
    "preferred_language": b"en",
    "ecn_capable": True,
}
SESSION: dict[str, Any] = {"local_session_id": 4097, "remote_session_id": 8194}
CIRCUIT: dict[str, Any] = {"sublayer": 1, "sequencing": 2, "tx_speed": 10**10, "rx_speed": 10**9, "circuit_status": 3}
REQUEST: dict[str, Any] = {
    **SESSION, **CIRCUIT, "serial_number": 77, "pseudowire_type": 5, "remote_end_id": b"vpn1",
    "cookie": bytes.fromhex("deadbeefcafebabe"), "tie_breaker": bytes(range(8)), "physical_channel": 12,
    "attachment_group_id": b"group", "local_end_id": b"vpn2", "interface_mtu": 1460,
}  # fmt: skip
REPLY: dict[str, Any] = {**SESSION, **CIRCUIT, "cookie": bytes.fromhex("01020304"), "interface_mtu": 1460}

MESSAGES: list[tuple[MessageType, dict[str, Any]]] = [
    (MessageType.SCCRQ, {**IDENTITY, "assigned_connection_id": LEFT_ID, "tie_breaker": bytes(8), "nonce": LEFT_NONCE}),
    (MessageType.SCCRP, {**IDENTITY, "assigned_connection_id": RIGHT_ID, "nonce": RIGHT_NONCE}),
    (MessageType.SCCCN, {}),
    (MessageType.ACK, {}),
    (MessageType.ICRQ, REQUEST),
    (MessageType.ICRP, REPLY),
    (MessageType.ICCN, {**SESSION, **CIRCUIT}),
    (MessageType.HELLO, {}),
    (MessageType.OCRQ, REQUEST),
    (MessageType.OCRP, REPLY),
    (MessageType.OCCN, {**SESSION, **CIRCUIT}),
    (MessageType.SLI, {**SESSION, "circuit_status": 1}),
    (MessageType.WEN, {**SESSION, "circuit_errors": CircuitErrors(1, 2, 3, 4)}),
    (MessageType.CDN, {**SESSION, "result": Result(2, 8, "unknown AVP")}),
    (MessageType.STOPCCN, {"assigned_connection_id": LEFT_ID, "result": Result(6)}),
]
FROM_RIGHT = {MessageType.SCCRP, MessageType.ACK, MessageType.ICRP, MessageType.OCRP, MessageType.CDN}

UNNAMED = "Vendor-Specific AVP data"
"""What Wireshark remarks on AVPs that it does not know by name: of those that we send, RFC 4667's."""
UNNAMED_SENT = 8

READ_BACK = {
    "l2tp.avp.host_name": "lcce-a",
    "l2tp.avp.vendor_name": "vendor",
    "l2tp.avp.receive_window_size": "16",
    "l2tp.avp.router_id": str(0x0A000001),
    "l2tp.avp.assigned_control_conn_id": str(LEFT_ID),
    "l2tp.avp.pw_type": "5,4",
    "l2tp.avp.preferred_language": "en",
    "l2tp.avp.nonce": LEFT_NONCE.hex(),
    "l2tp.tie_breaker": "0x0000000000000000",
}
READ_BACK_CALL = {
    "l2tp.avp.local_session_id": "4097",
    "l2tp.avp.remote_session_id": "8194",
    "l2tp.avp.call_serial_number": "77",
    "l2tp.avp.pseudowire_type": "5",
    "l2tp.avp.remote_end_id": "vpn1",
    "l2tp.avp.assigned_cookie": "deadbeefcafebabe",
    "l2tp.avp.layer2_specific_sublayer": "1",
    "l2tp.avp.data_sequencing": "2",
    "l2tp.avp.circuit_status": "1",
    "l2tp.avp.circuit_type": "1",
    "l2tp.avp.tx_connect_speed_v3": str(10**10),
    "l2tp.avp.rx_connect_speed_v3": str(10**9),
    "l2tp.avp.physical_channel": "12",
    "l2tp.tie_breaker": "0x0001020304050607",
}
READ_BACK_ERRORS = {
    "l2tp.avp.hardware_overruns": "1",
    "l2tp.avp.buffer_overruns": "2",
    "l2tp.avp.time_out_errors": "3",
    "l2tp.avp.alignment_errors": "4",
}
READ_BACK_RESULT = {
    "l2tp.result_code": "2",
    "l2tp.avp.error_code": "8",
    "l2tp.avp.error_message": "unknown AVP",
}


def tshark(capture: Path, display: str, fields: list[str], *, secret: str = SECRET) -> list[list[str]]:
    """Return the named fields of each packet that the filter shows."""
    command = ["tshark", "-n", "-r", str(capture), "-Y", display, "-T", "fields", "-o", f"l2tp.shared_secret:{secret}"]
    command += ["-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    for field in fields:
        command += ["-e", field]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return [line.split("\t") for line in output.splitlines()]


def complaints(capture: Path, *, secret: str = SECRET) -> list[str]:
    """Return everything that Wireshark has to remark on the capture, malformed packets first of all."""
    assert tshark(capture, "_ws.malformed", ["frame.number"], secret=secret) == []
    remarks = tshark(capture, "_ws.expert", ["_ws.expert.message"], secret=secret)
    return [remark for (line,) in remarks for remark in line.split(",")]


def datagrams(*types: DigestType, hidden: bool = False, cisco: bool = False) -> list[Datagram]:
    """Return all messages as one conversation, each signed with every type named."""
    key = shared_key(SECRET.encode())
    sent = {LEFT: 0, RIGHT: 0}
    flow = []
    for message_type, fields in MESSAGES:
        source, destination = (RIGHT, LEFT) if message_type in FROM_RIGHT else (LEFT, RIGHT)
        nonces = LEFT_NONCE + RIGHT_NONCE if source == LEFT else RIGHT_NONCE + LEFT_NONCE
        if message_type is MessageType.SCCRQ:
            nonces = b""
        message = Message(type=message_type, random_vector=bytes(range(16)) if hidden else None, cisco=cisco, **fields)
        data = encode(
            message,
            connection_id=0 if message_type is MessageType.SCCRQ else LEFT_ID if destination == LEFT else RIGHT_ID,
            ns=sent[source],
            nr=sent[destination],
            signers=[Signer(digest_type, key, nonces) for digest_type in types],
            hide_key=hiding_key(SECRET.encode()) if hidden else None,
        )
        sent[source] += message_type is not MessageType.ACK
        flow.append(Datagram(source, destination, data))
    return flow


def test_every_message_type_is_in_the_conversation() -> None:
    assert {message_type for message_type, _ in MESSAGES} == set(MessageType)
    assert not any(missing(Message(type=message_type, **fields)) for message_type, fields in MESSAGES)


@pytest.mark.parametrize("udp", [True, False], ids=["udp", "ip"])
@pytest.mark.parametrize("digest_type", list(DigestType))
@pytest.mark.parametrize("hidden", [False, True], ids=["plain", "hidden"])
def test_wireshark_accepts_every_message(tmp_path: Path, udp: bool, digest_type: DigestType, hidden: bool) -> None:  # noqa: FBT001 - parameters
    capture = tmp_path / "conversation.pcap"
    flow = datagrams(digest_type, hidden=hidden)
    write_capture(capture, flow, udp=udp)
    shown = tshark(capture, "l2tp", ["l2tp.avp.message_type", "l2tp.Ns", "l2tp.Nr", "l2tp.length"])
    assert [int(fields[0]) for fields in shown] == [message_type for message_type, _ in MESSAGES]
    assert [int(fields[3]) for fields in shown] == [len(datagram.data) for datagram in flow]
    assert complaints(capture) == [UNNAMED] * (0 if hidden else UNNAMED_SENT)
    # The same check finds fault with every message once the secret is wrong: it does look at the digests.
    wrong = tshark(capture, "l2tp.incorrect_digest", ["frame.number"], secret="wrong")
    assert len(wrong) == len(MESSAGES)
    hidden_avps = tshark(capture, "l2tp.avp.hidden == 1", ["frame.number"])
    assert bool(hidden_avps) == hidden


@pytest.mark.parametrize("digest_type", list(DigestType))
def test_wireshark_accepts_integrity_without_a_secret(tmp_path: Path, digest_type: DigestType) -> None:
    capture = tmp_path / "integrity.pcap"
    opening = Message(type=MessageType.SCCRQ, **IDENTITY, assigned_connection_id=LEFT_ID)
    signer = Signer(digest_type, shared_key(b""), b"")
    data = encode(opening, connection_id=0, ns=0, nr=0, signers=[signer])
    write_capture(capture, [Datagram(LEFT, RIGHT, data)], udp=False)
    assert complaints(capture, secret="") == []
    assert len(tshark(capture, "l2tp.avp.message_digest", ["frame.number"], secret="")) == 1


def test_wireshark_reads_back_what_was_said(tmp_path: Path) -> None:
    capture = tmp_path / "plain.pcap"
    write_capture(capture, datagrams(), udp=True)
    for message_type, expected in [
        (MessageType.SCCRQ, READ_BACK),
        (MessageType.ICRQ, READ_BACK_CALL),
        (MessageType.WEN, READ_BACK_ERRORS),
        (MessageType.CDN, READ_BACK_RESULT),
    ]:
        (values,) = tshark(capture, f"l2tp.avp.message_type == {message_type:d}", list(expected))
        assert dict(zip(expected, values, strict=True)) == expected


def test_wireshark_reads_ciscos_dialect(tmp_path: Path) -> None:
    capture = tmp_path / "cisco.pcap"
    write_capture(capture, datagrams(cisco=True), udp=False)
    assert complaints(capture) == [UNNAMED] * UNNAMED_SENT
    expected = {
        "l2tp.avp.protocol_version": "1",
        "l2tp.cisco.assigned_control_connection_id": str(LEFT_ID),
        "l2tp.cisco.pw_type": "5,4",
        "l2tp.cisco.draft_avp_version": "1",
    }
    (values,) = tshark(capture, "l2tp.avp.message_type == 1", list(expected))
    assert dict(zip(expected, values, strict=True)) == expected
    call = {
        "l2tp.cisco.local_session_id": "4097",
        "l2tp.cisco.remote_session_id": "8194",
        "l2tp.cisco.pseudowire_type": "5",
        "l2tp.cisco.interface_mtu": "1460",
    }
    (values,) = tshark(capture, "l2tp.avp.message_type == 10", list(call))
    assert dict(zip(call, values, strict=True)) == call
