"""What every test shares: what cannot run here is skipped, each kind with its one reason."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import planes, prometheus, softether
from tests.support.netns import sweep, veth_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.guest.ends import End


def pytest_configure() -> None:
    # A shell that starts us in the background makes us ignore SIGINT, and all the programs that tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def measured() -> Iterator[None]:
    """Start programs without coverage, which would be measured along with them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
            patch.delenv(name, raising=False)
        yield


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("planes")
    names = [name for name in planes.PAIRS if marker is None or name in marker.args]
    # By module, so that a module's fixtures serve one plane after the other.
    if "planes" in metafunc.fixturenames:
        metafunc.parametrize("planes", [planes.PAIRS[name] for name in names], ids=names, scope="module")
    if "plane" in metafunc.fixturenames:
        names = [name for name in names if name != "mixed"]
        metafunc.parametrize("plane", [planes.PAIRS[name][0] for name in names], ids=names, scope="module")


def _wanted(item: pytest.Item, chosen: set[str]) -> bool:
    """Whether a test has one of the chosen planes, or none at all where those without are wanted, too."""
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    given = parameters.get("planes", (parameters.get("plane"),) * 2)
    names = {name for name, pair in planes.PAIRS.items() if pair == given}
    if names:
        return bool(names & chosen)
    return not planes.CHOICE or item.nodeid.startswith("tests/guest/") or item.get_closest_marker("guest") is not None


def _missing() -> dict[str, str]:
    """Reason why tests with a marker cannot run here, by marker."""
    reasons = {}
    if os.geteuid() != 0:
        reasons["root"] = "needs root"
    elif shutil.which("ip") is None:
        reasons["root"] = "needs iproute2"
    if shutil.which("tshark") is None:
        reasons["tshark"] = "needs tshark"
    if softether.find("vpnserver") is None or softether.find("vpncmd") is None:
        reasons["softether"] = "needs softether-vpnserver and softether-vpncmd"
    if prometheus.find("prometheus") is None or prometheus.find("promtool") is None:
        reasons["prometheus"] = "needs prometheus"
    return reasons


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = planes.chosen()
    config.hook.pytest_deselected(items=[item for item in items if not _wanted(item, chosen)])
    items[:] = [item for item in items if _wanted(item, chosen)]
    missing = _missing()
    for item in items:
        for marker, reason in missing.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
    if "root" not in missing and any(item.get_closest_marker("root") for item in items):
        sweep()


@pytest.fixture(scope="session")
def both_ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[End, End]]:
    """Two hosts with a helper each; tests take ``ends``."""
    from tests.guest.ends import helpers  # it needs what most tests do without

    with veth_pair("ends") as hosts, helpers(hosts, tmp_path_factory.mktemp("ends")) as ends:
        yield ends


@pytest.fixture
def ends(both_ends: tuple[End, End]) -> Iterator[tuple[End, End]]:
    """Two hosts with a helper each, without listeners or pseudowires; afterwards, too."""
    yield both_ends
    for end in both_ends:
        end.clear()


@pytest.fixture
def repository() -> Path:
    """The checkout under test."""
    return Path(__file__).resolve().parent.parent
