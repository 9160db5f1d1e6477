"""Whole conversations with peers as they are known to talk, octet by octet: captures, sources and manuals of theirs.

What a peer says is written here AVP by AVP, without this project's encoder.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.digest import DigestType
from l2tp_ctl.core.hiding import hide, hiding_key
from l2tp_ctl.core.message import MessageType, Result
from l2tp_ctl.core.settings import Compatibility, DigestPolicy, Encapsulation, PseudowireType
from tests.core.bench import ADDRESS, Bench, Received, secrets, session, tunnel
from tests.core.dialogue import Peer, text, vendors
from tests.core.octets import avp, packet

OVER_IP = replace(ADDRESS, encapsulation=Encapsulation.IP, local_port=0, peer_port=0)

# ---- Cisco IOS, over IP.

CISCO_ID = "a6ef0776"
CISCO_TYPES = "000500040006000700010003000a0009000b"


def cisco_opening(message_type: str) -> list[bytes]:
    """An SCCRQ's or SCCRP's AVPs, as captured."""
    return [
        avp(0, message_type), avp(2, "0100"), avp(3, "00000000"), avp(5, "3c1a508b77f271de", flags=0),
        avp(6, "1130", flags=0), avp(7, text("ar21.br1")), avp(8, text("Cisco Systems, Inc."), flags=0),
        avp(10, "0400"), avp(56, flags=0), avp(57, flags=0), avp(60, "5e8ca002", flags=0),
        avp(61, CISCO_ID, flags=0), avp(62, CISCO_TYPES, flags=0), avp(1, CISCO_ID, vendor=9),
        avp(2, CISCO_TYPES, vendor=9), avp(10, "0001", vendor=9), avp(110, vendor=9, flags=0),
        avp(111, vendor=9, flags=0),
    ]  # fmt: skip


def cisco_bench(**changes: Any) -> tuple[Bench, Peer]:
    wire = session(remote_end_id=bytes([0, 0, 0, 100]))
    bench = Bench(tunnel(wire, address=OVER_IP, **changes))
    return bench, Peer(bench, int(CISCO_ID, 16), address=OVER_IP)


def test_cisco_ios_calls() -> None:
    """It has its own AVPs beside the standard's, empty ones, RFC 2661's with the M bit, and an ACK of its own."""
    bench, cisco = cisco_bench()
    sccrp = cisco.say(*cisco_opening("0001"))
    assert sccrp is not None
    assert sccrp.type is MessageType.SCCRP
    assert {(one.vendor, one.type) for one in sccrp.avps} >= {(0, 2), (0, 3), (9, 1), (9, 2), (9, 10)}
    ours = next(one.value for one in sccrp.avps if (one.vendor, one.type) == (9, 1))
    assert ours == sccrp.octets(61)
    cisco.say(avp(0, "0003"))
    icrp = cisco.say(
        avp(0, "000a"), avp(63, "00005a01", flags=0), avp(64, "00000000", flags=0), avp(15, "00000001", flags=0),
        avp(68, "0005", flags=0), avp(66, text("100"), flags=0), avp(71, "0003", flags=0),
        avp(69, "0000", flags=0), avp(70, "0000", flags=0), avp(3, "00005a01", vendor=9),
        avp(4, "00000000", vendor=9), avp(7, "0005", vendor=9), avp(6, text("100"), vendor=9),
    )  # fmt: skip
    assert icrp is not None
    assert icrp.type is MessageType.ICRP
    assert {(one.vendor, one.type) for one in icrp.avps} >= {(9, 3), (9, 4), (9, 7), (0, 68)}
    local_id = icrp.octets(63).hex()
    sli = cisco.say(
        avp(0, "000c"), avp(63, "00005a01", flags=0), avp(64, local_id, flags=0), avp(3, "00005a01", vendor=9),
        avp(4, local_id, vendor=9), avp(71, "0003", flags=0),
    )  # fmt: skip
    assert sli is not None
    assert (sli.type, sli.octets(71)) == (MessageType.SLI, b"\0\x01")
    assert bench.session.state == "established"
    cisco.acks = False
    bench.endpoint.link_changed("if-s1", up=False, now=bench.now)
    bench.settle()
    assert bench.tunnel.unacknowledged == 1
    bench.deliver(packet(avp(0, "0000", vendor=9), connection_id=cisco.peer_id, ns=cisco.ns, nr=cisco.nr), OVER_IP)
    assert bench.tunnel.unacknowledged == 0


def test_cisco_ios_answers() -> None:
    bench, cisco = cisco_bench(initiate=True)
    assert vendors(cisco.wait_for_sccrq()) == {0}, "nothing shows yet what it is"
    cisco.say(*(one for one in cisco_opening("0002") if one[4:6] != b"\0\x05"))
    icrq = cisco.first(MessageType.ICRQ)
    assert {(one.vendor, one.type) for one in icrq.avps} >= {(9, 3), (9, 4), (9, 7)}
    local_id = icrq.octets(63).hex()
    cisco.say(
        avp(0, "000b"), avp(63, "00005a02", flags=0), avp(64, local_id, flags=0), avp(71, "0003", flags=0),
        avp(3, "00005a02", vendor=9), avp(4, local_id, vendor=9),
    )  # fmt: skip
    assert cisco.types == [MessageType.ICCN, MessageType.SLI]
    assert bench.session.state == "established"


def test_cisco_ios_that_knows_its_own_avps_alone() -> None:
    """From before the standard had numbers of its own; "cisco" speaks to it from the first message on."""
    bench, cisco = cisco_bench(initiate=True, compatibility=Compatibility.CISCO)
    sccrq = cisco.wait_for_sccrq()
    assert {(one.vendor, one.type) for one in sccrq.avps} >= {(9, 1), (9, 2), (9, 10), (0, 2), (0, 3)}
    cisco.say(
        avp(0, "0002"), avp(2, "0100"), avp(3, "00000000"), avp(7, text("old")), avp(1, CISCO_ID, vendor=9),
        avp(2, "00050004", vendor=9), avp(10, "0001", vendor=9),
    )  # fmt: skip
    icrq = cisco.first(MessageType.ICRQ)
    local_id = next(one.value for one in icrq.avps if (one.vendor, one.type) == (9, 3)).hex()
    cisco.say(
        avp(0, "000b"), avp(3, "00005a02", vendor=9), avp(4, local_id, vendor=9), avp(5, "deadbeef", vendor=9),
        avp(8, "0001", vendor=9),
    )  # fmt: skip
    assert bench.session.state == "established"
    assert bench.made[-1].pseudowire.peer_cookie == bytes.fromhex("deadbeef")


# ---- SoftEther VPN, which only answers.


def test_softether_as_it_talks_to_yamaha() -> None:
    """UDP.  No window, no sublayer, no cookie, ZLBs; in its CDN half an identifier, and a Result Code of 8 octets."""
    bench = Bench(tunnel(initiate=True))
    softether = Peer(bench, 1)
    softether.wait_for_sccrq()
    softether.say(
        avp(0, "0002"), avp(7, text("se.softether")), avp(8, text("YAMAHA Corporation"), flags=0),
        avp(60, "00000000"), avp(61, "00000001"), avp(62, "00050004"),
    )  # fmt: skip
    assert bench.tunnel.peer_vendor_name == b"YAMAHA Corporation"
    icrq = softether.first(MessageType.ICRQ)
    assert vendors(icrq) == {0}
    ours = icrq.octets(63).hex()
    softether.say(avp(0, "000b"), avp(63, "12345678"), avp(64, ours), avp(71, "0003"))
    assert bench.session.state == "established"
    for _ in range(3):
        softether.say(avp(0, "0006"))
    assert bench.endpoint.counters["received-hello"] == 3
    softether.say(avp(0, "000e"), avp(1, "0003" + "000000000000"), avp(63, "00005678"), avp(64, ours))
    assert bench.session.last_error == "peer: administrative reasons (result 3)"
    assert bench.tunnel.state == "established"
    softether.say(avp(0, "0004"), avp(1, "0600" + "0000" * 3), avp(61, "00000001"))
    assert (bench.tunnel.state, len(bench.logged(Entry.RESULT_CODE_OUT_OF_RANGE))) == ("idle", 1)


def test_softether_as_it_talks_to_cisco() -> None:
    """Over IP.  No Router ID in SCCRP, no Circuit Status in ICRP, a Pseudowire Type where none belongs."""
    bench = Bench(tunnel(address=OVER_IP, initiate=True, compatibility=Compatibility.CISCO))
    softether = Peer(bench, 2, address=OVER_IP)
    softether.wait_for_sccrq()
    softether.say(
        avp(0, "0002"), avp(2, "0100"), avp(3, "00000000", flags=0), avp(7, text("se")), avp(8, text("L2TP"), flags=0),
        avp(61, "00000002"), avp(1, "00000002", vendor=9), avp(62, "00050004"), avp(2, "00050004", vendor=9),
        avp(10, "0001", vendor=9), avp(10, "0010", flags=0),
    )  # fmt: skip
    ours = softether.first(MessageType.ICRQ).octets(63).hex()
    softether.say(
        avp(0, "000b"), avp(63, "12345678"), avp(3, "12345678", vendor=9), avp(68, "0005"), avp(7, "0005", vendor=9),
        avp(64, ours), avp(4, ours, vendor=9),
    )  # fmt: skip
    assert bench.session.state == "established"


# ---- Juniper Mist, over UDP from a port of its own, with SHA-1.

MIST_NONCE = b"0123456789abcdef"
MIST_OWN = [avp(number, "00000001", vendor=52845, flags=0) for number in (1, 2, 3)]


def mist_opening(message_type: str, *more: bytes) -> list[bytes]:
    return [
        avp(0, message_type), avp(7, text("mist-ap")), avp(60, "0a000002"), avp(61, "00007700"), avp(62, "00050004"),
        avp(73, MIST_NONCE.hex()), *more, avp(8, text("Mist Systems"), flags=0), avp(10, "0008"), *MIST_OWN,
    ]  # fmt: skip


def mist_bench(**changes: Any) -> tuple[Bench, Peer]:
    wire = session(remote_end_id=b"mxtunnel", pseudowire_type=PseudowireType.ETHERNET_VLAN)
    bench = Bench(tunnel(wire, secrets=secrets(b"mist"), **changes))
    address = replace(ADDRESS, peer_port=36025)
    return bench, Peer(bench, secrets=[b"mist"], digest=DigestType.SHA1, nonce=MIST_NONCE, address=address)


def test_juniper_mist_calls() -> None:
    """AVPs of L2TPv2 in ICCN, explicit ACKs beside those that ride along, Hellos of 1372 octets that probe the path."""
    bench, mist = mist_bench()
    sccrp = mist.say(*mist_opening("0001", avp(5, "00" * 8)))
    assert sccrp is not None
    assert (sccrp.type, sccrp.octets(59)[0]) == (MessageType.SCCRP, 1)
    assert sccrp.address.peer_port == 36025
    mist.say(avp(0, "0003"))
    mist.say(avp(0, "0014"))
    mist.say(avp(0, "0014"))
    icrp = mist.say(
        avp(0, "000a"), avp(63, "00000051"), avp(64, "00000000"), avp(15, "00000001", flags=0), avp(68, "0004"),
        avp(66, text("mxtunnel")), avp(71, "0003"), avp(69, "0000"), avp(5, "11" * 8),
    )  # fmt: skip
    assert icrp is not None
    assert icrp.type is MessageType.ICRP
    mist.say(
        avp(0, "000c"), avp(63, "00000051"), avp(64, icrp.octets(63).hex()), avp(19, "00000001", flags=0),
        avp(24, "3b9aca00", flags=0),
    )  # fmt: skip
    assert bench.session.state == "established"
    probe = [avp(6, "00" * 250, vendor=52845, flags=0)] * 5
    probe.append(avp(6, "00" * (1372 - 12 - 8 - 27 - 5 * 256 - 6), vendor=52845, flags=0))
    mist.say(avp(0, "0006"), *probe)
    assert bench.endpoint.counters["received-hello"] == 1
    assert mist.received[-1].type is MessageType.ACK
    assert mist.received[-1].header.nr == mist.ns
    assert {one.octets(59)[0] for one in mist.received} == {DigestType.SHA1}
    assert bench.session.state == "established"


def test_juniper_mist_answers() -> None:
    """The digest of ours that it verifies must be SHA-1 then; its ICRP has what it must and no more."""
    bench, mist = mist_bench(initiate=True, digest=DigestPolicy.SHA1)
    assert mist.wait_for_sccrq().octets(59)[0] == DigestType.SHA1
    mist.say(*mist_opening("0002"))
    mist.say(avp(0, "0014"))
    ours = mist.first(MessageType.ICRQ).octets(63).hex()
    mist.say(avp(0, "000b"), avp(63, "00000061"), avp(64, ours), avp(71, "0003"))
    assert mist.types == [MessageType.ICCN]
    assert bench.session.state == "established"


# ---- IIJ SEIL: over IP, MD5 alone, strict in what it takes.


def seil_takes(received: Received) -> None:
    """What its manual and its log messages tell that it insists on."""
    for one in received.avps:
        assert not one.reserved, "a reserved bit makes it discard the packet"
        assert one.vendor == 0
        assert not one.mandatory or one.type in {0, 1, 5, 7, 10, 36, 59, *range(60, 72), 73}
    assert received.types[0] == 0
    assert received.octets(59)[0] == 0, "HMAC-MD5 alone"
    if received.type in (MessageType.SCCRQ, MessageType.SCCRP):
        assert (received.octets(7), received.octets(60)) == (b"near", b"\x0a\0\0\x01")
        assert received.message.nonce
    if received.type is MessageType.ICRQ:
        assert received.message.serial_number
        assert received.octets(66) == b"branch"
    if received.type in (MessageType.ICRQ, MessageType.ICRP):
        assert len(received.octets(65)) == 4, "cookies on at both ends"
        assert received.message.sublayer is None


def seil_bench(**changes: Any) -> tuple[Bench, Peer]:
    settings = tunnel(
        session(remote_end_id=b"branch"), address=OVER_IP, secrets=secrets(b"seil"), digest=DigestPolicy.MD5,
        cookie_length=4, peer_host_name=b"seil", peer_router_id=0x0A000078, discard_reserved=True, **changes,
    )  # fmt: skip
    bench = Bench(settings)
    return bench, Peer(bench, 0x21CF, secrets=[b"seil"], address=OVER_IP)


SEIL_OPENING = [avp(7, text("seil")), avp(60, "0a000078"), avp(61, "000021cf"), avp(62, "0005")]


def test_seil_calls() -> None:
    bench, seil = seil_bench()
    seil.say(avp(0, "0001"), *SEIL_OPENING, avp(73, seil.nonce.hex()), avp(5, "22" * 8), avp(10, "0004"))
    seil.say(avp(0, "0003"))
    icrp = seil.say(
        avp(0, "000a"), avp(63, "00003bee"), avp(64, "00000000"), avp(15, "00000001"), avp(68, "0005"),
        avp(66, text("branch")), avp(71, "0003"), avp(65, "642a1c9e"), avp(5, "33" * 8),
    )  # fmt: skip
    assert icrp is not None
    seil.say(avp(0, "000c"), avp(63, "00003bee"), avp(64, icrp.octets(63).hex()))
    assert bench.session.state == "established"
    seil.say(avp(0, "0006"))
    assert seil.received[-1].type is MessageType.ACK
    for one in seil.received:
        seil_takes(one)


def test_seil_answers_and_keeps_no_message_that_comes_early() -> None:
    bench, seil = seil_bench(initiate=True)
    seil.wait_for_sccrq()
    seil.say(avp(0, "0002"), *SEIL_OPENING, avp(73, seil.nonce.hex()), avp(10, "0004"))
    ours = seil.first(MessageType.ICRQ).octets(63).hex()
    seil.acks = False
    seil.say(avp(0, "000b"), avp(63, "00003bee"), avp(64, ours), avp(71, "0003"), avp(65, "642a1c9e"))
    assert bench.session.state == "established"
    iccn = seil.received[-1]
    bench.run(1.0)
    again = seil.received[-1]
    assert (again.type, again.header.ns) == (MessageType.ICCN, iccn.header.ns)
    seil.say(avp(0, "0006"))
    for one in seil.received:
        seil_takes(one)


# ---- Yamaha, MikroTik and others.


def test_yamaha_calls() -> None:
    """UDP at port 1701 on both ends, a Remote End ID of text, no digest, keepalive every 60 s."""
    bench = Bench(tunnel(session(remote_end_id=b"office"), digest=DigestPolicy.NONE))
    yamaha = Peer(bench, 0x5001)
    yamaha.say(
        avp(0, "0001"), avp(7, text("RTX1210")), avp(8, text("YAMAHA Corporation"), flags=0), avp(60, "c0a86401"),
        avp(61, "00005001"), avp(62, "00050004"),
    )  # fmt: skip
    yamaha.say(avp(0, "0003"))
    icrp = yamaha.say(
        avp(0, "000a"), avp(63, "00000101"), avp(64, "00000000"), avp(15, "00000001", flags=0), avp(68, "0005"),
        avp(66, text("office")), avp(71, "0003"),
    )  # fmt: skip
    assert icrp is not None
    yamaha.say(avp(0, "000c"), avp(63, "00000101"), avp(64, icrp.octets(63).hex()))
    for _ in range(3):
        bench.run(60.0)
        yamaha.say(avp(0, "0006"))
    assert bench.session.state == "established"
    assert {one.address for one in yamaha.received} == {ADDRESS}


@pytest.mark.parametrize("digest", [None, DigestType.MD5, DigestType.SHA1])
def test_mikrotik_calls(digest: DigestType | None) -> None:
    """Its circuit-id is the Remote End ID; digests without a secret unless told otherwise."""
    bench = Bench(tunnel(session(remote_end_id=b"circuit-7")))
    mikrotik = Peer(bench, digest=digest)
    mikrotik.say(
        avp(0, "0001"), avp(7, text("MikroTik")), avp(60, "0a00000b"), avp(61, "00007700"), avp(62, "0005"),
        avp(8, text("MikroTik"), flags=0), avp(10, "0004"),
    )  # fmt: skip
    mikrotik.say(avp(0, "0003"))
    icrp = mikrotik.say(
        avp(0, "000a"), avp(63, "00000001"), avp(64, "00000000"), avp(15, "00000001", flags=0), avp(68, "0005"),
        avp(66, text("circuit-7")), avp(71, "0001"), avp(69, "0000"),
    )  # fmt: skip
    assert icrp is not None
    mikrotik.say(avp(0, "000c"), avp(63, "00000001"), avp(64, icrp.octets(63).hex()))
    assert bench.session.state == "established"
    assert {59 in one.types for one in mikrotik.received} == {digest is not None}


def test_ericssons_hdlc_pseudowire_is_refused_in_words() -> None:
    """Over IP, digests with the empty secret, a sublayer with numbers on all frames, a type that is none of ours."""
    bench = Bench(tunnel(address=OVER_IP))
    ericsson = Peer(bench, digest=DigestType.MD5, address=OVER_IP)
    ericsson.say(
        avp(0, "0001"), avp(7, text("SIU")), avp(60, "0a000063"), avp(61, "00007700"), avp(62, "0006"),
        avp(10, "0010"),
    )  # fmt: skip
    ericsson.say(avp(0, "0003"))
    cdn = ericsson.say(
        avp(0, "000a"), avp(63, "00000001"), avp(64, "00000000"), avp(15, "00000001"), avp(68, "0006"),
        avp(66, text("s1")), avp(71, "0001"), avp(69, "0001"), avp(70, "0002"),
    )  # fmt: skip
    assert cdn is not None
    assert cdn.message.result == Result(14, 0, "pseudowire type 6 is not the configured one")
    assert bench.tunnel.state == "established"


def test_a_peer_that_hides_its_cookie_alone() -> None:
    bench = Bench(tunnel(secrets=secrets(b"secret"), cookie_length=8))
    peer = Peer(bench, secrets=[b"secret"])
    peer.say(
        avp(0, "0001"), avp(7, text("adapter")), avp(60, "0a000002"), avp(61, "00007700"), avp(62, "0005"),
        avp(73, peer.nonce.hex()),
    )  # fmt: skip
    peer.say(avp(0, "0003"))
    vector = b"random vector 16"
    hidden = hide(65, b"cookie88", hiding_key(b"secret"), vector, b"padding")
    icrp = peer.say(
        avp(0, "000a"), avp(63, "00000001"), avp(64, "00000000"), avp(15, "00000001"), avp(68, "0005"),
        avp(66, text("s1")), avp(71, "0003"), avp(36, vector.hex()), avp(65, hidden.hex(), flags=0xC000),
    )  # fmt: skip
    assert icrp is not None
    assert bench.made[-1].pseudowire.peer_cookie == b"cookie88"
