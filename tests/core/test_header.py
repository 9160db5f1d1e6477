"""The control header, octet by octet."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tp_ctl.core.errors import Drop, ProtocolError
from l2tp_ctl.core.header import Header, build_header, is_zlb, parse_header

HELLO = bytes.fromhex("c8030014 11223344 0002 0004 8008 0000 0000 0006".replace(" ", ""))


def test_fields_are_read() -> None:
    assert parse_header(HELLO) == Header(version=3, length=20, connection_id=0x11223344, ns=2, nr=4)


def test_header_is_built() -> None:
    assert build_header(20, 0x11223344, 2, 4) == HELLO[:12]


@given(st.integers(12, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_round_trip(length: int, connection_id: int, ns: int, nr: int) -> None:
    built = build_header(length, connection_id, ns, nr)
    assert parse_header(built + bytes(length - 12)) == Header(3, length, connection_id, ns, nr)


@pytest.mark.parametrize("length", [11, 0x10000])
def test_a_length_that_the_header_cannot_say_is_refused(length: int) -> None:
    if length < 12:
        with pytest.raises(ProtocolError):
            parse_header(build_header(length, 1, 0, 0))
    else:
        with pytest.raises(struct.error):
            build_header(length, 1, 0, 0)


def test_zlb_is_told_from_a_message() -> None:
    assert is_zlb(parse_header(build_header(12, 1, 0, 0)))
    assert not is_zlb(parse_header(HELLO))


def test_octets_beyond_length_are_none_of_the_messages() -> None:
    assert parse_header(HELLO + b"trailer") == parse_header(HELLO)


@pytest.mark.parametrize("flags", [0xC8F3, 0xCFF3, 0xF803, 0xFBF3])
def test_reserved_bits_are_ignored(flags: int) -> None:
    assert parse_header(flags.to_bytes(2, "big") + HELLO[2:]) == parse_header(HELLO)


@pytest.mark.parametrize(
    ("data", "drop"),
    [
        (b"", Drop.SHORT),
        (HELLO[:11], Drop.SHORT),
        (b"\x48" + HELLO[1:], Drop.NOT_CONTROL),
        (b"\x00\x03" + HELLO[2:], Drop.NOT_CONTROL),
        (b"\x88" + HELLO[1:], Drop.NO_LENGTH),
        (b"\xc0" + HELLO[1:], Drop.NO_SEQUENCE),
        (b"\xc8\x01" + HELLO[2:], Drop.VERSION),
        (b"\xc8\x04" + HELLO[2:], Drop.VERSION),
        (b"\xc8\x0f" + HELLO[2:], Drop.VERSION),
        (b"\xc8\x02" + HELLO[2:], Drop.VERSION),
        (b"\xc8\x03\x00\x0b" + HELLO[4:], Drop.LENGTH),
        (b"\xc8\x03\x00\x00" + HELLO[4:], Drop.LENGTH),
        (b"\xc8\x03\x00\x15" + HELLO[4:], Drop.LENGTH),
        (HELLO[:-1], Drop.LENGTH),
    ],
)
def test_what_is_no_message_of_ours_is_dropped(data: bytes, drop: Drop) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_header(data)
    assert caught.value.drop is drop


def test_a_version_2_probe_is_let_through() -> None:
    probe = b"\xc8\x02\x00\x14" + bytes(8) + HELLO[12:]
    assert parse_header(probe) == Header(version=2, length=20, connection_id=0, ns=0, nr=0)


@pytest.mark.parametrize("identifiers", ["00010000", "00000001"])
def test_version_2_with_a_tunnel_or_session_id_is_dropped(identifiers: str) -> None:
    data = b"\xc8\x02\x00\x14" + bytes.fromhex(identifiers) + bytes(4) + HELLO[12:]
    with pytest.raises(ProtocolError) as caught:
        parse_header(data)
    assert caught.value.drop is Drop.VERSION
