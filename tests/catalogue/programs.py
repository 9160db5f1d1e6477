"""An l2tp-ctl of a test's own, without network, and a helper that gives it whatever socket the test likes."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import zmq

from l2tp_kernel.schema import Flavour, Plane, Status, Verb
from tests.admin.daemons import can_connect
from tests.support.netns import Process, program

REPOSITORY = Path(__file__).resolve().parents[2]


class Control:
    """The control process, in a directory of its own; it logs everything."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.admin = directory / "ctl.sock"
        self.helper = directory / "kernel"
        self.config = directory / "l2tpd.toml"
        self.log = directory / "log"
        self.configure("")

    def configure(self, tables: str, daemon: str = "") -> None:
        """Write a right configuration and whatever follows it."""
        self.config.write_text(
            f'[local]\nhostname = "west"\nrouter-id = "192.0.2.1"\n[daemon]\nkernel-directory = "{self.helper}"\n'
            f'admin-socket = "{self.admin}"\nlog-level = "debug"\n{daemon}\n{tables}'
        )

    def command(self, *options: str | Path, broken: tuple[str, str] | None = None) -> list[str]:
        """Its command line; ``broken`` is a system call that fails, and how."""
        command = [program("l2tp-ctl"), "--config", str(self.config), *map(str, options)]
        if broken is not None:
            command = [sys.executable, "-m", "tests.support.seccomp", *broken, sys.executable, *command]
        return command

    def run(self, *options: str | Path, broken: tuple[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        # The hash seed is given, for Python itself would not start without random numbers.
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": "0"}
        return subprocess.run(
            self.command(*options, broken=broken),
            capture_output=True,
            text=True,
            timeout=15,
            check=False,
            env=environment,
        )

    @contextlib.contextmanager
    def running(self, *options: str) -> Iterator[Process]:
        """Start it and wait until it takes commands; stop it in the end."""
        with Process(self.command(*options), self.log) as process:
            process.wait_for_log("l2tpd start")
            process.wait_until(lambda: can_connect(self.admin), "the admin socket")
            yield process


class FakeHelper:
    """Greets, owns nothing, and answers OPEN_LISTENER with the next of ``sockets``."""

    def __init__(self, directory: Path, sockets: list[socket.socket]) -> None:
        directory.mkdir()
        self._sockets = sockets
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(directory / "descriptors"))
        self._listener.listen()
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.bind(f"ipc://{directory / 'command'}")
        self._over, self._end = socket.socketpair()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> FakeHelper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()
        self._thread.join()
        self._context.destroy(linger=0)
        for each in (self._listener, self._over, *self._sockets):
            each.close()

    def _serve(self) -> None:
        ready, _, _ = select.select([self._listener, self._over], [], [])
        if self._over in ready:
            return
        channel, _ = self._listener.accept()
        channel.send(bytes(16))
        poller = zmq.Poller()
        for source in (self._router, self._over.fileno()):
            poller.register(source, zmq.POLLIN)
        with channel:
            while self._over.fileno() not in (sources := dict(poller.poll())):
                if self._router in sources:
                    identity, request = self._router.recv_multipart()
                    sequence, verb, *_ = msgpack.unpackb(request)
                    answer = [sequence, Status.OK, self._answer(channel, sequence, Verb(verb))]
                    self._router.send_multipart([identity, msgpack.packb(answer)])

    def _answer(self, channel: socket.socket, sequence: int, verb: Verb) -> Any:
        match verb:
            case Verb.HELLO:
                return [[Plane.USERSPACE], os.getpid()]
            case Verb.LIST:
                return [[], []]
            case Verb.OPEN_LISTENER:
                socket.send_fds(channel, [msgpack.packb([sequence, 1])], [self._sockets[0].fileno()])
                return [1, Flavour.UDP]
            case _:
                return []
