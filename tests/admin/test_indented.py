"""JSON for people: the very text that the standard library makes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tp_admin.indented import indented

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES)
def test_it_is_what_json_makes(value: object) -> None:
    assert indented(value) == json.dumps(value, indent=2, ensure_ascii=False)


@pytest.mark.parametrize("value", [{}, [], {"a": {}}, [[], {}], {"名": ['\x07"\\', 1e300, -0.0, 2**70]}])
def test_small_ones(value: object) -> None:
    assert indented(value) == json.dumps(value, indent=2, ensure_ascii=False)
