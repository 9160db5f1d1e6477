"""All three processes at each end over Linux's own L2TP: what only that can do to them, and what it cannot do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.pairs import Lasting, Pair, Way
from tests.support.netns import poll
from tests.support.planes import PAIRS, sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]

UDP = Way(0, "udp", 4)
IP = Way(1, "ip", 6)


@pytest.fixture(scope="module")
def lasting() -> Iterator[Lasting]:
    made = Lasting(PAIRS["kernel"])
    yield made
    made.close()


@pytest.fixture
def running(lasting: Lasting) -> Pair:
    return lasting.get()


@pytest.mark.parametrize("what", ["tunnel", "session"])
def test_what_somebody_deletes_comes_back_by_itself(running: Pair, what: str) -> None:
    running.join(UDP, IP)
    west, host = running.ends[0], running.hosts[0]
    for way in (UDP, IP):
        index = running.index(way)
        (mine,) = (each for each in sessions(host) if each["interface"] == way.interface)
        number = "" if what == "tunnel" else f" session_id {mine['session_id']}"
        host.ip(f"l2tp del {what} tunnel_id {mine['tunnel_id']}{number}")
        poll(lambda: running.index(way) not in {"", index}, "a new interface")  # noqa: B023
    if what == "tunnel":
        west.helper.wait_for_log("deleted by somebody else")
    running.wait_until_up()
    for way in (UDP, IP):
        running.ping(way)


def test_what_linux_cannot_do_is_refused_and_told(running: Pair) -> None:
    """West wants numbered frames, and sends none itself: Linux has both or neither."""
    way = Way(0, "udp", 4, session=('sublayer = "default"\nsequencing = "all"\n', ""))
    running.configure(way)
    words = "l2tp-kernel refused SET_PWE_PARAM: plane"
    poll(lambda: any(words in end.control.text() for end in running.ends), words)
    assert any("Linux has one sublayer for both directions" in end.helper.text() for end in running.ends)
    assert running.index(way) == ""
    running.join(UDP)
    running.ping(UDP)
