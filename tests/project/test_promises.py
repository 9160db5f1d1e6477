"""What the documentation promises is there: files, links, targets, commands, versions, the licence."""

from __future__ import annotations

import importlib.metadata
import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from l2tp_ctl.runtime import config_file

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("packaging/*.md")])
BIN = Path(sys.executable).parent


def project() -> dict[str, dict[str, object]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def targets() -> set[str]:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    return set(phony[1].split())


def names(document: Path) -> list[Path]:
    """Every path in backticks that looks like a file or directory of the repository."""
    quoted = re.findall(r"`([\w./-]+)`", document.read_text())
    tops = {path.name for path in ROOT.iterdir()}
    return [Path(name) for name in quoted if "/" in name and name.split("/")[0] in tops]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_paths_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    missing = [link for link in links if not (document.parent / link).exists()]
    made = {".peers", "build", "demo-output", ".venv", ".venv-debian"}
    missing += [str(name) for name in names(document) if name.parts[0] not in made and not (ROOT / name).exists()]
    assert missing == []


def test_the_code_map_names_files_that_exist() -> None:
    map_of_code = (ROOT / "README.md").read_text().split("## Five minutes in the code")[1]
    for row in re.findall(r"^\| (.*?) \|", map_of_code, re.MULTILINE):
        listed = re.findall(r"`([\w./]+)`", row)
        for name in listed:
            folder = (ROOT / listed[0]).parent
            assert (ROOT / name).exists() or (folder / name).exists(), name


def test_every_make_target_has_its_line_in_help() -> None:
    command = ["make", "--no-print-directory", "help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in shown.splitlines()} == targets()


def test_documents_name_only_make_targets_that_exist() -> None:
    written = set()
    for document in DOCUMENTS:
        written |= set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", document.read_text(), re.MULTILINE))
    assert {first or second for first, second in written} <= targets()


def commands() -> Iterator[tuple[Path, str, list[str]]]:
    """Every command line of ours in the code blocks of the documents: document, program, the words after it."""
    for document in DOCUMENTS:
        blocks = re.findall(r"^```(\w*)\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)
        for block in (text for language, text in blocks if language in {"", "sh"}):
            for command in re.split(r"\n|&&|\||#|  +", block.replace("\\\n", " ")):
                if found := re.fullmatch(r"\s*(?:\S*/)?(l2tp-[a-z]+) +(.*?)\s*", command):
                    yield document, found[1], found[2].split()


def test_commands_in_the_documents_are_the_programs_own() -> None:
    seen = set()
    for document, program, words in commands():
        verbs = list(itertools.takewhile(re.compile(r"[a-z]+$").match, words))[: 1 if words[0] == "serve" else 2]
        shown = ""
        for arguments in (["--help"], [*verbs, "--help"]):
            command = [str(BIN / program), *arguments]
            shown += subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert [word for word in words if word.startswith("--") and word not in shown] == [], (document.name, words)
        seen.add(program)
    assert "l2tp-admin" in seen


def test_the_example_in_the_readme_is_a_configuration(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert example
    (tmp_path / "passwords").mkdir()
    (tmp_path / "passwords" / "east").touch(0o600)
    (tmp_path / "passwords" / "east").write_text("secret")
    (tmp_path / "l2tpd.toml").write_text(example[1])
    configuration = config_file.load(tmp_path / "l2tpd.toml")
    assert [tunnel.name for tunnel in configuration.tunnels] == ["east"]
    assert [session.interface for session in configuration.tunnels[0].sessions] == ["pw0"]


def test_version_is_the_same_everywhere() -> None:
    version = str(project()["project"]["version"])
    assert importlib.metadata.version("l2tpd") == version
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert f"Version {version.rpartition('.')[0]}" in (ROOT / "README.md").read_text()


def test_licence_is_apache_2() -> None:
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence
    assert "Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert project()["project"]["license"] == {"text": "Apache-2.0"}


def test_requirements_do_not_exceed_debians() -> None:
    """What Debian 12 ships is enough; the test run on its libraries proves that it also works."""
    debian = {
        "click": "8.1.3", "msgpack": "1.0.3", "prometheus-client": "0.16.0", "pyzmq": "24.0.1", "rich": "13.3.1",
        "setproctitle": "1.3.1",
    }  # fmt: skip
    wanted = project()["project"]["dependencies"]
    assert isinstance(wanted, list)
    floors = dict(requirement.split(">=") for requirement in wanted)
    assert set(floors) == set(debian)
    for name, floor in floors.items():
        assert [int(part) for part in floor.split(".")] <= [int(part) for part in debian[name].split(".")], name
