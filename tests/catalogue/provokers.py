"""Which test provokes which entry, read from the ``provokes`` markers in the sources of these tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent


def provokers() -> dict[str, list[str]]:
    """The ids of the tests that provoke each entry, by the entry's name."""
    found: dict[str, list[str]] = {}
    for path in sorted(HERE.glob("test_*.py")):
        for function in ast.parse(path.read_text("utf-8")).body:
            if isinstance(function, ast.FunctionDef):
                for name in _marked(function):
                    found.setdefault(name, []).append(f"tests/{HERE.name}/{path.name}::{function.name}")
    return found


def _marked(function: ast.FunctionDef) -> Iterator[str]:
    for decorator in function.decorator_list:
        for node in ast.walk(decorator):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.provokes":
                yield from (ast.literal_eval(argument) for argument in node.args)
