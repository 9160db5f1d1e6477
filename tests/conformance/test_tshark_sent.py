"""Wireshark takes apart what an endpoint really sends, in every way that it can be told to, hidden AVPs included."""

from __future__ import annotations

from pathlib import Path

import pytest

from l2tp_ctl.core.message import MessageType
from l2tp_ctl.core.settings import Encapsulation
from tests.conformance.test_all_sent import WAYS, said
from tests.core.octets import Datagram, write_capture
from tests.core.test_tshark import tshark

pytestmark = pytest.mark.tshark


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_malformed(way: str, tmp_path: Path) -> None:
    capture = tmp_path / "sent.pcap"
    messages = said(way)
    udp = messages[0].address.encapsulation is Encapsulation.UDP
    write_capture(capture, [Datagram("192.0.2.1", "192.0.2.2", one.data) for one in messages], udp=udp)
    assert tshark(capture, "_ws.malformed", ["frame.number"]) == []
    shown = tshark(capture, "l2tp", ["l2tp.length", "l2tp.avp.message_type", "l2tp.avp.hidden"])
    assert [int(length) for length, _, _ in shown] == [len(one.data) for one in messages]
    types = {int(kind) for _, kind, _ in shown if kind}
    silent = {MessageType.ACK} if not WAYS[way].get("secrets") else set()
    assert types == {int(one.type) for one in messages} - silent
    assert any("1" in hidden or "True" in hidden for _, _, hidden in shown) == ("hidden" in way)
