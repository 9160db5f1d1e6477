"""All processes as children of one, in the foreground: for containers, which have no service manager."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import setproctitle

from l2tp_admin.log import to_stderr
from l2tp_ctl.catalogue import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

AGAIN = 0.5
"""Seconds until a process that has ended is started again."""
MOMENT = 0.02
"""Seconds until there is another look whether a socket is there."""
BAD_CONFIGURATION = 2
"""Exit status of a process whose file has mistakes, which do not go away by trying again."""
PATIENCE = 10.0
"""Seconds for one process to end when it is told to, or to have its socket."""


class Child(NamedTuple):
    """One of them: its name, its command line, and whether it has a file that SIGHUP lets it read again.

    ``asks`` is the socket of another that it asks as soon as it has started.
    """

    name: str
    command: list[str]
    reloads: bool
    asks: Path | None = None


class Settings(NamedTuple):
    """What the command line says; ``runtime`` is the directory that holds the directories of the sockets."""

    policy: Path
    config: Path
    runtime: Path
    user: str
    operators: str | None
    viewers: str | None


def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; return 0 then, 2 if one of the files has mistakes, 1 where it could not begin.

    SIGHUP lets l2tp-kernel and l2tp-ctl read their files again.  Started as root, all but l2tp-kernel become the user
    of the settings.
    """
    setproctitle.setproctitle("l2tp-admin: run")
    try:
        children = _children(settings)
    except (LookupError, OSError) as error:
        to_stderr(Entry.CONFIG_ERROR, tag="run", problem=str(error))
        to_stderr(Entry.L2TPD_INITIALIZATION_FAILED)
        return 1
    return asyncio.run(_supervise(children))


def _children(settings: Settings) -> list[Child]:
    """Make the directories of the sockets, and say how each process is started."""
    python = [sys.executable, "-P", "-m"]
    names = ("l2tp-kernel", "l2tp-resolver", "l2tp-ctl", "l2tpd")
    kernel, resolver, control, listen = (settings.runtime / name for name in names)
    groups = {"--operators": settings.operators, "--viewers": settings.viewers}
    roles = [word for option, group in groups.items() if group is not None for word in (option, group)]
    become = ["--user", settings.user] if os.geteuid() == 0 else []
    for directory in (resolver, control, listen):
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        if become:
            shutil.chown(directory, settings.user)
    files = ["--policy", str(settings.policy), "--runtime-directory", str(kernel)]
    sockets = ["--listen", str(listen / "admin.sock"), "--control", str(control / "admin.sock")]
    answers = resolver / "resolver.sock"
    answers.unlink(missing_ok=True)
    return [
        Child("l2tp-kernel", [*python, "l2tp_kernel.main", *files], reloads=True),
        Child(
            "l2tp-resolver",
            [*python, "l2tp_admin.main", "resolve", "--listen", str(answers), *become],
            reloads=False,
        ),
        Child(
            "l2tp-ctl",
            [*python, "l2tp_ctl.main", "--config", str(settings.config), *become],
            reloads=True,
            asks=answers,
        ),
        Child("l2tp-admin", [*python, "l2tp_admin.main", "serve", *sockets, *roles, *become], reloads=False),
    ]


async def _supervise(children: list[Child]) -> int:
    loop = asyncio.get_running_loop()
    running: dict[str, asyncio.subprocess.Process] = {}
    stopping: asyncio.Future[int] = loop.create_future()

    def stop(status: int) -> None:
        if not stopping.done():
            stopping.set_result(status)

    def reload() -> None:
        for child in children:
            if child.reloads and child.name in running:
                _signal(running[child.name], signal.SIGHUP)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, 0)
    loop.add_signal_handler(signal.SIGHUP, reload)

    async def keep(child: Child) -> None:
        patience = loop.time() + PATIENCE
        while child.asks is not None and not child.asks.exists() and loop.time() < patience and not stopping.done():
            await asyncio.wait([stopping], timeout=MOMENT)
        while not stopping.done():
            try:
                with _hangup_held_back():
                    process = running[child.name] = await asyncio.create_subprocess_exec(
                        *child.command, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
                    )
            except OSError as error:
                to_stderr(Entry.DAEMON_ERROR, error=f"{child.name}: {error.strerror}")
            else:
                status = await process.wait()
                del running[child.name]
                if stopping.done():
                    break
                to_stderr(Entry.PROCESS_ENDED, name=child.name, status=status)
                if status == BAD_CONFIGURATION:
                    stop(BAD_CONFIGURATION)
            await asyncio.wait([stopping], timeout=AGAIN)

    keepers = [asyncio.create_task(keep(child)) for child in children]
    await asyncio.wait([stopping])
    # The last first: each still has what it asks of the others while it takes its leave.
    for child, keeper in reversed(list(zip(children, keepers, strict=True))):
        if child.name in running:
            _signal(running[child.name], signal.SIGTERM)
            if not (await asyncio.wait([keeper], timeout=PATIENCE))[0]:
                _signal(running[child.name], signal.SIGKILL)
        await keeper
    return stopping.result()


@contextlib.contextmanager
def _hangup_held_back() -> Iterator[None]:
    """Hold SIGHUP back in a process that is started in here: it would end one that does not know yet what to do then.

    Each lets it through when it can read its file again.  Several may be started at the same time.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
