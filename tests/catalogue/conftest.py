"""What a test of the catalogue shows as evidence, and the proof that it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from l2tp_ctl.catalogue import Entry, Level
from l2tp_ctl.core.effects import Log
from tests.catalogue.reference import REFERENCE
from tests.core.bench import Bench

_LINE = re.compile(r"<(\d)>(.*)")


class Witness:
    """Takes what was logged; each line is a level and a text."""

    def __init__(self) -> None:
        self._benches: list[Bench] = []
        self._files: list[Path] = []
        self._lines: list[tuple[str, str]] = []

    def watch(self, bench: Bench) -> Bench:
        """Take all that the endpoint of a bench logs until the end of the test."""
        self._benches.append(bench)
        return bench

    def read(self, file: Path) -> None:
        """Take what will have been written to a process's standard error by the end of the test."""
        self._files.append(file)

    def text(self, text: str) -> None:
        """Take what a process has written to its standard error."""
        self._lines += [(Level(int(level)).name.lower(), line) for level, line in _LINE.findall(text)]

    def say(self, level: str, text: str) -> None:
        """Take one line."""
        self._lines.append((level, text))

    def lines(self) -> list[tuple[str, str]]:
        """All of it."""
        for file in self._files:
            self.text(file.read_text())
        self._files.clear()
        told = [(log.entry.level.name.lower(), line) for bench in self._benches for log, line in _pairs(bench)]
        return self._lines + told

    def saw(self, entry: Entry) -> bool:
        """Whether the entry's row of the reference is there, at its level and word for word."""
        row = REFERENCE[entry]
        return any(level == row.level and row.matches(line) for level, line in self.lines())


def _pairs(bench: Bench) -> Iterator[tuple[Log, str]]:
    return zip(bench.logs, bench.lines, strict=True)


@pytest.fixture
def witness(request: pytest.FixtureRequest) -> Iterator[Witness]:
    """What the test logged must hold every message that its ``provokes`` marker names."""
    witness = Witness()
    yield witness
    for marker in request.node.iter_markers("provokes"):
        missing = [name for name in marker.args if not witness.saw(Entry[name])]
        assert not missing, f"not logged: {missing}, but {witness.lines()}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that claims to provoke something must show it."""
    for item in items:
        if item.get_closest_marker("provokes") and "witness" not in getattr(item, "fixturenames", ()):
            raise pytest.UsageError(f"{item.nodeid} provokes something and has no witness")
