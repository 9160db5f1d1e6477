"""An independent reader sees in our data messages what we put there."""

from __future__ import annotations

import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from l2tp_kernel.schema import Flavour
from tests.forwarder.test_frame_octets import ARP, IPV4, wire, wrap

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.tshark

LINKTYPE_RAW_IP = 101
COOKIES = {0: "None", 4: "4 Byte Cookie", 8: "8 Byte Cookie"}


def packet(flavour: Flavour, payload: bytes) -> bytes:
    """An IPv4 packet, with a UDP header if there is one."""
    protocol = 115
    if flavour is Flavour.UDP:
        protocol, payload = 17, struct.pack("!HHHH", 1701, 1701, 8 + len(payload), 0) + payload
    addresses = bytes((192, 0, 2, 1, 192, 0, 2, 2))
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0) + addresses + payload


def capture(path: Path, packets: list[bytes]) -> None:
    records = (struct.pack("=IIII", 0, 0, len(octets), len(octets)) + octets for octets in packets)
    path.write_bytes(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, LINKTYPE_RAW_IP) + b"".join(records))


@pytest.mark.parametrize("sublayer", [0, 1])
@pytest.mark.parametrize("cookie", COOKIES)
@pytest.mark.parametrize("flavour", [Flavour.UDP, Flavour.RAW4])
def test_every_header(flavour: Flavour, cookie: int, sublayer: int, tmp_path: Path) -> None:
    octets = bytes.fromhex("deadbeefcafebabe")[:cookie]
    end = wire(flavour, peer_cookie=octets, send_sublayer=sublayer, send_sequencing=2 * sublayer)
    frames = [ARP, IPV4, ARP]
    capture(tmp_path / "frames.pcap", [packet(flavour, wrap(end, frame)) for frame in frames])
    fields = ("l2tp.sid", "l2tp.cookie", "l2tp.l2_spec_s", "l2tp.l2_spec_sequence", "data.data")
    done = subprocess.run(
        ["tshark", "-r", tmp_path / "frames.pcap", "-T", "fields", "-E", "separator=,",
         "-o", f"l2tp.cookie_size:{COOKIES[cookie]}",
         "-o", f"l2tp.l2_specific:{'Default L2-Specific' if sublayer else 'None'}",
         *(argument for field in fields for argument in ("-e", field))],
        capture_output=True, text=True, timeout=15, check=True,
    )  # fmt: skip
    expected = [
        ["0xa1a2a3a4", octets.hex(), "1" if sublayer else "", str(number) if sublayer else "", frame.hex()]
        for number, frame in enumerate(frames)
    ]
    assert [line.split(",") for line in done.stdout.splitlines()] == expected
