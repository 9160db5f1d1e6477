"""The three processes of one host, as an operator starts them."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.netns import Namespace, Process

USER = "nobody"

POLICY = """\
clients = ["nobody"]
forwarder-user = "nobody"
[listen]
addresses = ["0.0.0.0/0", "::/0"]
ports = [0, 1701]
[peers]
addresses = ["0.0.0.0/0", "::/0"]
[interfaces]
names = ["pw*"]
maximum = 1000
"""


class Daemons:
    """The processes of one host, and what an operator asks of them."""

    def __init__(
        self, host: Namespace, directory: Path, stack: contextlib.ExitStack, admin: tuple[str, ...] = ()
    ) -> None:
        self._stack = stack
        self.host = host
        self.directory = directory
        self.helper = self._start(
            "l2tp-kernel", "--policy", directory / "policy.toml", "--runtime-directory", directory / "kernel"
        )
        self.helper.wait_until(lambda: _has_socket(directory / "kernel"), "the helper listens")
        self.control = self._start("l2tp-ctl", "--config", directory / "l2tpd.toml", "--user", USER)
        self.control.wait_until((directory / "ctl" / "control.sock").is_socket, "the control process listens")
        self.admin = self._start(
            "l2tp-admin",
            "serve",
            "--listen",
            directory / "admin.sock",
            "--control",
            directory / "ctl" / "control.sock",
            *admin,
        )
        self.admin.wait_until((directory / "admin.sock").is_socket, "the admin process listens")

    def command(self, *words: str) -> str:
        """Output of ``l2tp-admin WORDS``; AssertionError if it fails."""
        return self.host.run("l2tp-admin", "--socket", self.directory / "admin.sock", *words).stdout

    def show(self, what: str) -> dict[str, dict[str, Any]]:
        """Give the ``tunnels`` or ``sessions`` by name."""
        return {item["name"]: item for item in json.loads(self.command("show", what, "--json"))[what]}

    def wait_for_state(self, what: str, name: str, state: str, *, timeout: float = 10.0) -> dict[str, Any]:
        """Wait until a tunnel or session is in a state, and give it."""

        def item() -> dict[str, Any] | None:
            found = self.show(what).get(name)
            return found if found and found["state"] == state else None

        return self.control.wait_until(item, f"{what} {name} {state}", timeout=timeout) or {}

    def _start(self, name: str, *arguments: str | Path) -> Process:
        process = self.host.start(name, *arguments, log=self.directory / f"{name}.log")
        return self._stack.enter_context(process)


@contextlib.contextmanager
def daemons(
    host: Namespace,
    configuration: str,
    *,
    password: str = "",
    policy: str = POLICY,
    admin: tuple[str, ...] = (),
) -> Iterator[Daemons]:
    """Run them on ``host``.  ``{directory}`` in the configuration is theirs; its ``[daemon]`` table is made here.

    ``admin`` are more options of l2tp-admin serve.
    """
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="l2tpd-test-")))
        directory.chmod(0o755)  # unlike pytest's own directories, this one lets the daemons' user through
        (directory / "ctl").mkdir()
        shutil.chown(directory / "ctl", USER)
        if password:
            (directory / "password").touch(0o600)
            (directory / "password").write_text(password)
            shutil.chown(directory / "password", USER)
        (directory / "policy.toml").write_text(policy)
        own = f'[daemon]\nkernel-directory = "{directory}/kernel"\nadmin-socket = "{directory}/ctl/control.sock"\n'
        (directory / "l2tpd.toml").write_text(own + configuration)
        yield Daemons(host, directory, stack, admin)


def _has_socket(directory: Path) -> bool:
    return directory.is_dir() and any(path.is_socket() for path in directory.iterdir())
