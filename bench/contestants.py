"""Those who make sessions of Linux's own L2TP: ``python -m bench.contestants NAME COUNT...`` in the guest.

Each makes the same sessions of one tunnel over UDP, each with cookies of 8 octets and an interface with a name, in a
fresh network namespace with IPv6 off for new interfaces.  The clock runs from the first octet sent to the last one
received, and what was made is counted afterwards.  Nothing is removed: Linux takes far longer for that than to make it,
and would be at it while the next ones are measured.

helper
    A client asks l2tp-kernel by SET_PWE_PARAM, 256 sessions a request, one request after the other.  The helper reads
    and checks them against contract, policy and ownership, asks for the path's MTU, makes the tunnel and the sessions,
    sets MTU, label and up, follows what the kernel tells, logs a line for each, and answers.  The requests were packed
    before.
burst
    The same in the kernel without any check, answer or line: a tunnel, then 200 SESSION_CREATE a sendmsg, then 200
    RTM_NEWLINK a sendmsg that set MTU, label and up, the last message of each acknowledged.  Messages are packed while
    the clock runs, with one struct.pack each.
burst, no label
    The same without label.
burst, create only
    The same without MTU, label and up.
ip -batch
    One iproute2 process, with its start, that reads ``l2tp add session`` and ``link set ... mtu ... up`` for each.

``tcp`` instead is no contestant: TCP runs through one pseudowire, on each forwarding plane.
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

from l2tp_kernel.schema import MAX_BATCH, Encapsulation, Listener, Plane, PweParam, Verb
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
MESSAGES = 200
"""In one sendmsg of a burst."""
OURS, THEIRS = b"ourcooki", b"theircoo"
KEPT: list[socket.socket] = []
"""Sockets that keep tunnels there."""
NAMESPACES = contextlib.ExitStack()
"""Those in which sessions were made."""
_NETLINK_GENERIC = 16


def names(count: int) -> Iterator[tuple[int, str]]:
    """Give number and interface of each session."""
    return ((number, f"pw{number}") for number in range(1, count + 1))


def helper(host: Namespace, count: int) -> float:
    """Ask l2tp-kernel."""
    policy = POLICY.replace("maximum = 4", f"maximum = {count}")
    made = Path(tempfile.mkdtemp())
    with running(host, made, policy=policy) as started, started.client() as client:
        local, peer = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])
        wanted = Listener(Plane.KERNEL, Encapsulation.UDP, local, 1701)
        handle, _, control = client.open_listener(wanted)
        params = [
            PweParam(
                plane=Plane.AUTO, interface=name, listener=handle, local_address=bytes(4), peer_address=peer,
                peer_port=1701, local_connection_id=1, peer_connection_id=2, local_session_id=number,
                peer_session_id=number, local_cookie=OURS, peer_cookie=THEIRS, receive_sublayer=0, send_sublayer=0,
                receive_sequencing=0, send_sequencing=0, mtu=0, bridge="", up=True,
            )
            for number, name in names(count)
        ]  # fmt: skip
        frames = [
            msgpack.packb(
                [
                    client.sequence + 1 + number,
                    Verb.SET_PWE_PARAM,
                    list(map(astuple, params[start : start + MAX_BATCH])),
                ]
            )
            for number, start in enumerate(range(0, count, MAX_BATCH))
        ]
        answers = []
        began = time.perf_counter()
        for frame in frames:
            client.send(frame)
            answers.append(client.receive(600))
        seconds = time.perf_counter() - began
        outcomes = [outcome for answer in answers if answer for outcome in answer[2]]
        if [result(outcome)[1] for outcome in outcomes] != [MTU] * count:
            raise RuntimeError(f"not what was wanted: {outcomes[:1]}")
        client.read_tunnels()
        KEPT.extend([control, *client.tunnels.values()])
        client.tunnels.clear()
        started.process.kill()
    return seconds


def burst(host: Namespace, count: int) -> float:
    """Make sessions, then set MTU, label and up."""
    return _burst(host, count, settle=struct.Struct("=BxHiII HH16s HHI HH11sx"), label=(15, 20, b"l2tp-kernel"))


def without_label(host: Namespace, count: int) -> float:
    """Make sessions, then set MTU and up."""
    return _burst(host, count, settle=struct.Struct("=BxHiII HH16s HHI"))


def create_only(host: Namespace, count: int) -> float:
    """Make sessions."""
    return _burst(host, count)


def _burst(host: Namespace, count: int, settle: struct.Struct | None = None, label: tuple[object, ...] = ()) -> float:
    with host.inside():
        tunnel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        genl = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC)
        route = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    KEPT.append(tunnel)
    with genl, route:
        tunnel.bind(("192.0.2.1", 1701))
        tunnel.connect(("192.0.2.2", 1701))
        family = _family(genl)
        began = time.perf_counter()
        _send(genl, family, [struct.pack("=BBxx HHI HHI HHB3x HHH2x HHI", 1, 1, 8, 9, 1, 8, 10, 2, 5, 7, 3, 6, 2, 0,
                                         8, 23, tunnel.fileno())])  # fmt: skip
        create = struct.Struct("=BBxx HHI HHI HHI HHH2x HH16s HHB3x HH8s HH8s")
        sessions = [
            create.pack(5, 1, 8, 9, 1, 8, 11, number, 8, 12, number, 6, 1, 5, 20, 8, name.encode(), 5, 5, 0,
                        12, 15, THEIRS, 12, 16, OURS)
            for number, name in names(count)
        ]  # fmt: skip
        _send(genl, family, sessions)
        if settle:
            settings = [settle.pack(0, 0, 0, 1, 1, 20, 3, name.encode(), 8, 4, MTU, *label) for _, name in names(count)]
            _send(route, 16, settings)
        return time.perf_counter() - began


def _family(genl: socket.socket) -> int:
    genl.send(struct.pack("=IHHII BBxx HH5s3x", 32, 16, 1, 1, 0, 3, 1, 9, 2, b"l2tp"))
    answer = genl.recv(1 << 16)
    place = answer.index(struct.pack("=HH", 6, 1))
    return int.from_bytes(answer[place + 4 : place + 6], sys.byteorder)


def _send(sock: socket.socket, kind: int, bodies: Sequence[bytes]) -> None:
    """Send messages, MESSAGES at a time, and wait for the acknowledgement of the last one of each time."""
    header = struct.Struct("=IHHII")
    for start in range(0, len(bodies), MESSAGES):
        part = bodies[start : start + MESSAGES]
        flags = [1] * (len(part) - 1) + [5]
        packed = (header.pack(16 + len(body), kind, flag, 1, 0) + body for flag, body in zip(flags, part, strict=True))
        sock.sendall(b"".join(packed))
        (code,) = struct.unpack_from("=i", sock.recv(1 << 16), 16)
        if code:
            raise OSError(-code, os.strerror(-code))


def batch(host: Namespace, count: int) -> float:
    """Have iproute2 do it."""
    ends = "local 192.0.2.1 remote 192.0.2.2 udp_sport 1701 udp_dport 1701"
    lines = [f"l2tp add tunnel tunnel_id 1 peer_tunnel_id 2 encap udp {ends}"]
    for number, name in names(count):
        lines.append(
            f"l2tp add session name {name} tunnel_id 1 session_id {number} peer_session_id {number} "
            f"cookie {THEIRS.hex()} peer_cookie {OURS.hex()} l2spec_type none"
        )
        lines.append(f"link set {name} mtu {MTU} up")
    began = time.perf_counter()
    host.run("ip", "-batch", "-", text_input="\n".join(lines), timeout=600)
    return time.perf_counter() - began


CONTESTANTS: dict[str, Callable[[Namespace, int], float]] = {
    "helper": helper,
    "burst": burst,
    "burst, no label": without_label,
    "burst, create only": create_only,
    "ip -batch": batch,
}


def sessions() -> int:
    """Count the sessions of the whole machine: each one uses the module."""
    return int(Path("/sys/module/l2tp_eth/refcnt").read_text())


def measure(name: str, count: int) -> float:
    """Have one contestant make sessions in a namespace that stays, and look at what it made."""
    host, _ = NAMESPACES.enter_context(veth_pair("bench"))
    host.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6")
    before = sessions()
    seconds = CONTESTANTS[name](host, count)
    shown = host.ip(f"link show pw{count}")
    whole = name != "burst, create only"
    if sessions() - before != count or (whole and (f"mtu {MTU} " not in shown or ",UP" not in shown)):
        raise RuntimeError(f"not what was wanted: {sessions() - before} sessions, {shown}")
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
    name, *counts = sys.argv[1:]
    for count in map(int, counts):
        print(f"{name}: {count} sessions in {measure(name, count):.3f} s", flush=True)
    for plane in (Plane.KERNEL, Plane.USERSPACE) if name == "tcp" else ():
        rates = [throughput(plane) for _ in range(TIMES)]
        print(f"TCP, {plane.name.lower()} plane: {statistics.median(rates):.0f} Mbit/s, median of {TIMES}", flush=True)
    os._exit(0)  # what was made ends with the guest


if __name__ == "__main__":
    main()
