"""The repository speaks of the project alone: nothing of the machine that it was written on, nothing left over."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = {".pcap", ".pcapng", ".png"}

# Put together from pieces, so that this file does not hold what it looks for.
FOREIGN = {
    "a path of the author's machine": re.compile("/" + r"(work|root|home)/" + r"\w|py" + "env|/opt/" + "wheels"),
    "an issue number": re.compile(r"(?i)\b(issue|ticket)s? #?\d"),
    "something to do later": re.compile("TO" + "DO|FIX" + "ME|XX" + "X"),
    "a key": re.compile("BEGIN [A-Z ]*PRIVATE" + " KEY"),
}


def tracked() -> list[Path]:
    """Text files of the repository, or of the directory where there is no git."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in done.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and path.suffix not in BINARY]


@pytest.mark.parametrize("what", FOREIGN)
def test_repository_holds_no(what: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked()
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if FOREIGN[what].search(line)
    ]
    assert found == []


def test_what_tools_make_is_ignored_by_git() -> None:
    made = [".venv/x", ".venv-debian/x", ".peers/x", "demo-output/x", ".coverage", "build/x", "x/__pycache__/y.pyc"]
    done = subprocess.run(["git", "check-ignore", *made], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == made


def test_every_package_directory_is_a_package() -> None:
    trees = [ROOT / name for name in ("l2tp_admin", "l2tp_ctl", "l2tp_kernel", "tests")]
    homes = {path.parent for path in tracked() if path.suffix == ".py" and any(tree in path.parents for tree in trees)}
    assert [str(home.relative_to(ROOT)) for home in sorted(homes) if not (home / "__init__.py").exists()] == []
