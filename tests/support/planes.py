"""The forwarding planes that this kernel has: what both can do is one test, which runs on each.

A test that takes ``plane`` runs once for every plane; one that takes ``planes`` once for every pair of planes that two
hosts may have, or for those that ``pytest.mark.planes`` names.  Without L2TP in the kernel that is the userspace plane
alone.  ``L2TPD_TEST_PLANES`` chooses by the names of :data:`PAIRS`, with commas between them, and leaves out all tests
that have no plane: an emulated machine need not repeat what any machine can do.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from l2tp_kernel.genl import L2tp
from l2tp_kernel.schema import Plane

if TYPE_CHECKING:
    from tests.support.netns import Namespace

CHOICE = os.environ.get("L2TPD_TEST_PLANES", "")
FULL = bool(os.environ.get("L2TPD_TEST_FULL")) or not CHOICE
"""Whether to try each combination of what an emulated machine takes long for, instead of each pair of values."""

Planes = tuple[Plane, Plane]

PAIRS: dict[str, Planes] = {
    "userspace": (Plane.USERSPACE, Plane.USERSPACE),
    "kernel": (Plane.KERNEL, Plane.KERNEL),
    "mixed": (Plane.KERNEL, Plane.USERSPACE),
}
MARKS = {Plane.KERNEL: "alias l2tp-kernel", Plane.USERSPACE: "tun type tap"}
"""What `ip -d link show` says of an interface."""


def has_kernel_plane() -> bool:
    """Whether this kernel has L2TP; asking loads the module."""
    with contextlib.suppress(OSError):
        L2tp().close()
        return True
    return False


def chosen() -> set[str]:
    """Names of the pairs of planes to run on."""
    if CHOICE:
        return set(CHOICE.split(","))
    return set(PAIRS) if has_kernel_plane() else {"userspace"}


def plane_of(host: Namespace, interface: str) -> Plane | None:
    """The plane that made an interface, by the marks that operators see; None where there is no such interface."""
    shown = host.run("ip", "-d", "link", "show", interface, check=False).stdout
    return next((plane for plane, mark in MARKS.items() if mark in shown), None)


def remove_interface(host: Namespace, interface: str) -> None:
    """Remove the interface of a pseudowire as an operator can; the session of Linux's own L2TP takes its one along."""
    if plane_of(host, interface) is Plane.USERSPACE:
        host.ip(f"link delete {interface}")
        return
    (session,) = (each for each in sessions(host) if each["interface"] == interface)
    host.ip(f"l2tp del session tunnel_id {session['tunnel_id']} session_id {session['session_id']}")


def sessions(host: Namespace) -> list[dict[str, Any]]:
    """What ``ip l2tp show session`` has of each session of Linux's own."""
    shown: list[dict[str, Any]] = json.loads(host.ip("-j l2tp show session") or "[]")
    return shown
