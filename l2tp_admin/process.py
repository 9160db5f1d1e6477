"""What processes that listen on a UNIX socket have in common: whose they are, where they listen, their watchdog."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import socket
import stat
from collections.abc import Collection
from pathlib import Path

from l2tp_admin import systemd


def group_id(name: str | None) -> int | None:
    """Return a group's number, None for none; raises LookupError."""
    if name is None:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise LookupError(f"there is no group {name}") from None


def become(name: str, groups: Collection[int]) -> None:
    """Give up root for a user, who is in these groups besides its own; raises LookupError or OSError."""
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise LookupError(f"there is no user {name}") from None
    os.setgroups(sorted(groups))
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)


def listen(path: Path, kind: socket.SocketKind, *, mode: int, group: int | None, backlog: int) -> socket.socket:
    """Return the socket that listens at ``path``, in the place of one that a dead process left; raises OSError."""
    _remove_abandoned(path, kind)
    listener = socket.socket(socket.AF_UNIX, kind)
    try:
        # Until listen() nobody can connect, whatever the mode is.
        listener.bind(str(path))
        if group is not None:
            os.chown(path, -1, group)
        path.chmod(mode)
        listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    return listener


async def feed_watchdog() -> None:
    """Show that the loop turns, which a busy one does and one that hangs does not."""
    interval = systemd.watchdog_interval()
    while interval is not None:
        systemd.notify("WATCHDOG=1")
        await asyncio.sleep(interval)


def _remove_abandoned(path: Path, kind: socket.SocketKind) -> None:
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise FileExistsError(f"{path} is there and is no socket")
    with socket.socket(socket.AF_UNIX, kind) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise FileExistsError(f"{path} is served by another process")
