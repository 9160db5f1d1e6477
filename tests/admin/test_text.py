from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tp_admin.text import duration, plain_columns, printable, width


@given(st.text())
def test_printable_text_holds_nothing_that_moves_a_cursor(text: str) -> None:
    assert printable(text).isprintable()
    if text.isprintable():
        assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "columns"), [("tokyo", 5), ("東京", 4), ("\uff71", 1), ("\uff21", 2), ("e\u0301", 1), ("", 0), ("한", 2)]
)
def test_width_is_what_a_terminal_uses(text: str, columns: int) -> None:
    assert width(text) == columns


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.9, "59s"), (60, "1m00s"), (3599, "59m59s"), (11045, "3h04m"), (86399, "23h59m"), (183600, "2d03h")],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_columns_align_and_every_field_but_the_last_is_one_word() -> None:
    text = plain_columns(
        ["NAME", "COUNT", "WHY"],
        [False, True, False],
        [["東京 本社", "7", "a b\nc"], ["x", "1234567", ""], ["\x1b[2J", "", "z"]],
    )
    assert text == (
        "NAME            COUNT  WHY\n"
        "東京\\x20本社        7  a b\\nc\n"
        "x             1234567  -\n"
        "\\x1b[2J             -  z\n"
    )


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8)), max_size=5))
def test_awk_finds_each_field_in_its_place(rows: list[tuple[str, str, str]]) -> None:
    lines = plain_columns(["A", "B", "C"], [False, True, False], rows).splitlines()
    assert len(lines) == len(rows) + 1
    assert all(len(line.split()) >= 2 for line in lines)
    for line, row in zip(lines[1:], rows, strict=True):
        assert line.split()[0] == (printable(row[0]).replace(" ", "\\x20") or "-")
