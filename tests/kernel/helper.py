"""A running helper for tests, its policy, and parameters to ask it for."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2tp_kernel.schema import Encapsulation, Listener, Plane, PweParam
from tests.support.helper_client import HelperClient
from tests.support.netns import Namespace, Process

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

POLICY = """
clients = ["root"]
forwarder-user = "nobody"
[listen]
addresses = ["192.0.2.0/24", "2001:db8::/64", "0.0.0.0/32"]
ports = [1701, 1702, 0]
[peers]
addresses = ["192.0.2.0/24", "2001:db8::/64"]
[interfaces]
names = ["pw*", "ou?er"]
maximum = 4
[bridges]
names = ["br-*", "outer"]
"""


def address(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def listener(local: str = "192.0.2.1", port: int = 1701, **changes: Any) -> Listener:
    return replace(Listener(Plane.AUTO, Encapsulation.UDP, address(local), port), **changes)


def over_ip(local: str = "192.0.2.1") -> Listener:
    return listener(local, 0, encapsulation=Encapsulation.IP)


def param(handle: int, interface: str = "pw0", **changes: Any) -> PweParam:
    """A pseudowire to 192.0.2.2 over UDP with no cookie and no sublayer, up, MTU from the path."""
    return replace(
        PweParam(
            plane=Plane.AUTO, interface=interface, listener=handle, local_address=bytes(4),
            peer_address=address("192.0.2.2"), peer_port=1701, local_connection_id=11, peer_connection_id=12,
            local_session_id=101, peer_session_id=102, local_cookie=b"", peer_cookie=b"", receive_sublayer=0,
            send_sublayer=0, receive_sequencing=0, send_sequencing=0, mtu=0, bridge="", up=True,
        ),
        **changes,
    )  # fmt: skip


class Helper:
    """A helper process and where it is."""

    def __init__(self, host: Namespace, process: Process, directory: Path, policy: Path) -> None:
        self.host = host
        self.process = process
        self.directory = directory
        self.policy = policy

    def client(self, *, greet: bool = True, unread: int = 1000) -> HelperClient:
        return HelperClient(self.directory, greet=greet, unread=unread)

    def links(self) -> set[str]:
        """Names of the interfaces in its namespace."""
        return set(re.findall(r"^\d+: ([^:@]+)", self.host.ip("link show"), re.MULTILINE))

    def forwarder(self) -> int:
        """Process id of the forwarder it started last."""
        return int(re.findall(r"forwarder: pid (\d+)", self.process.text())[-1])


@contextlib.contextmanager
def running(
    host: Namespace,
    directory: Path,
    *,
    policy: str = POLICY,
    command: tuple[str | Path, ...] = ("l2tp-kernel",),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Helper]:
    """Start a helper in ``host``; its files go below ``directory``, which is root's."""
    policy_file = directory / "policy.toml"
    policy_file.write_text(policy)
    run = directory / "run"
    arguments = ("--policy", policy_file, "--runtime-directory", run)
    with host.start(*command, *arguments, log=directory / "log", environment=environment) as process:
        process.wait_for_log("serving")
        yield Helper(host, process, run, policy_file)
