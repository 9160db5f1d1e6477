"""The demo's own capture and ping, for machines that have neither tcpdump nor ping."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.netns import veth_pair

WIRE = Path(__file__).resolve().parents[2] / "tools" / "wire.py"


@pytest.mark.root
@pytest.mark.tshark
def test_capture_has_every_ping_and_ping_counts_them(tmp_path: Path) -> None:
    capture = tmp_path / "wire.pcapng"
    with veth_pair("wire") as (west, east):
        with west.start(sys.executable, WIRE, "capture", "outer", capture, log=tmp_path / "capture.log") as process:
            process.wait_for_path(capture)
            answered = east.run(sys.executable, WIRE, "ping", west.ipv4, 3)
            assert process.stop() == 0
        lost = east.run(sys.executable, WIRE, "ping", "192.0.2.99", 1, check=False)
    assert "3 packets transmitted, 3 received, 0% packet loss" in answered.stdout
    assert lost.returncode == 1
    assert "1 packets transmitted, 0 received, 100% packet loss" in lost.stdout
    command = ["tshark", "-r", str(capture), "-Y", "icmp", "-Tfields", "-e", "icmp.type", "-e", "frame.len"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.split()
    assert shown == ["8", "98", "0", "98"] * 3


@pytest.mark.parametrize("arguments", [["--stop"], []])
def test_demo_says_what_it_needs(arguments: list[str]) -> None:
    """Without the ip program it ends at once, with one line."""
    command = [sys.executable, str(WIRE.with_name("demo.py")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": ""}, timeout=20)
    assert done.returncode == 1
    assert done.stderr == "demo: network namespaces need root and iproute2\n"
