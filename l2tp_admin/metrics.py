"""What Prometheus is told: the answers of the admin protocol as metric families."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

Row = Mapping[str, Any]

FORWARDED = {"tx_frames", "tx_octets", "rx_frames", "rx_octets"}
"""The counters of a session that count no drop."""


class _Fixed:
    """A collector of families that are there already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = [*families]

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def exposition(families: Iterable[Metric], accept: str) -> tuple[bytes, str]:
    """Return the text of metric families and its content type: OpenMetrics for who accepts that."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fixed(families))
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type


def families(statistics: Row | None, tunnels: Iterable[Row] = (), sessions: Iterable[Row] = ()) -> Iterator[Metric]:
    """Yield every family; only that l2tp-ctl is away where there are no ``statistics``."""
    yield _gauge("up", "Whether l2tp-ctl answers", 0 if statistics is None else 1)
    if statistics is not None:
        yield from _daemon(statistics)
        yield from _tunnels(tunnels)
        yield from _sessions([*sessions])


def _daemon(told: Row) -> Iterator[Metric]:
    yield _gauge("uptime_seconds", "Seconds since l2tp-ctl began", told["uptime"])
    yield _gauge("helper_connected", "Whether l2tp-kernel is there", int(told["helper_connected"]))
    for what in ("tunnels", "sessions"):
        for state in ("configured", "established"):
            name = f"{what}_{state}"
            yield _gauge(name, f"Number of {what} {state}", told[name])
    messages = _counter("messages", "Control messages, those sent again included", ["direction", "type"])
    for direction in ("received", "sent"):
        for kind, count in told[f"messages_{direction}"].items():
            messages.add_metric([direction, kind], count)
    yield messages
    for name, text in (("retransmissions", "Control messages sent again"), ("datagrams", "Datagrams received")):
        family = _counter(name, text, [])
        family.add_metric([], told[name])
        yield family
    drops = _counter("drops", "Datagrams that were not used", ["reason"])
    for reason, count in told["drops"].items():
        drops.add_metric([reason], count)
    yield drops
    requests = SummaryMetricFamily(
        "l2tpd_helper_request_seconds", "Time that l2tp-kernel took to answer", labels=["request"]
    )
    for request, latency in told["helper_requests"].items():
        requests.add_metric([request], latency["count"], latency["seconds"])
    yield requests


def _tunnels(tunnels: Iterable[Row]) -> Iterator[Metric]:
    labels = ["tunnel", "peer"]
    up = _labelled("tunnel_up", "Whether the tunnel is established", labels)
    enabled = _labelled("tunnel_enabled", "0 where an operator put the tunnel down", labels)
    state = _labelled("tunnel_state", "1 for the state that the tunnel is in", [*labels, "state"])
    rtt = _labelled("tunnel_rtt_seconds", "From a control message to its acknowledgement, smoothed", labels)
    waiting = _labelled("tunnel_messages_waiting", "Control messages unacknowledged or queued", labels)
    again = _counter("tunnel_retransmissions", "Messages of this control connection sent again", labels)
    for tunnel in tunnels:
        values = [tunnel["name"], tunnel["peer_name"] or tunnel["peer_address"]]
        up.add_metric(values, tunnel["state"] == "established")
        enabled.add_metric(values, tunnel["enabled"])
        state.add_metric([*values, tunnel["state"]], 1)
        if tunnel["rtt"] is not None:
            rtt.add_metric(values, tunnel["rtt"])
        waiting.add_metric(values, tunnel["unacknowledged"] + tunnel["queued"])
        again.add_metric(values, tunnel["retransmissions"])
    yield from (up, enabled, state, rtt, waiting, again)


def _sessions(sessions: list[Row]) -> Iterator[Metric]:
    labels = ["tunnel", "session"]
    up = _labelled("session_up", "Whether the session is established", labels)
    state = _labelled("session_state", "1 for the state that the session is in", [*labels, "state"])
    frames = _counter("frames", "Ethernet frames forwarded", [*labels, "direction"])
    octets = _counter("octets", "Octets of Ethernet frames forwarded", [*labels, "direction"])
    drops = _counter("frame_drops", "Ethernet frames dropped", [*labels, "reason"])
    for session in sessions:
        values = [session["tunnel"], session["name"]]
        up.add_metric(values, session["state"] == "established")
        state.add_metric([*values, session["state"]], 1)
        counters = session["counters"]
        for direction, prefix in (("received", "rx"), ("sent", "tx")) if counters else ():
            frames.add_metric([*values, direction], counters[f"{prefix}_frames"])
            octets.add_metric([*values, direction], counters[f"{prefix}_octets"])
        for reason, count in counters.items():
            if reason not in FORWARDED:
                drops.add_metric([*values, reason], count)
    yield from (up, state, frames, octets, drops)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"l2tpd_{name}", text, value=value)


def _labelled(name: str, text: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"l2tpd_{name}", text, labels=labels)


def _counter(name: str, text: str, labels: list[str]) -> CounterMetricFamily:
    return CounterMetricFamily(f"l2tpd_{name}", text, labels=labels)
