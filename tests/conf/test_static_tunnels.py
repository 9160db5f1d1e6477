"""Static tunnels in the configuration file: every key, and every mistake at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from l2tp_ctl.core.settings import (
    Address,
    Encapsulation,
    Sequencing,
    StaticSessionSettings,
    StaticTunnelSettings,
    Sublayer,
)
from l2tp_ctl.runtime.config_file import ListenAddress
from l2tp_ctl.runtime.config_view import config_view
from tests.conf.test_config_file import LOCAL, SESSION, Files

if TYPE_CHECKING:
    from pathlib import Path

TUNNEL = '[tunnel.wire]\nmode = "static"\npeer-address = "192.0.2.2"\n'
IDS = "local-connection-id = 1\npeer-connection-id = 2\n"
WIRE = '[tunnel.wire.session.lan]\ninterface = "pw0"\nlocal-session-id = 10\npeer-session-id = 20\n'


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def problems(files: Files, *parts: str) -> list[str]:
    return files.problems(LOCAL + "".join(parts))


def test_the_least_that_makes_a_static_session(files: Files) -> None:
    configuration = files.load(LOCAL + TUNNEL + WIRE)
    assert configuration.tunnels == (
        StaticTunnelSettings(
            name="wire",
            address=Address(Encapsulation.UDP, "", 1701, "192.0.2.2", 1701),
            sessions=(
                StaticSessionSettings(name="lan", interface="pw0", local_session_id=10, peer_session_id=20),
            ),
        ),
    )  # fmt: skip
    assert configuration.listeners == (ListenAddress(Encapsulation.UDP, "0.0.0.0", 1701),)


def test_every_key_is_taken(files: Files) -> None:
    configuration = files.load(
        LOCAL
        + """
        [listen]
        addresses = ["2001:db8::1", "192.0.2.1"]
        port = 2701
        [tunnel.wire]
        mode = "static"
        peer-address = "192.0.2.2"
        local-address = "192.0.2.1"
        encapsulation = "udp"
        peer-port = 3701
        local-connection-id = 4294967295
        peer-connection-id = 1
        hello-interval = 5
        retry = 3
        reconnect-interval = 7
        [tunnel.wire.session.lan]
        interface = "pw0"
        local-session-id = 1
        peer-session-id = 0xffffffff
        local-cookie = "0123456789abcdef"
        peer-cookie = "DEADBEEF"
        mtu = 1400
        bridge = "br0"
        sublayer = "default"
        sequencing = "all"
        [tunnel.keyed]
        mode = "static"
        peer-address = "2001:db8::2"
        encapsulation = "ip"
        """
    )
    wire, keyed = configuration.tunnels
    assert wire == StaticTunnelSettings(
        name="wire",
        address=Address(Encapsulation.UDP, "192.0.2.1", 2701, "192.0.2.2", 3701),
        local_connection_id=4294967295,
        peer_connection_id=1,
        hello_interval=5.0,
        retry=3,
        reconnect_interval=7.0,
        sessions=(
            StaticSessionSettings(
                name="lan",
                interface="pw0",
                local_session_id=1,
                peer_session_id=0xFFFFFFFF,
                local_cookie=bytes.fromhex("0123456789abcdef"),
                peer_cookie=bytes.fromhex("deadbeef"),
                mtu=1400,
                bridge="br0",
                sublayer=Sublayer.DEFAULT,
                sequencing=Sequencing.ALL,
            ),
        ),
    )
    assert keyed.address == Address(Encapsulation.IP, "2001:db8::1", 0, "2001:db8::2", 0)
    assert configuration.listeners == (
        ListenAddress(Encapsulation.IP, "2001:db8::1", 0),
        ListenAddress(Encapsulation.UDP, "192.0.2.1", 2701),
    )
    told = str(config_view(configuration))
    assert "'local-cookie-length': 8, 'peer-cookie-length': 4" in told
    assert "'hello-interval': 5, 'retry': 3" in told
    for hidden in ("0123456789", "\\x01#", "deadbeef", "DEADBEEF"):
        assert hidden not in told + repr(configuration)


def test_what_is_in_force_of_the_least(files: Files) -> None:
    configuration = files.load(LOCAL + TUNNEL + WIRE)
    assert config_view(configuration)["tunnel"] == {
        "wire": {
            "mode": "static",
            "peer-address": "192.0.2.2",
            "peer-port": 1701,
            "encapsulation": "udp",
            "hello-interval": "none",
            "retry": 10,
            "reconnect-interval": 10,
            "session": {
                "lan": {
                    "interface": "pw0",
                    "local-session-id": 10,
                    "peer-session-id": 20,
                    "sublayer": "none",
                    "sequencing": "none",
                }
            },
        }
    }


def test_signalled_is_what_a_tunnel_is_without_a_mode(files: Files) -> None:
    said = SESSION.replace("[tunnel.east]\n", '[tunnel.east]\nmode = "signalled"\n')
    assert files.load(said).tunnels == files.load(SESSION).tunnels


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("local-connection-id = 0", "local-connection-id: 0 is out of range (write 1..4294967295)"),
        ("peer-connection-id = 4294967296", "peer-connection-id: 4294967296 is out of range (write 1..4294967295)"),
        ("hello-interval = 0", 'hello-interval: 0 is out of range (write 1..3600 or "none")'),
        ("retry = 100", "retry: 100 is out of range (write 1..99)"),
        ("encapsulation = 'ip'\npeer-port = 1", 'peer-port: there are no ports with "ip" (leave it out)'),
        (
            "local-address = '2001:db8::1'",
            "local-address: Invalid address (write an address of the family of 192.0.2.2)",
        ),
    ],
)
def test_a_bad_value(files: Files, line: str, problem: str) -> None:
    ids = "" if "connection-id" in line else IDS
    hello = "hello-interval = 5\n" if "retry" in line else ""
    assert f"tunnel.wire.{problem}" in problems(files, TUNNEL, ids, hello, line, "\n", WIRE)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("local-session-id = 0", "local-session-id: 0 is out of range (write 1..4294967295)"),
        ("peer-session-id = '5'", "peer-session-id: not an integer (write a number, 1..4294967295, without quotes)"),
        ("sequencing = 'all'", 'sequencing: sequence numbers need a sublayer (set sublayer = "default")'),
        ("mtu = 67", "mtu: 67 is out of range (write 68..65535)"),
    ],
)
def test_a_bad_value_of_a_session(files: Files, line: str, problem: str) -> None:
    kept = "".join(each for each in WIRE.splitlines(keepends=True) if not each.startswith(line.split()[0]))
    assert problems(files, TUNNEL, kept, line) == [f"tunnel.wire.session.lan.{problem}"]


@pytest.mark.parametrize(
    "cookie", ["'123'", "'0123456'", "'012345678'", "'0x123456'", "'01 23 45 67'", "'ghijklmn'", "7"]
)
def test_a_bad_cookie_is_told_without_it(files: Files, cookie: str) -> None:
    (problem,) = problems(files, TUNNEL, WIRE, f"local-cookie = {cookie}\n")
    assert problem == (
        "tunnel.wire.session.lan.local-cookie: not 0, 8 or 16 hexadecimal digits "
        '(write two for each octet: "0123456789abcdef")'
    )


def test_a_session_needs_its_ids_and_its_interface(files: Files) -> None:
    place = "tunnel.wire.session.lan"
    assert problems(files, TUNNEL, "[tunnel.wire.session.lan]\n") == [
        f"{place}.interface: No param (give interface name)",
        f"{place}.local-session-id: No param (give 1..4294967295)",
        f"{place}.peer-session-id: No param (give 1..4294967295)",
    ]


@pytest.mark.parametrize("key", ["local-connection-id", "peer-connection-id"])
def test_one_connection_id_is_too_few(files: Files, key: str) -> None:
    other = ({"local-connection-id", "peer-connection-id"} - {key}).pop()
    assert problems(files, TUNNEL, f"{key} = 1\n") == [
        f"tunnel.wire.{other}: No param (give both Control Connection IDs, or none)"
    ]


def test_dead_peer_detection_needs_both(files: Files) -> None:
    remedy = "No param (HELLO needs both Control Connection IDs)"
    both = [f"tunnel.wire.local-connection-id: {remedy}", f"tunnel.wire.peer-connection-id: {remedy}"]
    assert problems(files, TUNNEL, "hello-interval = 5\n") == both
    assert problems(files, TUNNEL, "hello-interval = 5\nlocal-connection-id = 7\n") == both[1:]


@pytest.mark.parametrize("interval", ["", 'hello-interval = "none"\n'])
def test_retry_is_nothing_without_dead_peer_detection(files: Files, interval: str) -> None:
    said = ["tunnel.wire.retry: nothing is sent (give hello-interval, or leave it out)"]
    assert problems(files, TUNNEL, IDS, interval, "retry = 5\n") == said


def test_keys_of_the_other_mode_say_so(files: Files) -> None:
    signalled = 'hostname = "east"\nrouter-id = "192.0.2.2"\ncookie = 8\ninitiate = true\npassword-file = "none"\n'
    wire = "[tunnel.wire.session.lan]\nremote-end-id = 'lan'\n" + WIRE.partition("\n")[2]
    static = SESSION.removeprefix(LOCAL).replace("[tunnel.east]\n", "[tunnel.east]\nlocal-connection-id = 5\n")
    not_static = 'not with mode = "static": nothing is signalled there (leave it out)'
    only_static = 'only with mode = "static" (leave it out)'
    assert problems(files, TUNNEL, signalled, wire, static, "local-session-id = 5\nlocal-cookie = ''\n") == [
        *(
            f"tunnel.wire.{key}: {not_static}"
            for key in ("hostname", "router-id", "cookie", "initiate", "password-file")
        ),
        f"tunnel.wire.session.lan.remote-end-id: {not_static}",
        f"tunnel.east.local-connection-id: {only_static}",
        f"tunnel.east.session.office.local-session-id: {only_static}",
        f"tunnel.east.session.office.local-cookie: {only_static}",
        (
            "tunnel.east.session.office.interface: the same as tunnel.wire.session.lan.interface "
            "(give each session its own interface)"
        ),
    ]


@pytest.mark.parametrize("mode", ["'statik'", "'Static'", "true", "['static']"])
def test_an_unknown_mode_is_one_mistake_and_the_others_come_out_too(files: Files, mode: str) -> None:
    text = TUNNEL.replace('"static"', mode) + IDS + "hostname = 5\nfoo = 1\n" + WIRE + "remote-end-id = ''\n"
    said = problems(files, text)
    assert said[0].startswith("tunnel.wire.foo: unknown key")
    assert said[1].startswith("tunnel.wire.mode: ")
    assert said[1].endswith('is not a choice (write one of "signalled", "static")')
    assert said[2:] == [
        'tunnel.wire.hostname: not a text (write it in quotes: "...")',
        "tunnel.wire.session.lan.remote-end-id: 0 octets long (write 1 to 255 octets)",
    ]


def test_a_mode_that_cannot_be_read_is_the_only_mistake(files: Files) -> None:
    text = TUNNEL.replace('"static"', "static") + IDS + WIRE
    (said,) = problems(files, text)
    assert said.startswith("tunnel.wire.mode: line 5")


def test_what_must_be_unique(files: Files) -> None:
    again = (TUNNEL + IDS + WIRE + WIRE.replace("lan", "two").replace("pw0", "pw1")).replace("wire", "again")
    same = "the same as tunnel.wire"
    lan, two = "tunnel.again.session.lan", "tunnel.again.session.two"
    assert problems(files, TUNNEL, IDS, WIRE, again) == [
        f"{lan}: {same}.session.lan (session names are unique in the whole file)",
        f"{lan}.interface: {same}.session.lan.interface (give each session its own interface)",
        f"tunnel.again.local-connection-id: {same}.local-connection-id (the peers' messages are told apart by it)",
        (
            f"tunnel.again.peer-address: {same}.peer-address "
            "(one static tunnel between two addresses and ports: give it more sessions)"
        ),
        (
            f"{lan}.local-session-id: {same}.session.lan.local-session-id "
            "(frames that arrive at one listen address are told apart by it)"
        ),
        (
            f"{two}.local-session-id: {same}.session.lan.local-session-id "
            "(frames that arrive at one listen address are told apart by it)"
        ),
        f"{two}.peer-session-id: the same as {lan}.peer-session-id (the peer tells its sessions apart by it)",
    ]


def test_static_tunnels_to_one_peer_differ_in_an_address_or_a_port(files: Files) -> None:
    other = TUNNEL.replace("wire", "other") + "peer-port = 5000\n"
    assert len(files.load(LOCAL + TUNNEL + other).tunnels) == 2
    over_ip = TUNNEL.replace("wire", "third") + "encapsulation = 'ip'\n"
    assert len(files.load(LOCAL + TUNNEL + over_ip + SESSION.removeprefix(LOCAL)).tunnels) == 3, "and one that signals"


def test_keyed_ipv6_tunnels_may_all_have_the_session_id_of_rfc_8159(files: Files) -> None:
    def keyed(number: int) -> str:
        return f"""
            [tunnel.keyed{number}]
            mode = "static"
            local-address = "2001:db8::{number}"
            peer-address = "2001:db8::99"
            encapsulation = "ip"
            [tunnel.keyed{number}.session.k{number}]
            interface = "pw{number}"
            local-session-id = 0xffffffff
            peer-session-id = 0xffffffff
            local-cookie = "0123456789abcdef"
            peer-cookie = "fedcba9876543210"
            """

    listen = '[listen]\naddresses = ["2001:db8::1", "2001:db8::2"]\n'
    one, two = files.load(LOCAL + listen + keyed(1) + keyed(2)).tunnels
    assert [tunnel.address.local for tunnel in (one, two)] == ["2001:db8::1", "2001:db8::2"]
    assert problems(files, keyed(1), keyed(2)) == [
        (
            "tunnel.keyed2.session.k2.local-session-id: the same as tunnel.keyed1.session.k1.local-session-id "
            "(frames that arrive at one listen address are told apart by it)"
        )
    ]


def test_a_listen_address_must_reach_the_peer(files: Files) -> None:
    assert problems(files, '[listen]\naddresses = ["2001:db8::1"]\n', TUNNEL, WIRE) == [
        "tunnel.wire.peer-address: no listen address reaches it (add one of its family to listen.addresses)"
    ]


def test_other_mistakes_beside(files: Files) -> None:
    said = problems(files, '[listen]\naddresses = "x"\n', TUNNEL.replace("192.0.2.2", "192.0.2.500"), "sesion = 1\n")
    assert said == [
        'listen.addresses: not a list of addresses (write ["ADDRESS", ...])',
        "tunnel.wire.sesion: unknown key (did you mean session?)",
        "tunnel.wire.peer-address: Invalid address (write an IPv4 or IPv6 address)",
    ]


def test_a_template_makes_no_static_tunnel(files: Files) -> None:
    said = problems(files, '[template.road]\naddresses = ["198.51.100.0/24"]\nmode = "static"\n')
    assert [line.partition(" (")[0] for line in said] == ["template.road.mode: unknown key"]
