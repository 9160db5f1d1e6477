"""One requirement of an RFC, and what proves it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """The RFC's own word; a lower-case "must" counts like the other."""

    MUST = "MUST"
    MUST_NOT = "MUST NOT"
    SHOULD = "SHOULD"
    SHOULD_NOT = "SHOULD NOT"

    @property
    def binding(self) -> bool:
        """Whether there is no excuse."""
        return self in (Level.MUST, Level.MUST_NOT)


@dataclass(frozen=True)
class Requirement:
    """What a section demands, in our words.

    ``tests`` prove it, each written ``directory/module:name`` without the ``test_`` that both begin with.  Where there
    are none, ``outside`` tells why it is no matter of an Ethernet LCCE or of this program, or ``undone`` why it is not
    done.  A proven one may have a ``remark``.
    """

    section: str
    level: Level
    statement: str
    tests: tuple[str, ...] = ()
    outside: str = ""
    undone: str = ""
    remark: str = ""


def must(
    section: str, statement: str, *tests: str, outside: str = "", undone: str = "", remark: str = ""
) -> Requirement:
    return Requirement(section, Level.MUST, statement, tests, outside, undone, remark)


def must_not(section: str, statement: str, *tests: str, outside: str = "", remark: str = "") -> Requirement:
    return Requirement(section, Level.MUST_NOT, statement, tests, outside, remark=remark)


def should(
    section: str, statement: str, *tests: str, outside: str = "", undone: str = "", remark: str = ""
) -> Requirement:
    return Requirement(section, Level.SHOULD, statement, tests, outside, undone, remark)


def node(test: str) -> tuple[str, str]:
    """Return a test's file below ``tests`` and its function."""
    place, _, name = test.partition(":")
    directory, _, module = place.partition("/")
    return f"{directory}/test_{module}.py", f"test_{name}"
