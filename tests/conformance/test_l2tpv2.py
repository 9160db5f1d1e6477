"""Peers that speak L2TPv2 as well, or grew from it (RFC 3931, section 4.7)."""

from __future__ import annotations

from l2tp_ctl.core.message import MessageType
from tests.core.bench import Bench, tunnel
from tests.core.dialogue import Peer, text
from tests.core.octets import avp

V2_AVPS = [
    avp(2, "0100"), avp(3, "00000003"), avp(4, "00000000"), avp(6, "1130"), avp(9, "0001"), avp(11, "00" * 16),
    avp(12, "0010" + "01"), avp(13, "00" * 16), avp(14, "0001"), avp(16, "00000000"), avp(17, "05f5e100"),
    avp(18, "00000001"), avp(19, "00000001"), avp(21, "31"), avp(22, "32"), avp(23, "33"), avp(24, "05f5e100"),
    avp(26, "01"), avp(27, "01"), avp(28, "01"), avp(29, "0004"), avp(30, "61"), avp(31, "61"), avp(32, "0001"),
    avp(33, "61"), avp(35, "0000" + "ffffffff" * 2), avp(37, "61"), avp(38, "05f5e100"), avp(39),
]  # fmt: skip
"""Every AVP that RFC 2661 has and RFC 3931 has not, each with the M bit."""


def test_a_probe_for_l2tpv2_and_v3() -> None:
    """RFC 3931, section 4.7.3: Ver 2, every AVP of RFC 2661 with the M bit, those of RFC 3931 without."""
    bench = Bench()
    peer = Peer(bench)
    sccrp = peer.say(
        avp(0, "0001"), *V2_AVPS, avp(7, text("both")), avp(8, text("vendor"), flags=0), avp(10, "0004"),
        avp(60, "0a000002", flags=0), avp(61, "00007700", flags=0), avp(62, "0005", flags=0),
        flags=0xC802,
    )  # fmt: skip
    assert sccrp is not None
    assert (sccrp.type, sccrp.data[:2]) == (MessageType.SCCRP, b"\xc8\x03")
    peer.say(avp(0, "0003"))
    assert bench.tunnel.state == "established"


def test_avps_of_l2tpv2_in_messages_of_l2tpv3() -> None:
    """Peers that grew from L2TPv2 send some with the M bit set: known, and of no meaning."""
    bench = Bench(tunnel(initiate=True))
    peer = Peer(bench)
    peer.wait_for_sccrq()
    peer.say(
        avp(0, "0002"), *V2_AVPS, avp(7, text("v2")), avp(60, "0a000002"), avp(61, "00007700"), avp(62, "0005"),
    )  # fmt: skip
    peer.say(avp(0, "0006"), *V2_AVPS)
    ours = peer.first(MessageType.ICRQ).octets(63).hex()
    peer.say(avp(0, "000b"), avp(63, "00000001"), avp(64, ours), avp(71, "0003"), *V2_AVPS)
    peer.say(avp(0, "0010"), avp(63, "00000001"), avp(64, ours), avp(71, "0001"), *V2_AVPS)
    assert (bench.tunnel.state, bench.session.state) == ("established", "established")
