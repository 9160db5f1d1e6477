"""Frames between two hosts whose interfaces go into bridges that appear after them, also when they are made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.guest.ends import End, ping
from tests.support.netns import poll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.planes import Planes

pytestmark = [pytest.mark.root, pytest.mark.timeout(300), pytest.mark.planes("userspace", "kernel")]


@pytest.fixture
def bridged(ends: tuple[End, End], planes: Planes) -> Iterator[tuple[End, End]]:
    """Both hosts with a listener; their bridges are removed afterwards."""
    for end, plane in zip(ends, planes, strict=True):
        end.listen("udp4", plane)
    yield ends
    for end in ends:
        end.host.run("ip", "link", "del", "br-lan", check=False)


def make_bridge(end: End) -> None:
    """Make the bridge, with the address that is pinged."""
    end.host.ip("link add br-lan type bridge")
    end.host.ip(f"addr add 198.51.100.{end.number}/24 dev br-lan")
    end.host.ip("link set br-lan up")
    poll(lambda: "master br-lan" in end.host.ip("link show pw0"), "pw0 is in the bridge")


def test_frames_pass_through_bridges_that_appear_later(bridged: tuple[End, End]) -> None:
    left, _ = bridged
    for end in bridged:
        end.client.set_pwe(end.param("udp4", bridge="br-lan"))
        make_bridge(end)
    ping(left, 100)
    left.host.ip("link del br-lan")
    left.helper.process.wait_for_log("pw0: waits for the bridge br-lan")
    make_bridge(left)
    ping(left, 100)


def test_an_interface_that_is_made_anew_is_in_the_bridge_again(bridged: tuple[End, End]) -> None:
    left, right = bridged
    for end in bridged:
        end.client.set_pwe(end.param("udp4", bridge="br-lan"))
        make_bridge(end)
    left.client.set_pwe(left.param("udp4", bridge="br-lan", local_session_id=77, local_cookie=b"1234"))
    right.client.set_pwe(right.param("udp4", bridge="br-lan", peer_session_id=77, peer_cookie=b"1234"))
    assert "master br-lan" in left.host.ip("link show pw0")
    ping(left, 100)


def test_an_adopted_interface_waits_for_its_bridge(bridged: tuple[End, End]) -> None:
    left, _ = bridged
    left.client.set_pwe(left.param("udp4"))
    left.client.set_pwe(left.param("udp4", bridge="br-lan"))
    left.helper.process.wait_for_log("pw0: waits for the bridge br-lan")
    make_bridge(left)
