"""Text that is safe and straight on a terminal: escapes, widths, durations and plain columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence


def printable(text: str) -> str:
    """Return ``text`` with every character that could move a cursor or break a line written as its escape.

    Names and errors come from peers; what a peer says must not reach a terminal or a log as control characters.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def width(text: str) -> int:
    """Return the columns that printable ``text`` takes on a terminal (Unicode Standard Annex #11)."""
    if text.isascii():
        return len(text)
    return sum(_character_width(c) for c in text)


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def duration(seconds: float) -> str:
    """Return a duration for people, in its two largest units: ``7s``, ``5m07s``, ``3h04m``, ``2d03h``."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d{hour:02}h"
    if hours:
        return f"{hours}h{minute:02}m"
    return f"{minutes}m{second:02}s" if minutes else f"{second}s"


def plain_columns(titles: Sequence[str], numeric: Sequence[bool], rows: Iterable[Sequence[str]]) -> str:
    r"""Return lines for grep and awk: a header, then one line a row, every field without a space but the last.

    An empty field is ``-``, a space in a field ``\x20``; numbers are right-aligned.
    """
    last = len(titles) - 1
    lines = [list(titles)]
    for row in rows:
        fields = [printable(field) or "-" for field in row]
        lines.append([field if i == last else field.replace(" ", "\\x20") for i, field in enumerate(fields)])
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(map(_padded, line, widths, numeric)).rstrip() + "\n"  # one line a row
        for line in lines
    )


def _padded(field: str, columns: int, number: bool) -> str:  # noqa: FBT001 - one of three parallel sequences
    blank = " " * (columns - width(field))
    return blank + field if number else field + blank
