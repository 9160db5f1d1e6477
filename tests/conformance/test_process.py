"""What the processes around the core answer for: checksums and randomness (RFC 3931, sections 4.1.2.3 and 5.4)."""

from __future__ import annotations

import asyncio
import io
import os
import socket
from pathlib import Path

import pytest

from l2tp_ctl.catalogue import Level
from l2tp_ctl.runtime.config_file import load
from l2tp_ctl.runtime.log_sink import LogSink
from l2tp_ctl.runtime.shell import Shell
from l2tp_kernel.sockets import open_pair
from tests.forwarder.ends import listener
from tests.support.netns import namespace

SO_NO_CHECK = 11
UDP_NO_CHECK6_TX = 101


@pytest.mark.root
@pytest.mark.parametrize("transport", ["udp4", "udp6"])
def test_control_messages_over_udp_have_a_checksum(transport: str) -> None:
    """Linux computes it unless the socket says otherwise, by one option over IPv4 and another over IPv6."""
    with namespace("checksum") as host, host.inside():
        pair = open_pair(listener(transport))
        try:
            assert pair.control.getsockopt(socket.SOL_SOCKET, SO_NO_CHECK) == 0
            assert pair.control.getsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_TX) == 0
        finally:
            pair.close()


def test_every_random_value_is_the_systems(tmp_path: Path) -> None:
    """Nonces, Random Vectors, cookies, tie breakers and identifiers have one source."""
    path = tmp_path / "l2tpd.toml"
    path.write_text('[local]\nhostname = "l2tpd"\nrouter-id = "192.0.2.1"\n')

    async def source() -> object:
        shell = Shell(load(path), LogSink(io.StringIO(), Level.ERROR), lambda: None)
        return shell._endpoint._context.entropy

    assert asyncio.run(source()) is os.urandom
