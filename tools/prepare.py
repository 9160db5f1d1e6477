"""Make what `make test` needs, and say what is skipped; with the argument "demo" what `make demo` needs.

With "package" only the Debian packages for `make deb` are installed, with "machine" those for `make test-systemd`.

On Debian as root, missing Debian packages are installed.  Then virtual environments are made in the checkout:

* .venv         the newest libraries from PyPI, and the tools for development;
* .venv-debian  for tests: the libraries of the distribution itself, and pytest from PyPI.

SoftEther is a test peer only: its packages are unpacked in .peers/ and not installed, because installing them
starts a VPN server on the machine.  A second run finds everything in place and ends at once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEER_DIRECTORY = ROOT / ".peers"

BASICS = ["iproute2", "python3-venv"]
# Also pyroute2, which reads and writes netlink for tests.
LIBRARIES = [
    "python3-click", "python3-msgpack", "python3-prometheus-client", "python3-pyroute2", "python3-rich",
    "python3-setproctitle", "python3-zmq",
]  # fmt: skip
FOR_TESTS = [*BASICS, "ethtool", "iperf3", "iputils-ping", "tshark", *LIBRARIES]
FOR_PACKAGE = [
    "build-essential", "debhelper", "dh-python", "pybuild-plugin-pyproject", "python3-all", "python3-click",
    "python3-setuptools",
]  # fmt: skip
FOR_MACHINES = ["apparmor", "debootstrap", "lintian", "man-db", "mandoc", "systemd"]
PEERS = ["prometheus", "softether-common", "softether-vpncmd", "softether-vpnserver"]

TEST_TOOLS = ["hypothesis>=6.100", "pytest>=8", "pytest-timeout>=2.3", "pytest-xdist>=3.6"]
"""What .venv-debian takes from PyPI."""

EDITABLE = ["--config-settings=editable_mode=compat", "--editable"]
"""By a path, as cheap to import as an installed package: the other mode loads a finder into every process first."""


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - started by whatever Python there is, so that it can say so
        return fail(f"Python 3.11 or newer is needed, and this is {sys.version.split()[0]}: make PYTHON=python3.11 ...")
    if only := {"package": FOR_PACKAGE, "machine": FOR_MACHINES}.get("".join(sys.argv[1:])):
        return install_packages(only)
    tests = "demo" not in sys.argv[1:]
    if shutil.which("apt-get") is None:
        if tests:
            say("not Debian: the tests against Debian's libraries, SoftEther and Prometheus are skipped")
        make_environment(ROOT / ".venv", Path(sys.executable))
        return 0
    root = os.geteuid() == 0
    missing = missing_packages(FOR_TESTS if tests else BASICS)
    peers = tests and not all(
        (PEER_DIRECTORY / "usr" / path).exists() for path in ("bin/prometheus", "libexec/softether")
    )
    if not root and (missing or peers):
        say(f"not root: what needs Debian's {' '.join(missing + PEERS * peers)} is skipped")
    elif missing or peers:
        apt("update")
    if root and missing:
        say(f"installing Debian's {' '.join(missing)}")
        apt("install", "--yes", "--no-install-recommends", *missing)
    if root and peers:
        say(f"unpacking Debian's {' '.join(PEERS)} in {PEER_DIRECTORY.name}")
        unpack_peers()
    make_environment(ROOT / ".venv", Path(sys.executable))
    if tests and not missing_packages(LIBRARIES):
        make_environment(ROOT / ".venv-debian", Path("/usr/bin/python3"), debian=True)
    return 0


def install_packages(names: list[str]) -> int:
    """Install those of the Debian packages that are missing; 1 where that is not possible."""
    if shutil.which("apt-get") is None:
        return fail("this needs Debian")
    missing = missing_packages(names)
    if missing and os.geteuid() != 0:
        return fail(f"this needs root, to install Debian's {' '.join(missing)}")
    if missing:
        say(f"installing Debian's {' '.join(missing)}")
        apt("update")
        apt("install", "--yes", "--no-install-recommends", *missing)
    return 0


def missing_packages(names: list[str]) -> list[str]:
    """Which of the Debian packages are not installed."""
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *names]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def make_environment(directory: Path, python: Path, *, debian: bool = False) -> None:
    """Make or complete one virtual environment with this checkout in it, unless its stamp says that it is in place."""
    version = subprocess.run([python, "-VV"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(map(int, version.split()[1].split(".")[:2])) < (3, 11):
        say(f"{python} is older than Python 3.11: {directory.name} is skipped")
        return
    here = f"{version}\n{ROOT}\n"
    wanted = here + hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + Path(__file__).read_bytes()).hexdigest()
    stamp = directory / "prepared"
    found = stamp.read_text() if stamp.exists() else ""
    if found == wanted:
        return
    say(f"making {directory.name} from {'Debian' if debian else 'PyPI'}, {' '.join(version.split()[:2])}")
    stamp.unlink(missing_ok=True)
    options = ["--system-site-packages"] if debian else []
    if found and not found.startswith(here):
        options.append("--clear")  # another Python, or the checkout was moved: its scripts name the old place
    run(python, "-m", "venv", *options, directory)
    pip = (directory / "bin" / "python", "-m", "pip", "install", "-qq", "--disable-pip-version-check")
    if debian:
        run(*pip, *TEST_TOOLS)
        # Without the project's requirements: what Debian has must do, and is not to be upgraded.
        run(*pip, "--no-deps", *EDITABLE, ROOT)
    else:
        run(*pip, *EDITABLE, f"{ROOT}[dev]")
    stamp.write_text(wanted)


def unpack_peers() -> None:
    """Unpack SoftEther and Prometheus in the checkout, without installing them."""
    with tempfile.TemporaryDirectory(dir=ROOT) as scratch:
        run("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *PEERS, cwd=scratch)
        for archive in Path(scratch).glob("*.deb"):
            run("dpkg-deb", "--extract", archive, Path(scratch, "tree"))
        shutil.rmtree(PEER_DIRECTORY, ignore_errors=True)  # of an earlier list of packages
        Path(scratch, "tree").rename(PEER_DIRECTORY)


def apt(*arguments: str) -> None:
    run("apt-get", "-qq", "-o", "Dpkg::Use-Pty=0", *arguments, environment={"DEBIAN_FRONTEND": "noninteractive"})


def run(*command: str | Path, cwd: str | None = None, environment: dict[str, str] | None = None) -> None:
    """Run a command quietly; show what it printed and give up if it fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise SystemExit(fail(f"{' '.join(map(str, command))} ended with {done.returncode}"))


def say(line: str) -> None:
    print(f"prepare: {line}", flush=True)


def fail(line: str) -> int:
    print(f"prepare: {line}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
