"""``l2tp-admin serve`` as a process: its listening socket, its signals and its life under a service manager."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import os
import pwd
import signal
import socket
import stat
from pathlib import Path

import setproctitle

from l2tp_admin import exporter, systemd
from l2tp_admin.limits import Limits
from l2tp_admin.log import to_stderr
from l2tp_admin.peer import Roles
from l2tp_admin.server import Server
from l2tp_admin.upstream import Upstream
from l2tp_ctl.catalogue import Entry

_BACKLOG = 512


def serve(
    listen: Path, control: Path, operators: str | None, viewers: str | None, user: str | None, metrics: str | None
) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status: 0 after a signal, 1 where it could not begin.

    ``operators`` and ``viewers`` are names of groups, ``user`` whom root becomes, or None.
    ``metrics`` is where Prometheus finds us, ``HOST:PORT``, or None.
    """
    setproctitle.setproctitle("l2tp-admin: serve")
    try:
        if user is not None:
            _become(user, {group for group in (_group(operators), _group(viewers)) if group is not None})
        roles = Roles(os.geteuid(), _group(operators), _group(viewers))
        inherited = systemd.inherited_listener(socket.AF_UNIX)
        listener = inherited or _listen(listen, roles)
        scraped = systemd.inherited_listener(socket.AF_INET, socket.AF_INET6)
        if scraped is None and metrics is not None:
            scraped = exporter.listen(metrics)
    except (OSError, LookupError, ValueError) as error:
        to_stderr(Entry.CONFIG_ERROR, tag=str(listen), problem=str(error))
        to_stderr(Entry.L2TPD_INITIALIZATION_FAILED)
        return 1
    try:
        asyncio.run(_run(listener, scraped, control, roles))
    finally:
        listener.close()
        if inherited is None:
            listen.unlink(missing_ok=True)
    return 0


async def _run(listener: socket.socket, scraped: socket.socket | None, control: Path, roles: Roles) -> None:
    limits = Limits()
    upstream = Upstream(control, limits.answer_time, to_stderr)
    server = Server(upstream, roles, limits, to_stderr)
    accepting = asyncio.create_task(server.run(listener))
    exporting = asyncio.create_task(exporter.Exporter(upstream).run(scraped)) if scraped else None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, number, accepting)
    systemd.notify("READY=1")
    feeding = asyncio.create_task(_feed_watchdog())
    await asyncio.wait([accepting])
    systemd.notify("STOPPING=1")
    if exporting is not None:
        exporting.cancel()
    feeding.cancel()
    await server.close()
    with contextlib.suppress(asyncio.CancelledError):
        accepting.result()


async def _feed_watchdog() -> None:
    """Show that the loop turns, which a busy one does and one that hangs does not."""
    interval = systemd.watchdog_interval()
    while interval is not None:
        systemd.notify("WATCHDOG=1")
        await asyncio.sleep(interval)


def _stop(number: int, accepting: asyncio.Task[None]) -> None:
    to_stderr(Entry.RECEIVED_SIGNAL, signo=number)
    accepting.cancel()


def _group(name: str | None) -> int | None:
    if name is None:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise LookupError(f"there is no group {name}") from None


def _become(name: str, groups: set[int]) -> None:
    """Give up root for a user, whose groups besides its own are those that the socket may belong to."""
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise LookupError(f"there is no user {name}") from None
    os.setgroups(sorted(groups))
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)


def _listen(path: Path, roles: Roles) -> socket.socket:
    """Return the socket that listens at ``path``, in the place of one that a dead process left.

    Without a group only root and our own user can connect; one group may too; of two groups a file has no notion,
    so then anybody may connect, and the roles alone decide.
    """
    groups = {group for group in (roles.operators, roles.viewers) if group is not None}
    _remove_abandoned(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Until listen() nobody can connect, whatever the mode is.
        listener.bind(str(path))
        if len(groups) == 1:
            os.chown(path, -1, min(groups))
        path.chmod((0o600, 0o660, 0o666)[len(groups)])
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_abandoned(path: Path) -> None:
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise FileExistsError(f"{path} is there and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise FileExistsError(f"{path} is served by another process")
