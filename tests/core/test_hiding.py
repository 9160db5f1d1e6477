"""AVP hiding against known answers of an independent implementation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tp_ctl.core.errors import ProtocolError
from l2tp_ctl.core.hiding import hide, hiding_key, reveal

from .octets import vector

KAT = vector("avp_hiding_kat.json")
KEY = hiding_key(KAT["secret"].encode())
RANDOM_VECTOR = bytes.fromhex(KAT["random_vector"])


def test_key() -> None:
    assert KEY.hex() == KAT["shared_key"]


@pytest.mark.parametrize("case", KAT["cases"], ids=lambda case: case["name"])
def test_known_answers(case: dict[str, Any]) -> None:
    value, padding, hidden = (bytes.fromhex(case[name]) for name in ("value", "padding", "hidden_attribute_value"))
    assert hide(case["attr_type"], value, KEY, RANDOM_VECTOR, padding) == hidden
    assert reveal(case["attr_type"], hidden, KEY, RANDOM_VECTOR) == value


@given(st.integers(0, 0xFFFF), st.binary(max_size=1015), st.binary(max_size=40), st.binary(), st.binary())
def test_round_trip(number: int, value: bytes, padding: bytes, secret: bytes, random_vector: bytes) -> None:
    key = hiding_key(secret)
    hidden = hide(number, value, key, random_vector, padding)
    assert len(hidden) == 2 + len(value) + len(padding)
    assert reveal(number, hidden, key, random_vector) == value


@pytest.mark.parametrize("hidden", [b"", b"\x5f", b"\x5f\x53", bytes.fromhex("5f5336254499c7737a")])
def test_a_length_that_does_not_fit_is_refused(hidden: bytes) -> None:
    with pytest.raises(ProtocolError):
        reveal(65, hidden, KEY, RANDOM_VECTOR)


def test_type_key_and_random_vector_all_count() -> None:
    hidden = hide(65, bytes(8), KEY, RANDOM_VECTOR)
    assert hide(66, bytes(8), KEY, RANDOM_VECTOR) != hidden
    assert hide(65, bytes(8), hiding_key(b"other"), RANDOM_VECTOR) != hidden
    assert hide(65, bytes(8), KEY, RANDOM_VECTOR[::-1]) != hidden
