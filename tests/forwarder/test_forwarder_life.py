"""The process: requests in force when they return, refusals that change nothing, and its end noticed."""

from __future__ import annotations

import dataclasses
import errno
import functools
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from l2tp_kernel.forwarder import control
from l2tp_kernel.forwarder.control import Forwarder, ForwarderDiedError
from l2tp_kernel.schema import Counters, Flavour
from tests.forwarder.ends import HANDLE, INTERFACE, USER, Wire, frame, joined, make_tap, open_descriptors
from tests.support.netns import poll, veth_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.forwarder.ends import End

pytestmark = pytest.mark.root


@pytest.fixture
def ends() -> Iterator[tuple[End, End]]:
    with veth_pair("h3life") as hosts, joined(hosts, "udp4") as both:
        yield both


def readable(forwarder: Forwarder) -> bool:
    return bool(select.select([forwarder], [], [], 0)[0])


def refused(call: Callable[[], object]) -> int | None:
    with pytest.raises(OSError, match="Errno") as error:
        call()
    return error.value.errno


def test_its_death_is_noticed_and_a_new_one_takes_over(ends: tuple[End, End]) -> None:
    left, right = ends
    left.forwarder.check()
    assert not readable(left.forwarder)
    os.kill(left.forwarder.pid, signal.SIGKILL)
    poll(lambda: readable(left.forwarder), "readable")
    with pytest.raises(ForwarderDiedError, match=r"ended.*-9"):
        left.forwarder.check()
    with pytest.raises(ForwarderDiedError):
        left.forwarder.stats()
    left.forwarder.close()
    with pytest.raises(ForwarderDiedError, match="not started"):
        left.forwarder.check()
    left.forwarder.start()
    assert left.forwarder.stats() == {}
    left.forwarder.add_socket(HANDLE, left.pair.data, left.pair.flavour)
    left.forwarder.set_session(left.param, left.tap)
    with Wire(left.host) as here, Wire(right.host) as there:
        here.send(frame(60))
        assert there.receive() == frame(60)


def test_one_that_hangs_is_dead_too(ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ANSWER_TIMEOUT", 0.2)
    forwarder = ends[0].forwarder
    os.kill(forwarder.pid, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(ForwarderDiedError, match="does not answer"):
        forwarder.stats()
    assert time.monotonic() - started < 2
    with pytest.raises(ForwarderDiedError):
        forwarder.check()


def test_it_ends_with_its_helper() -> None:
    before = open_descriptors()
    forwarder = Forwarder(USER)
    forwarder.start()
    pid = forwarder.pid
    os.kill(pid, signal.SIGINT)  # a terminal's Ctrl-C is the helper's business
    assert forwarder.stats() == {}
    forwarder.close()
    assert not Path(f"/proc/{pid}").exists()
    assert forwarder.pid == 0
    assert open_descriptors() == before


def test_a_user_that_does_not_exist_is_no_forwarder(capfd: pytest.CaptureFixture[str]) -> None:
    before = open_descriptors()
    forwarder = Forwarder("nobody-at-all")
    with pytest.raises(ForwarderDiedError, match="ended"):
        forwarder.start()
    assert "nobody-at-all" in capfd.readouterr().err
    assert open_descriptors() == before


def test_it_never_imports_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = tmp_path / "l2tp_kernel"
    planted.mkdir()
    (planted / "__init__.py").write_text("raise SystemExit('planted')")
    monkeypatch.setattr(sys, "path", [entry or str(Path.cwd()) for entry in sys.path])
    monkeypatch.chdir(tmp_path)
    forwarder = Forwarder(USER)
    forwarder.start()
    forwarder.close()


def test_refusals_change_nothing(ends: tuple[End, End]) -> None:
    left, right = ends
    forwarder, param = left.forwarder, left.param
    before = _descriptors_of(forwarder)
    assert refused(lambda: forwarder.add_socket(HANDLE, left.pair.data, Flavour.UDP)) == errno.EEXIST
    assert refused(lambda: forwarder.remove_socket(HANDLE)) == errno.EBUSY
    assert refused(lambda: forwarder.remove_socket(99)) == errno.ENOENT
    assert refused(lambda: forwarder.delete_session("pw9")) == errno.ENOENT
    assert refused(lambda: forwarder.strays(99)) == errno.ENOENT
    other = dataclasses.replace(param, interface="pw9", local_session_id=9)
    for changed, tap, reason in (
        (dataclasses.replace(param, interface="pw9"), left.tap, errno.EEXIST),
        (dataclasses.replace(param, listener=99), left.tap, errno.ENOENT),
        (dataclasses.replace(param, send_sequencing=2), left.tap, errno.EINVAL),
        (dataclasses.replace(other, receive_sequencing=1), left.tap, errno.EINVAL),
        (other, None, errno.EMFILE),
    ):
        assert refused(functools.partial(forwarder.set_session, changed, tap)) == reason
    assert _descriptors_of(forwarder) == before
    with Wire(left.host) as here, Wire(right.host) as there:
        here.send(frame(60))
        assert there.receive() == frame(60)
        there.send(frame(61))
        assert here.receive() == frame(61)


def test_a_deleted_session_forwards_no_more_and_leaves_nothing(ends: tuple[End, End]) -> None:
    left, right = ends
    before = _descriptors_of(right.forwarder)
    right.forwarder.delete_session(INTERFACE)
    assert right.forwarder.stats() == {}
    with Wire(left.host) as here:
        for _ in range(3):
            here.send(frame(60))
        poll(lambda: right.forwarder.strays(HANDLE).unknown == 3, "unknown session")
    right.forwarder.remove_socket(HANDLE)
    assert _descriptors_of(right.forwarder) == before - 2
    right.forwarder.add_socket(HANDLE, right.pair.data, right.pair.flavour)
    right.forwarder.set_session(right.param, right.tap)
    assert right.counters() == Counters(*[0] * 9)
    with Wire(left.host) as here, Wire(right.host) as there:
        here.send(frame(60))
        assert there.receive() == frame(60)


def test_an_interface_that_somebody_removes_costs_nothing(ends: tuple[End, End]) -> None:
    left, right = ends
    left.host.ip(f"link del {INTERFACE}")
    left.forwarder.check()
    before = _ticks(left.forwarder)
    with Wire(right.host) as there:
        for _ in range(3):
            there.send(frame(60))
        right.wait_for(tx_frames=3)
    left.wait_for(rx_frames=0)
    time.sleep(0.3)  # the time over which it must not be busy
    assert _ticks(left.forwarder) - before < 10  # hundredths of a second
    made_anew = make_tap(left.host, INTERFACE)
    left.forwarder.set_session(left.param, made_anew)
    os.close(made_anew)
    with Wire(left.host) as here, Wire(right.host) as there:
        here.send(frame(62))
        assert there.receive() == frame(62)
        there.send(frame(63))
        assert here.receive() == frame(63)


def test_many_sessions_are_all_counted(ends: tuple[End, End]) -> None:
    left, _ = ends
    for number in range(300):
        param = dataclasses.replace(left.param, interface=f"many{number}", local_session_id=1000 + number)
        left.forwarder.set_session(param, left.tap)
    assert left.forwarder.stats().keys() == {INTERFACE, *(f"many{number}" for number in range(300))}
    for number in range(300):
        left.forwarder.delete_session(f"many{number}")
    assert left.forwarder.stats().keys() == {INTERFACE}


def test_no_secret_is_in_its_arguments_or_environment(ends: tuple[End, End]) -> None:
    pid = ends[0].forwarder.pid
    for name in ("cmdline", "environ"):
        assert b"cook" not in Path(f"/proc/{pid}/{name}").read_bytes()


def _descriptors_of(forwarder: Forwarder) -> int:
    return len(list(Path(f"/proc/{forwarder.pid}/fd").iterdir()))


def _ticks(forwarder: Forwarder) -> int:
    """Its user and system time."""
    return sum(map(int, Path(f"/proc/{forwarder.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
