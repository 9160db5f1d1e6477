"""Prometheus scrapes a live pair: every query of the dashboard returns data, every alert fires at its fault."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from l2tp_admin.metrics import families
from tests.admin.fake_control import SESSIONS, STATISTICS, TUNNELS
from tests.live.pairs import Pair, Way, pair
from tests.support.netns import poll
from tests.support.prometheus import Prometheus, find, prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
RULES = PACKAGING / "prometheus" / "l2tpd.rules.yml"
DASHBOARD = PACKAGING / "grafana" / "l2tpd.json"
WAY = Way(0, "udp", 4, digest="md5")

pytestmark = [pytest.mark.prometheus, pytest.mark.root]


def shorter(rules: str) -> str:
    """The same rules, with minutes that take a second: for tests, which look every quarter of one."""
    return re.sub(r"for: \d+m", "for: 1s", re.sub(r"\[\d+m\]", "[3s]", rules))


def alerts() -> set[str]:
    return set(re.findall(r"- alert: (\w+)", RULES.read_text()))


def test_promtool_finds_no_fault_in_the_rules() -> None:
    promtool = find("promtool")
    assert promtool
    done = subprocess.run([promtool, "check", "rules", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"SUCCESS: {len(alerts())} rules found" in done.stdout


class Watched:
    """A pair, and a Prometheus on west's host."""

    def __init__(self, running: Pair, watching: Prometheus) -> None:
        self.pair = running
        self.prometheus = watching

    def wait_for_alert(self, name: str, *, fires: bool = True) -> None:
        poll(
            lambda: (name in self.prometheus.firing()) is fires,
            f"{name} fires: {fires}, and {self.prometheus.firing()} do",
            timeout=25,
        )


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    rules = shorter(RULES.read_text())
    with (
        pair(WAY, admin=("--metrics", "127.0.0.1:9120")) as running,
        prometheus(running.hosts[0], tmp_path_factory.mktemp("watched") / "prometheus", rules) as watching,
    ):
        running.wait_until_up()
        yield Watched(running, watching)


def test_the_exposition_is_sound_in_both_formats(watched: Watched) -> None:
    host = watched.pair.hosts[0]
    promtool = find("promtool")
    assert promtool
    text = fetch(watched, "/metrics")[1]
    done = host.run(promtool, "check", "metrics", text_input=text)
    assert done.stdout + done.stderr == ""
    head, text = fetch(watched, "/metrics", "Accept: application/openmetrics-text; version=1.0.0")
    assert "Content-Type: application/openmetrics-text" in head
    assert text.endswith("# EOF\n")


def fetch(watched: Watched, path: str, *headers: str, method: str = "GET") -> tuple[str, str]:
    """Head and body of an answer of the exporter's."""
    with watched.pair.hosts[0].inside():
        client = socket.create_connection(("127.0.0.1", 9120), timeout=10)
    with client:
        lines = (f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", "")
        client.sendall("\r\n".join(lines).encode())
        with client.makefile("rb") as stream:
            head, _, body = stream.read().decode().partition("\r\n\r\n")
    return head, body


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", "404"), ("POST", "/metrics", "405")])
def test_nothing_else_is_served(watched: Watched, method: str, path: str, status: str) -> None:
    assert fetch(watched, path, method=method)[0].startswith(f"HTTP/1.1 {status} ")


def test_clients_that_say_nothing_keep_nobody_out_for_long(watched: Watched) -> None:
    with watched.pair.hosts[0].inside():
        silent = [socket.create_connection(("127.0.0.1", 9120)) for _ in range(12)]
    try:
        assert fetch(watched, "/metrics")[0].startswith("HTTP/1.1 200 ")
    finally:
        for client in silent:
            client.close()


def queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_every_query_of_the_dashboard_returns_data(watched: Watched) -> None:
    watched.pair.ping(WAY)
    for query in queries():
        expression = query.replace("$__rate_interval", "5s").replace("$instance", ".+")
        watched.prometheus.process.wait_until(
            lambda expression=expression: watched.prometheus.query(expression),  # type: ignore[misc]
            expression,
        )


def test_figures_are_those_of_the_commands(watched: Watched) -> None:
    watched.pair.ping(WAY)
    session = watched.pair.ends[0].show("sessions")[f"s-{WAY.name}"]
    expected = float(session["counters"]["rx_frames"])

    def value() -> bool:
        [series] = watched.prometheus.query('l2tpd_frames_total{direction="received"}')
        assert series["metric"]["tunnel"] == WAY.name
        return float(series["value"][1]) >= expected

    watched.prometheus.process.wait_until(value, "the frames that show sessions tells")
    assert watched.prometheus.query(f'l2tpd_tunnel_state{{state="established",tunnel="{WAY.name}"}}')


def test_nothing_fires_while_all_is_well(watched: Watched) -> None:
    poll(lambda: watched.prometheus.firing() == set(), "silence", timeout=20)


@pytest.mark.timeout(120)
def test_each_alert_fires_when_its_fault_is_made(watched: Watched) -> None:
    west, east = watched.pair.ends
    _, far = watched.pair.hosts
    fired = set()

    def fires(name: str) -> None:
        watched.wait_for_alert(name)
        fired.add(name)

    # The other end knows the session no more: the tunnel stays.
    text = (east.directory / "l2tpd.toml").read_text()
    (east.directory / "l2tpd.toml").write_text(text.replace('remote-end-id = "end 0"', 'remote-end-id = "other"'))
    east.command("reload")
    fires("L2tpdSessionDown")
    (east.directory / "l2tpd.toml").write_text(text)
    east.command("reload")
    watched.pair.wait_until_up()

    # Somebody else's address, and a message without a digest from the peer's.
    for number in (9, 2):
        far.ip(f"addr replace 192.0.2.{number}/24 dev outer")
        with far.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind((f"192.0.2.{number}", 0))
            sccrq = bytes.fromhex("c80300140000000000000000" + "8008000000000001")

            def knock(stranger: socket.socket = stranger, sccrq: bytes = sccrq, number: int = number) -> bool:
                stranger.sendto(sccrq, ("192.0.2.1", 1701))
                return {9: "L2tpdUnknownPeer", 2: "L2tpdAuthenticationFails"}[number] in watched.prometheus.firing()

            poll(knock, f"the alert at what 192.0.2.{number} sends", timeout=20, interval=0.3)
    fired |= {"L2tpdUnknownPeer", "L2tpdAuthenticationFails"}

    far.ip("link set outer down")
    west.command("clear", "tunnel", WAY.name)
    fires("L2tpdTunnelDown")
    fires("L2tpdMessagesLost")
    far.ip("link set outer up")
    watched.wait_for_alert("L2tpdTunnelDown", fires=False)

    west.helper.kill()
    fires("L2tpdHelperAway")
    west.control.kill()
    fires("L2tpdDown")
    west.admin.kill()
    poll(lambda: watched.prometheus.query("up == 0"), "the target is down")
    watched.wait_for_alert("L2tpdDown")
    assert fired == alerts()


def test_the_document_names_every_metric() -> None:
    rows = re.findall(
        r"^\| (`l2tpd_.*?) \| (\w+) \| (.*?) \|", (PACKAGING.parent / "docs/monitoring.md").read_text(), re.MULTILINE
    )
    written = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)))
        for names, kind, labels in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    told = families(STATISTICS, TUNNELS, SESSIONS)
    assert written == {
        family.name + "_total" * (family.type == "counter"): (family.type, tuple(getattr(family, "_labelnames", ())))
        for family in told
    }
