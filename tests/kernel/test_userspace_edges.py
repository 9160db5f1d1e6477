"""The userspace plane while it has no forwarder: nothing is half made, and all is there again with the next one."""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from l2tp_kernel import userspace
from l2tp_kernel.plane import Interface
from l2tp_kernel.userspace import UserspacePlane
from tests.kernel.helper import listener, param
from tests.support.netns import poll, veth_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.netns import Namespace

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def host() -> Iterator[Namespace]:
    with veth_pair("plane") as (left, _):
        yield left


@pytest.fixture
def taps(host: Namespace) -> Iterator[UserspacePlane]:
    with host.inside(), closing(UserspacePlane("nobody")) as made:
        yield made


def kill(taps: UserspacePlane) -> int:
    """End the forwarder's process, and give its number."""
    pid = taps._forwarder.pid
    os.kill(pid, signal.SIGKILL)
    poll(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z", "its end")
    return pid


def end_forwarder(taps: UserspacePlane) -> None:
    """Kill it, and let the plane notice and start another."""
    before = kill(taps)
    taps._started = -userspace.RESTART_SECONDS
    taps.tend()
    assert taps._forwarder.pid not in (0, before)


def without_forwarder(taps: UserspacePlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill it, and have none that can be started."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    kill(taps)
    taps._started = -userspace.RESTART_SECONDS
    taps.tend()
    assert taps.fileno() == -1


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_next_forwarder_has_everything(taps: UserspacePlane) -> None:
    taps.open_listener(1, listener())
    (made,) = taps.set([param(1)])
    assert isinstance(made, Interface)
    end_forwarder(taps)
    assert list(taps.stats()) == ["pw0"]
    assert taps.set([param(1, local_session_id=5)]) == [made]
    taps.delete(["pw0"])
    taps.close_listener(1)


def test_without_a_forwarder_nothing_is_made(taps: UserspacePlane, monkeypatch: pytest.MonkeyPatch) -> None:
    taps.open_listener(1, listener())
    taps.set([param(1)])
    without_forwarder(taps, monkeypatch)
    before = open_files()
    for _ in range(2):  # at once, and when the next attempt is due
        with pytest.raises(OSError, match="no forwarder"):
            taps.open_listener(2, listener(port=1702))
        new, known = taps.set([param(1, "pw1", local_session_id=2), param(1, local_session_id=3)])
        assert isinstance(new, OSError)
        assert isinstance(known, OSError)
        assert new.errno == known.errno == errno.EAGAIN
        assert open_files() == before
        taps._started = -userspace.RESTART_SECONDS
    taps.delete(["pw0"])
    monkeypatch.undo()
    taps._started = -userspace.RESTART_SECONDS
    taps.tend()
    assert taps._running
    taps.close_listener(1)


def test_a_forwarder_that_dies_at_each_request_is_given_up(taps: UserspacePlane) -> None:
    def die(_: object) -> None:
        kill(taps)
        taps._started = -userspace.RESTART_SECONDS
        taps._forwarder.check()

    with pytest.raises(OSError, match="no forwarder"):
        taps._tell(die)


def test_a_name_that_linux_does_not_take_is_an_error(host: Namespace) -> None:
    before = open_files()
    with host.inside(), pytest.raises(OSError, match="Invalid argument"):
        userspace._open_tap("a/b")
    assert open_files() == before
