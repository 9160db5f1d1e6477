"""What the helper and the forwarder say to each other; the helper believes no octet of an answer."""

from __future__ import annotations

import contextlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tp_kernel.forwarder import wire
from l2tp_kernel.schema import Counters, Plane, PweParam

PARAM = PweParam(
    Plane.USERSPACE,
    "pw0",
    1,
    bytes(4),
    b"\1\2\3\4",
    1701,
    5,
    6,
    7,
    8,
    b"12345678",
    b"",
    0,
    1,
    0,
    2,
    1400,
    "br0",
    up=True,
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


def test_parameters_come_out_as_they_went_in() -> None:
    packet = wire.pack(3, wire.Verb.SET_SESSION, *wire.pack_param(PARAM))
    sequence, verb, arguments = wire.unpack_request(packet)
    assert (sequence, verb) == (3, wire.Verb.SET_SESSION)
    assert wire.unpack_param(arguments) == PARAM


def test_a_page_of_counters_of_the_longest_names_fits_a_packet() -> None:
    most = Counters(*[2**64 - 1] * 9)
    rows = [(f"{number:015}", most) for number in range(wire.PAGE)]
    packet = wire.pack(2**32, 0, wire.pack_counters(rows))
    assert len(packet) < wire.PACKET
    assert wire.unpack_counters(wire.unpack_answer(packet)[2]) == dict(rows)


@pytest.mark.parametrize(
    "answer", [[1, 0], [1, 0, None, None], [True, 0, 0], [1, -1, 0], [1, 4096, 0], ["1", 0, 0], {}]
)
def test_other_answers_are_refused(answer: object) -> None:
    with pytest.raises(wire.WireError):
        wire.unpack_answer(msgpack.packb(answer))


@pytest.mark.parametrize(
    "value", [None, [["pw0"]], [["pw0", *[0] * 8, -1]], [["pw0", *[0] * 8, True]], [[b"pw0", *[0] * 9]], [[]] * 257]
)
def test_other_counters_are_refused(value: object) -> None:
    with pytest.raises(wire.WireError):
        wire.unpack_counters(value)


@given(st.binary(max_size=200) | values.map(msgpack.packb))
def test_any_octets_are_an_answer_or_the_one_error(packet: bytes) -> None:
    with contextlib.suppress(wire.WireError):
        sequence, error, value = wire.unpack_answer(packet)
        assert sequence >= 0 <= error
        with contextlib.suppress(wire.WireError):
            wire.unpack_counters(value)
        wire.unpack_strays(value)
