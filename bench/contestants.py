"""Those who make sessions of Linux's own L2TP: ``python -m bench.contestants COUNT...`` in the guest.

Each makes the same sessions of one tunnel over UDP, each with cookies of 8 octets and an interface with a name, in a
network namespace of its own with IPv6 off for new interfaces.  They take turns, a chunk of 250 sessions at a time and
each time in another order, so that what the machine does besides, and all that is there already, slows down all of them
alike.  A contestant's clock runs from the first octet of a chunk sent to the last one received.  The first chunk is not
counted: under emulation code is slow when it runs for the first time.  What was made is counted at the end.  Nothing is
removed: Linux takes far longer for that than to make it.

helper
    A client asks l2tp-kernel by SET_PWE_PARAM, one request a chunk.  The helper reads and checks them against contract,
    policy and ownership, asks for the path's MTU, makes the sessions, sets MTU, label and up, follows what the kernel
    tells, logs a line for each, and answers.  The requests were packed before.
burst
    The same in the kernel without any check, answer or line: 250 SESSION_CREATE in one sendmsg, then 250 RTM_NEWLINK in
    one that set MTU, label and up, the last message of each acknowledged.  Messages are packed while the clock runs,
    with one struct.pack each.
burst, no label
    The same without label.
burst, create only
    The same without MTU, label and up.
ip -batch
    One iproute2 process, with its start, that reads ``l2tp add session`` and ``link set ... mtu ... up`` for each.

Without COUNT TCP runs through one pseudowire, on each forwarding plane.
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import struct
import sys
import tempfile
import time
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

import msgpack

from l2tp_kernel.schema import Encapsulation, Listener, Plane, PweParam, Verb
from tests.guest.ends import helpers, iperf3, join, ping
from tests.kernel.helper import POLICY, running
from tests.support.helper_client import result
from tests.support.netns import Namespace, veth_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TIMES = 3
"""That TCP is measured."""
MTU = 1442
"""What remains of 1,500 octets beside IPv4, UDP, L2TP with a cookie of 8 octets, and Ethernet."""
CHUNK = 250
"""Sessions that are made at a time; a COUNT is rounded up to whole ones."""
OURS, THEIRS = b"ourcooki", b"theircoo"
KEPT: list[Iterator[float]] = []
"""Those who have made sessions, and hold the sockets that keep them there."""
NAMESPACES = contextlib.ExitStack()
"""Those in which sessions were made."""
_NETLINK_GENERIC = 16


def names(chunk: int) -> Iterator[tuple[int, str]]:
    """Give number and interface of each session of a chunk."""
    return ((number, f"pw{number}") for number in range(1 + CHUNK * chunk, 1 + CHUNK * (chunk + 1)))


def helper(host: Namespace, chunks: int) -> Iterator[float]:
    """Ask l2tp-kernel."""
    policy = POLICY.replace("maximum = 4", f"maximum = {chunks * CHUNK}")
    directory = Path(tempfile.mkdtemp())
    with running(host, directory, policy=policy) as started, started.client() as client:
        local, peer = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])
        wanted = Listener(Plane.KERNEL, Encapsulation.UDP, local, 1701)
        handle, _, _control = client.open_listener(wanted)
        for chunk in range(chunks):
            params = [
                PweParam(
                    plane=Plane.AUTO, interface=name, listener=handle, local_address=bytes(4), peer_address=peer,
                    peer_port=1701, local_connection_id=1, peer_connection_id=2, local_session_id=number,
                    peer_session_id=number, local_cookie=OURS, peer_cookie=THEIRS, receive_sublayer=0,
                    send_sublayer=0, receive_sequencing=0, send_sequencing=0, mtu=0, bridge="", up=True,
                )
                for number, name in names(chunk)
            ]  # fmt: skip
            frame = msgpack.packb([client.sequence + 1 + chunk, Verb.SET_PWE_PARAM, list(map(astuple, params))])
            began = time.perf_counter()
            client.send(frame)
            answer = client.receive(600)
            seconds = time.perf_counter() - began
            if not answer or [result(outcome)[1] for outcome in answer[2]] != [MTU] * CHUNK:
                raise RuntimeError(f"not what was wanted: {answer}")
            yield seconds


def burst(host: Namespace, chunks: int) -> Iterator[float]:
    """Make sessions, then set MTU, label and up."""
    return _burst(host, chunks, settle=struct.Struct("=BxHiII HH16s HHI HH11sx"), label=(15, 20, b"l2tp-kernel"))


def without_label(host: Namespace, chunks: int) -> Iterator[float]:
    """Make sessions, then set MTU and up."""
    return _burst(host, chunks, settle=struct.Struct("=BxHiII HH16s HHI"))


def create_only(host: Namespace, chunks: int) -> Iterator[float]:
    """Make sessions."""
    return _burst(host, chunks)


def _burst(
    host: Namespace, chunks: int, settle: struct.Struct | None = None, label: tuple[object, ...] = ()
) -> Iterator[float]:
    with host.inside():
        tunnel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        genl = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC)
        route = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    create = struct.Struct("=BBxx HHI HHI HHI HHH2x HH16s HHB3x HH8s HH8s")
    with genl, route:
        tunnel.bind(("192.0.2.1", 1701))
        tunnel.connect(("192.0.2.2", 1701))
        family = _family(genl)
        _send(genl, family, [struct.pack("=BBxx HHI HHI HHB3x HHH2x HHI", 1, 1, 8, 9, 1, 8, 10, 2, 5, 7, 3, 6, 2, 0,
                                         8, 23, tunnel.fileno())])  # fmt: skip
        for chunk in range(chunks):
            began = time.perf_counter()
            sessions = [
                create.pack(5, 1, 8, 9, 1, 8, 11, number, 8, 12, number, 6, 1, 5, 20, 8, name.encode(), 5, 5, 0,
                            12, 15, THEIRS, 12, 16, OURS)
                for number, name in names(chunk)
            ]  # fmt: skip
            _send(genl, family, sessions)
            if settle:
                settings = [
                    settle.pack(0, 0, 0, 1, 1, 20, 3, name.encode(), 8, 4, MTU, *label) for _, name in names(chunk)
                ]
                _send(route, 16, settings)
            yield time.perf_counter() - began


def _family(genl: socket.socket) -> int:
    genl.send(struct.pack("=IHHII BBxx HH5s3x", 32, 16, 1, 1, 0, 3, 1, 9, 2, b"l2tp"))
    answer = genl.recv(1 << 16)
    place = answer.index(struct.pack("=HH", 6, 1))
    return int.from_bytes(answer[place + 4 : place + 6], sys.byteorder)


def _send(sock: socket.socket, kind: int, bodies: Sequence[bytes]) -> None:
    """Send messages in one sendmsg, and wait for the acknowledgement of the last one."""
    header = struct.Struct("=IHHII")
    flags = [1] * (len(bodies) - 1) + [5]
    packed = (header.pack(16 + len(body), kind, flag, 1, 0) + body for flag, body in zip(flags, bodies, strict=True))
    sock.sendall(b"".join(packed))
    (code,) = struct.unpack_from("=i", sock.recv(1 << 16), 16)
    if code:
        raise OSError(-code, os.strerror(-code))


def batch(host: Namespace, chunks: int) -> Iterator[float]:
    """Have iproute2 do it."""
    host.ip("l2tp add tunnel tunnel_id 1 peer_tunnel_id 2 encap udp "
            "local 192.0.2.1 remote 192.0.2.2 udp_sport 1701 udp_dport 1701")  # fmt: skip
    for chunk in range(chunks):
        lines = [
            f"l2tp add session name {name} tunnel_id 1 session_id {number} peer_session_id {number} "
            f"cookie {THEIRS.hex()} peer_cookie {OURS.hex()} l2spec_type none\nlink set {name} mtu {MTU} up"
            for number, name in names(chunk)
        ]
        began = time.perf_counter()
        host.run("ip", "-batch", "-", text_input="\n".join(lines), timeout=600)
        yield time.perf_counter() - began


CONTESTANTS: dict[str, Callable[[Namespace, int], Iterator[float]]] = {
    "helper": helper,
    "burst": burst,
    "burst, no label": without_label,
    "burst, create only": create_only,
    "ip -batch": batch,
}


def made() -> int:
    """Count the sessions of the whole machine: each one uses the module."""
    return int(Path("/sys/module/l2tp_eth/refcnt").read_text())


def measure(counted: int) -> dict[str, float]:
    """Have every contestant make some chunks in namespaces that stay, after one that does not count; give seconds."""
    chunks = 1 + counted
    before = made()
    hosts = {name: NAMESPACES.enter_context(veth_pair("bench"))[0] for name in CONTESTANTS}
    for host in hosts.values():
        host.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6")
    makers = {name: CONTESTANTS[name](host, chunks) for name, host in hosts.items()}
    seconds = dict.fromkeys(CONTESTANTS, 0.0)
    order = list(CONTESTANTS)
    for chunk in range(chunks):
        for name in order:
            took = next(makers[name])
            seconds[name] += took if chunk else 0
        order.append(order.pop(0))
    for name, host in hosts.items():
        shown = host.ip(f"link show pw{chunks * CHUNK}")
        if name != "burst, create only" and (f"mtu {MTU} " not in shown or ",UP" not in shown):
            raise RuntimeError(f"not what was wanted: {shown}")
    if made() - before != chunks * CHUNK * len(CONTESTANTS):
        raise RuntimeError(f"not what was wanted: {made() - before} sessions")
    KEPT.extend(makers.values())
    return seconds


def throughput(plane: Plane) -> float:
    """Mbit/s by TCP through one pseudowire between two hosts."""
    with (
        tempfile.TemporaryDirectory() as directory,
        veth_pair("bench") as hosts,
        helpers(hosts, Path(directory)) as ends,
    ):
        join(ends, "udp4", (plane, plane))
        ping(ends[0], 100)
        return iperf3(ends, Path(directory, "iperf3.log"), seconds=3)


def main() -> None:
    """Print a line for each figure."""
    counts = [int(each) for each in sys.argv[1:]]
    for chunks in (-(-count // CHUNK) for count in counts):
        for name, seconds in measure(chunks).items():
            print(f"{name}: {chunks * CHUNK} sessions in {seconds:.3f} s", flush=True)
    for plane in () if counts else (Plane.KERNEL, Plane.USERSPACE):
        rates = [throughput(plane) for _ in range(TIMES)]
        print(f"TCP, {plane.name.lower()} plane: {statistics.median(rates):.0f} Mbit/s, median of {TIMES}", flush=True)
    os._exit(0)  # what was made ends with the guest


if __name__ == "__main__":
    main()
