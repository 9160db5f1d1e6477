"""Boot Debian's kernel, which has L2TP, under software emulation, and run the tests of this directory in it.

``python -m tests.guest.boot [PYTHON] [PYTEST ARGUMENT...]`` as root on Debian; PYTHON is .venv/bin/python unless given.
The guest sees this machine's own file system, read-only, so the tests run with the very programs and libraries that
are here.  What is missing is installed (qemu) or unpacked in build/guest (the kernel, virtme-ng).  The exit status is
pytest's; results given to ``--junitxml`` must be below build/guest/results, the one directory that the guest may write.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "build" / "guest"
RESULTS = HERE / "results"
TREE = HERE / "kernel"
MODULES = Path("/lib/modules")

PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "udevadm": "udev",
    "depmod": "kmod",
    "zstd": "zstd",
    "ip": "iproute2",
    "ping": "iputils-ping",
}
"""Debian's package of each program that the guest or its start needs."""

SECONDS = 2400
"""After which the guest is ended."""
PATIENCE = 8
"""How many times longer than usual the tests wait in there."""

INSIDE = """\
set -e
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
    python = arguments.pop(0) if arguments and arguments[0].endswith("python") else ".venv/bin/python"
    tests = [] if any(each.startswith("tests/") for each in arguments) else ["tests/guest"]
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    image = prepare_kernel()
    boot(image, [python, "-m", "pytest", "-p", "no:cacheprovider", *tests, *arguments])
    for report in RESULTS.glob("*.txt"):
        print(report.read_text(), end="")
    status = RESULTS / "status"
    if not status.exists():
        print("guest: it did not come to an end", file=sys.stderr)
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


def boot(image: Path, command: list[str]) -> None:
    """Run a command in the guest, its output here."""
    script = RESULTS / "inside.sh"
    settings = f"PYTHONDONTWRITEBYTECODE=1 L2TPD_TEST_PATIENCE={PATIENCE}"
    inside = f"cd {shlex.quote(str(ROOT))} && {settings} exec {shlex.join(command)}"
    script.write_text(INSIDE.format(results=shlex.quote(str(RESULTS)), inside=shlex.quote(inside)))
    programs = f"{HERE / 'venv' / 'bin'}:{os.environ['PATH']}:/usr/sbin:/sbin"
    print(f"guest: booting {image.name} under software emulation", flush=True)
    vng = subprocess.Popen(
        [
            HERE / "venv" / "bin" / "vng", "--run", image, "--force-9p", "--disable-kvm", "--cpus", "2",
            "--memory", "3G", "--rodir=/mnt=/", f"--rwdir={RESULTS}", "--", f"sh {shlex.quote(str(script))}",
        ],
        env={**os.environ, "PATH": programs},
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        vng.wait(SECONDS)
    except BaseException:
        vng.terminate()
        vng.wait()
        raise


def run(*command: str | Path, directory: Path | None = None) -> str:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
