"""The control process: its parts put together, from the first line of its log to the last."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from typing import Any

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.runtime.admin_commands import Commands
from l2tp_ctl.runtime.admin_server import AdminServer
from l2tp_ctl.runtime.config_file import ConfigError, Configuration
from l2tp_ctl.runtime.failures import describe
from l2tp_ctl.runtime.helper_link import HelperLink
from l2tp_ctl.runtime.log_sink import LogSink
from l2tp_ctl.runtime.notify import notify, status, watchdog_interval
from l2tp_ctl.runtime.reload import Reloader
from l2tp_ctl.runtime.shell import Shell

FAREWELL = 3.0
"""Seconds for the peers to acknowledge our StopCCN before we leave anyway."""
CLEANUP = 15.0
"""Seconds for the helper to remove what is left after that; it takes some milliseconds for each interface."""
_QUIET_POLL = 0.02
_STATUS_PAUSE = 1.0
"""Seconds between two looks at the state for the status line."""


class App:
    """One run of the control process.

    ``admin`` is the admin socket, listening.  ``read`` reads the configuration again; it raises ConfigError.
    """

    def __init__(
        self, configuration: Configuration, log: LogSink, admin: socket.socket, read: Callable[[], Configuration]
    ) -> None:
        self._configuration = configuration
        self._log = log
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._shell = Shell(configuration, log, self._changed.set)
        self._link = HelperLink(configuration, self._shell)
        self._reload = Reloader(configuration, read, self._shell, self._link)
        self._reloading: set[asyncio.Task[None]] = set()
        self._admin = AdminServer(admin, Commands(self._shell, self._link, self._reload), log)

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT.  Whatever breaks inside ends it with an ExceptionGroup."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._report)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._begin_reload)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # `l2tp-admin run` holds it back until here
        self._log.write(Entry.L2TPD_START, {})
        for tunnel, tag, value in self._configuration.parameters:
            self._log.write(Entry.CONFIG_PARAM, {"tun_name": tunnel, "tag": tag, "param": value}, tunnel)
        async with asyncio.TaskGroup() as group:
            parts = (self._link.run(), self._admin.run(), self._show_status(), _feed_watchdog())
            tasks = [group.create_task(part) for part in parts]
            notify(READY="1")
            await self._stopping.wait()
            notify(STOPPING="1")
            await self._say_farewell()
            self._shell.names.close()
            for task in tasks:
                task.cancel()
        self._log.write(Entry.L2TPD_EXIT, {})

    def _stop(self, number: signal.Signals) -> None:
        self._log.write(Entry.RECEIVED_SIGNAL, {"signo": int(number)})
        self._stopping.set()

    def _begin_reload(self) -> None:
        self._log.write(Entry.RECEIVED_SIGNAL, {"signo": int(signal.SIGHUP)})
        task = asyncio.get_running_loop().create_task(self._reload_by_signal())
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)

    async def _reload_by_signal(self) -> None:
        with contextlib.suppress(ConfigError):  # it is in the log
            await self._reload()

    async def _say_farewell(self) -> None:
        """Send StopCCN to every peer, and wait until all have acknowledged it and nothing is left here, for a time."""
        self._log.write(Entry.CLEANUP_RESOURCES, {})
        self._shell.shut_down()
        for seconds, done in ((FAREWELL, self._shell.quiet), (CLEANUP, self._shell.pseudowires.idle)):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while not done():  # noqa: ASYNC110  # neither the peers nor the helper tell when
                        await asyncio.sleep(_QUIET_POLL)

    async def _show_status(self) -> None:
        while True:
            tunnels = [*self._shell.overview()]
            up = sum(tunnel.state == "established" for tunnel in tunnels)
            sessions = sum(tunnel.sessions_configured for tunnel in tunnels)
            sessions_up = sum(tunnel.sessions_established for tunnel in tunnels)
            words = f"{up} of {len(tunnels)} tunnels up, {sessions_up} of {sessions} sessions up"
            status(words if self._link.connected else f"{words}, l2tp-kernel is away")
            await asyncio.sleep(_STATUS_PAUSE)
            await self._changed.wait()
            self._changed.clear()

    def _report(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what broke while one event was handled; the next one gets its chance."""
        error = context.get("exception")
        self._log.write(*(describe(error) if error else (Entry.INTERNAL_ERROR, {"error": str(context["message"])})))


async def _feed_watchdog() -> None:
    interval = watchdog_interval()
    while interval is not None:
        notify(WATCHDOG="1")
        await asyncio.sleep(interval)
