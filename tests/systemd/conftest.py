"""Two machines with the package installed, joined by a cable and by a pseudowire."""

from __future__ import annotations

import contextlib
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.systemd.machine import Machine, cable, debian_package, have_tools, machine, root_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIGURATION = """\
[local]
hostname = "{name}"
router-id = "192.0.2.{number}"

[tunnel.{peer}]
peer-address = "192.0.2.{peer_number}"
hostname = "{peer}"
router-id = "192.0.2.{peer_number}"
password-file = "passwords/{peer}"
cookie = 8
initiate = {initiate}
reconnect-interval = 1

[tunnel.{peer}.session.office]
remote-end-id = "office"
interface = "pw0"
"""
PASSWORD = "correct horse battery staple"
EAST = "198.51.100.2"
"""Its address on the pseudowire; 198.51.100.1 is west's."""
ROOT = Path(__file__).resolve().parents[2]


class Pair(NamedTuple):
    """Both machines; west begins."""

    west: Machine
    east: Machine


def installation(document: str) -> list[str]:
    """Commands of a document's chapter on installation, for a machine whose working directory is the source."""
    chapter = re.search(r"^## Install$(.*?)^## ", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)
    assert chapter
    block = re.search(r"```sh\n(.*?)```", chapter[1], re.DOTALL)
    assert block
    return [line.split("  #")[0].strip() for line in block[1].splitlines()]


def install(host: Machine) -> None:
    """Do what the README says, then what it says is for the operator: a configuration and a password."""
    tools, make, *commands = installation("README.md")
    # What was done before the tests, on this machine.
    assert (tools, make) == ("apt-get install --yes make python3", "make deb")
    for line in commands:
        host.shell(f"cd /mnt/source && DEBIAN_FRONTEND=noninteractive {line}", timeout=120)


def configure(host: Machine, number: int) -> None:
    peer = ("west", "east")[number % 2]
    words = {"name": host.name, "number": number, "peer": peer, "peer_number": 3 - number,
             "initiate": str(number == 1).lower()}  # fmt: skip
    host.write("/etc/l2tpd/l2tpd.toml", CONFIGURATION.format(**words), mode="640 -g l2tp-ctl")
    host.write(f"/etc/l2tpd/passwords/{peer}", PASSWORD, mode="600")
    host.shell("l2tp-ctl --check && systemctl restart l2tp-ctl")


def address(host: Machine, number: int) -> None:
    """Give the pseudowire's interface its address, now and whenever it is made again."""
    host.write("/usr/local/bin/address", ADDRESS.format(number=number), mode="755")
    host.shell("systemd-run --unit=address /usr/local/bin/address")


ADDRESS = """\
#!/bin/sh
# What a network manager does: an address as soon as there is an interface.
while :; do
    ip addr add 198.51.100.{number}/24 dev pw0 2>/dev/null
    sleep 0.02
done
"""


@pytest.fixture(scope="session")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the machines see of the host: a directory with the package where `make deb` puts it."""
    return tmp_path_factory.mktemp("machines")


@pytest.fixture(scope="session")
def pair(share: Path) -> Iterator[Pair]:
    """Both machines, installed and configured, with a session established."""
    assert have_tools(), "machines need root, util-linux and iproute2"
    with contextlib.ExitStack() as stack:
        hosts = []
        for name in ("west", "east"):
            package = share / name / "source" / "build" / "deb" / debian_package().name
            package.parent.mkdir(parents=True)
            shutil.copy(debian_package(), package)
            hosts.append(stack.enter_context(machine(name, root_directory(), share / name)))
        west, east = hosts
        stack.enter_context(cable(west, east))
        with ThreadPoolExecutor() as pool:
            list(pool.map(install, hosts))
            list(pool.map(configure, hosts, (1, 2)))
        address(west, 1)
        address(east, 2)
        for each in hosts:
            each.wait_for_session()
        west.wait_for_answer(EAST)
        yield Pair(west, east)
