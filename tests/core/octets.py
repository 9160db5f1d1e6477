"""Small tools of the codec's tests: read a message, write AVPs and packet captures by hand."""

from __future__ import annotations

import ipaddress
import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2tp_ctl.core.avp import RawAvp, split_avps
from l2tp_ctl.core.codec import interpret
from l2tp_ctl.core.header import Header, parse_header
from l2tp_ctl.core.message import Message

VECTORS = Path(__file__).parents[1] / "vectors"
LIMIT = 256


def vector(name: str) -> Any:
    """Return a known answer file's content."""
    return json.loads((VECTORS / name).read_text())


def split(data: bytes) -> tuple[Header, tuple[RawAvp, ...]]:
    header = parse_header(data)
    return header, split_avps(data, header, LIMIT)


def read(data: bytes, hide_keys: Sequence[bytes] = ()) -> Message:
    return interpret(split(data)[1], hide_keys)


def avp(number: int, value: str = "", *, vendor: int = 0, flags: int = 0x8000) -> bytes:
    """Return one AVP's octets, its value given in hexadecimal, its flags as they stand in the first word."""
    octets = bytes.fromhex(value)
    return struct.pack("!HHH", flags | 6 + len(octets), vendor, number) + octets


def packet(*avps: bytes, connection_id: int = 0, flags: int = 0xC803, ns: int = 0, nr: int = 0) -> bytes:
    """Return one message's octets."""
    body = b"".join(avps)
    return struct.pack("!HHIHH", flags, 12 + len(body), connection_id, ns, nr) + body


@dataclass(frozen=True)
class Datagram:
    """A message on its way, for a capture."""

    source: str
    destination: str
    data: bytes


def write_capture(path: Path, datagrams: Iterable[Datagram], *, udp: bool) -> None:
    """Write a pcap file of IPv4 packets that carry the messages over UDP port 1701 or over IP protocol 115."""
    with path.open("wb") as file:
        file.write(struct.pack("!IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for number, datagram in enumerate(datagrams):
            octets = _ip(datagram, udp=udp)
            file.write(struct.pack("!IIII", number, 0, len(octets), len(octets)) + octets)


def _ip(datagram: Datagram, *, udp: bool) -> bytes:
    addresses = ipaddress.ip_address(datagram.source).packed + ipaddress.ip_address(datagram.destination).packed
    if udp:
        length = 8 + len(datagram.data)
        pseudo = addresses + struct.pack("!HH", 17, length)
        header = struct.pack("!HHH", 1701, 1701, length)
        checksum = _checksum(pseudo + header + bytes(2) + datagram.data)
        payload = header + struct.pack("!H", checksum or 0xFFFF) + datagram.data
    else:
        payload = bytes(4) + datagram.data
    start = struct.pack("!BBHIBB", 0x45, 0, 20 + len(payload), 0, 64, 17 if udp else 115)
    return start + struct.pack("!H", _checksum(start + bytes(2) + addresses)) + addresses + payload


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF
