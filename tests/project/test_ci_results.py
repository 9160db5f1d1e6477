"""How the continuous integration counts: skips that nobody expected, and tests that were tried again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

FIRST = """<testsuite>
<testcase classname="tests.a" name="good"/>
<testcase classname="tests.a" name="shaky"><failure message="once"/></testcase>
<testcase classname="tests.a" name="bad"><error message="always"/></testcase>
<testcase classname="tests.a" name="elsewhere"><skipped message="no L2TP here"/></testcase>
</testsuite>"""

AGAIN = """<testsuite>
<testcase classname="tests.a" name="shaky"/>
<testcase classname="tests.a" name="bad"><failure message="always"/></testcase>
</testsuite>"""


def count(tmp_path: Path, expected: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "expected").write_text(f"# a comment\n{expected}\n")
    (tmp_path / "newest.xml").write_text(FIRST)
    (tmp_path / "newest.again.xml").write_text(AGAIN)
    command = [sys.executable, str(ROOT / "tools/ci_results.py"), str(tmp_path / "expected")]
    reports = sorted(str(path) for path in tmp_path.glob("*.xml"))
    return subprocess.run([*command, *reports], capture_output=True, text=True, check=False)


def test_what_the_second_try_says_counts_and_is_told(tmp_path: Path) -> None:
    done = count(tmp_path, "tests.a.else* | no L2TP* | proven elsewhere")
    assert done.stdout == "2 1 1\n"
    assert done.stderr == "passed only when tried again: newest: tests.a.shaky\n"
    assert done.returncode == 0


def test_a_skip_that_nobody_expected_fails(tmp_path: Path) -> None:
    done = count(tmp_path, "tests.b.* | * | another test")
    assert "unexpected skip: newest: tests.a.elsewhere: no L2TP here" in done.stderr
    assert done.returncode == 1
