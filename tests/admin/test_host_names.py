"""Tunnels whose peer has a host name, as people and Prometheus are shown them."""

from __future__ import annotations

from typing import Any

import pytest

from l2tp_admin.metrics import families
from l2tp_admin.plain import table, tunnel
from l2tp_admin.views import PEERS, TUNNELS, peer
from tests.admin.fake_control import tunnel as answer

NAME = "gw.example.net"
LOST = f"cannot resolve {NAME}: the name servers do not answer"
STATISTICS: dict[str, Any] = {
    "uptime": 1.0, "helper_connected": True, "retransmissions": 0, "datagrams": 0, "drops": {}, "helper_requests": {},
    "messages_received": {}, "messages_sent": {},
    **{f"{what}_{state}": 1 for what in ("tunnels", "sessions") for state in ("configured", "established")},
}  # fmt: skip


def named(state: str, **other: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"peer_name": NAME, "peer_address": "", "name_problem": LOST, "last_error": LOST}
    return answer("named", state, **fields | other)


@pytest.mark.parametrize(
    ("name", "address", "port", "shown"),
    [
        ("", "192.0.2.2", 1701, "192.0.2.2:1701"),
        ("", "2001:db8::2", 1701, "[2001:db8::2]:1701"),
        ("", "2001:db8::2", 0, "2001:db8::2"),
        (NAME, "192.0.2.2", 1701, f"{NAME}[192.0.2.2]:1701"),
        (NAME, "2001:db8::2", 1701, f"{NAME}[2001:db8::2]:1701"),
        (NAME, "2001:db8::2", 0, f"{NAME}[2001:db8::2]"),
        (NAME, "", 1701, f"{NAME}:1701"),
        (NAME, "", 0, NAME),
    ],
)
def test_the_peer_in_one_word(name: str, address: str, port: int, shown: str) -> None:
    assert peer({"peer_name": name, "peer_address": address, "peer_port": port}) == shown


def test_why_it_is_not_up() -> None:
    assert table(TUNNELS, [named("idle")]).splitlines()[1].split(maxsplit=7)[2::5] == [f"{NAME}:1701", LOST]
    lines = tunnel(named("idle", next_attempt=None), [], []).splitlines()
    assert lines[0] == f"tunnel named is not up: {LOST}"
    assert f"peer's name:     leads nowhere yet; {LOST}" in lines
    assert "next attempt:    none is planned; the peer may begin once its name leads somewhere" in lines


def test_a_name_that_leads_somewhere_and_is_not_found_any_more() -> None:
    fields = {"peer_address": "192.0.2.2", "peer_addresses": ["192.0.2.2", "192.0.2.3"]}
    lines = tunnel(named("established", **fields), [], []).splitlines()
    assert lines[0].startswith("tunnel named is up")
    assert f"peer's name:     leads to 192.0.2.2, 192.0.2.3; {LOST}" in lines
    assert "peer's name" not in tunnel(answer("plain", "established"), [], [])
    idle = tunnel(named("idle", next_attempt=None, **fields), [], []).splitlines()
    assert "next attempt:    none is planned; the peer may begin" in idle


def test_peers_without_an_address_are_listed_by_name() -> None:
    row = {"host_name": "", "router_id": "", "vendor_name": "", "tunnels": ["t"], "tunnels_established": 0,
           "sessions_configured": 1, "sessions_established": 0}  # fmt: skip
    peers = [{**row, "address": address, "peer_name": name}
             for address, name in (("", NAME), ("192.0.2.2", NAME), ("192.0.2.3", ""))]  # fmt: skip
    shown = [line.split()[0] for line in table(PEERS, peers).splitlines()[1:]]
    assert shown == [NAME, f"{NAME}[192.0.2.2]", "192.0.2.3"]


def test_a_series_of_prometheus_goes_on_when_the_address_changes() -> None:
    labels = set()
    for address in ("", "192.0.2.2", "192.0.2.3"):
        told = families(STATISTICS, [named("idle", peer_address=address), answer("plain", "idle")])
        (up,) = (family for family in told if family.name == "l2tpd_tunnel_up")
        assert [sample.value for sample in up.samples] == [0, 0]
        labels |= {sample.labels["peer"] for sample in up.samples}
    assert labels == {NAME, "192.0.2.2"}
