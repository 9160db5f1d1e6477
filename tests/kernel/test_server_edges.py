"""What the server does where the userspace plane never goes: sockets of tunnels, clients that do not take them."""

from __future__ import annotations

import resource
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgpack
import pytest
import zmq

from l2tp_kernel.schema import Verb
from tests.kernel.helper import Helper, listener, param, running
from tests.support.netns import veth_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.helper_client import HelperClient

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def helper(tmp_path_factory: pytest.TempPathFactory, repository_path: Path) -> Iterator[Helper]:
    """Start a server whose interfaces are in memory, each with a tunnel of its own."""
    command = (sys.executable, "-m", "tests.kernel.memory")
    environment = {"PYTHONPATH": str(repository_path)}
    with veth_pair("server") as (host, _):
        directory = tmp_path_factory.mktemp("server")
        with running(host, directory, command=command, environment=environment) as started:
            yield started


@pytest.fixture(scope="module")
def repository_path() -> Path:
    return Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def empty(helper: Helper) -> Iterator[None]:
    """After every test nothing is left."""
    yield
    with helper.client() as client:
        listeners, pseudowires = client.request(Verb.LIST)
        client.request(Verb.DELETE_PWE, [[each[1], each[8]] for each in pseudowires])
        for each in listeners:
            client.request(Verb.CLOSE_LISTENER, each[-1])


def opened(client: HelperClient) -> int:
    handle, _, control = client.open_listener(listener())
    control.close()
    return handle


def test_sockets_of_tunnels_are_passed_to_all_and_taken_back(helper: Helper) -> None:
    with helper.client() as first, helper.client() as second, helper.client(greet=False) as stranger:
        handle = opened(first)
        first.set_pwe(param(handle))
        first.read_tunnels()
        second.read_tunnels()
        assert first.tunnels.keys() == second.tunnels.keys() == {101}
        first.delete_pwe("pw0", 101)
        first.read_tunnels()
        second.read_tunnels()
        assert first.tunnels == second.tunnels == {}
        stranger.read_tunnels()
        assert stranger.tunnels == {}, "who has not said HELLO gets none"


def test_who_comes_later_gets_them_with_the_listener(helper: Helper) -> None:
    with helper.client() as first:
        first.set_pwe(param(opened(first)))
    with helper.client() as second:
        assert second.tunnels == {}
        opened(second)
        second.read_tunnels()
        assert second.tunnels.keys() == {101}


def test_a_client_that_does_not_take_its_sockets_is_ended(helper: Helper) -> None:
    with helper.client() as lazy, helper.client() as client:
        handle = opened(client)
        for number in range(2000):
            client.set_pwe(param(handle, local_session_id=1 + number))
            client.read_tunnels()
            if "does not take its sockets" in helper.process.text():
                break
        while lazy.channel.recv(64):
            pass
        client.set_pwe(replace(param(handle), local_session_id=5000))


def test_who_has_gone_before_the_answer_is_forgotten(helper: Helper) -> None:
    before = helper.process.text().count("HELLO refused")
    wrong = msgpack.packb([1, Verb.HELLO, 1, bytes(16)])
    with helper.client(greet=False) as client:
        client.send(wrong)
        assert client.receive() is not None
        client._dealer.set(zmq.LINGER, 5000)  # what it has sent arrives
        helper.process.signal(signal.SIGSTOP)
        for _ in range(100):
            client.send(wrong)
    helper.process.signal(signal.SIGCONT)
    helper.process.wait_until(lambda: helper.process.text().count("HELLO refused") > before + 5, "it was served")
    with helper.client() as client:
        assert client.request(Verb.LIST) == [[], []]


def test_without_descriptors_nobody_new_is_taken(helper: Helper) -> None:
    process = helper.process.pid
    limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
    with helper.client() as client:
        used = {int(each.name) for each in Path(f"/proc/{process}/fd").iterdir()}
        free = min(set(range(len(used) + 1)) - used)
        resource.prlimit(process, resource.RLIMIT_NOFILE, (free, limits[1]))
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as visitor:
                visitor.connect(str(helper.directory / "descriptors"))
                helper.process.wait_for_log("cannot accept: [Errno 24] Too many open files")
            assert client.request(Verb.LIST) == [[], []]
        finally:
            resource.prlimit(process, resource.RLIMIT_NOFILE, limits)
