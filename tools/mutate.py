"""Change the codec and the state tables, one small thing at a time, and see that some test notices each.

``python tools/mutate.py`` tries every mutant of every module below; ``python tools/mutate.py codec digest`` those of
some.  Each mutant runs in a process of its own, which sees the changed source instead of the file.  What survives must
be in ``tools/mutants.toml`` with the reason why it makes no difference; the exit status is 1 if anything else does.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import resource
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import hypothesis  # noqa: F401 - loaded once, for all mutants
import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "l2tp_ctl" / "core"
EXPLAINED = ROOT / "tools" / "mutants.toml"

MODULES = ("header", "avp", "digest", "hiding", "attributes", "codec", "presence", "results", "dialects", "tables")
QUICK = ("header", "avp", "hiding", "digest", "attributes", "presence", "results", "tables", "codec")
"""The tests of one module each; those of the mutant's own module come first."""
SLOW = (
    "tests/conformance/test_codes.py", "tests/conformance/test_sizes.py", "tests/conformance/test_all_sent.py",
    "tests/conformance/test_received.py", "tests/conformance/test_digests.py",
    "tests/core/test_dialects.py", "tests/core/test_setup.py", "tests/core/test_calls.py",
    "tests/core/test_sessions.py", "tests/core/test_inspection.py", "tests/core/test_datagrams.py",
    "tests/core/test_authentication.py",
)  # fmt: skip
"""Whole conversations, for what those let pass."""
LIMIT = 120
"""Seconds of processor time after which a mutant counts as noticed: it does not end."""


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    module: str
    line: int
    change: str
    """Function, and the code before and after."""
    source: str


# ---- Making mutants.

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Mod: ast.FloorDiv, ast.FloorDiv: ast.Mod,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
}  # fmt: skip


class _Mutator(ast.NodeTransformer):
    """Applies the change number ``wanted``, counting in the order of the source; None applies none and counts."""

    def __init__(self, members: dict[str, list[str]], wanted: int | None = None) -> None:
        self._members = members
        self._wanted = wanted
        self._place: list[str] = []
        self.count = 0
        self.line = 0
        self.change = ""

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            self._place.append(node.name)
            node.body = [one for one in map(self.visit, node.body) if isinstance(one, ast.stmt)]
            self._place.pop()
            return node
        if name := _name(node):
            self._place.append(name)
            self.generic_visit(node)
            self._place.pop()
            return node
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.arguments, ast.AnnAssign)):
            if isinstance(node, ast.AnnAssign) and node.value is not None:
                node.value = self._expression(node.value)
            return node
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return node  # a docstring
        for other in _changed(node, self._members):
            if self.count == self._wanted:
                self.line = getattr(node, "lineno", 0)
                before, after = ast.unparse(node), ast.unparse(other)
                self.change = f"{'.'.join(self._place) or 'module'}: {before} -> {after}"
            self.count += 1
            if self.count - 1 == self._wanted:
                return ast.copy_location(other, node)
        self.generic_visit(node)
        return node

    def _expression(self, node: ast.expr) -> ast.expr:
        changed = self.visit(node)
        assert isinstance(changed, ast.expr)
        return changed


def _name(node: ast.AST) -> str:
    """Return the name of a keyword argument, or what a row of a table calls itself; empty for anything else."""
    if isinstance(node, ast.keyword):
        return node.arg or ""
    keywords = node.keywords if isinstance(node, ast.Call) else []
    values = [one.value for one in keywords if one.arg == "name"]
    return str(values[0].value) if values and isinstance(values[0], ast.Constant) else ""


def _changed(node: ast.AST, members: dict[str, list[str]]) -> Iterator[ast.AST]:
    """Yield the node in every other way."""
    match node:
        case ast.Compare(left, [operator], comparators) if type(operator) in _SWAPS:
            yield ast.Compare(left, [_SWAPS[type(operator)]()], comparators)  # type: ignore[list-item]  # a cmpop
        case ast.Compare(left, [first, second], comparators):
            for pair in ([_SWAPS[type(first)](), second], [first, _SWAPS[type(second)]()]):
                yield ast.Compare(left, pair, comparators)  # type: ignore[arg-type]  # cmpops
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(_SWAPS[type(operator)](), values)  # type: ignore[arg-type]  # a boolop
        case ast.BinOp(left, operator, right) if type(operator) in _SWAPS:
            yield ast.BinOp(left, _SWAPS[type(operator)](), right)  # type: ignore[arg-type]  # an operator
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.IfExp(test, body, orelse):
            yield ast.IfExp(test, orelse, body)
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(bytes() as value):
            yield ast.Constant(value + b"!")
        case ast.Attribute(ast.Name(name), member) if member in members.get(name, ()):
            names = members[name]
            yield ast.Attribute(ast.Name(name), names[(names.index(member) + 1) % len(names)])
        case ast.Return(value) if value is not None and not (isinstance(value, ast.Constant) and value.value is None):
            yield ast.Return(ast.Constant(None))
        case ast.Raise() | ast.Continue() | ast.AugAssign() | ast.Expr(ast.Call()):
            yield ast.Pass()


def mutants(module: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    source = (CORE / f"{module}.py").read_text()
    members = _members() if module == "tables" else {}
    counter = _Mutator(members)
    counter.visit(ast.parse(source))
    for number in range(counter.count):
        mutator = _Mutator(members, number)
        tree = ast.fix_missing_locations(mutator.visit(ast.parse(source)))
        yield Mutant(module, mutator.line, mutator.change, ast.unparse(tree))


def _members() -> dict[str, list[str]]:
    """Return the names behind the tables' short ones: any may stand where another does."""
    found: dict[str, list[str]] = {"s": [], "e": [], "a": []}
    for one in ast.parse((CORE / "tables.py").read_text()).body:
        if isinstance(one, ast.ClassDef):
            kind = {"State": "s", "Event": "e", "Action": "a"}[one.name.removeprefix("Tunnel").removeprefix("Session")]
            found[kind] += [target.id for line in one.body if isinstance(line, ast.Assign)
                            for target in line.targets if isinstance(target, ast.Name)]  # fmt: skip
    return found


# ---- Running them.


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module another source."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = f"l2tp_ctl.core.{mutant.module}"
        self._source = mutant.source

    def find_spec(self, name: str, *_where: object) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, self._name, "exec"), module.__dict__)


def survives(mutant: Mutant) -> bool:
    """Whether no test notices."""
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            code = _run_tests(mutant)
        os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def _run_tests(mutant: Mutant) -> int:
    """Run what there is, the most likely to notice first; only in a process of its own."""
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sys.meta_path.insert(0, _Finder(mutant))
    first = f"tests/core/test_{mutant.module}.py"
    quick = [f"tests/core/test_{name}.py" for name in QUICK]
    files = dict.fromkeys([*([first] if (ROOT / first).exists() else []), *quick, *SLOW])
    return int(
        pytest.main(
            [
                "-x",
                "-q",
                "--assert=plain",
                "--timeout=0",
                "--hypothesis-seed=0",
                "-p",
                "no:cacheprovider",
                "-m",
                "not root",
                *files,
            ]
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=MODULES, help="of l2tp_ctl.core")
    parser.add_argument("--list", action="store_true", help="show the mutants and run nothing")
    options = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    everything = [mutant for module in options.modules for mutant in mutants(module)]
    if options.list:
        print(*(f"{one.module}.py:{one.line}: {one.change}" for one in everything), sep="\n")
        return 0
    if not all(survives(Mutant(module, 0, "", (CORE / f"{module}.py").read_text())) for module in options.modules):
        print("the tests fail without any change")
        return 2
    explained: dict[str, dict[str, str]] = tomllib.loads(EXPLAINED.read_text()) if EXPLAINED.exists() else {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        left, strange = 0, 0
        for mutant, alive in zip(everything, pool.map(survives, everything), strict=True):
            left += alive
            if alive and mutant.change not in explained.get(mutant.module, {}):
                strange += 1
                print(f"survives: {mutant.module}.py:{mutant.line}: {mutant.change}", flush=True)
    print(f"{len(everything)} mutants: {len(everything) - left} noticed, "
          f"{left - strange} explained, {strange} survive")  # fmt: skip
    return 1 if strange else 0


if __name__ == "__main__":
    sys.exit(main())
