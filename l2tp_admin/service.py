"""``l2tp-admin serve`` as a process: its listening socket, its signals and its life under a service manager."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path

import setproctitle

from l2tp_admin import exporter, systemd
from l2tp_admin.limits import Limits
from l2tp_admin.log import to_stderr
from l2tp_admin.peer import Roles
from l2tp_admin.process import become, feed_watchdog, group_id
from l2tp_admin.process import listen as listen_at
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
            become(user, {group for group in (group_id(operators), group_id(viewers)) if group is not None})
        roles = Roles(os.geteuid(), group_id(operators), group_id(viewers))
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
    feeding = asyncio.create_task(feed_watchdog())
    await asyncio.wait([accepting])
    systemd.notify("STOPPING=1")
    if exporting is not None:
        exporting.cancel()
    feeding.cancel()
    await server.close()
    with contextlib.suppress(asyncio.CancelledError):
        accepting.result()


def _stop(number: int, accepting: asyncio.Task[None]) -> None:
    to_stderr(Entry.RECEIVED_SIGNAL, signo=number)
    accepting.cancel()


def _listen(path: Path, roles: Roles) -> socket.socket:
    """Return the socket that listens at ``path``.

    Without a group only root and our own user can connect; one group may too; of two groups a file has no notion,
    so then anybody may connect, and the roles alone decide.
    """
    groups = {group for group in (roles.operators, roles.viewers) if group is not None}
    mode = (0o600, 0o660, 0o666)[len(groups)]
    group = min(groups) if len(groups) == 1 else None
    return listen_at(path, socket.SOCK_STREAM, mode=mode, group=group, backlog=_BACKLOG)
