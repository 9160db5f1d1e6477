"""The processes of one host, as an operator starts them."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2tp_admin.client import ask
from l2tp_ctl.admin_schema import Command
from tests.support.names import Sources
from tests.support.netns import PATIENCE

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

    helper: Process
    control: Process
    admin: Process
    resolver: Process
    """Only where it was asked for."""

    def __init__(
        self,
        host: Namespace,
        directory: Path,
        configuration: str,
        stack: contextlib.ExitStack,
        admin: tuple[str, ...] = (),
        *,
        resolver: bool = False,
    ) -> None:
        self._stack = stack
        self._admin_options = admin
        self._logs = itertools.count()
        self.host = host
        self.directory = directory
        self.names = Sources(directory / "names")
        """Where host names lead, for the resolver."""
        self.configure(configuration)
        if resolver:
            self.start_resolver()
        self.start_helper()
        self.start_control()
        self.start_admin()

    def start_helper(self) -> None:
        """Start l2tp-kernel, at first or after it has ended."""
        files = ("--policy", self.directory / "policy.toml", "--runtime-directory", self.directory / "kernel")
        self.helper = self._start("l2tp-kernel", *files)
        self.helper.wait_for_log("serving in")

    def start_control(self) -> None:
        """Start l2tp-ctl, at first or after it has ended."""
        self.control = self._start("l2tp-ctl", "--config", self.directory / "l2tpd.toml", "--user", USER)
        self._wait_for_socket(self.control, self.directory / "ctl" / "control.sock")

    def start_admin(self) -> None:
        """Start l2tp-admin serve, at first or after it has ended."""
        listen, control = self.directory / "admin.sock", self.directory / "ctl" / "control.sock"
        self.admin = self._start("l2tp-admin", "serve", "--listen", listen, "--control", control, *self._admin_options)
        self._wait_for_socket(self.admin, listen)

    def start_resolver(self) -> None:
        """Start l2tp-admin resolve, at first or after it has ended."""
        path = self.directory / "names" / "resolver.sock"
        command = self.names.command("l2tp-admin", "resolve", "--listen", path, "--user", USER)
        self.resolver = self._start(*command, label="l2tp-resolver")
        self._wait_for_socket(self.resolver, path, socket.SOCK_SEQPACKET)

    def configure(self, configuration: str) -> None:
        """Write the file, which begins in its ``[daemon]`` table: the paths there are ours."""
        own = f'[daemon]\nkernel-directory = "{self.directory}/kernel"\n'
        own += f'admin-socket = "{self.directory}/ctl/control.sock"\n'
        own += f'resolver-socket = "{self.directory}/names/resolver.sock"\n'
        (self.directory / "l2tpd.toml").write_text(own + configuration)

    def reload(self) -> None:
        """Have the file read again, asked as ``l2tp-admin reload`` does."""
        ask(self.directory / "admin.sock", 5.0 * PATIENCE, Command.RELOAD)

    def alive(self) -> bool:
        """Whether none of the processes has ended."""
        return all(each.returncode is None for each in (self.helper, self.control, self.admin))

    def command(self, *words: str) -> str:
        """Output of ``l2tp-admin WORDS``; AssertionError if it fails."""
        return self.host.run("l2tp-admin", "--socket", self.directory / "admin.sock", *words).stdout

    def show(self, what: str) -> dict[str, dict[str, Any]]:
        """Give the ``tunnels`` or ``sessions`` by name, asked as ``l2tp-admin show WHAT --json`` does.

        In this process, because a test asks again and again until something has happened.
        """
        answer = ask(self.directory / "admin.sock", 5.0 * PATIENCE, Command(f"show-{what}"))
        return {item["name"]: item for item in answer[what]}

    def wait_for_state(self, what: str, name: str, state: str, *, timeout: float = 10.0) -> dict[str, Any]:
        """Wait until a tunnel or session is in a state, and give it."""

        def item() -> dict[str, Any] | None:
            found = self.show(what).get(name)
            return found if found and found["state"] == state else None

        return self.control.wait_until(item, f"{what} {name} {state}", timeout=timeout) or {}

    def _start(self, name: str, *arguments: str | Path, label: str = "") -> Process:
        log = self.directory / f"{next(self._logs)}-{label or name}.log"
        return self._stack.enter_context(self.host.start(name, *arguments, log=log))

    @staticmethod
    def _wait_for_socket(process: Process, path: Path, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
        """Wait until a process takes clients: a killed one leaves its path behind."""

        def takes_clients() -> bool:
            with socket.socket(socket.AF_UNIX, kind) as client:
                return client.connect_ex(str(path)) == 0

        process.wait_until(takes_clients, f"{path.name} takes clients")


@contextlib.contextmanager
def daemons(
    host: Namespace,
    configuration: str,
    *,
    password: str = "",
    policy: str = POLICY,
    admin: tuple[str, ...] = (),
    resolver: bool = False,
) -> Iterator[Daemons]:
    """Run them on ``host``; the configuration is what :meth:`Daemons.configure` takes.

    ``admin`` are more options of l2tp-admin serve; ``resolver`` is whether there is one for host names.
    """
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="l2tpd-test-")))
        directory.chmod(0o755)  # unlike pytest's own directories, this one lets the daemons' user through
        for name in ("ctl", "names"):
            (directory / name).mkdir()
            shutil.chown(directory / name, USER)
        if password:
            (directory / "password").touch(0o600)
            (directory / "password").write_text(password)
            shutil.chown(directory / "password", USER)
        (directory / "policy.toml").write_text(policy)
        yield Daemons(host, directory, configuration, stack, admin, resolver=resolver)
