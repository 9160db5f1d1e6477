"""`make demo` shows what it claims: no ping lost, and a capture that an independent decoder finds sound."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.netns import PREFIX, Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CALL = ["1", "2", "3", "10", "11", "12", "4"]
"""SCCRQ, SCCRP, SCCCN, ICRQ, ICRP, ICCN, StopCCN."""
DOUBTS = "_ws.malformed || _ws.expert"
"""tshark's filter for all that it finds fault with, wrong digests among them."""
NAME = f"{PREFIX}-{os.getpid()}-demo"

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]


@pytest.fixture
def demo(repository: Path, tmp_path: Path) -> Iterator[list[str]]:
    """Command line of a demo with a name and an output directory of its own; removed afterwards."""
    script = repository / "tools" / "demo.py"
    command = [sys.executable, str(script), "--name", NAME, "--output", str(tmp_path / "output")]
    yield command
    subprocess.run([*command, "--stop"], check=True, timeout=30, capture_output=True)
    assert left_over() == []


def left_over() -> list[str]:
    """Namespaces of this demo that are still there."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split()[0] for line in listed if line.startswith(NAME)]


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def decode(output: Path, *arguments: str, secret: str = "") -> list[str]:
    """Lines that tshark prints of the demo's capture, with its password (given by file, as secrets are) or another."""
    profile = output / "tshark"
    profile.mkdir(exist_ok=True)
    (profile / "preferences").write_text(f"l2tp.shared_secret: {secret or (output / 'password').read_text()}\n")
    done = subprocess.run(
        ["tshark", "-r", str(output / "l2tpd-demo.pcapng"), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, "WIRESHARK_CONFIG_DIR": str(profile)},
    )
    return done.stdout.splitlines()


@pytest.mark.tshark
@pytest.mark.parametrize("encapsulation", ["udp", "ip"])
def test_ends_well_and_its_capture_is_sound(demo: list[str], tmp_path: Path, encapsulation: str) -> None:
    shown = run([*demo, "--encapsulation", encapsulation])
    assert "0% packet loss" in shown
    assert left_over() == []

    output = tmp_path / "output"
    assert decode(output, "-Y", DOUBTS) == []
    assert decode(output, "-Y", DOUBTS, secret="not the password") != []
    kinds = decode(output, "-Y", "l2tp.avp.message_type", "-Tfields", "-e", "l2tp.avp.message_type")
    assert [kind for kind in dict.fromkeys(kinds) if kind in CALL] == CALL  # east may start after west's first SCCRQ
    assert decode(output, "-Y", "l2tp && icmp.type == 8") != []


def test_a_killed_run_is_removed_by_the_next(demo: list[str], tmp_path: Path) -> None:
    with Process(demo, tmp_path / "killed.log") as killed:
        killed.wait_for_log("west: l2tp-ctl runs", timeout=30)
        killed.kill()
    assert left_over() != []
    assert "removed what an earlier run had left" in run(demo)
    assert left_over() == []


def test_keep_leaves_it_running_until_it_is_stopped(demo: list[str], tmp_path: Path) -> None:
    shown = run([*demo, "--keep"])
    lines = [line.strip() for line in shown.split("Look around:")[1].splitlines()]
    show = next(line for line in lines if "show tunnel" in line)
    assert "established" in run(show.split())
    run([*demo, "--stop"])
    assert left_over() == []


def test_an_interrupted_run_cleans_up(demo: list[str], tmp_path: Path) -> None:
    with Process(demo, tmp_path / "interrupted.log") as interrupted:
        interrupted.wait_for_log("west: l2tp-kernel runs", timeout=30)
        interrupted.signal(signal.SIGINT)
        assert interrupted.wait() != 0
    assert left_over() == []
