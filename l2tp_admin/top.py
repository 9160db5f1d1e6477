"""The live screen of ``l2tp-admin top``: what is up, what is not and why, and how much goes through."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from l2tp_admin import screen
from l2tp_admin.text import duration, printable
from l2tp_admin.views import SESSIONS, TUNNELS, Column, Row, drops, milliseconds

_TUNNELS = (
    *(column for column in TUNNELS if column.title in {"NAME", "STATE", "PEER", "SESSIONS", "UPTIME"}),
    Column("RTT-MS", lambda tunnel: milliseconds(tunnel["rtt"]), numeric=True),
    *(column for column in TUNNELS if column.title in {"RETRY-IN", "LAST-ERROR"}),
)
_SESSIONS = (
    *(column for column in SESSIONS if column.title in {"NAME", "TUNNEL", "STATE", "INTERFACE", "UPTIME"}),
    Column("RX/S", lambda session: _rate(session, "rx_frames"), numeric=True),
    Column("RX-BIT/S", lambda session: _bits(session, "rx_octets"), numeric=True),
    Column("TX/S", lambda session: _rate(session, "tx_frames"), numeric=True),
    Column("TX-BIT/S", lambda session: _bits(session, "tx_octets"), numeric=True),
    Column("DROPS", lambda session: str(sum(drops(session).values())) if session["counters"] else "", numeric=True),
)
MAX_ROWS = 200
"""Of each table: no screen has more lines."""


class Look(NamedTuple):
    """What the server answered at one time."""

    tunnels: list[Row]
    sessions: list[Row]
    statistics: Row


def run(look: Callable[[], Look], interval: float, *, once: bool) -> None:
    """Look every ``interval`` seconds and show it, until Ctrl-C; with ``once``, print the second look alone."""
    before, then = look(), time.monotonic()
    if once:
        time.sleep(interval)
        screen.console().print(view(before, look(), time.monotonic() - then))
        return
    try:
        with Live(view(before, before, interval), console=screen.console(), screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(interval)
                after, now = look(), time.monotonic()
                live.update(view(before, after, now - then), refresh=True)
                before, then = after, now
    except KeyboardInterrupt:
        return


def view(before: Look, after: Look, seconds: float) -> RenderableType:
    """Return the screen: two looks, ``seconds`` apart."""
    rates = _rates(before.sessions, after.sessions, seconds)
    sessions = sorted(
        ({**session, "rates": rates.get(session["name"], {})} for session in after.sessions),
        key=lambda session: -session["rates"].get("rx_octets", 0) - session["rates"].get("tx_octets", 0),
    )
    # What is not up is what one looks for.
    tunnels = sorted(after.tunnels, key=lambda tunnel: tunnel["state"] == "established")
    told = after.statistics
    line = (
        f"l2tpd up {duration(told['uptime'])}   tunnels {told['tunnels_established']}/{told['tunnels_configured']}   "
        f"sessions {told['sessions_established']}/{told['sessions_configured']}   "
        f"sent again {told['retransmissions']}   dropped {sum(told['drops'].values())}"
    )
    parts: list[RenderableType] = [Text(line, style="bold")]
    if told["problem"]:
        parts.append(Text(printable(told["problem"]), style="bold red"))
    parts.append(screen.grid(_TUNNELS, tunnels[:MAX_ROWS]))
    parts.append(screen.grid(_SESSIONS, sessions[:MAX_ROWS]))
    return Group(*parts)


def _rates(before: list[Row], after: list[Row], seconds: float) -> dict[str, dict[str, float]]:
    """Return what each session's counters grew by in a second; nothing where they began anew."""
    old = {session["name"]: session["counters"] for session in before}
    rates = {}
    for session in after:
        counters, earlier = session["counters"], old.get(session["name"], {})
        if all(counters.get(name, -1) >= count for name, count in earlier.items()):
            rates[session["name"]] = {name: (counters[name] - count) / seconds for name, count in earlier.items()}
    return rates


def _rate(session: Row, counter: str) -> str:
    rate = session["rates"].get(counter)
    return "" if rate is None else f"{rate:.0f}"


def _bits(session: Row, counter: str) -> str:
    rate = session["rates"].get(counter)
    if rate is None:
        return ""
    bits = 8 * rate
    for unit in ("", "k", "M", "G"):
        if bits < 1000:
            return f"{bits:.0f}{unit}" if bits >= 10 or not unit else f"{bits:.1f}{unit}"
        bits /= 1000
    return f"{bits:.1f}T"
