"""Debian's SoftEther VPN server as a peer: a responder for L2TPv3 over UDP, run without systemd in a namespace.

What it is known to do: it answers and never calls, acknowledges with a ZLB, offers neither digest, cookie nor sublayer,
sends HELLO every 9 s, and forwards frames only of peers that came through IPsec.  Its ``Reboot`` command ends every
session and tunnel by CDN and StopCCN; so does it when it has heard nothing for a minute.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.netns import poll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.netns import Namespace, Process

UNPACKED = Path(__file__).resolve().parents[2] / ".peers" / "usr" / "libexec" / "softether"
"""Where tools/prepare.py unpacks it."""

# It writes where only its service unit has directories: give it empty ones that vanish with it.
START = """
for directory in /var/lib /var/log /run; do mount -t tmpfs none $directory; done
mkdir /var/lib/softether /var/log/softether /run/softether
exec "$0" execsvc
"""


def find(name: str) -> str | None:
    """Path of ``vpnserver`` or ``vpncmd``, installed or unpacked in the checkout."""
    return shutil.which(name) or shutil.which(name, path=str(UNPACKED / name))


def command(host: Namespace, *words: str) -> bool:
    """Give the server on ``host`` one command of its operator's; whether it took it."""
    vpncmd = find("vpncmd")
    assert vpncmd, "vpncmd is not here"
    return host.run(vpncmd, "localhost:5555", "/SERVER", "/CMD", *words, check=False).returncode == 0


@contextlib.contextmanager
def softether(host: Namespace, log: Path) -> Iterator[Process]:
    """Run it on ``host``, which is its alone, and go on when it listens for L2TPv3 on UDP 1701."""
    server = find("vpnserver")
    assert server, "vpnserver is not here"
    enable = ("IPsecEnable", "/L2TP:no", "/L2TPRAW:yes", "/ETHERIP:no", "/PSK:unused", "/DEFAULTHUB:DEFAULT")
    with host.start("sh", "-c", START, server, log=log) as process:
        process.wait_until(lambda: command(host, *enable), "SoftEther takes commands")
        process.wait_until(lambda: ":1701 " in host.run("ss", "-Huln").stdout, "SoftEther listens on UDP 1701")
        try:
            yield process
        finally:
            # A process of its own watches over the server that serves: both are one group.
            os.killpg(process.pid, signal.SIGKILL)
            poll(lambda: not host.pids(), "SoftEther has ended")
