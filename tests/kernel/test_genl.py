"""Octets of the family's messages against hand-written ones: linux/l2tp.h by name, netlink(7) by layout.

Netlink is of the machine's own byte order, and these are of a little-endian one.
"""

from __future__ import annotations

from l2tp_kernel import genl
from l2tp_kernel.genl import Discards, Session, Tunnel

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
IDS = "0800 0900 0d0c0b0a  0800 0b00 04030201"
"""CONN_ID and SESSION_ID."""


def expected(text: str) -> bytes:
    return bytes.fromhex(text)


def test_a_tunnel_is_created_of_a_descriptor() -> None:
    assert genl.create_tunnel(0x0A0B0C0D, 0x01020304, 1, 7) == expected(
        "01 01 0000"
        "0800 0900 0d0c0b0a"  # CONN_ID
        "0800 0a00 04030201"  # PEER_CONN_ID
        "0500 0700 03 000000"  # PROTO_VERSION
        "0600 0200 0100 0000"  # ENCAP_TYPE
        "0800 1700 07000000"  # FD
    )


def test_a_session_is_created_with_its_sublayer_always_stated() -> None:
    assert genl.create_session(SESSION) == expected(
        f"05 01 0000 {IDS}"
        "0800 0c00 08070605"  # PEER_SESSION_ID
        "0600 0100 0500 0000"  # PW_TYPE
        "0500 0500 00 000000"  # L2SPEC_TYPE
        "0500 1200 01 000000"  # RECV_SEQ
        "0500 1300 00 000000"  # SEND_SEQ
        "0500 1400 01 000000"  # LNS_MODE
        "0800 0800 70773000"  # IFNAME
        "0800 0f00 deadbeef"  # COOKIE, which is the one that we send
        "0c00 1000 0011223344556677"  # PEER_COOKIE
    )


def test_a_session_without_cookies_names_none() -> None:
    bare = genl.create_session(SESSION._replace(local_cookie=b"", peer_cookie=b"", sublayer=1))
    assert bare.count(expected("0500 0500 01 000000")) == 1
    assert b"\x0f\0" not in bare
    assert b"\x10\0" not in bare


def test_modifying_asking_and_deleting() -> None:
    sequencing = "0500 1200 01 000000  0500 1300 00 000000  0500 1400 01 000000"
    assert genl.modify_session(SESSION) == expected(f"07 01 0000 {IDS} {sequencing}")
    assert genl.delete_session(SESSION) == expected(f"06 01 0000 {IDS}")
    assert genl.delete_tunnel(SESSION.tunnel) == expected("02 01 0000 0800 0900 0d0c0b0a")
    assert genl.get_tunnel(SESSION.tunnel) == expected("04 01 0000 0800 0900 0d0c0b0a")


def test_the_family_and_its_group_are_found() -> None:
    assert genl.get_family() == expected("03 01 0000 0900 0200 6c32747000 000000")
    answer = (
        "01 02 0000 0900 0200 6c32747000 000000  0600 0100 1e00 0000  0800 0300 01000000"
        "3400 0780  1800 0100 0800 0200 07000000 0a00 0100 6f7468657200 0000"
        "1800 0200 0800 0200 0a000000 0900 0100 6c32747000 000000"
    )
    assert genl.read_family(expected(answer)) == (0x1E, 0x0A)


def test_a_tunnel_of_either_family_is_read() -> None:
    text = "04 01 0000 0500 0700 03 000000 0800 0900 0d0c0b0a 0800 0a00 01000000"
    udp = text + "0600 0200 0000 0000 0600 1a00 a506 0000 0600 1b00 a606 0000 0800 1800 c0000201 0800 1900 c0000202"
    assert genl.read_tunnel(expected(udp)) == Tunnel(
        0x0A0B0C0D, 1, 0, bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]), local_port=1701, peer_port=1702
    )
    ours, peers = "20010db8000000000000000000000001", "20010db8000000000000000000000002"
    over_ip = text + f"0600 0200 0100 0000 1400 1f00 {ours} 1400 2000 {peers}"
    assert genl.read_tunnel(expected(over_ip)) == Tunnel(
        0x0A0B0C0D, 1, 1, bytes.fromhex(ours), bytes.fromhex(peers), local_port=0, peer_port=0
    )


def test_a_session_and_what_it_dropped_are_read() -> None:
    text = (
        f"08 01 0000 {IDS}"
        "0800 0c00 08070605  0600 0100 0500 0000  0800 0800 70773000"
        "0800 0f00 deadbeef  0c00 1000 0011223344556677"
        "0500 1200 01 000000  0500 1300 00 000000"
    )
    counted = "2800 1e00  0c00 0600 0300000000000000  0c00 0800 0900000000000000  0c00 0a00 0400000000000000"
    assert genl.read_session(expected(text + counted)) == (SESSION, Discards(errors=9, cookie=4, sequence=3))
    assert genl.read_session(expected(text)) == (SESSION, Discards(0, 0, 0)), "an older kernel does not count"
    ppp = text.replace("0600 0100 0500", "0600 0100 0700")
    assert genl.read_session(expected(ppp)) is None
