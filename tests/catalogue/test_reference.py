"""The catalogue holds the whole log reference, and nothing is logged but the catalogue."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.catalogue_texts import LANGUAGES, texts
from tests.catalogue.provokers import provokers
from tests.catalogue.reference import REFERENCE, ROWS, Row

TESTS = provokers()
WRITERS = ("stderr", "stdout", "print", "warn", "getLogger", "syslog")
"""How a Python program writes a line."""


def test_the_reference_is_whole() -> None:
    assert len(ROWS) == 87
    assert len(set(ROWS)) == 87
    assert Counter(row.level for row in ROWS) == {"error": 24, "warn": 22, "notice": 1, "info": 10, "debug": 30}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.line)
def test_every_row_is_an_entry_word_for_word_at_its_level(row: Row) -> None:
    assert list(REFERENCE.values()).count(row) == 1


@pytest.mark.parametrize("entry", REFERENCE, ids=lambda entry: entry.name)
def test_every_row_has_a_test_that_provokes_it(entry: Entry) -> None:
    assert TESTS.get(entry.name), f"no test in tests/catalogue has the marker provokes({entry.name!r})"


def test_every_marker_names_an_entry() -> None:
    assert set(TESTS) <= set(Entry.__members__)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_entry_has_its_texts(language: str) -> None:
    found = texts(language)
    assert set(found) == {entry.name for entry in Entry}
    assert all(text.meaning.endswith((".", "。")) and text.remedy.endswith((".", "。")) for text in found.values())


def test_no_two_entries_read_the_same() -> None:
    lines = Counter((entry.level, entry.template) for entry in Entry)
    assert [line for line, count in lines.items() if count > 1] == []
    assert len(Entry) == len(Entry.__members__)


def test_nothing_but_the_log_writes_lines(repository: Path) -> None:
    """Only the sinks of the log touch standard error; the programs' command lines answer on their own behalf."""
    found = {
        f"{path.relative_to(repository)}: {ast.unparse(node)}"
        for package in ("l2tp_ctl", "l2tp_admin")
        for path in (repository / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in WRITERS)
        or (isinstance(node, ast.Name) and node.id in WRITERS)
    }
    files = {line.partition(":")[0] for line in found}
    logs = {"l2tp_ctl/main.py", "l2tp_admin/log.py"}
    answers = {"l2tp_admin/main.py", "l2tp_admin/log_lines.py", "l2tp_admin/screen.py"}
    assert files <= logs | answers
