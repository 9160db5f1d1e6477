"""One instance of the services in a network namespace, beside those of the machine itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.systemd.conftest import Pair

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

CONFIGURATION = """\
[local]
hostname = "blue"
router-id = "203.0.113.1"
[daemon]
kernel-directory = "/run/l2tp-kernel/blue"
admin-socket = "/run/l2tp-ctl/blue.sock"
resolver-socket = "/run/l2tp-resolver/blue.sock"
[tunnel.green]
peer-address = "green.example.net"
password-file = "passwords/green"
"""


def test_an_instance_works_in_its_own_namespace(pair: Pair) -> None:
    host = pair.east
    before = host.main_pid("l2tp-kernel")
    host.shell("ip netns add blue && install -d /etc/l2tpd/blue && cp -p /etc/l2tpd/l2tp-kernel.toml /etc/l2tpd/blue/")
    host.write("/etc/l2tpd/blue/l2tpd.toml", CONFIGURATION, mode="640 -g l2tp-ctl")
    host.shell("install -d -m 700 /etc/l2tpd/blue/passwords")
    host.shell("cp /etc/l2tpd/passwords/west /etc/l2tpd/blue/passwords/green")
    host.write("/etc/netns/blue/hosts", "203.0.113.2 green.example.net\n")
    host.shell("systemctl start l2tp-admin@blue l2tp-ctl@blue l2tp-kernel@blue")
    ask = ("l2tp-admin", "--socket", "/run/l2tpd/blue.sock", "show", "tunnels", "--json")
    host.wait_until(lambda: "connected to l2tp-kernel" in host.journal("l2tp-ctl@blue"), "its helper is there")
    shown = json.loads(host.run(*ask).stdout)["tunnels"]
    assert [tunnel["name"] for tunnel in shown] == ["green"]

    def leads_to() -> str:
        return str(json.loads(host.run(*ask).stdout)["tunnels"][0]["peer_address"])

    host.wait_until(lambda: leads_to() == "203.0.113.2", "its name leads where the namespace's own file says")
    helper = host.main_pid("l2tp-kernel@blue")
    assert host.shell(f"stat -Lc %i /proc/{helper}/ns/net") == host.shell("stat -Lc %i /run/netns/blue")
    assert host.shell("ip netns exec blue ss --no-header --udp --listening --numeric").count(":1701 ") >= 1
    resolver = host.main_pid("l2tp-resolver@blue")
    assert host.shell(f"stat -Lc %i /proc/{resolver}/ns/net") == host.shell("stat -Lc %i /run/netns/blue")
    host.shell("systemctl stop l2tp-admin@blue.socket l2tp-admin@blue l2tp-ctl@blue l2tp-kernel@blue "
               "l2tp-resolver@blue.socket l2tp-resolver@blue")  # fmt: skip
    host.shell("ip netns del blue && rm -r /etc/l2tpd/blue /etc/netns/blue")
    assert host.main_pid("l2tp-kernel") == before
    assert host.shell("systemctl --failed --quiet --no-legend") == ""
