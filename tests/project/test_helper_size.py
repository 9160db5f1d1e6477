"""How many lines of code run with the helper's privilege, by what they do, against a bound for each.

A line of code is a line with at least one token that is neither a comment nor part of a docstring (of module, class,
function or attribute).  Blank lines do not count; of a statement that is spread over several lines each one does.
Counted is what the helper's process imports of ours, not what only the forwarder runs after it has given up every
privilege.  docs/architecture.md names the same groups and bounds.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "l2tp_kernel"

GROUPS = {
    "decides": ("schema", "wire", "policy", "clients", "owned", "registry", "server"),
    "surrounds": ("main", "privileges", "catalogue", "journal", "plane", "netlink", "links", "mtu", "bridges"),
    "kernel plane": ("genl", "kernelplane", "kernelsockets"),
    "userspace plane": ("userspace", "sockets", "forwarder.control", "forwarder.wire"),
}
BOUNDS = {"decides": 1000, "surrounds": 620, "kernel plane": 480, "userspace plane": 450}
NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
}  # fmt: skip


def lines_of_code(source: str) -> int:
    counted: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            counted.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            counted.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(counted)


def size(module: str) -> int:
    return lines_of_code((PACKAGE / f"{module.replace('.', '/')}.py").read_text())


def test_the_counter_counts_code_alone() -> None:
    assert lines_of_code('"""Doc\nstring."""\n\nimport os  # why\n\n# A comment.\nx = (\n    1,\n)\n"""Of x."""\n') == 4
    assert lines_of_code('def f():\n    """What."""\n    return """a\nb"""\n') == 3


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_stays_within_its_bound(group: str) -> None:
    sizes = {module: size(module) for module in GROUPS[group]}
    assert sum(sizes.values()) < BOUNDS[group], sizes


def test_all_that_the_helper_imports_is_in_a_group() -> None:
    code = "import sys, l2tp_kernel.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name.removeprefix("l2tp_kernel.") for name in loaded if name.startswith("l2tp_kernel.")}
    assert ours - {"forwarder"} == {module for group in GROUPS.values() for module in group}


def test_the_architecture_names_groups_and_bounds() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| ([a-z ]+) \| (`[^|]+) \| ([0-9,]+) \|", text, re.MULTILINE)
    told = {
        name: (set(re.findall(r"`([\w.]+)`", modules)), int(bound.replace(",", ""))) for name, modules, bound in rows
    }
    assert told == {name: (set(modules), BOUNDS[name]) for name, modules in GROUPS.items()}
