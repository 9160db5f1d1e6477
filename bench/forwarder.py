"""Measure the forwarder beside its peers in the same run: ``python -m bench.forwarder [ROUNDS]`` as root.

Two network namespaces on one machine, joined by a veth pair; through it, one candidate at a time and all of them once
a round: the veth itself, the kernel's VXLAN, a plain copy loop in Python that reads one frame and sends one datagram
(what a tunnel program costs that does nothing), and the forwarder over UDP and over IP protocol 115.  Each carries one
TCP stream, UDP of 64 and of 1,400 octets as fast as the sender can, and pings.  Both ends and the load share the
machine's processors: compare candidates of one run, not runs.  Printed are medians and their ratio to the copy loop.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from tests.forwarder.ends import INTERFACE, joined, make_tap
from tests.support.netns import veth_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.netns import Namespace

    Hosts = tuple[Namespace, Namespace]

SECONDS = 1.5
"""Length of each measurement."""
FAR = "198.51.100.2"
BASELINE = "copy loop"
UDP_SEGMENT = 103


@contextlib.contextmanager
def bare(hosts: Hosts) -> Iterator[str]:
    """Carry the load over the link itself."""
    for number, host in enumerate(hosts, start=1):
        host.ip(f"addr add 198.51.100.{number}/24 dev outer")
    _frame_by_frame(hosts[0], "outer")
    yield "outer"


@contextlib.contextmanager
def vxlan(hosts: Hosts) -> Iterator[str]:
    """Carry it through the kernel's own Ethernet tunnel."""
    for number, (host, peer) in enumerate((hosts, hosts[::-1]), start=1):
        host.ip(f"link add {INTERFACE} type vxlan id 7 local {host.ipv4} remote {peer.ipv4} dstport 4789 dev outer")
        host.ip(f"link set {INTERFACE} mtu 1500 up")
        host.ip(f"addr add 198.51.100.{number}/24 dev {INTERFACE}")
    _frame_by_frame(hosts[0], INTERFACE)
    yield INTERFACE


@contextlib.contextmanager
def copy_loop(hosts: Hosts) -> Iterator[str]:
    """Carry it through the least that a user-space tunnel does."""
    with contextlib.ExitStack() as stack:
        for number, (host, peer) in enumerate((hosts, hosts[::-1]), start=1):
            tap = make_tap(host, INTERFACE)
            stack.callback(os.close, tap)
            host.ip(f"addr add 198.51.100.{number}/24 dev {INTERFACE}")
            with host.inside():
                sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sock.bind((host.ipv4, 1701))
                sock.connect((peer.ipv4, 1701))
            sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.forwarder", "copy", str(tap), str(sock.fileno())],
                pass_fds=(tap, sock.fileno()),
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield INTERFACE


def copy_for_ever(tap: int, descriptor: int) -> None:
    """Be the copy loop."""
    sock = socket.socket(fileno=descriptor)
    poll = select.epoll()
    poll.register(tap, select.EPOLLIN)
    poll.register(sock, select.EPOLLIN)
    while True:
        for ready, _ in poll.poll():
            with contextlib.suppress(OSError):
                if ready == tap:
                    sock.send(os.read(tap, 2048))
                else:
                    os.write(tap, sock.recv(2048))


def forwarder(transport: str) -> Callable[[Hosts], contextlib.AbstractContextManager[str]]:
    """Carry it through two forwarders."""

    @contextlib.contextmanager
    def candidate(hosts: Hosts) -> Iterator[str]:
        with joined(hosts, transport):
            yield INTERFACE

    return candidate


CANDIDATES: dict[str, Callable[[Hosts], contextlib.AbstractContextManager[str]]] = {
    "veth": bare,
    "kernel VXLAN": vxlan,
    BASELINE: copy_loop,
    "forwarder, UDP": forwarder("udp4"),
    "forwarder, IP": forwarder("ip4"),
}


def tcp(hosts: Hosts, _: str) -> float:
    """Mbit/s of one stream, as the receiver counts."""
    near, far = hosts
    with far.inside():
        listener = socket.create_server((FAR, 5001))
    with near.inside():
        out = socket.create_connection((FAR, 5001), timeout=5)
    into, _address = listener.accept()
    ends = time.monotonic() + SECONDS

    def send() -> None:
        with contextlib.suppress(OSError):
            while time.monotonic() < ends:
                out.sendall(bytes(1 << 18))
        out.close()

    sender = threading.Thread(target=send)
    octets, started, buffer = 0, time.monotonic(), bytearray(1 << 20)
    with listener, into:
        sender.start()
        while count := into.recv_into(buffer):
            octets += count
    spent = time.monotonic() - started
    sender.join()
    return octets * 8 / spent / 1e6


def frames(size: int) -> Callable[[Hosts, str], float]:
    """Thousands of frames a second that arrive while more are sent than get through."""

    def measure(hosts: Hosts, interface: str) -> float:
        near, far = hosts
        with far.inside():
            sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sink.bind((FAR, 9))  # it is never read; without it the far end would answer that nobody is there
        with near.inside():
            out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        run = min(60, 65000 // size)
        payload, segments = bytes(size * run), [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", size))]
        before, started = _received(far, interface), time.monotonic()
        with sink, out:
            while time.monotonic() < started + SECONDS:
                out.sendmsg([payload], segments, 0, (FAR, 9))
        return (_received(far, interface) - before) / (time.monotonic() - started) / 1e3

    return measure


def round_trip(hosts: Hosts, _: str) -> float:
    """Median of 100 pings in microseconds."""
    done = hosts[0].run("ping", "-n", "-c100", "-i0.003", FAR)
    return statistics.median(float(text) * 1e3 for text in re.findall(r"time=([\d.]+)", done.stdout))


MEASURES: dict[str, Callable[[Hosts, str], float]] = {
    "TCP Mbit/s": tcp,
    "64 octets, kframes/s": frames(64),
    "1400 octets, kframes/s": frames(1400),
    "ping us": round_trip,
}


def _frame_by_frame(host: Namespace, interface: str) -> None:
    """Have UDP cross the interface one frame at a time, as it must cross a TAP: a train would count as one frame."""
    host.run("ethtool", "-K", interface, "tx-udp-segmentation", "off")


def _received(host: Namespace, interface: str) -> int:
    """Frames that came to the interface."""
    return int(re.findall(rf"^\s*{interface}:\s*\d+\s+(\d+)", host.run("cat", "/proc/net/dev").stdout, re.MULTILINE)[0])


def main() -> None:
    """Run all candidates and print the table."""
    rounds = int(sys.argv[1]) if sys.argv[1:] else 3
    results: dict[str, dict[str, list[float]]] = {name: {what: [] for what in MEASURES} for name in CANDIDATES}
    for number in range(rounds):
        for name, candidate in CANDIDATES.items():
            with veth_pair("bench", mtu=1600) as hosts, candidate(hosts) as interface:
                hosts[0].run("ping", "-c3", "-i0.01", FAR)
                for what, measure in MEASURES.items():
                    results[name][what].append(measure(hosts, interface))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    print(f"{rounds} rounds, kernel {os.uname().release}, {os.cpu_count()} processors, Python {sys.version.split()[0]}")
    print("| candidate | " + " | ".join(f"{what} (ratio)" for what in MEASURES) + " |")
    print("|---" * (len(MEASURES) + 1) + "|")
    middle = {name: {what: statistics.median(seen) for what, seen in row.items()} for name, row in results.items()}
    for name, row in results.items():
        cells = (_cell(middle[name][what], middle[BASELINE][what], seen) for what, seen in row.items())
        print(f"| {name} | " + " | ".join(cells) + " |")


def _cell(middle: float, baseline: float, seen: list[float]) -> str:
    return f"{middle:.0f} [{min(seen):.0f}-{max(seen):.0f}] ({middle / baseline:.2f})"


if __name__ == "__main__":
    if sys.argv[1:2] == ["copy"]:
        copy_for_ever(int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
