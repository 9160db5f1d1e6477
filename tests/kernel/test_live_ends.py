"""Two hosts whose helpers join them: frames, control messages and counters, on each forwarding plane and on two."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from l2tp_kernel.schema import Counters, Plane, Verb
from tests.forwarder.ends import Wire, frame
from tests.guest.ends import SHAPES, TRANSPORTS, End, iperf3, join, ping, set_both
from tests.support.planes import FULL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.planes import Planes

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

COOKIES = [(b"", b""), (b"ours", b"them"), (b"8 octets", b"of peer."), (b"8 octets", b"four")]
"""What the first end expects and what it sends."""
CONTROL = bytes.fromhex("c803000c000010020000000a")
alike = pytest.mark.planes("userspace", "kernel")


def cookies(transport: str, shape: str) -> list[tuple[bytes, bytes]]:
    """All, or two of them by turns: each then meets each transport and each shape."""
    first = TRANSPORTS.index(transport) + list(SHAPES).index(shape)
    return [COOKIES[(first + number) % 4] for number in ((0, 1, 2, 3) if FULL else (0, 2))]


def counters(end: End) -> Counters:
    ((_, *values),) = end.client.request(Verb.STATS, [])
    return Counters(*values)


def exchange(ends: tuple[End, End], *sizes: int, tags: bytes = b"") -> None:
    """Let frames of these sizes cross, and none come to harm."""
    left, right = ends
    before = [counters(end) for end in ends]
    sent = [frame(size, number, tags) for number, size in enumerate(sizes)]
    with Wire(left.host) as here, Wire(right.host) as there:
        for sender, receiver in ((here, there), (there, here)):
            for one in sent:
                sender.send(one)
            assert [receiver.receive() for _ in sent] == sent
    for end, was in zip(ends, before, strict=True):
        counted = counters(end)
        # Not those with a wrong cookie: the hosts' own messages may have met an end that had another one already.
        for name in ("rx_sequence", "rx_malformed", "tx_dropped"):
            assert getattr(counted, name) == getattr(was, name), name
        assert counted.rx_frames >= was.rx_frames + len(sizes)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_frames_of_every_shape_arrive_as_they_were(
    ends: tuple[End, End], planes: Planes, transport: str, shape: str
) -> None:
    for end, plane in zip(ends, planes, strict=True):
        end.listen(transport, plane)
    for ours, theirs in cookies(transport, shape):
        (mtu, _), (other, _) = set_both(ends, transport, ours, theirs, **SHAPES[shape])
        assert mtu == other
        assert tuple(end.plane() for end in ends) == planes
        # One end was there first, and what it sent is missing in the numbers: Linux waits for it, for five frames.
        ping(ends[0])
        exchange(ends, 14, 15, 60, 777, mtu + 13, mtu + 14)
    set_both(ends, transport, ours, theirs, mtu=9000, **SHAPES[shape])
    exchange(ends, 60, 1514, 9014, 60)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_pings_of_every_size_are_answered(ends: tuple[End, End], planes: Planes, transport: str) -> None:
    ((mtu, _), _) = join(ends, transport, planes, b"1234", b"12345678")
    for end in ends:
        ping(end, 0, 56, mtu - 28, mtu - 27, 8000, count=5)


def test_iperf3_runs_through_it(ends: tuple[End, End], planes: Planes, tmp_path: Path) -> None:
    join(ends, "udp4", planes)
    assert iperf3(ends, tmp_path / "iperf3.log", seconds=2) > 0.1


@alike
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("anywhere", [False, True])
def test_control_messages_arrive_once_beside_the_frames(
    ends: tuple[End, End], planes: Planes, transport: str, *, anywhere: bool
) -> None:
    left, right = ends
    for end, plane in zip(ends, planes, strict=True):
        end.listen(transport, plane, anywhere=anywhere)
        end.set(end.param(transport))
    ping(left, 100)
    over_ip = transport.startswith("ip")
    message = bytes(4) + CONTROL if over_ip else CONTROL
    there = (socket.inet_ntop(left.control.family, right.address(transport)), 0 if over_ip else 1701)
    left.control.sendto(message, there)
    sockets = [right.control, *right.client.tunnels.values()]
    assert len(sockets) == 1 + (planes[1] is Plane.KERNEL)
    with_it = sockets[0] if over_ip else sockets[-1]
    with_it.settimeout(5)
    assert with_it.recv(1000).endswith(CONTROL)
    for each in sockets:
        each.settimeout(0)
        with pytest.raises(BlockingIOError):
            each.recv(1000)
    right.clear()
    right.listen(transport, planes[1], anywhere=anywhere)
    left.control.sendto(message, there)
    right.control.settimeout(5)
    assert right.control.recv(1000).endswith(CONTROL), "without a tunnel the listener has them"


def test_tagged_frames_keep_their_tags(ends: tuple[End, End], planes: Planes) -> None:
    ((mtu, _), _) = join(ends, "udp4", planes)
    exchange(ends, 60, 200, mtu + 14, mtu + 18, tags=b"\x81\x00\xe0\x07")
    exchange(ends, 60, 200, mtu + 14, tags=b"\x88\xa8\x00\x64\x81\x00\x00\x05")


@alike
def test_counters_tell_what_passed_and_what_did_not(ends: tuple[End, End], planes: Planes) -> None:
    left, right = ends
    join(ends, "udp4", planes, b"1234", b"5678")
    ping(left, 1000, count=5)
    passed = counters(right)
    assert passed.rx_frames >= 5
    assert passed.rx_octets >= 5 * 1042
    assert passed.tx_frames >= 5
    assert passed.rx_cookie == 0
    left.set(left.param("udp4", local_cookie=b"1234", peer_cookie=b"nope"))
    left.host.run("ping", "-c3", "-i0.2", "-W1", "198.51.100.2", check=False)
    assert counters(right).rx_cookie >= 1
    assert counters(right).rx_frames - passed.rx_frames <= 2
