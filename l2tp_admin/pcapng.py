"""Control messages as a pcapng file of IP packets (https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html).

The outer headers are made anew: l2tp-ctl sees only what is inside them.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import os
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_LINKTYPE_RAW = 101
"""Packets begin with an IPv4 or IPv6 header."""
_MICROSECONDS = 1_000_000
_UDP, _L2TP = 17, 115
_TTL = 64


@contextlib.contextmanager
def create(file: Path) -> Iterator[BinaryIO]:
    """Open a file that only its owner can read, ``-`` for standard output; raises OSError."""
    if str(file) == "-":
        yield sys.stdout.buffer
        return
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as output:  # noqa: PTH123 - a descriptor has no Path
        yield output


def header() -> bytes:
    """Return what a file begins with."""
    section = _block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    return section + _block(_INTERFACE, struct.pack("<HHI", _LINKTYPE_RAW, 0, 0))


def message(event: Mapping[str, Any]) -> bytes:
    """Return one control message: a ``Captured`` of the admin protocol."""
    ends = [(event["local_address"], event["local_port"]), (event["peer_address"], event["peer_port"])]
    if not event["sent"]:
        ends.reverse()
    (source, source_port), (destination, destination_port) = ends
    data = base64.b64decode(event["data"])
    if event["encapsulation"] == "ip":
        packet = _ip(source, destination, _L2TP, bytes(4) + data)
    else:
        segment = struct.pack("!HHHH", source_port, destination_port, 8 + len(data), 0) + data
        total = _checksum(_pseudo_header(source, destination, len(segment)) + segment) or 0xFFFF
        packet = _ip(source, destination, _UDP, segment[:6] + total.to_bytes(2, "big") + segment[8:])
    time = int(event["time"] * _MICROSECONDS)
    direction = struct.pack("<HHI", 2, 4, 2 if event["sent"] else 1) + bytes(4)
    sizes = struct.pack("<IIIII", 0, time >> 32, time & 0xFFFFFFFF, len(packet), len(packet))
    return _block(_PACKET, sizes + packet + bytes(-len(packet) % 4) + direction)


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def _ip(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    addresses = _octets(source) + _octets(destination)
    if ":" in source:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, _TTL) + addresses + payload
    start = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, _TTL, protocol, 0) + addresses
    return start[:10] + _checksum(start).to_bytes(2, "big") + start[12:] + payload


def _pseudo_header(source: str, destination: str, length: int) -> bytes:
    addresses = _octets(source) + _octets(destination)
    return addresses + struct.pack(
        "!II" if ":" in source else "!HH", *((length, _UDP) if ":" in source else (_UDP, length))
    )


def _octets(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def _checksum(octets: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    octets += bytes(len(octets) % 2)
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
