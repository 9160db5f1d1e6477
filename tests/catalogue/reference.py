"""The log reference itself: level and line of each message, as the SEIL routers' manual prints them."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter
from typing import NamedTuple

from l2tp_ctl.catalogue import Entry

FIELD = re.compile(r"<(\w+)>")


class Row(NamedTuple):
    """One message; each field of the line as ``<name>``."""

    level: str
    line: str

    @property
    def shape(self) -> str:
        """The line with every field as ``<>``."""
        return FIELD.sub("<>", self.line)

    def matches(self, text: str) -> bool:
        """Whether ``text`` is this message with its fields filled in, and nothing else."""
        literals = FIELD.split(self.line)[::2]
        return re.fullmatch(".+".join(map(re.escape, literals)), text) is not None


def shape(entry: Entry) -> str:
    """The entry's line with every field as ``<>``."""
    parts = Formatter().parse(entry.template)
    return "".join(literal + ("<>" if field else "") for literal, field, _, _ in parts)


_TABLE = Path(__file__).with_name("reference.tsv").read_text("utf-8").splitlines()[1:]

ROWS = tuple(Row(*line.split("\t")) for line in _TABLE)

_BY_SHAPE = {(row.level, row.shape): row for row in ROWS}

REFERENCE = {
    entry: row for entry in Entry if (row := _BY_SHAPE.get((entry.level.name.lower(), shape(entry)))) is not None
}
"""The reference's row of each entry that has one."""
