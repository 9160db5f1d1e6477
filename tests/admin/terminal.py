"""Runs a program on a terminal of its own and gives back what it wrote there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence


def run_on_terminal(
    program: Sequence[str], environment: Mapping[str, str], *, columns: int = 160, keys: bytes = b""
) -> tuple[int, str]:
    """Run ``program`` with a terminal of ``columns`` columns; return its exit status and its output.

    ``keys`` are typed when it has asked something, that is, when its output ends with a question.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    variables = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LINES"}}
    variables |= {"TERM": "xterm-256color", **environment}
    with subprocess.Popen(program, stdin=theirs, stdout=theirs, stderr=theirs, env=variables) as process:
        os.close(theirs)
        output = b""
        deadline = time.monotonic() + 15
        # Reading fails with EIO once the last process on the terminal has gone.
        with contextlib.suppress(OSError):
            while True:
                assert select.select([ours], [], [], deadline - time.monotonic())[0], f"no more output after {output!r}"
                data = os.read(ours, 65536)
                if not data:
                    break
                output += data
                if keys and output.endswith(b": "):
                    os.write(ours, keys)
                    keys = b""
        status = process.wait(10)
    os.close(ours)
    return status, output.decode().replace("\r\n", "\n")
