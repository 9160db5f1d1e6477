"""Has l2tp-ctl check a configuration file: what is right in it is for that program to say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def check(file: Path) -> list[str]:
    """Return a line for each mistake in the file; raises OSError where l2tp-ctl cannot be started."""
    beside = str(Path(sys.argv[0]).resolve().parent)
    # It is an administrator's command: not every user's PATH leads to it.
    program = shutil.which("l2tp-ctl", path=os.pathsep.join((beside, os.environ.get("PATH", ""), "/usr/sbin")))
    if program is None:
        raise FileNotFoundError(2, os.strerror(2))
    command = [program, "--check", "--config", str(file)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603 - a program of ours, without a shell
    return done.stderr.splitlines() if done.returncode else []
