"""``l2tp-ctl``: the command line of the control process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from l2tp_ctl.catalogue import Entry, Level
from l2tp_ctl.runtime.admin_server import listen
from l2tp_ctl.runtime.app import App
from l2tp_ctl.runtime.config_file import ConfigError, Configuration, load
from l2tp_ctl.runtime.log_sink import LogSink
from l2tp_kernel.privileges import drop

DEFAULT_CONFIG = Path("/etc/l2tpd/l2tpd.toml")
FAILED, BAD_CONFIGURATION = 1, 2
"""Exit statuses beside 0; wrong usage is 2, too."""


def main() -> int:
    """Run ``l2tp-ctl`` and return its exit status."""
    arguments = _parser().parse_args()
    level = None if arguments.log_level is None else Level[arguments.log_level.upper()]
    log = LogSink(sys.stderr, level or Level.INFO, arguments.log_format or "text")
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    try:
        configuration = load(arguments.config, Path(credentials) if credentials else None)
    except ConfigError as error:
        log.problems(error)
        return BAD_CONFIGURATION
    if arguments.check:
        sys.stdout.write(f"{arguments.config}: {len(configuration.tunnels)} tunnels, no mistakes\n")
        return 0
    log = replace(log, level=level or configuration.log_level, style=arguments.log_format or configuration.log_format)
    try:
        if arguments.user is not None:
            # Everything is imported and the passwords are read: nothing needs root from here on.
            drop(arguments.user)
    except (KeyError, OSError) as error:
        return _cannot_start(log, f"cannot become {arguments.user}: {error}")
    try:
        admin = listen(configuration.admin_socket)
    except OSError as error:
        return _cannot_start(log, f"{configuration.admin_socket}: {error.strerror or error}")
    try:
        asyncio.run(_run(configuration, log, admin))
    finally:
        with contextlib.suppress(OSError):
            configuration.admin_socket.unlink()
    return 0


async def _run(configuration: Configuration, log: LogSink, admin: socket.socket) -> None:
    await App(configuration, log, admin).run()


def _cannot_start(log: LogSink, reason: str) -> int:
    log.write(Entry.DAEMON_ERROR, {"error": reason})
    log.write(Entry.L2TPD_INITIALIZATION_FAILED, {})
    return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="l2tp-ctl",
        description="L2TPv3 control process: signals tunnels and sessions; l2tp-kernel does what needs privilege.",
        epilog="Exit status: 0 done, 1 failed, 2 wrong usage or mistakes in the configuration file.",
    )
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="check the configuration file and start nothing")
    parser.add_argument("--user", metavar="USER", help="started as root: become USER once the passwords are read")
    parser.add_argument("--log-format", choices=["text", "json"], help="default: daemon.log-format")
    parser.add_argument(
        "--log-level", choices=[level.name.lower() for level in Level], help="default: daemon.log-level"
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {metadata.version('l2tpd')}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
