"""Passwords from files of their own, which only the daemon may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from l2tp_ctl.core.settings import Secret
from l2tp_ctl.runtime.config_schema import BadValue

MAX_LENGTH = 1024
"""Octets of the longest password."""


def read_secret(path: Path) -> Secret:
    """Return the file's content without the newline at its end; raises BadValue, which never shows the content."""
    try:
        # A named pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise BadValue(f"cannot read {path}: {error.strerror}", "write the password into that file") from None
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123  # a descriptor has no Path
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BadValue(f"{path} is not a file", "write the password into a file")
        if status.st_mode & stat.S_IRWXO:
            raise BadValue(f"{path} is open to every user", f"chmod o= {path}")
        content = file.read(MAX_LENGTH + 3) or b""
    password = content.removesuffix(b"\n").removesuffix(b"\r")
    if not password:
        raise BadValue(f"{path} is empty", "write the password into that file")
    if len(password) > MAX_LENGTH:
        raise BadValue(f"{path} is too long", f"a password has at most {MAX_LENGTH} octets")
    return Secret(password)
