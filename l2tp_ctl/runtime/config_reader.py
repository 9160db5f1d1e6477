"""Reads the tables of the file by the schema, and gathers what is wrong with them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.runtime.config_schema import BadValue, Key
from l2tp_ctl.runtime.config_text import Problem, Tree

T = TypeVar("T")


class Reader:
    """What is found to be wrong goes to the tree's own problems, which come out in the order they were found."""

    def __init__(self, tree: Tree) -> None:
        self.problems = tree.problems
        self._tree = tree

    def report(self, key: str, remedy: str, *, problem: str = "", entry: Entry = Entry.CONFIG_ERROR) -> None:
        """Note one problem."""
        self.problems.append(Problem(key, remedy, entry, problem))

    def unread(self, key: str) -> bool:
        """Whether the key is there with a value that could not be read, which was reported."""
        return key in self._tree.unread

    def attempt(self, key: str, read: Callable[[], T]) -> T | None:
        """Return what ``read`` returns; None, and a problem noted, where it raises BadValue."""
        try:
            return read()
        except BadValue as bad:
            self.report(key, bad.remedy, problem=bad.problem, entry=bad.entry)
            return None

    def table(
        self,
        path: str,
        values: object,
        keys: Mapping[str, Key],
        inner: Collection[str] = (),
        *,
        elsewhere: Collection[str] = (),
        why: str = "",
    ) -> dict[str, Any]:
        """Return what a table says, converted, every key of the schema being there: None without a good value.

        ``inner`` are names of tables inside that somebody else reads, ``elsewhere`` are keys that belong to tables
        like this one but not to this one, and ``why``.
        """
        if not isinstance(values, dict):
            self.report(path, f"write [{path}]", problem="not a table")
            return dict.fromkeys(keys)
        misplaced = [name for name in values if name in elsewhere and name not in keys]
        for name in misplaced:
            self.report(f"{path}.{name}", "leave it out", problem=why)
        self.unknown(path, values, {*keys, *inner, *misplaced})
        return {name: self._value(f"{path}.{name}", name, values, key) for name, key in keys.items()}

    def unknown(self, path: str, values: Collection[str], known: Collection[str]) -> None:
        """Note every key that nobody knows, with the one that was probably meant."""
        for name in values:
            if name in known:
                continue
            close = difflib.get_close_matches(name, known, n=1)
            remedy = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
            self.report(f"{path}.{name}" if path else name, remedy, problem="unknown key")

    def _value(self, path: str, name: str, values: Mapping[str, object], key: Key) -> Any:  # noqa: ANN401  # the kind's
        if name in values:
            return self.attempt(path, lambda: key.kind.read(values[name]))
        if key.required:
            if self._tree.complete and not self.unread(path):
                self.report(path, f"give {key.kind.takes}", entry=Entry.NO_PARAM)
            return None
        return None if key.default is None else key.kind.read(key.default)
