"""Data messages octet by octet: the literal octets of RFC 3931, and properties that hold for all of them."""

from __future__ import annotations

import dataclasses
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tp_kernel.forwarder.frames import PARSERS, Pseudowire, is_ip
from l2tp_kernel.schema import Flavour, Plane, PweParam

MACS = bytes.fromhex("ffffffffffff 02005e100001")
ARP = MACS + bytes.fromhex("0806 0001 0800 0604 0001") + bytes(20)
IPV4 = MACS + bytes.fromhex("0800 45000014") + bytes(16)
PEER = "192.0.2.2"
PARAM = PweParam(
    plane=Plane.USERSPACE,
    interface="pw0",
    listener=1,
    local_address=bytes((192, 0, 2, 1)),
    peer_address=bytes((192, 0, 2, 2)),
    peer_port=1701,
    local_connection_id=0,
    peer_connection_id=0,
    local_session_id=0x01020304,
    peer_session_id=0xA1A2A3A4,
    local_cookie=b"",
    peer_cookie=b"",
    receive_sublayer=0,
    send_sublayer=0,
    receive_sequencing=0,
    send_sequencing=0,
    mtu=1500,
    bridge="",
    up=True,
)
LAST = (1 << 24) - 1
HALF = 1 << 23


def wire(flavour: Flavour = Flavour.UDP, **values: object) -> Pseudowire:
    return Pseudowire(dataclasses.replace(PARAM, **values), flavour)  # type: ignore[arg-type]  # a test names real fields


def wrap(end: Pseudowire, frame: bytes) -> bytes:
    return end.header(memoryview(frame)) + frame


def unwrap(end: Pseudowire, flavour: Flavour, datagram: bytes, source: str = PEER) -> bytes | None:
    session_id, cookie_at = PARSERS[flavour](memoryview(datagram))
    assert session_id == PARAM.local_session_id
    start = end.unwrap(memoryview(datagram), cookie_at, source)
    return datagram[start:] if start else None


def drops(end: Pseudowire) -> dict[str, int]:
    return {name: count for name, count in dataclasses.asdict(end.counters()).items() if count}


@pytest.mark.parametrize(
    ("flavour", "values", "header"),
    [
        (Flavour.UDP, {}, "0003 0000 a1a2a3a4"),
        (Flavour.RAW4, {}, "a1a2a3a4"),
        (Flavour.RAW6, {"peer_cookie": b"\xde\xad\xbe\xef"}, "a1a2a3a4 deadbeef"),
        (Flavour.UDP, {"peer_cookie": bytes.fromhex("deadbeefcafebabe")}, "0003 0000 a1a2a3a4 deadbeefcafebabe"),
        (Flavour.UDP, {"send_sublayer": 1}, "0003 0000 a1a2a3a4 00000000"),
        (Flavour.RAW4, {"peer_cookie": b"\1\2\3\4", "send_sublayer": 1}, "a1a2a3a4 01020304 00000000"),
        (Flavour.RAW4, {"send_sublayer": 1, "send_sequencing": 2}, "a1a2a3a4 40000000"),
    ],
)
def test_headers(flavour: Flavour, values: dict[str, object], header: str) -> None:
    end = wire(flavour, **values)
    assert wrap(end, ARP) == bytes.fromhex(header) + ARP
    assert end.header_length == len(bytes.fromhex(header))


def test_numbers_begin_at_zero_rise_by_one_and_wrap() -> None:
    end = wire(Flavour.RAW6, send_sublayer=1, send_sequencing=2)
    assert [wrap(end, IPV4)[4:8].hex() for _ in range(3)] == ["40000000", "40000001", "40000002"]
    end._next = LAST
    assert [wrap(end, IPV4)[4:8].hex() for _ in range(2)] == ["40ffffff", "40000000"]


def test_only_frames_that_are_not_ip_take_a_number() -> None:
    end = wire(Flavour.RAW6, send_sublayer=1, send_sequencing=1)
    tagged = MACS + bytes.fromhex("8100 0005") + ARP[12:]
    frames = [ARP, IPV4, tagged, ARP]
    assert [wrap(end, frame)[4:8].hex() for frame in frames] == ["40000000", "00000000", "40000001", "40000002"]


@pytest.mark.parametrize(
    ("types", "ip"),
    [
        ("0800", True),
        ("86dd", True),
        ("0806", False),
        ("8100 0005 0800", True),
        ("88a8 0005 8100 0006 86dd", True),
        ("8100 0005 88cc", False),
        ("8100 0005", False),
        ("0026 aaaa 0300 0000 0800", False),
        ("08", False),
        ("", False),
    ],
)
def test_ip_is_seen_behind_tags(types: str, *, ip: bool) -> None:
    assert is_ip(memoryview(MACS + bytes.fromhex(types))) is ip


@pytest.mark.parametrize("size", [14, 42, 59, 60, 64])
def test_short_frames_are_neither_padded_nor_stripped(size: int) -> None:
    frame = (ARP + bytes(60))[:size]
    assert wrap(wire(Flavour.RAW6), frame)[4:] == frame
    assert unwrap(wire(Flavour.RAW6), Flavour.RAW6, bytes.fromhex("01020304") + frame) == frame


@pytest.mark.parametrize(
    ("flavour", "octets", "expected"),
    [
        (Flavour.UDP, "0003 0000 00000001", (1, 8)),
        (Flavour.UDP, "0003 ffff ffffffff 00", (0xFFFFFFFF, 8)),
        (Flavour.UDP, "7ff3 0000 00000001", (1, 8)),  # reserved bits say nothing
        (Flavour.UDP, "8003 0000 00000001", (0, 0)),  # T
        (Flavour.UDP, "c803 0000 00000001", (0, 0)),
        (Flavour.UDP, "0002 0000 00000001", (0, 0)),  # RFC 2661
        (Flavour.UDP, "0000 0000 00000001", (0, 0)),
        (Flavour.UDP, "0003 0000 000000", (0, 0)),
        (Flavour.UDP, "", (0, 0)),
        (Flavour.RAW6, "00000001", (1, 4)),
        (Flavour.RAW6, "000001", (0, 0)),
        (Flavour.RAW4, "45" + "00" * 19 + "00000001", (1, 24)),
        (Flavour.RAW4, "47" + "00" * 27 + "00000001 ff", (1, 32)),
        (Flavour.RAW4, "4f" + "00" * 59 + "00000001", (1, 64)),
        (Flavour.RAW4, "4f" + "00" * 60, (0, 0)),
        (Flavour.RAW4, "44" + "00" * 40, (0, 0)),
        (Flavour.RAW4, "45" + "00" * 19, (0, 0)),
        (Flavour.RAW4, "", (0, 0)),
    ],
)
def test_where_the_session_id_is(flavour: Flavour, octets: str, expected: tuple[int, int]) -> None:
    assert PARSERS[flavour](memoryview(bytes.fromhex(octets))) == expected


def test_each_fault_has_its_counter() -> None:
    end = wire(Flavour.RAW6, local_cookie=b"cook", receive_sublayer=1)
    start = bytes.fromhex("01020304")
    assert unwrap(end, Flavour.RAW6, start + b"cook" + bytes(4) + ARP) == ARP
    assert unwrap(end, Flavour.RAW6, start + b"cool" + bytes(4) + ARP) is None
    assert unwrap(end, Flavour.RAW6, start + b"cook" + bytes(4) + ARP[:13]) is None
    assert unwrap(end, Flavour.RAW6, start + b"cook" + b"\x80\0\0\0" + ARP) is None
    assert unwrap(end, Flavour.RAW6, start + b"cook" + bytes(4) + ARP, source="192.0.2.3") is None
    assert drops(end) == {"rx_cookie": 1, "rx_malformed": 2, "rx_source": 1}


def test_numbers_that_nobody_asked_for_are_not_looked_at() -> None:
    end = wire(Flavour.RAW6, receive_sublayer=1)
    for sublayer in ("40000009", "40000001", "00000000", "3f000000"):
        assert unwrap(end, Flavour.RAW6, bytes.fromhex("01020304" + sublayer) + ARP) == ARP
    assert drops(end) == {}


def accepted(end: Pseudowire, *numbers: int) -> list[int]:
    """Which of these numbers pass, one frame each."""
    start = struct.pack("!I", PARAM.local_session_id)
    datagrams = ((number, start + struct.pack("!I", 1 << 30 | number) + ARP) for number in numbers)
    return [number for number, datagram in datagrams if unwrap(end, Flavour.RAW6, datagram)]


def sequenced() -> Pseudowire:
    return wire(Flavour.RAW6, receive_sublayer=1, receive_sequencing=2)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([0, 1, 1, 0, 2], [0, 1, 2]),
        ([0, 5, 3, 6], [0, 5, 6]),
        ([LAST - 1, LAST, 0, 1], [LAST - 1, LAST, 0, 1]),
        ([LAST, 1, 0, LAST, 2], [LAST, 1, 2]),
        ([100, 100 + HALF, 101], [100, 100 + HALF]),
        ([100, 101 + HALF, 101], [100, 101]),
        ([100, (100 - HALF) & LAST], [100, (100 + HALF) & LAST]),
    ],
)
def test_the_window_of_new_numbers(numbers: list[int], expected: list[int]) -> None:
    end = sequenced()
    assert accepted(end, *numbers) == expected
    assert end.rx_sequence == len(numbers) - len(expected)


def test_a_frame_without_the_number_that_is_required_is_dropped() -> None:
    end = sequenced()
    assert unwrap(end, Flavour.RAW6, bytes.fromhex("01020304 00000005") + ARP) is None
    assert drops(end) == {"rx_sequence": 1}
    assert accepted(end, 0) == [0]


def test_a_peer_that_counts_anew_is_followed_and_stray_old_frames_are_not() -> None:
    end = sequenced()
    assert accepted(end, 1000, 0, 1, 2, 3) == [1000]
    assert accepted(end, 4, 5, 6) == [4, 5, 6]
    assert accepted(end, 5, 4, 3, 2, 1, 0, 1, 3, 5, 4, 4, 4, 4, 4, 4) == []
    assert accepted(end, 7) == [7]


def test_a_new_session_numbers_anew_and_counts_on() -> None:
    end = wire(Flavour.RAW6, send_sublayer=1, send_sequencing=2, receive_sublayer=1, receive_sequencing=2)
    assert accepted(end, 7, 6) == [7]
    assert wrap(end, ARP)[4:8].hex() == "40000000"
    end.set(dataclasses.replace(end.param, up=False), Flavour.RAW6)
    assert accepted(end, 6) == []
    assert wrap(end, ARP)[4:8].hex() == "40000001"
    end.set(dataclasses.replace(end.param, peer_session_id=5), Flavour.RAW6)
    assert accepted(end, 6) == [6]
    assert wrap(end, ARP)[:8].hex() == "0000000540000000"
    assert drops(end) == {"rx_sequence": 2}


@pytest.mark.parametrize("way", ["send", "receive"])
def test_sequencing_without_a_sublayer_is_refused_and_changes_nothing(way: str) -> None:
    end = wire(Flavour.RAW6)
    wrong = dataclasses.replace(PARAM, peer_session_id=9)
    with pytest.raises(ValueError, match="Sublayer"):
        end.set(dataclasses.replace(wrong, **{f"{way}_sequencing": 2}), Flavour.RAW6)  # type: ignore[arg-type]  # ints
    assert wrap(end, ARP)[:4].hex() == "a1a2a3a4"
    assert end.param == PARAM


cookies = st.sampled_from([0, 4, 8]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
frames = st.binary(min_size=14, max_size=200)


@given(
    flavour=st.sampled_from([Flavour.UDP, Flavour.RAW4, Flavour.RAW6]),
    cookie=cookies,
    sublayer=st.integers(0, 1),
    sequencing=st.integers(0, 2),
    options=st.integers(0, 10),
    several=st.lists(frames, min_size=1, max_size=8),
)
def test_what_one_end_wraps_the_other_unwraps(
    flavour: Flavour, cookie: bytes, sublayer: int, sequencing: int, options: int, several: list[bytes]
) -> None:
    sequencing *= sublayer
    sender = wire(
        flavour,
        peer_session_id=PARAM.local_session_id,
        peer_cookie=cookie,
        send_sublayer=sublayer,
        send_sequencing=sequencing,
    )
    receiver = wire(flavour, local_cookie=cookie, receive_sublayer=sublayer, receive_sequencing=sequencing)
    outer = bytes([0x45 + options]) + bytes(19 + 4 * options) if flavour is Flavour.RAW4 else b""
    for frame in several:
        assert unwrap(receiver, flavour, outer + wrap(sender, frame)) == frame
    assert drops(receiver) == {}


@given(
    flavour=st.sampled_from([Flavour.UDP, Flavour.RAW4, Flavour.RAW6]),
    octets=st.binary(max_size=100),
    cookie=cookies,
    sublayer=st.integers(0, 1),
    sequencing=st.integers(0, 2),
)
def test_any_octets_give_a_frame_or_move_one_counter(
    flavour: Flavour, octets: bytes, cookie: bytes, sublayer: int, sequencing: int
) -> None:
    session_id, cookie_at = PARSERS[flavour](memoryview(octets))
    assert cookie_at <= len(octets)
    if not session_id:
        return
    end = wire(flavour, local_cookie=cookie, receive_sublayer=sublayer, receive_sequencing=sequencing * sublayer)
    start = end.unwrap(memoryview(octets), cookie_at, PEER)
    if start:
        assert len(octets) - start >= 14
        assert octets[cookie_at:].startswith(cookie)
        assert drops(end) == {}
    else:
        assert sum(drops(end).values()) == 1


@given(st.lists(st.integers(0, LAST), max_size=60))
def test_numbers_never_pass_twice_unless_the_peer_counts_anew(numbers: list[int]) -> None:
    """A model with unbounded arithmetic: new is less than half the space ahead, else dropped."""
    end = sequenced()
    last: int | None = None
    for number in numbers:
        passes = bool(accepted(end, number))
        new = last is None or 0 < ((number - last) % (1 << 24)) <= HALF
        if end._old_run or not passes:
            assert not passes
            assert not new
        if passes:
            last = number


def test_cookies_stay_out_of_what_is_shown() -> None:
    end = wire(local_cookie=b"s3cr", peer_cookie=b"3tss")
    shown = f"{end!r} {end.param!r} {end.counters()!r}"
    assert "s3cr" not in shown
    assert "3tss" not in shown
