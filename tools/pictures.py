"""The pictures in docs/pictures, from a live demo: what l2tp-admin shows of a tunnel that is up and of one that is not.

Runs the demo beside any other, adds a tunnel that the other end refuses, pings, and draws.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from l2tp_admin import client, screen, top, views
from l2tp_ctl.admin_schema import Command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

ROOT = Path(__file__).resolve().parent.parent
NAME = "l2tpd-pictures"
WEST, EAST = (Path("/run", NAME, host) for host in ("west", "east"))
DEMO = (sys.executable, ROOT / "tools" / "demo.py", "--name", NAME, "--output", Path("/run", f"{NAME}-output"))
PATIENCE = 20.0

REFUSED = """
[tunnel.{peer}-ip]
peer-address = "{address}"
encapsulation = "ip"
{more}
[tunnel.{peer}-ip.session.branch]
remote-end-id = "branch"
interface = "pw1"
"""


def main() -> int:
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"
    output.mkdir(exist_ok=True)
    try:
        subprocess.run([*DEMO, "--keep"], check=True, stdout=subprocess.DEVNULL)
        make_trouble()
        for name, title, width, view in pictures():
            draw(output / f"{name}.svg", title, width, view)
    finally:
        subprocess.run([*DEMO, "--stop"], check=True, stdout=subprocess.DEVNULL)
    return 0


def make_trouble() -> None:
    """Give west a tunnel that east refuses, and wait until west knows why."""
    add(EAST, REFUSED.format(peer="west", address="192.0.2.1", more='hostname = "north"\ninitiate = false'))
    add(WEST, REFUSED.format(peer="east", address="192.0.2.2", more="reconnect-interval = 60"))
    deadline = time.monotonic() + PATIENCE
    while not ask(Command.SHOW_TUNNEL, name="east-ip")["tunnel"]["last_error"]:
        if time.monotonic() > deadline:
            raise SystemExit("the tunnel east-ip was not refused")
        time.sleep(0.1)


def add(host: Path, text: str) -> None:
    with (host / "l2tpd.toml").open("a") as file:
        file.write(text)
    client.ask(host / "admin.sock", PATIENCE, Command.RELOAD)


def ask(command: Command, **args: str) -> dict[str, Any]:
    return client.ask(WEST / "admin.sock", PATIENCE, command, **args)


def look() -> top.Look:
    return top.Look(
        ask(Command.SHOW_TUNNELS)["tunnels"], ask(Command.SHOW_SESSIONS)["sessions"], ask(Command.SHOW_STATISTICS)
    )


def pictures() -> Iterator[tuple[str, str, int, RenderableType]]:
    """Name, title, columns and content of each picture."""
    tunnels = screen.grid(views.TUNNELS, ask(Command.SHOW_TUNNELS)["tunnels"])
    yield "show-tunnels", "l2tp-admin show tunnels", 150, tunnels
    for name, tunnel in (("show-tunnel-up", "east"), ("show-tunnel-down", "east-ip")):
        told = ask(Command.SHOW_TUNNEL, name=tunnel)
        view = screen.tunnel_view(told["tunnel"], told["sessions"], told["differences"])
        yield name, f"l2tp-admin show tunnel {tunnel}", 136, view
    ping = ("ip", "netns", "exec", f"{NAME}-west", "ping", "-q", "-i0.01", "-s1200", "-w3", "198.51.100.2")
    with subprocess.Popen(ping, stdout=subprocess.DEVNULL):
        time.sleep(0.5)
        before, then = look(), time.monotonic()
        time.sleep(1.0)
        yield "top", "l2tp-admin top", 160, top.view(before, look(), time.monotonic() - then)


def draw(path: Path, title: str, width: int, view: RenderableType) -> None:
    console = Console(
        record=True, width=width, file=io.StringIO(), force_terminal=True, highlight=False, legacy_windows=False
    )
    console.print(view)
    text = console.export_svg(title=title, unique_id=path.stem)
    # Whoever looks at a picture should not tell a font server so.
    text = re.sub(r"@font-face \{.*?\}", "", text, flags=re.DOTALL)
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")


if __name__ == "__main__":
    sys.exit(main())
