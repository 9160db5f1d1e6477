"""Cutting a message into AVPs and writing them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tp_ctl.core.avp import CISCO, MAX_VALUE_LENGTH, RawAvp, encode_avp, split_avps
from l2tp_ctl.core.errors import Drop, ProtocolError
from l2tp_ctl.core.header import parse_header

from .octets import avp, packet, split


def drop_of(data: bytes, limit: int = 256) -> Drop:
    with pytest.raises(ProtocolError) as caught:
        split_avps(data, parse_header(data), limit)
    return caught.value.drop


def test_every_part_is_read() -> None:
    data = packet(avp(0, "0006"), avp(7, "6131", flags=0x4000), avp(1, "", vendor=CISCO, flags=0x8000 | 0b1010 << 10))
    assert split(data)[1] == (
        RawAvp(mandatory=True, hidden=False, reserved=0, vendor=0, type=0, value=b"\x00\x06", offset=12),
        RawAvp(mandatory=False, hidden=True, reserved=0, vendor=0, type=7, value=b"a1", offset=20),
        RawAvp(mandatory=True, hidden=False, reserved=0b1010, vendor=9, type=1, value=b"", offset=28),
    )


def test_no_avps() -> None:
    assert split(packet())[1] == ()


def test_octets_beyond_length_are_no_avps() -> None:
    assert len(split(packet(avp(0, "0006")) + avp(7, "61"))[1]) == 1


def test_reserved_bits_do_not_disturb_the_length() -> None:
    assert split(packet(avp(7, "6162", flags=0x3C00)))[1][0].value == b"ab"
    assert split(packet(avp(7, "6162", flags=0x3C00)))[1][0].reserved == 0b1111


def test_longest_avp() -> None:
    longest = split(packet(avp(7, "00" * MAX_VALUE_LENGTH)))[1][0]
    assert len(longest.value) == MAX_VALUE_LENGTH == 1017
    assert encode_avp(longest)[:2] == b"\x83\xff"


@pytest.mark.parametrize("first_word", ["8000", "8005", "8001"])
def test_an_avp_shorter_than_its_header_is_dropped(first_word: str) -> None:
    assert drop_of(packet(bytes.fromhex(first_word) + bytes(6))) is Drop.AVP_LENGTH


def test_an_avp_that_runs_past_the_message_is_dropped() -> None:
    assert drop_of(packet(avp(0, "0006")[:-1])) is Drop.AVP_LENGTH
    assert drop_of(packet(avp(0, "0006")[:-1]) + b"\x06") is Drop.AVP_LENGTH  # not even into the trailing octets


@pytest.mark.parametrize("left", [1, 5])
def test_a_remainder_too_short_for_an_avp_is_dropped(left: int) -> None:
    assert drop_of(packet(avp(0, "0006"), bytes(left))) is Drop.AVP_LENGTH


def test_the_limit_counts_avps() -> None:
    data = packet(*[avp(0, "0006")] * 3)
    assert len(split_avps(data, parse_header(data), 3)) == 3
    assert drop_of(data, 2) is Drop.AVP_COUNT


def test_a_value_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="1018 octets"):
        encode_avp(RawAvp(True, False, 0, 0, 7, bytes(1018)))  # noqa: FBT003


def test_a_values_octets_stay_out_of_the_repr() -> None:
    assert "secret" not in repr(RawAvp(True, False, 0, 0, 65, b"secret"))  # noqa: FBT003


RAW_AVPS = st.builds(
    RawAvp,
    st.booleans(),
    st.booleans(),
    st.integers(0, 15),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFF),
    st.binary(),
)


@given(st.lists(RAW_AVPS, max_size=8))
def test_round_trip(avps: list[RawAvp]) -> None:
    data = packet(*(encode_avp(one) for one in avps))
    found = split(data)[1]
    assert [encode_avp(one) for one in found] == [encode_avp(one) for one in avps]
    assert [(one.mandatory, one.hidden, one.reserved, one.vendor, one.type, one.value) for one in found] == [
        (one.mandatory, one.hidden, one.reserved, one.vendor, one.type, one.value) for one in avps
    ]
    assert all(data[one.offset + 6 :].startswith(one.value) for one in found)
