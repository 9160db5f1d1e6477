"""Host names in the place of a peer's address: which are taken, and what follows from one."""

from __future__ import annotations

from pathlib import Path

import pytest

from l2tp_ctl.core.settings import Address, Encapsulation, HostName, TunnelSettings
from l2tp_ctl.runtime.config_file import Configuration, ListenAddress
from l2tp_ctl.runtime.config_view import config_view
from tests.conf.test_config_file import LOCAL, Files

NAME = "gw.example.net"
NAMED = LOCAL + f"[tunnel.east]\npeer-address = '{NAME}'\n"
UDP4, UDP6 = (ListenAddress(Encapsulation.UDP, address, 1701) for address in ("0.0.0.0", "::"))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def only(configuration: Configuration) -> TunnelSettings:
    """Its one tunnel."""
    (tunnel,) = configuration.tunnels
    assert isinstance(tunnel, TunnelSettings)
    return tunnel


def test_a_name_stands_for_the_address(files: Files) -> None:
    configuration = files.load(NAMED)
    tunnel = only(configuration)
    assert tunnel.address == Address(Encapsulation.UDP, "", 1701, "", 1701)
    assert tunnel.peer_name == HostName(NAME, "", "")
    assert configuration.listeners == (UDP4, UDP6)
    assert config_view(configuration)["tunnel"]["east"]["peer-address"] == NAME


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("gw", "gw"),
        ("GW.Example.Net", NAME),
        ("gw.example.net.", "gw.example.net."),
        ("3com.example", "3com.example"),
        ("xn--r8jz45g.example", "xn--r8jz45g.example"),
        ("_gw.my_site.example", "_gw.my_site.example"),
        ("fe80", "fe80"),
        (".".join(["a" * 63] * 3 + ["a" * 61]), ".".join(["a" * 63] * 3 + ["a" * 61])),
    ],
)
def test_names_that_are_taken(files: Files, name: str, read: str) -> None:
    tunnel = only(files.load(LOCAL + f"[tunnel.east]\npeer-address = '{name}'\n"))
    assert tunnel.peer_name == HostName(read, "", "")


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "gw..example", ".example", "gw.example..", "-gw.example", "gw-.example", "gw example", "gw/24",
        "gw:1701",
        "gw.example.net\\n", "例え.example", "\u017fite.example", "a" * 64, ".".join(["a" * 63] * 4),
        # Addresses, or what other programs take for one.
        "192.0.2", "192.0.2.256", "1.2.3.4.5", "0x7f.1", "2130706433", "0x7f000001", "gw.1", "gw.0x", "192.0.2.2.",
    ],
)  # fmt: skip
def test_names_that_are_not(files: Files, name: str) -> None:
    words = "Invalid address (write an IPv4 or IPv6 address, or a host name in ASCII)"
    assert files.problems(LOCAL + f'[tunnel.east]\npeer-address = "{name}"\n') == [f"tunnel.east.peer-address: {words}"]


@pytest.mark.parametrize(
    ("more", "host", "listeners"),
    [
        ("local-address = '192.0.2.1'", HostName(NAME, "192.0.2.1", None), (UDP4,)),
        ("local-address = '2001:db8::1'", HostName(NAME, None, "2001:db8::1"), (UDP6,)),
        ("[listen]\naddresses = ['0.0.0.0']", HostName(NAME, "", None), (UDP4,)),
        (
            "[listen]\naddresses = ['192.0.2.1', '::']",
            HostName(NAME, "192.0.2.1", ""),
            (ListenAddress(Encapsulation.UDP, "192.0.2.1", 1701), UDP6),
        ),
    ],
)
def test_families_are_those_that_are_listened_on(
    files: Files, more: str, host: HostName, listeners: tuple[ListenAddress, ...]
) -> None:
    configuration = files.load(NAMED + more)
    assert only(configuration).peer_name == host
    assert configuration.listeners == listeners


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (
            "[listen]\naddresses = ['192.0.2.1', '192.0.2.3', '::']",
            "local-address: No param (choose one of 192.0.2.1, 192.0.2.3)",
        ),
        (
            "local-address = '192.0.2.9'\n[listen]\naddresses = ['192.0.2.1', '::']",
            "local-address: no listen address covers it (add 192.0.2.9 to listen.addresses)",
        ),
        (
            "local-address = '192.0.2.1'\n[listen]\naddresses = ['::']",
            "local-address: no listen address covers it (add 192.0.2.1 to listen.addresses)",
        ),
        ("encapsulation = 'ip'\npeer-port = 1", 'peer-port: there are no ports with "ip" (leave it out)'),
    ],
)
def test_mistakes_beside_a_name(files: Files, more: str, problem: str) -> None:
    assert files.problems(NAMED + more) == [f"tunnel.east.{problem}"]


def test_a_mistake_in_the_listen_addresses_is_the_only_one(files: Files) -> None:
    assert files.problems(NAMED + "[listen]\naddresses = []") == [
        'listen.addresses: not a list of addresses (write ["ADDRESS", ...])'
    ]


def test_a_static_tunnel_has_an_address(files: Files) -> None:
    """Nothing would be begun anew when the name leads elsewhere."""
    assert files.problems(NAMED + "mode = 'static'\n") == [
        "tunnel.east.peer-address: Invalid address (write an IPv4 or IPv6 address)"
    ]


@pytest.mark.parametrize("again", [NAME, "GW.example.net", "gw.example.net."])
def test_two_tunnels_to_one_name_differ_in_encapsulation(files: Files, again: str) -> None:
    other = f"[tunnel.other]\npeer-address = '{again}'\n"
    assert len(files.problems(NAMED + other)) == 1
    assert len(files.load(NAMED + other + "encapsulation = 'ip'").tunnels) == 2
