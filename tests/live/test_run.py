"""``l2tp-admin run``: all processes as one, as a container starts them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.daemons import POLICY, USER
from tests.support.netns import namespace, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.netns import Namespace, Process

pytestmark = pytest.mark.root

CONFIGURATION = """\
[local]
hostname = "west"
router-id = "192.0.2.1"
[daemon]
kernel-directory = "{directory}/l2tp-kernel"
admin-socket = "{directory}/l2tp-ctl/admin.sock"
resolver-socket = "{directory}/l2tp-resolver/resolver.sock"
"""
TUNNEL = '[tunnel.{}]\npeer-address = "192.0.2.2"\n'


class Container(NamedTuple):
    host: Namespace
    directory: Path
    process: Process

    def tunnels(self) -> list[str] | None:
        """Names of the tunnels, None while there is no answer."""
        command = ("l2tp-admin", "--socket", self.directory / "l2tpd" / "admin.sock", "show", "tunnels", "--json")
        done = self.host.run(*command, check=False)
        return [each["name"] for each in json.loads(done.stdout)["tunnels"]] if done.returncode == 0 else None

    def command_lines(self) -> dict[int, str]:
        """Command line of each process, or the title that it has given itself, by its pid."""
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        lines = {}
        for pid in pids:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
                lines[int(pid)] = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()
        return lines

    def children(self) -> dict[str, int]:
        """Pid of each process by the name that its title begins with."""
        titles = self.command_lines()
        return {title.split(":")[0]: pid for pid, title in titles.items() if title.startswith("l2tp-")}


@contextlib.contextmanager
def container(configuration: str = CONFIGURATION) -> Iterator[Container]:
    with tempfile.TemporaryDirectory(prefix="l2tpd-test-") as name, namespace("run") as host:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "policy.toml").write_text(POLICY)
        (directory / "l2tpd.toml").write_text(configuration.format(directory=directory))
        command = ("l2tp-admin", "run", "--policy", directory / "policy.toml", "--config", directory / "l2tpd.toml",
                   "--runtime", directory, "--user", USER)  # fmt: skip
        with host.start(*command, log=directory / "log") as process:
            yield Container(host, directory, process)


def test_one_command_runs_all_without_needless_rights_and_ends_them() -> None:
    with container() as made:
        made.process.wait_until(lambda: made.tunnels() == [], "it answers")
        all_four = {"l2tp-kernel", "l2tp-resolver", "l2tp-ctl", "l2tp-admin"}
        made.process.wait_until(lambda: set(made.children()) == all_four, "all are there")
        children = made.children()
        owners = {name: Path(f"/proc/{pid}").stat().st_uid for name, pid in children.items()}
        assert owners["l2tp-kernel"] == 0
        assert 0 not in {owner for name, owner in owners.items() if name != "l2tp-kernel"}
        made.process.wait_for_log("connected to l2tp-kernel")
        assert made.process.stop(timeout=15) == 0
        assert made.host.pids() == []
        assert not (made.directory / "l2tpd" / "admin.sock").exists()


def test_each_that_is_killed_comes_back() -> None:
    with container() as made:
        made.process.wait_until(lambda: made.tunnels() == [], "it answers")
        for name, pid in made.children().items():
            os.kill(pid, signal.SIGKILL)
            made.process.wait_until(lambda: made.children().get(name, pid) != pid, f"{name} comes back")  # noqa: B023
            made.process.wait_for_log(f"{name} ended with status -9")
        made.process.wait_until(lambda: made.tunnels() == [], "it answers")


def test_mistakes_end_it() -> None:
    with container("[local]\n") as made:
        assert made.process.wait() == 2
        assert "l2tp-ctl ended with status 2" in made.process.text()
        poll(lambda: made.host.pids() == [], "nothing is left")


def test_hangup_reads_the_files_again() -> None:
    with container() as made:
        made.process.wait_until(lambda: made.tunnels() == [], "it answers")
        config = made.directory / "l2tpd.toml"
        config.write_text(config.read_text() + TUNNEL.format("east"))
        made.process.signal(signal.SIGHUP)
        made.process.wait_until(lambda: made.tunnels() == ["east"], "the new tunnel is there")
        made.process.wait_for_log("policy.toml: read again")


@pytest.mark.parametrize("name", ["kernel", "ctl"])
def test_a_hangup_that_comes_too_early_is_obeyed_later(name: str) -> None:
    with container() as made:

        def starting() -> bool:
            return any(f"l2tp_{name}.main" in line for line in made.command_lines().values())

        made.process.wait_until(starting, f"l2tp-{name} has no title yet")
        made.process.signal(signal.SIGHUP)
        made.process.wait_for_log({"kernel": "policy.toml: read again", "ctl": "Received 1 signal"}[name])
        made.process.wait_until(lambda: made.tunnels() == [], "it answers")
        assert "ended with status" not in made.process.text()


def test_a_name_is_looked_up() -> None:
    named = CONFIGURATION + '[tunnel.east]\npeer-address = "localhost"\n[listen]\naddresses = ["0.0.0.0"]\n'
    with container(named) as made:
        made.process.wait_for_log("tunnel [east]: localhost is 127.0.0.1")


def test_an_unknown_user_is_told_of() -> None:
    with container() as made:
        shutil.copy(made.directory / "policy.toml", made.directory / "copy.toml")
        done = made.host.run("l2tp-admin", "run", "--user", "nobody-at-all", check=False)
    assert done.returncode == 1
    assert "nobody-at-all" in done.stderr
