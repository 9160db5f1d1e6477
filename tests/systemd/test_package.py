"""What can be said of the package without starting it: exposure, lintian, manual pages, AppArmor."""

from __future__ import annotations

import gzip
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.netns import BIN
from tests.systemd.machine import debian_package

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
SERVICES = ("l2tp-kernel", "l2tp-ctl", "l2tp-admin", "l2tp-resolver")
UNITS = {name: PACKAGING / "systemd" / f"{name}.service" for name in SERVICES}


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("unit", "most"), [("l2tp-kernel", 1.6), ("l2tp-ctl", 0.3), ("l2tp-admin", 0.3), ("l2tp-resolver", 1.0)]
)
def test_exposure_stays_low(unit: str, most: float) -> None:
    done = run(
        "systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={most * 10:.0f}", UNITS[unit]
    )
    print(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout


def test_the_gate_on_exposure_closes() -> None:
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=2", UNITS["l2tp-kernel"])
    assert done.returncode == 1


def test_lintian_accepts_the_package() -> None:
    done = run("lintian", "--fail-on=error,warning", debian_package())
    assert (done.returncode, done.stdout) == (0, "")


def test_the_same_sources_give_the_same_package(tmp_path: Path) -> None:
    done = run(PACKAGING / "build-deb", tmp_path)
    assert done.returncode == 0, done.stderr
    (again,) = tmp_path.glob("*.deb")
    assert again.read_bytes() == debian_package().read_bytes()


@pytest.fixture(scope="module")
def manuals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the manual pages, out of the package."""
    tree = tmp_path_factory.mktemp("package")
    subprocess.run(["dpkg-deb", "--extract", debian_package(), tree], check=True)
    return tree / "usr" / "share" / "man"


PAGES = ["man1/l2tp-admin.1", "man5/l2tp-kernel.toml.5", "man5/l2tpd.toml.5", "man8/l2tp-ctl.8", "man8/l2tp-kernel.8"]


def test_every_page_is_in_the_package(manuals: Path) -> None:
    assert sorted(str(path.relative_to(manuals)) for path in manuals.rglob("*.gz")) == [f"{page}.gz" for page in PAGES]


@pytest.mark.parametrize("page", PAGES)
def test_manual_pages_are_well_formed(manuals: Path, page: str, tmp_path: Path) -> None:
    source = tmp_path / Path(page).name
    source.write_bytes(gzip.decompress((manuals / f"{page}.gz").read_bytes()))
    shown = run("man", "--warnings", "--encoding=UTF-8", "--local-file", source)
    assert (shown.returncode, shown.stderr) == (0, "")
    linted = run("mandoc", "-T", "lint", "-W", "warning", source)
    assert (linted.returncode, linted.stdout) == (0, "")


@pytest.mark.parametrize(("program", "page"), [("l2tp-ctl", PAGES[3]), ("l2tp-kernel", PAGES[4])])
def test_every_option_is_in_the_manual(manuals: Path, program: str, page: str) -> None:
    text = gzip.decompress((manuals / f"{page}.gz").read_bytes()).decode().replace("\\-", "-")
    options = set(re.findall(r"--[a-z-]+", run(BIN / program, "--help").stdout))
    assert {"--check", "--help"} < options
    assert [option for option in sorted(options) if option not in text] == []


@pytest.mark.parametrize("profile", sorted((PACKAGING / "apparmor").iterdir()), ids=lambda path: path.name)
def test_apparmor_profiles_can_be_read(profile: Path) -> None:
    done = run("apparmor_parser", "--skip-kernel-load", "--skip-cache", profile)
    assert done.returncode == 0, done.stderr
