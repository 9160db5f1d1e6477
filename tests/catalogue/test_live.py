"""What is logged when the operating system does not let l2tp-kernel do its work: real processes, real interfaces."""

from __future__ import annotations

import contextlib

import pytest

from tests.catalogue.conftest import Witness
from tests.support.daemons import daemons
from tests.support.netns import veth_pair

pytestmark = pytest.mark.root

NAMES = ("west", "east")


def configuration(side: int, *, mtu: int) -> str:
    """One end of a tunnel from west to east."""
    return f"""
log-level = "debug"
[local]
hostname = "{NAMES[side]}"
router-id = "192.0.2.{side + 1}"
[listen]
addresses = ["192.0.2.{side + 1}", "192.0.2.99"]
[tunnel.way]
peer-address = "192.0.2.{2 - side}"
local-address = "192.0.2.{side + 1}"
initiate = {str(side == 0).lower()}
[tunnel.other]
peer-address = "192.0.2.77"
local-address = "192.0.2.99"
initiate = false
[tunnel.way.session.lan]
remote-end-id = "lan"
interface = "pw0"
mtu = {mtu}
"""


@pytest.mark.provokes("FAILED_TO_IOCTL", "SET_PWE_PARAM_FAILED", "FAILED_TO_SOCKET")
def test_an_interface_that_linux_does_not_make(witness: Witness) -> None:
    """No interface of a pseudowire can have this MTU.  The machine has not the second address, either."""
    with veth_pair("catalogue") as hosts, contextlib.ExitStack() as stack:
        ends = [stack.enter_context(daemons(host, configuration(side, mtu=65535))) for side, host in enumerate(hosts)]
        control = ends[1].control
        for words in ("failed to socket", "failed to ioctl", "set_pwe_param() failed"):
            control.wait_for_log(words)
        ends[0].control.wait_for_log("no facilities for now")
        witness.text(control.text())
    assert any(line == "failed to ioctl: Invalid argument" for _, line in witness.lines())
