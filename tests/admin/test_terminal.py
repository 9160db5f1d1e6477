"""The command line as a person at a terminal sees it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from l2tp_admin.text import width
from tests.admin.daemons import ENVIRONMENT, Daemons, command, running
from tests.admin.terminal import run_on_terminal

ESCAPE = re.compile("\x1b\\[[0-9;]*m")


@pytest.fixture(scope="module")
def daemons() -> Iterator[Daemons]:
    with running() as (both, _, _):
        yield both


def on_terminal(daemons: Daemons, *arguments: str, columns: int = 160, keys: bytes = b"", **environment: str) -> str:
    program = command("--socket", daemons.admin, *arguments)
    status, output = run_on_terminal(program, {**ENVIRONMENT, **environment}, columns=columns, keys=keys)
    assert status == 0, output
    return output


def test_a_terminal_gets_a_table_with_states_in_colour(daemons: Daemons) -> None:
    output = on_terminal(daemons, "show", "tunnels")
    assert re.search("\x1b\\[32mestablished", output)
    assert re.search("\x1b\\[31midle", output)
    assert re.search("\x1b\\[33mwait-ctl-reply", output)
    text = ESCAPE.sub("", output)
    assert "─" in text
    assert "1d02h" in text
    assert "StopCCN\\x07" in text


def test_no_color_leaves_no_escape_at_all(daemons: Daemons) -> None:
    for arguments in (("show", "tunnels"), ("show", "sessions"), ("show", "tunnel", "osaka")):
        assert "\x1b" not in on_terminal(daemons, *arguments, NO_COLOR="1")
        assert "\x1b" in on_terminal(daemons, *arguments, NO_COLOR="")


def test_numbers_are_on_the_right_and_wide_names_align(daemons: Daemons) -> None:
    lines = on_terminal(daemons, "show", "sessions", columns=200, NO_COLOR="1").splitlines()
    [header] = [line for line in lines if "RX-FRAMES" in line]
    [first] = [line for line in lines if "eth0" in line]
    [wide] = [line for line in lines if "大阪 支社" in line]
    assert header.index("RX-FRAMES") + len("RX-FRAMES") == first.index("123456") + len("123456")
    assert header.index("TX-FRAMES") + len("TX-FRAMES") == first.index("   7  ") + 4
    assert width(wide[: wide.index("wait-reply")]) == first.index("established") == header.index("STATE")


def test_a_narrow_terminal_folds_and_loses_nothing(daemons: Daemons) -> None:
    output = on_terminal(daemons, "show", "tunnels", columns=60, NO_COLOR="1")
    assert max(map(width, output.splitlines())) <= 60
    assert "…" not in output


def test_one_tunnel_on_one_screen(daemons: Daemons) -> None:
    output = on_terminal(daemons, "show", "tunnel", "osaka")
    text = ESCAPE.sub("", output)
    assert text.startswith("tunnel osaka is not up: no answer to SCCRQ\n")
    assert "in 7 s" in text
    assert "the tunnel is down" in text
    assert len(text.splitlines()) <= 24
    assert "3 rx_cookie" in on_terminal(daemons, "show", "tunnel", "tokyo")


def test_what_a_peer_says_moves_no_cursor(daemons: Daemons) -> None:
    output = on_terminal(daemons, "show", "tunnel", "tokyo", NO_COLOR="1")
    assert "host\\x1b[31m\\nname" in output
    assert "\x1b" not in output


def test_thousands_of_lines_come_fast_as_plain_columns(daemons: Daemons) -> None:
    begun = time.monotonic()
    lines = on_terminal(daemons, "show", "sessions", "--tunnel", "many").splitlines()
    assert time.monotonic() - begun < 3
    assert len(lines) == 5001
    assert lines[-1].split()[:3] == ["s4999", "many", "established"]


def test_json_is_the_same_on_a_terminal(daemons: Daemons) -> None:
    assert on_terminal(daemons, "show", "tunnels", "--json") == daemons.run("show", "tunnels", "--json").stdout


def test_clearing_all_is_asked_for(daemons: Daemons) -> None:
    assert on_terminal(daemons, "clear", "tunnel", "all", keys=b"y\n").endswith("cleared 東京本社\n")
    assert on_terminal(daemons, "clear", "tunnel", "all", "--yes").startswith("cleared tokyo")
    assert on_terminal(daemons, "clear", "tunnel", "osaka") == "cleared osaka\n"
    program = command("--socket", daemons.admin, "clear", "tunnel", "all")
    status, output = run_on_terminal(program, ENVIRONMENT, keys=b"\n")
    assert status == 1
    assert output.endswith("l2tp-admin: nothing was cleared; answer y, or give --yes\n")
