"""Octets of the generic netlink messages, against hand-written ones: linux/l2tp.h by name, netlink(7) by layout.

Netlink is of the machine's own byte order, and these are of a little-endian one.
"""

from __future__ import annotations

import pytest

from l2tp_kernel import genl
from l2tp_kernel.genl import Command, Discards, L2tp, Message, Session, Tunnel, request

SESSION = Session(
    tunnel=0x0A0B0C0D,
    number=0x01020304,
    peer_number=0x05060708,
    interface="pw0",
    local_cookie=bytes.fromhex("0011223344556677"),
    peer_cookie=bytes.fromhex("deadbeef"),
    sublayer=0,
    receive_sequencing=True,
    send_sequencing=False,
)


class Recorder(L2tp):
    """The family without a kernel: requests are kept, nothing is answered."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def _do(self, command: Command, **attributes: int | str | bytes) -> None:
        self.sent.append(octets(request(command, **attributes)))


def octets(message: Message) -> bytes:
    """What follows the netlink header."""
    message.encode()
    return bytes(message.data[16:])


def expected(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("PW_TYPE", 5, "0600 0100 0500 0000"),
        ("ENCAP_TYPE", 1, "0600 0200 0100 0000"),
        ("L2SPEC_TYPE", 1, "0500 0500 01 000000"),
        ("PROTO_VERSION", 3, "0500 0700 03 000000"),
        ("IFNAME", "pw0", "0800 0800 70773000"),
        ("CONN_ID", 0x01020304, "0800 0900 04030201"),
        ("PEER_CONN_ID", 0x01020304, "0800 0a00 04030201"),
        ("SESSION_ID", 0xFFFFFFFF, "0800 0b00 ffffffff"),
        ("PEER_SESSION_ID", 1, "0800 0c00 01000000"),
        ("COOKIE", bytes.fromhex("deadbeef"), "0800 0f00 deadbeef"),
        ("PEER_COOKIE", bytes.fromhex("0011223344556677"), "0c00 1000 0011223344556677"),
        ("RECV_SEQ", 1, "0500 1200 01 000000"),
        ("SEND_SEQ", 0, "0500 1300 00 000000"),
        ("LNS_MODE", 1, "0500 1400 01 000000"),
        ("FD", 7, "0800 1700 07000000"),
        ("IP_SADDR", bytes([192, 0, 2, 1]), "0800 1800 c0000201"),
        ("IP_DADDR", bytes([192, 0, 2, 2]), "0800 1900 c0000202"),
        ("UDP_SPORT", 1701, "0600 1a00 a506 0000"),
        ("UDP_DPORT", 1702, "0600 1b00 a606 0000"),
        ("IP6_SADDR", bytes(15) + b"\1", "1400 1f00 00000000000000000000000000000001"),
        ("IP6_DADDR", bytes(15) + b"\2", "1400 2000 00000000000000000000000000000002"),
    ],
)
def test_every_attribute(name: str, value: int | str | bytes, wanted: str) -> None:
    assert octets(request(Command.TUNNEL_GET, **{name: value})) == expected("04 01 0000" + wanted)


def test_a_session_is_created_with_its_sublayer_always_stated() -> None:
    family = Recorder()
    family.create_session(SESSION)
    assert family.sent == [
        expected(
            "05 01 0000"
            "0800 0900 0d0c0b0a  0800 0b00 04030201  0800 0c00 08070605  0600 0100 0500 0000  0800 0800 70773000"
            "0500 0500 00 000000"
            "0500 1200 01 000000  0500 1300 00 000000  0500 1400 01 000000"
            "0800 0f00 deadbeef  0c00 1000 0011223344556677"
        )
    ]


def test_a_session_without_cookies_names_none() -> None:
    family = Recorder()
    family.create_session(SESSION._replace(local_cookie=b"", peer_cookie=b"", sublayer=1))
    assert family.sent[0].count(expected("0500 0500 01 000000")) == 1
    assert b"\x0f\0" not in family.sent[0]
    assert b"\x10\0" not in family.sent[0]


def test_modifying_and_deleting() -> None:
    family = Recorder()
    family.modify_session(SESSION)
    family.delete_session(SESSION.tunnel, SESSION.number)
    family.delete_tunnel(SESSION.tunnel)
    both = "0800 0900 0d0c0b0a  0800 0b00 04030201"
    assert family.sent == [
        expected(f"07 01 0000 {both} 0500 1200 01 000000  0500 1300 00 000000  0500 1400 01 000000"),
        expected(f"06 01 0000 {both}"),
        expected("02 01 0000 0800 0900 0d0c0b0a"),
    ]


def answer(text: str) -> Message:
    """Decode a message of the family whose header is not looked at."""
    body = expected(text)
    message: Message = genl._decoded(Message, (16 + len(body)).to_bytes(4, "little") + bytes(12) + body)
    return message


def test_a_tunnel_of_either_family_is_read() -> None:
    text = "04 01 0000 0500 0700 03 000000 0800 0900 0d0c0b0a 0800 0a00 01000000"
    udp = answer(
        text + "0600 0200 0000 0000 0600 1a00 a506 0000 0600 1b00 a606 0000 0800 1800 c0000201 0800 1900 c0000202"
    )
    assert genl._tunnel(udp) == Tunnel(
        0x0A0B0C0D, 1, 0, bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]), local_port=1701, peer_port=1702
    )
    ours, peers = "20010db8000000000000000000000001", "20010db8000000000000000000000002"
    over_ip = answer(text + f"0600 0200 0100 0000 1400 1f00 {ours} 1400 2000 {peers}")
    assert genl._tunnel(over_ip) == Tunnel(
        0x0A0B0C0D, 1, 1, bytes.fromhex(ours), bytes.fromhex(peers), local_port=0, peer_port=0
    )


def test_a_session_and_what_it_dropped_are_read() -> None:
    message = answer(
        "08 01 0000"
        "0800 0900 0d0c0b0a  0800 0b00 04030201  0800 0c00 08070605  0600 0100 0500 0000  0800 0800 70773000"
        "0800 0f00 deadbeef  0c00 1000 0011223344556677"
        "0500 1200 01 000000  0500 1300 00 000000"
        "2800 1e00  0c00 0600 0300000000000000  0c00 0800 0900000000000000  0c00 0a00 0400000000000000"
    )
    assert genl._session(message) == SESSION
    assert genl._discards(message) == Discards(errors=9, cookie=4, sequence=3)
    assert genl._discards(answer("08 01 0000 0800 0900 0d0c0b0a")) == Discards(0, 0, 0)
