"""An upgrade under traffic, and the end: nothing of the package is left."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.systemd.conftest import EAST
from tests.systemd.machine import UNITS, debian_package

if TYPE_CHECKING:
    from pathlib import Path

    from tests.systemd.conftest import Pair

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

INTERVAL = 0.01
"""Seconds from one ping to the next."""
MOST_LOST = 15.0
"""Seconds of traffic that an upgrade of one end may cost."""


def next_version(directory: Path) -> Path:
    """The package under test as a release after it: the same programs under a higher number."""
    tree, package = directory / "tree", directory / "l2tpd_next_all.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", debian_package(), tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"^Version: .*$", r"\g<0>+next", control.read_text(), flags=re.MULTILINE))
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, package], check=True, stdout=subprocess.DEVNULL)
    return package


def test_an_upgrade_restarts_all_and_the_traffic_comes_back(pair: Pair, tmp_path: Path) -> None:
    west = pair.west
    next_version(tmp_path).rename(west.share / "next.deb")
    west.wait_for_answer(EAST)
    west.shell("systemctl start l2tp-resolver")  # as a tunnel by name would
    units = (*UNITS, "l2tp-resolver")
    before = [west.main_pid(unit) for unit in units]
    start = f"echo $$ >/run/ping.pid; exec ping -i{INTERVAL} {EAST}"
    with subprocess.Popen(west.command("sh", "-c", start), stdout=subprocess.PIPE, text=True) as ping:
        west.shell("DEBIAN_FRONTEND=noninteractive dpkg --install /mnt/next.deb")
        west.wait_for_session()
        west.wait_for_answer(EAST)
        west.signal("INT", int(west.shell("cat /run/ping.pid")))
        printed, _ = ping.communicate(timeout=10)
    assert west.shell("dpkg-query --show --showformat='${Version}' l2tpd").endswith("+next")
    assert all(new not in {0, old} for new, old in zip((west.main_pid(unit) for unit in units), before, strict=True))
    found = re.search(r"(\d+) packets transmitted, (\d+) received", printed)
    assert found, printed
    lost = (int(found[1]) - int(found[2])) * INTERVAL
    print(f"upgrade under traffic: {int(found[1]) - int(found[2])} of {found[1]} pings lost, {lost:.2f} s")
    assert int(found[2]) > 0
    assert lost < MOST_LOST


def test_a_purge_leaves_nothing(pair: Pair) -> None:
    host = pair.east
    host.shell("rm /etc/l2tpd/passwords/west; DEBIAN_FRONTEND=noninteractive apt-get purge --yes l2tpd")
    left = "/etc/l2tpd /run/l2tpd /run/l2tp-kernel /run/l2tp-ctl /run/l2tp-resolver /usr/lib/l2tpd /usr/sbin/l2tp-ctl"
    assert host.shell(f"for path in {left}; do test -e $path && echo $path; done", check=False) == ""
    assert host.shell("find / -xdev -name 'l2tp[-_d]*' -print") == ""
    assert host.shell("systemctl list-units --all --no-legend 'l2tp-*'") == ""
    assert host.run("ip", "link", "show", "pw0", check=False).returncode != 0
    assert "l2tp-" not in host.shell("cat /proc/*/cmdline 2>/dev/null | tr '\\0' ' '", check=False)
    assert host.shell("systemctl --failed --quiet --no-legend") == ""
