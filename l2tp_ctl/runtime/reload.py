"""A new configuration under a running process: only what it changes is touched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from l2tp_ctl.admin_schema import Reloaded
from l2tp_ctl.catalogue import Entry
from l2tp_ctl.runtime.config_file import ConfigError, Configuration
from l2tp_ctl.runtime.helper_link import HelperLink
from l2tp_ctl.runtime.shell import Shell

_AT_START = {
    "daemon.kernel-directory": "kernel_directory",
    "daemon.admin-socket": "admin_socket",
    "daemon.resolver-socket": "resolver_socket",
    "daemon.plane": "plane",
    "daemon.log-level": "log_level",
    "daemon.log-format": "log_format",
}
"""Keys that take effect when the process starts, and where their values are."""


class Reloader:
    """Reads the configuration again and puts it in place.  ``read`` raises ConfigError."""

    def __init__(
        self, configuration: Configuration, read: Callable[[], Configuration], shell: Shell, link: HelperLink
    ) -> None:
        self.current = configuration
        """What is in force."""
        self._read = read
        self._shell = shell
        self._link = link
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self) -> Reloaded:
        """Do it, and return what has changed; raises ConfigError, and nothing has changed, where the file is wrong."""
        async with self._one_at_a_time:
            try:
                new = self._read()
            except ConfigError as error:
                self._shell.log.problems(error)
                self._shell.log.write(Entry.NOT_RELOADED, {"file": str(error.path)})
                raise
            return await self._put_in_place(new)

    async def _put_in_place(self, new: Configuration) -> Reloaded:
        old, log = self.current, self._shell.log
        before, after = _by_name(old), _by_name(new)
        told = Reloaded(
            added=[name for name in after if name not in before],
            changed=[name for name in after if name in before and after[name] != before[name]],
            removed=[name for name in before if name not in after],
            needs_restart=[key for key, name in _AT_START.items() if getattr(old, name) != getattr(new, name)],
        )
        await self._link.open(new.listeners)
        self._shell.reload(new)
        self._link.tend()
        self.current = new
        log.ring.limit = new.log_memory
        for name in told["added"] + told["changed"]:
            for tunnel, tag, value in new.parameters:
                if tunnel == name:
                    log.write(Entry.CONFIG_PARAM, {"tun_name": tunnel, "tag": tag, "param": value}, tunnel)
        for key in told["needs_restart"]:
            log.write(Entry.NEEDS_RESTART, {"tag": key})
        log.write(Entry.RELOADED, {kind: len(told[kind]) for kind in ("added", "changed", "removed")})
        return told


def _by_name(configuration: Configuration) -> dict[str, object]:
    """Return the tunnels and templates."""
    templates = {template.tunnel.name: template for template in configuration.templates}
    return templates | {tunnel.name: tunnel for tunnel in configuration.tunnels}
