"""Look at a wire and send pings over it, with Python alone: for the demo, on machines without tcpdump and ping.

wire.py capture INTERFACE FILE     write what passes to a pcapng file until SIGTERM
wire.py ping ADDRESS COUNT         IPv4 echo requests, ten a second; status 0 if every one was answered
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

ETH_P_ALL = 3
LINKTYPE_ETHERNET = 1
NANOSECONDS = 9
FRAME_SIZE = 65535
ECHO_REPLY, ECHO_REQUEST = 0, 8


def block(kind: int, body: bytes) -> bytes:
    """One pcapng block: type, length, body padded to 4 octets, length again."""
    body += bytes(-len(body) % 4)
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def header() -> bytes:
    """Section Header Block and one Interface Description Block, with timestamps in nanoseconds."""
    section = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    resolution = struct.pack("<HHB3xHH", 9, 1, NANOSECONDS, 0, 0)
    return section + block(1, struct.pack("<HHI", LINKTYPE_ETHERNET, 0, FRAME_SIZE) + resolution)


def packet(frame: bytes, nanoseconds: int) -> bytes:
    """One Enhanced Packet Block."""
    times = nanoseconds >> 32, nanoseconds & 0xFFFFFFFF
    return block(6, struct.pack("<IIIII", 0, *times, len(frame), len(frame)) + frame)


def capture(interface: str, path: Path) -> int:
    stopped: list[int] = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
        wire.bind((interface, ETH_P_ALL))
        wire.settimeout(0)
        signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
        with path.open("wb", buffering=0) as output:
            output.write(header())
            # What had passed by the time of the signal is still written.
            while select.select([wire], [], [], 0 if stopped else 0.1)[0] or not stopped:
                with suppress(BlockingIOError):
                    output.write(packet(wire.recv(FRAME_SIZE), time.time_ns()))
    return 0


def checksum(octets: bytes) -> int:
    """Give the Internet checksum (RFC 1071)."""
    octets += bytes(len(octets) % 2)
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def echo_request(identifier: int, number: int) -> bytes:
    payload = bytes(range(56))
    unsummed = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, identifier, number) + payload
    return struct.pack("!BBHHH", ECHO_REQUEST, 0, checksum(unsummed), identifier, number) + payload


def ping(address: str, count: int) -> int:
    identifier, received = os.getpid() & 0xFFFF, 0
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as wire:
        for number in range(1, count + 1):
            sent = time.monotonic()
            wire.sendto(echo_request(identifier, number), (address, 0))
            if await_reply(wire, address, (identifier, number), sent + 1.0):
                received += 1
                elapsed = (time.monotonic() - sent) * 1000
                print(f"64 bytes from {address}: icmp_seq={number} time={elapsed:.2f} ms", flush=True)
            time.sleep(max(0.0, sent + 0.1 - time.monotonic()))
    print(f"{count} packets transmitted, {received} received, {100 * (count - received) // count}% packet loss")
    return 0 if received == count else 1


def await_reply(wire: socket.socket, address: str, wanted: tuple[int, int], deadline: float) -> bool:
    """Whether the echo reply with this identifier and number comes from ``address`` before the deadline."""
    while (left := deadline - time.monotonic()) > 0 and select.select([wire], [], [], left)[0]:
        datagram, (source, _port) = wire.recvfrom(FRAME_SIZE)
        icmp = datagram[(datagram[0] & 15) * 4 :]
        if source == address and icmp[0] == ECHO_REPLY and struct.unpack_from("!HH", icmp, 4) == wanted:
            return True
    return False


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["capture", interface, path]:
            sys.exit(capture(interface, Path(path)))
        case ["ping", address, count]:
            sys.exit(ping(address, int(count)))
    sys.exit(__doc__)
