"""l2tp-ctl with the real helper: what it takes over, what it leaves to try again, and how little it says of it."""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from l2tp_kernel.schema import Verb
from tests.core.octets import avp, packet
from tests.kernel import helper as helpers
from tests.support.netns import Namespace, Process, poll, veth_pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.root

CONFIGURATION = """
[local]
hostname = "west"
router-id = "192.0.2.1"
[daemon]
kernel-directory = "{directory}/run"
admin-socket = "{directory}/admin.sock"
"""
EAST = '[tunnel.east]\npeer-address = "192.0.2.2"\nreconnect-interval = 1\n'


@dataclass
class Setting:
    """A host with a helper, where the test is the helper's client until it starts l2tp-ctl."""

    host: Namespace
    helper: helpers.Helper
    directory: Path

    @contextlib.contextmanager
    def control(self, configuration: str) -> Iterator[Process]:
        path = self.directory / "l2tpd.toml"
        path.write_text(CONFIGURATION.format(directory=self.directory) + configuration)
        with self.host.start("l2tp-ctl", "--config", path, log=self.directory / "ctl.log") as process:
            process.wait_for_log("connected to l2tp-kernel, plane userspace")
            yield process
            process.kill()  # it would wait for an answer to its farewell

    def listeners(self) -> set[str]:
        """Local ends of the UDP sockets in the namespace."""
        return {line.split()[3] for line in self.host.run("ss", "-Hlun").stdout.splitlines()}


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    with veth_pair("link") as (host, _), helpers.running(host, tmp_path) as helper:
        yield Setting(host, helper, tmp_path)


def test_what_nobody_wants_any_more_is_removed(setting: Setting) -> None:
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(setting.helper.client())
        kept, _, first = client.open_listener(helpers.listener("0.0.0.0"))
        strange, _, second = client.open_listener(helpers.listener(port=1702))
        stack.callback(first.close)
        stack.callback(second.close)
        for number, handle in enumerate((kept, strange, strange)):
            client.set_pwe(helpers.param(handle, f"pw{number}", local_session_id=100 + number))
    assert {"pw0", "pw1", "pw2"} <= setting.helper.links()
    with setting.control(EAST), setting.helper.client() as client:
        listeners, pseudowires = client.request(Verb.LIST)
        assert [handle for *_, handle in listeners] == [kept]
        assert pseudowires == []
    assert not {"pw0", "pw1", "pw2"} & setting.helper.links()


def test_an_address_may_come_later(setting: Setting) -> None:
    listen = '[listen]\naddresses = ["192.0.2.7"]\n'
    with setting.control(listen + EAST) as process:
        process.wait_for_log("cannot send to 192.0.2.2:1701: the control socket is not open")
        setting.host.ip("addr add 192.0.2.7/24 dev outer")
        poll(lambda: "192.0.2.7:1701" in setting.listeners(), "the control socket")
        assert process.text().count("failed to socket: Cannot assign requested address (udp ") == 1


def test_what_the_policy_refuses_is_told_once(setting: Setting) -> None:
    listen = '[listen]\nport = 1703\naddresses = ["192.0.2.1"]\n'
    with setting.control(listen + EAST) as process:
        process.wait_for_log("l2tp-kernel refused OPEN_LISTENER: policy")
        process.wait_until(lambda: process.text().count("cannot send") == 1, "a message that cannot be sent")
        setting.helper.process.wait_for_log("OPEN_LISTENER refused, POLICY")
        poll(lambda: setting.helper.process.text().count("OPEN_LISTENER refused, POLICY") >= 2, "a second attempt")
        assert process.text().count("refused OPEN_LISTENER") == 1


def test_an_unreachable_peer_is_told_once_and_tried_on(setting: Setting) -> None:
    far = EAST.replace("192.0.2.2", "192.0.2.130")
    setting.host.ip("route add unreachable 192.0.2.130/32")
    with setting.control(far) as process:
        process.wait_for_log("cannot send to 192.0.2.130:1701: No route to host")
        setting.host.ip("route del unreachable 192.0.2.130/32")
        poll(lambda: setting.host.ip("neigh show 192.0.2.130 dev outer"), "the next message goes out")
        assert process.text().count("cannot send") == 1


def test_a_template_takes_no_peer_at_a_link_local_address(tmp_path: Path) -> None:
    """It means nothing without an interface: a tunnel was begun, and nothing could be sent to it."""
    policy = helpers.POLICY.replace('"0.0.0.0/32"', '"::/128"')
    sccrq = packet(avp(0, "0001"), avp(7, "61"), avp(60, "00000001"), avp(61, "00000007"), avp(62, "0005"))
    with veth_pair("link") as (host, peer), helpers.running(host, tmp_path, policy=policy) as helper:
        own, hub = (
            re.findall(r"inet6 (fe80::[0-9a-f:]+)/", each.ip("addr show dev outer"))[0] for each in (peer, host)
        )
        with Setting(host, helper, tmp_path).control('[template.any]\naddresses = ["::/0"]\n') as process:
            poll(lambda: ":1701" in host.run("ss", "-Hlun6").stdout, "the control socket")
            with peer.inside():
                sender, outer = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM), socket.if_nametoindex("outer")
            with sender:
                sender.bind((own, 1701, 0, outer))
                sender.sendto(sccrq, (hub, 1701, 0, outer))
                process.wait_for_log(f"SCCRQ from [{own}]:1701: no tunnel is configured for this peer, dropped")
