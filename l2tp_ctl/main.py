"""``l2tp-ctl``: the command line of the control process."""

from __future__ import annotations

import argparse
import asyncio
import atexit
import contextlib
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path

from l2tp_ctl import journal
from l2tp_ctl.catalogue import Entry, Level
from l2tp_ctl.runtime.admin_server import listen
from l2tp_ctl.runtime.app import App
from l2tp_ctl.runtime.config_file import ConfigError, Configuration, load
from l2tp_ctl.runtime.daemon import PidFile, detach, syslog
from l2tp_ctl.runtime.failures import LoopError, Selector, describe, entropy_problem
from l2tp_ctl.runtime.log_sink import LogSink, printable
from l2tp_kernel.privileges import drop

DEFAULT_CONFIG = Path("/etc/l2tpd/l2tpd.toml")
FAILED, BAD_CONFIGURATION = 1, 2
"""Exit statuses beside 0; wrong usage is 2, too."""


def main() -> int:
    """Run ``l2tp-ctl`` and return its exit status."""
    arguments = _parser().parse_args()
    level = None if arguments.log_level is None else Level[arguments.log_level.upper()]
    to_journal = journal.connect(sys.stderr, "l2tp-ctl")
    log = LogSink(sys.stderr, level or Level.INFO, arguments.log_format or "text", to_journal)
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    config = arguments.config.absolute() if arguments.daemon else arguments.config
    read = partial(load, config, Path(credentials) if credentials else None)
    try:
        configuration = read()
    except ConfigError as error:
        if arguments.check:
            sys.stderr.writelines(f"{printable(line)}\n" for line in str(error).splitlines())
        else:
            log.problems(error)
            log.write(Entry.L2TPD_INITIALIZATION_FAILED, {})
        return BAD_CONFIGURATION
    if arguments.check:
        sys.stdout.write(f"{arguments.config}: {len(configuration.tunnels)} tunnels, no mistakes\n")
        return 0
    log = replace(log, level=level or configuration.log_level, style=arguments.log_format or configuration.log_format)
    log.ring.limit = configuration.log_memory
    if problem := entropy_problem():
        return _cannot_start(log, Entry.URANDOM_OPEN_ERROR, problem)
    ready = pid_file = None
    try:
        if arguments.pid_file is not None:
            pid_file = PidFile(arguments.pid_file)
            atexit.register(pid_file.remove)
    except OSError as error:
        return _cannot_start(log, Entry.CANNOT_CREATE_PID_FILE, f"{arguments.pid_file}: {error.strerror}")
    try:
        if arguments.daemon:
            if sys.stderr.isatty():
                log = replace(log, stream=syslog("l2tp-ctl"))
            ready = detach()
    except OSError as error:
        return _cannot_start(log, Entry.DAEMON_ERROR, str(error))
    try:
        if pid_file is not None:
            pid_file.write()
    except OSError as error:
        return _cannot_start(log, Entry.CANNOT_CREATE_PID_FILE, f"{arguments.pid_file}: {error.strerror}")
    try:
        if arguments.user is not None:
            # Everything is imported and the passwords are read: nothing needs root from here on.
            drop(arguments.user)
    except (KeyError, OSError) as error:
        return _cannot_start(log, Entry.DAEMON_ERROR, f"cannot become {arguments.user}: {error}")
    try:
        admin = listen(configuration.admin_socket)
    except OSError as error:
        return _cannot_start(log, Entry.FAILED_TO_SOCKET, f"{configuration.admin_socket}: {error.strerror or error}")
    if ready is not None:
        ready()
    try:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(Selector(log))) as runner:
            runner.run(_run(configuration, log, admin, read))
    except LoopError:
        return FAILED
    except Exception as error:  # noqa: BLE001  # whatever it is, it is in the log and nowhere else
        log.write(*describe(error))
        return FAILED
    finally:
        with contextlib.suppress(OSError):
            configuration.admin_socket.unlink()
    return 0


async def _run(
    configuration: Configuration, log: LogSink, admin: socket.socket, read: Callable[[], Configuration]
) -> None:
    await App(configuration, log, admin, read).run()


def _cannot_start(log: LogSink, entry: Entry, reason: str) -> int:
    log.write(entry, {"error": reason})
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
    parser.add_argument(
        "--daemon", action="store_true", help="go on in the background; a terminal's log goes to syslog"
    )
    parser.add_argument("--pid-file", type=Path, metavar="FILE", help="write the pid there, and be the only one to")
    parser.add_argument("--log-format", choices=["text", "json"], help="default: daemon.log-format")
    parser.add_argument(
        "--log-level", choices=[level.name.lower() for level in Level], help="default: daemon.log-level"
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {metadata.version('l2tpd')}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
