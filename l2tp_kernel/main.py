"""The helper's command line: check the policy, give up what is not needed, serve."""

from __future__ import annotations

import argparse
import contextlib
import gc
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import setproctitle

from l2tp_kernel import policy as policies
from l2tp_kernel import privileges
from l2tp_kernel.catalogue import Line
from l2tp_kernel.journal import log
from l2tp_kernel.kernelplane import KernelPlane
from l2tp_kernel.links import Links
from l2tp_kernel.server import Server
from l2tp_kernel.userspace import UserspacePlane

if TYPE_CHECKING:
    from l2tp_kernel.plane import ForwardingPlane


def main() -> int:
    """Serve until SIGTERM; exit status 0, 1 when it cannot start, 2 for a bad policy or command line."""
    parser = argparse.ArgumentParser(prog="l2tp-kernel", description="The l2tpd helper that holds the privilege.")
    parser.add_argument("--policy", type=Path, default="/etc/l2tpd/l2tp-kernel.toml", help="policy file (%(default)s)")
    parser.add_argument("--runtime-directory", type=Path, default="/run/l2tp-kernel", help="sockets (%(default)s)")
    parser.add_argument("--check", action="store_true", help="check the policy and do nothing else")
    arguments = parser.parse_args()
    try:
        policy = policies.load(arguments.policy)
    except policies.BadPolicy as bad:
        for mistake in bad.args:
            log(Line.POLICY_MISTAKE, mistake=mistake)
        return 2
    if arguments.check:
        log(Line.POLICY_GOOD, file=arguments.policy)
        return 0
    setproctitle.setproctitle("l2tp-kernel")
    try:
        _serve(policy, arguments.policy, arguments.runtime_directory)
    except OSError as error:
        log(Line.CANNOT_SERVE, directory=arguments.runtime_directory, error=error)
        return 1
    return 0


def _serve(policy: policies.Policy, policy_file: Path, directory: Path) -> None:
    gc.set_threshold(100_000)  # what is made stays for long, is much, and has no cycles: to look for them takes long
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # one descriptor for each TAP
    privileges.keep()
    with contextlib.closing(Links()) as links:
        planes: list[ForwardingPlane] = [UserspacePlane(policy.forwarder_user)]
        try:
            planes.insert(0, KernelPlane(links))
        except OSError as error:
            log(Line.NO_KERNEL_PLANE, error=error.strerror)
        with contextlib.closing(Server(directory, policy_file, policy, planes, links)) as server:
            server.run()


if __name__ == "__main__":
    sys.exit(main())
