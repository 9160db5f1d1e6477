"""TOML text into a tree, going on after mistakes so that a person sees all of them at once.

The parser of the standard library stops at the first mistake.  Here the statement that holds it is noted, blanked
out, and the rest is parsed again.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import Any

from l2tp_ctl.catalogue import Entry

_HEADER = re.compile(r"\s*\[\[?\s*(?P<path>[^\]]*?)\s*(?:\]|$)")
_KEY = re.compile(
    r"""\s*(?P<path>(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_MISTAKE = re.compile(r"(?P<what>.*) \(at line (?P<line>\d+), column \d+\)", re.DOTALL)
_DUPLICATE = re.compile(r"Cannot overwrite|Cannot declare|Duplicate inline table key")


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the file: the key it is about (empty for the whole file), what is wrong and what to do."""

    key: str
    remedy: str
    entry: Entry = Entry.CONFIG_ERROR
    problem: str = ""
    """Only where the entry has no wording of its own."""

    @property
    def text(self) -> str:
        """The catalogue's line for it."""
        return self.entry.render({"tag": self.key, "problem": self.problem})


@dataclass(slots=True)
class Tree:
    """What could be read of a file."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)
    """Keys whose statement was blanked out: they are there, with a value nobody knows."""
    complete: bool = True
    """Whether ``values`` holds all the rest; where not, nothing can be said about missing keys."""


def parse(text: str) -> Tree:
    """Return all that can be read, and every mistake in the syntax."""
    tree = Tree()
    lines = text.split("\n")
    while True:
        try:
            # The last line's end keeps a mistake there from being reported without its place.
            tree.values = tomllib.loads("\n".join(lines) + "\n")
        except tomllib.TOMLDecodeError as error:
            if not _skip(lines, str(error), tree):
                tree.complete = False
                return tree
        else:
            return tree


def _skip(lines: list[str], mistake: str, tree: Tree) -> bool:
    """Note one mistake and blank out its statement; False if nothing could be blanked out."""
    place = _MISTAKE.fullmatch(mistake)
    if place is None:
        tree.problems.append(Problem("", "close what was opened", problem=mistake))
        return False
    line, what = int(place["line"]), place["what"]
    first, last = _statement(lines, line - 1, unclosed=what.startswith("Unclosed"))
    key = _path(lines, first)
    if _DUPLICATE.match(what):
        tree.problems.append(Problem(key, f"line {line} says it again: keep one", Entry.THIS_PARAM_IS_ONLY_ONE))
    else:
        tree.problems.append(Problem(key, "correct the TOML; text needs quotes", problem=f"line {line}: {what}"))
        tree.unread.add(key)
    changed = any(lines[first : last + 1])
    lines[first : last + 1] = [""] * (last + 1 - first)
    return changed


def _statement(lines: list[str], index: int, *, unclosed: bool) -> tuple[int, int]:
    """Return the first and last line of the statement that a mistake on line ``index`` belongs to.

    A table header stands for its whole table.  A list that was not closed is noticed at the next statement.
    """
    first = index - 1 if unclosed else index
    while first > 0 and not _starts(lines[first]):
        first -= 1
    if _HEADER.match(lines[first]) and not unclosed:
        following = range(first + 1, len(lines))
        return first, next((line - 1 for line in following if _HEADER.match(lines[line])), len(lines) - 1)
    if unclosed and first < index:
        return first, index - 1
    last = index
    while last + 1 < len(lines) and not _starts(lines[last + 1]):
        last += 1
    return first, last


def _starts(line: str) -> bool:
    return bool(_KEY.match(line) or _HEADER.match(line))


def _path(lines: list[str], index: int) -> str:
    """Return the full name of the key or table that begins on line ``index``, as well as it can be told."""
    if header := _HEADER.match(lines[index]):
        return header["path"]
    table = next((found["path"] for line in reversed(lines[:index]) if (found := _HEADER.match(line))), "")
    key = _KEY.match(lines[index])
    return ".".join(filter(None, (table, key["path"] if key else "")))
