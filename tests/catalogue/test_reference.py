"""The catalogue holds the whole log reference, and nothing is logged but the catalogue."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.catalogue_texts import LANGUAGES, texts
from l2tp_kernel.catalogue import Line
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
    assert set(found) == {entry.name for entry in (*Entry, *Line)}
    assert len(found) == len(Entry) + len(Line)
    assert all(text.meaning.endswith((".", "。")) and text.remedy.endswith((".", "。")) for text in found.values())


def test_no_two_entries_read_the_same() -> None:
    lines = Counter((entry.level, entry.template) for entry in Entry)
    assert [line for line, count in lines.items() if count > 1] == []
    assert len(Entry) == len(Entry.__members__)


def test_every_entry_has_a_place_where_it_is_logged(repository: Path) -> None:
    code = [
        path.read_text()
        for package in ("l2tp_ctl", "l2tp_kernel", "l2tp_admin")
        for path in (repository / package).rglob("*.py")
    ]
    named = {name for text in code for name in re.findall(r"\b(?:Entry|Line)\.([A-Z0-9_]+)", text)}
    assert {entry.name for entry in (*Entry, *Line)} - named == set()


def test_nothing_but_the_log_writes_lines(repository: Path) -> None:
    """In the daemons only the sinks of the log touch standard error; main.py of l2tp-ctl answers --check by it."""
    kernel = (repository / "l2tp_kernel").rglob("*.py")
    admin = (repository / "l2tp_admin" / f"{name}.py" for name in ("service", "server", "upstream", "peer", "limits"))
    found = {
        str(path.relative_to(repository))
        for path in (*(repository / "l2tp_ctl").rglob("*.py"), *admin, *kernel)
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in WRITERS)
        or (isinstance(node, ast.Name) and node.id in WRITERS)
    }
    assert found <= {"l2tp_ctl/main.py", "l2tp_ctl/runtime/daemon.py", "l2tp_kernel/journal.py"}


def test_the_documents_are_up_to_date(repository: Path) -> None:
    command = [sys.executable, str(repository / "tools" / "log_messages.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), "make docs"


@pytest.mark.parametrize("name", ["log-messages.md", "log-messages.ja.md"])
def test_the_documents_name_a_test_for_each_of_the_87(repository: Path, name: str) -> None:
    text = (repository / "docs" / name).read_text("utf-8")
    reference = re.split(r"^## ", text, flags=re.MULTILINE)[1]
    sections = re.split(r"^### ", reference, flags=re.MULTILINE)[1:]
    assert len(sections) == 87
    assert [section.split("\n")[0] for section in sections if "`tests/catalogue/test_" not in section] == []
