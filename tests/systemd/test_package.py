"""What can be said of the package without starting it: exposure, lintian, manual pages, AppArmor."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.systemd.machine import debian_package

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
UNITS = {
    name: PACKAGING / "systemd" / f"{name}.service" for name in ("l2tp-kernel", "l2tp-ctl", "l2tp-admin")
}  # fmt: skip


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(("unit", "most"), [("l2tp-kernel", 1.6), ("l2tp-ctl", 0.3), ("l2tp-admin", 0.3)])
def test_exposure_stays_low(unit: str, most: float) -> None:
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={most * 10:.0f}", UNITS[unit])
    print(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout


def test_the_gate_on_exposure_closes() -> None:
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=2", UNITS["l2tp-kernel"])
    assert done.returncode == 1


def test_lintian_accepts_the_package() -> None:
    done = run("lintian", "--fail-on=error,warning", "--allow-root", debian_package())
    assert (done.returncode, done.stdout) == (0, "")


def test_the_same_sources_give_the_same_package(tmp_path: Path) -> None:
    done = run(PACKAGING / "build-deb", tmp_path)
    assert done.returncode == 0, done.stderr
    (again,) = tmp_path.glob("*.deb")
    assert again.read_bytes() == debian_package().read_bytes()


@pytest.mark.parametrize("page", sorted((PACKAGING / "man").iterdir()), ids=lambda page: page.name)
def test_manual_pages_are_well_formed(page: Path) -> None:
    shown = run("man", "--warnings", "--encoding=UTF-8", "--local-file", page)
    assert (shown.returncode, shown.stderr) == (0, "")
    linted = run("mandoc", "-T", "lint", "-W", "warning", page)
    assert (linted.returncode, linted.stdout) == (0, "")


@pytest.mark.parametrize("program", ["l2tp-kernel", "l2tp-ctl", "l2tp-admin"])
def test_every_option_is_in_the_manual(program: str) -> None:
    (page,) = (PACKAGING / "man").glob(f"{program}.[18]")
    text = page.read_text().replace("\\-", "-")
    tree = subprocess.run(["dpkg-deb", "--fsys-tarfile", debian_package()], capture_output=True, check=True).stdout
    assert tree
    for words in ([], ["serve"], ["run"]) if program == "l2tp-admin" else ([],):
        shown = run(Path(".venv/bin") / program, *words, "--help").stdout
        missing = [option for option in set(_options(shown)) if option not in text]
        assert missing == []


def _options(text: str) -> list[str]:
    return [word.rstrip(",.;)]") for word in text.replace("[", " ").split() if word.startswith("--") and len(word) > 2]


@pytest.mark.parametrize("profile", sorted((PACKAGING / "apparmor").iterdir()), ids=lambda path: path.name)
def test_apparmor_profiles_can_be_read(profile: Path) -> None:
    done = run("apparmor_parser", "--skip-kernel-load", "--skip-cache", profile)
    assert (done.returncode, done.stderr) == (0, "")
