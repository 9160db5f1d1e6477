"""The documents that are made from the tests and the tables are current, and claim nothing that is not there."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.conformance import diagrams, document
from tests.conformance.requirements.model import Requirement, node

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
REQUIREMENTS = list(document.all_requirements())


@cache
def functions(file: str) -> set[str]:
    """The test functions of a module."""
    tree = ast.parse((TESTS / file).read_text())
    return {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}


@pytest.mark.parametrize(
    ("name", "text"), [("rfc3931.md", document.text), ("state-machines.md", diagrams.text)], ids=["rfc3931", "states"]
)
def test_made_documents_are_current(name: str, text: object) -> None:
    assert callable(text)
    assert (DOCS / name).read_text() == text(), "make docs"


def test_every_test_that_is_named_exists() -> None:
    named = {node(test) for one in REQUIREMENTS for test in one.tests}
    assert sorted((file, name) for file, name in named if name not in functions(file)) == []


@pytest.mark.parametrize("one", REQUIREMENTS, ids=lambda one: f"{one.section}: {one.statement}"[:60])
def test_each_requirement_is_settled_in_one_way(one: Requirement) -> None:
    assert bool(one.tests) + bool(one.outside) + bool(one.undone) == 1
    assert not (one.level.binding and one.undone), "open"
    assert "|" not in one.statement + one.outside + one.undone + one.remark


def test_no_requirement_is_there_twice() -> None:
    for chapter in document.CHAPTERS.values():
        keys = [(one.section, one.statement) for one in chapter]
        assert len(keys) == len(set(keys))


def test_every_chapter_of_the_rfc_is_there() -> None:
    own = [name for name in document.CHAPTERS if name.startswith("RFC 3931")]
    sections = {one.section.split(" ")[0] for name in own for one in document.CHAPTERS[name]}
    wanted = "3.2.1 3.2.2 3.3.2 4.1 4.1.1.2 4.1.2.1 4.1.2.2 4.1.2.3 4.1.3 4.1.4 4.2 4.3 4.4 4.5 4.6 4.6.1 4.7.1 4.7.3"
    wanted += " 5.1 5.2 5.3 5.4.1 5.4.2 5.4.3 5.4.4 5.4.5 7 7.1 7.2 7.4 7.4.2 7.5 8.1 8.2 9 A C 6"
    assert sections == {*wanted.split(), *(f"6.{number}" for number in range(1, 16))}
