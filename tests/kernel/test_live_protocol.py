"""A live helper against clients that do not keep to the contract: refused or dropped, and it serves the next one."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l2tp_kernel.clients import MAX_CLIENTS
from l2tp_kernel.schema import MAX_REQUEST, VERSION, Reason, Status, Verb
from l2tp_kernel.server import QUEUE
from tests.kernel.helper import Helper, running
from tests.kernel.test_wire import anything
from tests.support.netns import namespace, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def helper() -> Iterator[Helper]:
    # In a directory that everybody may enter, so that it is the helper who turns them away.
    with tempfile.TemporaryDirectory(prefix="l2tpd-") as made, namespace("protocol") as host:
        directory = Path(made)
        directory.chmod(0o755)
        with running(host, directory) as started:
            yield started


@pytest.fixture(autouse=True)
def still_serves(helper: Helper) -> Iterator[None]:
    """After every test the next client is served and finds nothing made."""
    yield
    with helper.client() as client:
        assert client.request(Verb.LIST) == [[], []]
        assert client.helper_pid == helper.process.pid


def refused(answer: list[Any] | None, sequence: int, reason: Reason) -> None:
    assert answer == [sequence, Status.REFUSED, reason]


def test_nothing_is_done_for_an_unbound_identity(helper: Helper) -> None:
    with helper.client(greet=False) as client:
        client.send(msgpack.packb([1, Verb.OPEN_LISTENER, 0, 0, bytes([192, 0, 2, 1]), 1701]))
        client.send(b"\xff")
        client.send(msgpack.packb([0, Verb.HELLO, VERSION, client.token]))
        client.send(msgpack.packb([1, Verb.HELLO, VERSION, client.token]))
        answer = client.receive()
        assert answer is not None
        assert answer[:2] == [1, Status.OK], "the first answer is the HELLO's: what came before it has none"
    helper.process.wait_for_log("unbound identity: frame dropped")


def test_a_wrong_token_or_version_binds_nothing(helper: Helper) -> None:
    with helper.client() as first, helper.client(greet=False) as client:
        client.send(msgpack.packb([1, Verb.HELLO, VERSION, bytes(16)]))
        refused(client.receive(), 1, Reason.NOT_GREETED)
        client.send(msgpack.packb([1, Verb.HELLO, VERSION, first.token]))
        refused(client.receive(), 1, Reason.NOT_GREETED)
        client.send(msgpack.packb([1, Verb.HELLO, VERSION + 1, client.token]))
        refused(client.receive(), 1, Reason.VERSION)
        client.send(msgpack.packb([2, Verb.HELLO, VERSION, client.token]))
        refused(client.receive(), 2, Reason.SEQUENCE)
        client.send(msgpack.packb([1, Verb.HELLO, VERSION, b"short"]))
        refused(client.receive(), 1, Reason.MALFORMED)
        client.send(msgpack.packb([1, Verb.HELLO, VERSION, client.token]))
        assert client.receive() == [1, Status.OK, [[1], helper.process.pid]]


def test_an_identity_of_ones_own_choice_is_refused(helper: Helper) -> None:
    with helper.client(greet=False) as client:
        client._dealer.disconnect(f"ipc://{helper.directory / 'command'}")
        client._dealer.set(zmq.IDENTITY, b"chosen")
        client._dealer.connect(f"ipc://{helper.directory / 'command'}")
        client.send(msgpack.packb([1, Verb.HELLO, VERSION, client.token]))
        refused(client.receive(), 1, Reason.NOT_GREETED)


def test_a_replayed_or_skipped_number_is_refused(helper: Helper) -> None:
    with helper.client() as client:
        frame = msgpack.packb([2, Verb.LIST])
        client.send(frame)
        assert client.receive() == [2, Status.OK, [[], []]]
        client.send(frame)
        refused(client.receive(), 2, Reason.SEQUENCE)
        client.send(msgpack.packb([4, Verb.LIST]))
        refused(client.receive(), 4, Reason.SEQUENCE)
        client.send(msgpack.packb([3, Verb.LIST]))
        assert client.receive() == [3, Status.OK, [[], []]]


def test_a_malformed_request_uses_up_its_number(helper: Helper) -> None:
    with helper.client() as client:
        for sequence, *rest in ((2, 99), (3,), (4, Verb.LIST, 1), (5, Verb.HELLO, VERSION, client.token)):
            client.send(msgpack.packb([sequence, *rest]))
            refused(client.receive(), sequence, Reason.MALFORMED)
        client.send(b"\xc1")
        refused(client.receive(), 0, Reason.MALFORMED)
        client.send(msgpack.packb([6, Verb.LIST]), b"")
        refused(client.receive(), 0, Reason.MALFORMED)
        client.send(msgpack.packb([6, Verb.LIST]))
        assert client.receive() == [6, Status.OK, [[], []]]


def test_a_frame_over_the_limit_ends_the_connection(helper: Helper) -> None:
    with helper.client() as client:
        client.send(bytes(MAX_REQUEST))
        refused(client.receive(), 0, Reason.MALFORMED)
        client.send(bytes(MAX_REQUEST + 1))
        client.send(msgpack.packb([2, Verb.LIST]))
        assert client.receive(0.3) is None


def test_octets_that_are_not_zeromq_end_that_connection_alone(helper: Helper) -> None:
    with helper.client() as client:
        for octets in (b"GET / HTTP/1.1\r\n\r\n", bytes(1000), b"\xff" * 70000):
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.connect(str(helper.directory / "command"))
                stranger.sendall(octets)
        assert client.request(Verb.LIST) == [[], []]


def test_a_user_that_the_policy_does_not_name_gets_no_token(helper: Helper) -> None:
    code = "import socket,sys; s=socket.socket(1, 5); s.connect(sys.argv[1]); s.settimeout(5); print(s.recv(64))"
    path = helper.directory / "descriptors"
    command = ["/usr/bin/python3", "-I", "-c", code, str(path)]
    answer = subprocess.check_output(command, user="nobody", group="nogroup", extra_groups=[], text=True)
    assert answer == "b''\n"
    helper.process.wait_for_log("turned away: not one of the policy's clients")


GREETING = "import socket,sys; s=socket.socket(1); s.connect(sys.argv[1]); s.settimeout(5); print(s.recv(1))"
"""Prints the first octet that ZeroMQ sends to whoever connects."""


def greeting(helper: Helper, user: str = "nobody") -> str:
    command = ["/usr/bin/python3", "-I", "-c", GREETING, str(helper.directory / "command")]
    return subprocess.check_output(command, user=user, extra_groups=[], text=True).strip()


def test_a_user_that_the_policy_does_not_name_gets_no_octet_of_zeromq(helper: Helper) -> None:
    """And so cannot use up descriptors there, of which libzmq cannot bear the end."""
    before = len(list(Path(f"/proc/{helper.process.pid}/fd").iterdir()))
    assert greeting(helper) == "b''"
    assert greeting(helper, "root") == "b'\\xff'"
    poll(lambda: len(list(Path(f"/proc/{helper.process.pid}/fd").iterdir())) == before, "no descriptor is left")


def test_a_user_that_the_policy_names_later_may_connect(helper: Helper) -> None:
    text = helper.policy.read_text()
    try:
        with helper.client() as client:
            helper.policy.write_text(text.replace('["root"]', '["root", "nobody"]'))
            helper.process.signal(signal.SIGHUP)
            assert client.channel.recv(64) == b"", "all connect again"
        assert greeting(helper) == "b'\\xff'"
        with helper.client() as client:
            helper.policy.write_text(text)
            helper.process.signal(signal.SIGHUP)
            poll(lambda: helper.process.text().count("read again") == 2, "the policy is read")
            assert client.request(Verb.LIST) == [[], []], "less is no reason to"
    finally:
        helper.policy.write_text(text)


def test_only_so_many_clients_are_connected(helper: Helper) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_CLIENTS):
            stack.enter_context(helper.client())
        one_more = stack.enter_context(helper.client(greet=False))
        assert one_more.token == b""


def test_a_client_that_talks_on_the_side_channel_is_ended(helper: Helper) -> None:
    with helper.client() as client:
        client.channel.send(b"hello")
        with pytest.raises(ConnectionResetError):
            client.channel.recv(64)
        client.send(msgpack.packb([2, Verb.LIST]))
        assert client.receive(0.3) is None


def test_a_client_that_does_not_read_is_ended(helper: Helper) -> None:
    with helper.client() as other, helper.client(greet=False, unread=1) as client:
        client.send(msgpack.packb([1, Verb.HELLO, VERSION, client.token]))
        for sequence in range(2, 3 * QUEUE):
            client.send(msgpack.packb([sequence, Verb.LIST]))
        assert client.channel.recv(64) == b""
        assert other.request(Verb.LIST) == [[], []]
    helper.process.wait_for_log("does not take its answers")


def test_a_flood_of_refusals_does_not_fill_the_log(helper: Helper) -> None:
    before = helper.process.text().count("not an integer")
    with helper.client() as client:
        for sequence in range(2, 202):
            client.send(msgpack.packb([sequence, 99]))
            refused(client.receive(), sequence, Reason.MALFORMED)
    helper.process.wait_for_log("190 more of these were not logged")
    assert helper.process.text().count("not an integer") - before == 10


frames = st.lists(
    st.binary(max_size=200) | anything.map(msgpack.packb)
    | st.tuples(st.integers(0, 6), st.integers(0, 8)).flatmap(
        lambda head: st.lists(anything, max_size=4).map(lambda rest: msgpack.packb([*head, *rest]))
    ),
    min_size=1, max_size=20,
)  # fmt: skip


@given(frames=frames, greet=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_changes_nothing_and_ends_nothing(helper: Helper, frames: list[bytes], *, greet: bool) -> None:
    with helper.client(greet=greet) as garbler:
        for frame in frames:
            garbler.send(frame)
        if greet:
            for _ in frames:
                answer = garbler.receive()
                assert answer is not None
                assert answer[1] in (Status.OK, Status.REFUSED)
    with helper.client() as client:
        assert client.request(Verb.LIST) == [[], []]
