"""Boot Debian's kernel, which has L2TP, under software emulation, and run the tests of the kernel plane in it.

``python -m tests.guest.boot [--full] [PYTHON] [PYTEST ARGUMENT...]`` as root on Debian.  Without tests among the
arguments those of :data:`TESTS` run, on the kernel plane and between both planes; ``--full`` adds the userspace plane
and all combinations.  ``--module MODULE [ARGUMENT...]`` runs another module of the checkout instead of the tests;
``--prepare`` alone installs and unpacks what is missing, and boots nothing.
PYTHON is Debian's own with Debian's libraries unless given: it is the fastest there.  Variables L2TPD_TEST_* of the
environment are passed on.

The guest sees this machine's own file system, read-only, so the tests run with the very programs and libraries that are
here.  What is missing is installed (qemu) or unpacked in build/guest (the kernel, virtme-ng).  The exit status is
theirs, and 1 where the guest did not come to an end.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "build" / "guest"
RESULTS = HERE / "results"
"""The one directory that the guest may write."""
REPORT = RESULTS / "junit.xml"
CACHE = RESULTS / "cache"
"""pytest's, which knows what failed last."""
CONSOLE = RESULTS / "console.log"
TREE = HERE / "kernel"
MODULES = Path("/lib/modules")
PYTHON = ".venv-debian/bin/python"

TESTS = [
    "tests/kernel/test_live_pseudowires.py",
    "tests/kernel/test_live_ends.py",
    "tests/kernel/test_bridged_ends.py",
    "tests/live/test_pair.py",
    "tests/live/test_static.py",
    "tests/guest",
    "tests/live/test_plane_missing.py",
]
"""What has a plane, and what only Linux's own L2TP does.

Last is what unloads Linux's modules: a helper that has run since before does not find them again.
"""

PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "udevadm": "udev",
    "depmod": "kmod",
    "zstd": "zstd",
    "ip": "iproute2",
    "iperf3": "iperf3",
    "ping": "iputils-ping",
}
"""Debian's package of each program that the guest or its start needs."""

SECONDS, SECONDS_FULL = 2100, 5400
"""After which the guest is ended."""
MEMORY, MEMORY_MODULE = "3G", "8G"
"""Of the guest: a session takes 100 KB of the kernel's, and a benchmark makes tens of thousands."""
PATIENCE = 8
"""How many times longer than usual the tests wait in there."""
LAST_WORDS = 40
"""Lines of the kernel's that are shown of a guest that did not come to an end."""

KERNEL_OPTIONS = "mitigations=off no5lvl tsc=reliable init_on_alloc=0 audit=0 console=ttyS1"
"""What costs time under emulation is off; the second serial line is for the kernel's last words."""

INSIDE = """\
set -e
dmesg -n warn
for module in l2tp_netlink l2tp_eth l2tp_ip l2tp_ip6 veth bridge tun 8021q; do modprobe $module; done
# The same file system once more, now cached: software emulation is slow enough.
read -r tag _ <<end
$(grep ' /mnt 9p ' /proc/mounts)
end
umount /mnt
mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,msize=512000,ro $tag /mnt
for directory in /proc /sys /dev /run /tmp {results}; do mount --rbind $directory /mnt$directory; done
ip link set lo up
set +e
chroot /mnt /bin/sh -c {inside} 2>&1
echo $? > {results}/status
"""


def main() -> int:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print("guest: needs root on Debian", file=sys.stderr)
        return 1
    arguments = sys.argv[1:]
    if arguments == ["--prepare"]:
        prepare_kernel()
        return 0
    full = "--full" in arguments
    python = next((each for each in arguments if each.endswith("python")), PYTHON)
    report = [each.removeprefix("--junitxml=") for each in arguments if each.startswith("--junitxml=")]
    rest = [each for each in arguments if each not in {"--full", python} and not each.startswith("--junitxml=")]
    settings = {
        "L2TPD_TEST_GUEST": "1",
        "L2TPD_TEST_PATIENCE": str(PATIENCE),
        "HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis",
    }
    module = rest[:1] == ["--module"]
    if not module and not any(each.startswith("tests/") for each in rest):
        rest += TESTS
        settings["L2TPD_TEST_PLANES"] = "userspace,kernel,mixed" if full else "kernel,mixed"
    if full:
        settings["L2TPD_TEST_FULL"] = "1"
    settings |= {name: value for name, value in os.environ.items() if name.startswith("L2TPD_TEST_")}
    pytest = ["pytest", "-v", "-p", "no:hypothesispytest", f"--junitxml={REPORT}", "-o", f"cache_dir={CACHE}"]
    began = time.monotonic()
    image = prepare_kernel()
    compile_all(python, settings, [] if module else rest)
    empty(RESULTS)
    command = rest[1:] if module else [*pytest, *rest]
    seconds = SECONDS_FULL if full or module else SECONDS
    ended = boot(image, [python, "-m", *command], settings, seconds, MEMORY_MODULE if module else MEMORY)
    print(f"guest: {time.monotonic() - began:.0f} s in all", flush=True)
    if report and REPORT.exists():
        shutil.copy(REPORT, report[-1])
    status = RESULTS / "status"
    if not ended or not status.exists():
        print("guest: it did not come to an end; the last that its kernel said:", file=sys.stderr)
        said = CONSOLE.read_text(errors="replace").splitlines() if CONSOLE.exists() else []
        print("\n".join(said[-LAST_WORDS:]), file=sys.stderr)
        return 1
    return int(status.read_text())


def prepare_kernel() -> Path:
    """Install and unpack what is missing; give the kernel's image."""
    missing = sorted({package for program, package in PACKAGES.items() if shutil.which(program) is None})
    if missing:
        print(f"guest: installing {' '.join(missing)}", flush=True)
        run("apt-get", "-qq", "update")
        run("apt-get", "-qq", "install", "--yes", "--no-install-recommends", *missing)
    if not (HERE / "venv" / "complete").exists():
        run(sys.executable, "-m", "venv", "--clear", HERE / "venv")
        run(HERE / "venv" / "bin" / "pip", "-qq", "--disable-pip-version-check", "install", "virtme-ng")
        (HERE / "venv" / "complete").touch()
    if not (TREE / "complete").exists():
        print("guest: unpacking Debian's kernel", flush=True)
        shutil.rmtree(TREE, ignore_errors=True)
        TREE.mkdir()
        run("apt-get", "-qq", "update")
        depends = run("apt-cache", "depends", "linux-image-amd64").split()
        package = next(each for each in depends if each.startswith("linux-image-") and each[12].isdigit())
        run("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package, directory=TREE)
        (archive,) = TREE.glob("*.deb")
        run("dpkg-deb", "--extract", archive, TREE)
        archive.unlink()
        (TREE / "complete").touch()
    (image,) = (TREE / "boot").glob("vmlinuz-*")
    version = image.name.removeprefix("vmlinuz-")
    modules = MODULES / version
    if not modules.exists():  # the guest looks for them there
        MODULES.mkdir(exist_ok=True)
        modules.unlink(missing_ok=True)
        modules.symlink_to(TREE / "lib" / "modules" / version)
    if not (modules / "modules.dep").exists():
        run("depmod", version)
    return image


def compile_all(python: str, settings: dict[str, str], tests: list[str]) -> None:
    """Compile here what the guest runs: there it takes long, and it could not keep the result."""
    environment = {**os.environ, **settings, "PYTHONDONTWRITEBYTECODE": ""}
    sources = ("bench", "l2tp_admin", "l2tp_ctl", "l2tp_kernel", "tests")
    run(python, "-m", "compileall", "-q", *sources, environment=environment)
    if not tests:
        return
    # pytest has its own of the tests, written where it collects them; what is wrong with them is seen in the guest.
    collect = [python, "-m", "pytest", "-p", "no:hypothesispytest", "-p", "no:cacheprovider", "--collect-only", *tests]
    with contextlib.suppress(subprocess.CalledProcessError):
        run(*collect, environment={**environment, "L2TPD_TEST_COLLECT": "1"})


def empty(directory: Path) -> None:
    """Remove what an earlier guest left there, but for pytest's cache."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.iterdir():
        if path.is_file():
            path.unlink()


def boot(image: Path, command: list[str], settings: dict[str, str], seconds: float, memory: str) -> bool:
    """Run a command in the guest, its output here; whether it ended in time."""
    script = RESULTS / "inside.sh"
    words = " ".join(f"{name}={value}" for name, value in settings.items())
    inside = f"cd {shlex.quote(str(ROOT))} && PYTHONDONTWRITEBYTECODE=1 {words} exec {shlex.join(command)}"
    script.write_text(INSIDE.format(results=shlex.quote(str(RESULTS)), inside=shlex.quote(inside)))
    programs = f"{HERE / 'venv' / 'bin'}:{os.environ['PATH']}:/usr/sbin:/sbin"
    print(f"guest: booting {image.name} under software emulation", flush=True)
    # Its output goes through a pipe, because QEMU would begin a file anew.
    with subprocess.Popen(
        [
            HERE / "venv" / "bin" / "vng", "--run", image, "--force-9p", "--disable-kvm", "--cpus", "2",
            "--memory", memory, "--rodir=/mnt=/", f"--rwdir={RESULTS}", "--append", KERNEL_OPTIONS,
            f"--qemu-opts=-serial file:{CONSOLE}", "--", f"sh {shlex.quote(str(script))}",
        ],
        env={**os.environ, "PATH": programs},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as vng:  # fmt: skip
        late = threading.Event()

        def end() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(vng.pid, signal.SIGKILL)

        def end_late() -> None:
            late.set()
            end()

        watchdog = threading.Timer(seconds, end_late)
        watchdog.start()
        try:
            assert vng.stdout
            while octets := os.read(vng.stdout.fileno(), 1 << 16):
                sys.stdout.buffer.write(octets)
                sys.stdout.buffer.flush()
        finally:
            watchdog.cancel()
            end()
    if late.is_set():
        print(f"guest: ended after {seconds} s", file=sys.stderr)
    return not late.is_set()


def run(*command: str | Path, directory: Path | None = None, environment: dict[str, str] | None = None) -> str:
    return subprocess.run(
        command,
        cwd=directory,
        env={**(environment or os.environ), "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
