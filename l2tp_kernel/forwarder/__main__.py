"""The forwarder process, which only :mod:`l2tp_kernel.forwarder.control` starts: ``USER CHANNEL``.

CHANNEL is the inherited descriptor of a SOCK_SEQPACKET socket.  The process lives as long as its other end is open.
"""

from __future__ import annotations

import resource
import signal
import socket
import sys

import setproctitle

from l2tp_kernel import privileges
from l2tp_kernel.forwarder.loop import Loop


def main() -> None:
    """Become the unprivileged user, then forward."""
    user, channel = sys.argv[1:]
    setproctitle.setproctitle("l2tp-kernel: forwarder")
    # Ctrl-C on a terminal reaches the helper too, which ends us when it has finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    loop = Loop(socket.socket(fileno=int(channel)))
    privileges.drop(user)
    loop.run()


if __name__ == "__main__":
    main()
