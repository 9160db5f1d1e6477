"""The root directory of the test machines: a minimal Debian, as its installer leaves a small server.

    python -m tests.systemd.root DIRECTORY PACKAGE.deb

It is made once, by debootstrap, with the archives of all that PACKAGE.deb depends on in apt's cache, so that a machine
without a network can install it with apt.  A second run only looks whether that is still so.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

RELEASE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
INCLUDED = ["dbus", "iproute2", "iputils-ping", "systemd", "systemd-sysv"]
"""What Debian's installer puts on every machine, beside what debootstrap's minimal variant has."""


def make(root: Path, package: Path) -> None:
    """Make ``root`` unless it is there and fits; subprocess.CalledProcessError with the program's own words."""
    depends = subprocess.run(["dpkg-deb", "-f", package, "Depends"], capture_output=True, text=True, check=True).stdout
    wanted = hashlib.sha256(Path(__file__).read_bytes() + depends.encode()).hexdigest()
    stamp = root.with_name(f"{root.name}.made")
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"making {root.name}: a minimal Debian {RELEASE}", flush=True)
    stamp.unlink(missing_ok=True)
    shutil.rmtree(root, ignore_errors=True)
    run("debootstrap", "--variant=minbase", f"--include={','.join(INCLUDED)}", RELEASE, root, MIRROR)
    shutil.copy(package, root / "package.deb")
    run("chroot", root, "apt-get", "update")
    run("chroot", root, "apt-get", "install", "--yes", "--download-only", "/package.deb")
    (root / "package.deb").unlink()
    stamp.write_text(wanted)


def run(*command: str | Path) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}")


if __name__ == "__main__":
    make(Path(sys.argv[1]).absolute(), Path(sys.argv[2]))
