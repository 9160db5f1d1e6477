"""A kernel without L2TP: what `plane` then means.  Where the kernel has it, only the guest may take it away."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from l2tp_ctl.runtime.helper_link import MODULES, REMEDY
from l2tp_kernel.schema import Plane
from tests.live.pairs import Way, configuration
from tests.support.daemons import daemons
from tests.support.netns import poll, veth_pair
from tests.support.planes import has_kernel_plane

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.guest, pytest.mark.timeout(300)]

LOADER = Path("/proc/sys/kernel/modprobe")
WAY = Way(0, "udp", 4)


@pytest.fixture(scope="module", autouse=True)
def no_l2tp() -> Iterator[None]:
    """No L2TP in the kernel, and nothing that could load it."""
    if not has_kernel_plane():
        yield
        return
    if "L2TPD_TEST_GUEST" not in os.environ:
        pytest.skip("this kernel has L2TP")
    modules = [*MODULES.split(), "l2tp_netlink", "l2tp_core"]

    def unloaded() -> bool:  # tunnels that tests have left go a moment later
        return subprocess.run(["modprobe", "-ra", *modules], check=False, capture_output=True).returncode == 0

    poll(unloaded, "the modules are unloaded")
    before = LOADER.read_text()
    LOADER.write_text("/bin/false")
    assert not has_kernel_plane()
    yield
    LOADER.write_text(before)
    assert has_kernel_plane()


def test_auto_falls_back_and_says_so() -> None:
    with veth_pair("fallback") as hosts, contextlib.ExitStack() as stack:
        planes = (Plane.AUTO, Plane.USERSPACE)
        west, east = (
            stack.enter_context(daemons(host, configuration(side, planes, hosts, (WAY,))))
            for side, host in enumerate(hosts)
        )
        for end in (west, east):
            end.wait_for_state("sessions", f"s-{WAY.name}", "established")
        assert "<5>no kernel plane, so frames are forwarded in userspace: module l2tp_netlink: " in west.helper.text()
        west.control.wait_for_log("connected to l2tp-kernel, plane userspace")
        for side, host in enumerate(hosts):
            host.ip(f"addr replace {WAY.inner(side)}/28 dev {WAY.interface}")
        hosts[0].ping(WAY.inner(1), count=10)


def test_what_must_be_the_kernels_is_refused_with_the_remedy() -> None:
    with veth_pair("refused") as hosts:
        planes = (Plane.KERNEL, Plane.KERNEL)
        with daemons(hosts[0], configuration(0, planes, hosts, (WAY,))) as west:
            west.control.wait_for_log(f"<3>l2tp-kernel has no kernel plane: {REMEDY}")
            told = west.command("show", "tunnels", "--json")
            assert json.loads(told)["problem"] == f"l2tp-kernel has no kernel plane: {REMEDY}"
            assert west.show("tunnels")[WAY.name]["state"] != "established"
            assert "refused" not in west.control.text()
            assert "listener" not in west.helper.text()
