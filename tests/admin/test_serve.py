"""``l2tp-admin serve`` as a process between real clients and a control process that answers from a table."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from l2tp_admin.limits import Limits
from tests.admin.daemons import (
    Daemons,
    ask,
    closed,
    connect,
    descriptors,
    exchange,
    frame,
    lines,
    receive,
    request,
    running,
)
from tests.admin.fake_control import CHANGES, SESSIONS, TUNNELS
from tests.support.netns import Process, poll

Running = tuple[Daemons, Process, Process]


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running() as both:
        yield both


def answers_at_once(daemons: Daemons) -> float:
    """Seconds that a well-formed command takes from connecting on."""
    begun = time.monotonic()
    assert ask(daemons.admin, "show-tunnels")["ok"]
    return time.monotonic() - begun


def test_commands_go_through_and_answers_come_back(served: Running) -> None:
    admin = served[0].admin
    assert ask(admin, "show-tunnels") == {"v": 1, "id": 1, "ok": True, "result": {"tunnels": TUNNELS, "problem": ""}}
    assert ask(admin, "show-sessions")["result"] == {"sessions": SESSIONS}
    assert ask(admin, "show-sessions", tunnel="tokyo")["result"] == {"sessions": SESSIONS[:1]}
    assert ask(admin, "show-tunnel", name="osaka")["result"]["tunnel"]["next_attempt"] == 7.25
    assert ask(admin, "clear-session", target="l2-eth0")["result"] == {"cleared": ["eth0"]}
    assert ask(admin, "show-tunnel", name="kyoto")["error"] == {"code": "not-found", "message": "there is no kyoto"}


def test_one_client_asks_many_times_and_is_answered_in_order(served: Running) -> None:
    with connect(served[0].admin) as client:
        wanted = ["late-80", "late-10", "late-40", "late-0"]
        client.sendall(b"".join(frame(request(i, "show-tunnel", name=name)) for i, name in enumerate(wanted)))
        answers = [receive(client) for _ in wanted]
    assert [answer["id"] for answer in answers] == [0, 1, 2, 3]
    assert [answer["result"]["tunnel"]["name"] for answer in answers] == wanted


def test_answers_to_what_was_asked_come_even_after_the_client_closed_its_side(served: Running) -> None:
    with connect(served[0].admin) as client:
        client.sendall(frame(request(5, "show-tunnel", name="late-50")))
        client.shutdown(socket.SHUT_WR)
        assert receive(client)["id"] == 5
        assert closed(client)


@pytest.mark.parametrize(
    ("body", "code", "answered_id"),
    [
        ({}, "malformed", None),
        ({"v": 1, "id": "1", "command": "show-tunnels"}, "malformed", None),
        ({"v": 9, "id": 3, "command": "show-tunnels"}, "version", 3),
        ({"v": 1, "id": 3, "command": "halt"}, "unknown-command", 3),
        ({"v": 1, "id": 3, "command": "clear-tunnel"}, "bad-arguments", 3),
    ],
)
def test_a_frame_that_is_no_request_is_answered_and_the_client_goes_on(
    served: Running, body: object, code: str, answered_id: int | None
) -> None:
    with connect(served[0].admin) as client:
        answer = exchange(client, body)
        assert (answer["ok"], answer["id"], answer["error"]["code"]) == (False, answered_id, code)
        assert exchange(client, request(8, "show-tunnels"))["ok"]


def test_twenty_clients_at_once_each_get_their_own_answer(served: Running) -> None:
    def converse(number: int) -> None:
        chance = random.Random(number)
        with connect(served[0].admin) as client:
            for _ in range(8):
                # All clients use the same ids; the control process answers in an order of its own.
                name = f"late-{chance.randrange(1, 40)}"
                answer = exchange(client, request(1, "show-tunnel", name=name))
                assert (answer["id"], answer["result"]["tunnel"]["name"]) == (1, name)

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(converse, range(20)))
    asked = [json.loads(line)[0] for line in served[2].text().splitlines()]
    assert len(set(asked)) == len(asked) >= 160


def test_one_slow_answer_holds_up_nobody_else(served: Running) -> None:
    with connect(served[0].admin) as slow:
        slow.sendall(frame(request(1, "show-tunnel", name="late-700")))
        assert answers_at_once(served[0]) < 0.5
        slow.settimeout(0)
        with pytest.raises(BlockingIOError):
            slow.recv(1)
        slow.settimeout(5)
        assert receive(slow)["result"]["tunnel"]["name"] == "late-700"


def test_a_bad_header_length_is_logged_and_closes_that_client_alone(served: Running) -> None:
    daemons, admin, _ = served
    before = len(lines(admin.text(), "invalid header length"))
    with connect(daemons.admin) as bystander, connect(daemons.admin) as client:
        client.sendall(b"\xff\xff\xff\xff")
        answer = receive(client)
        assert (answer["id"], answer["error"]["code"]) == (None, "malformed")
        assert closed(client)
        assert exchange(bystander, request(1, "show-tunnels"))["ok"]
    said = lines(admin.text(), "invalid header length")
    assert said[before:] == ["<3>invalid header length of admin command"]


def test_a_thousand_malformed_frames_and_the_next_command_is_answered_at_once(served: Running) -> None:
    daemons, admin, _ = served
    chance = random.Random(3931)
    bad_lengths = 0
    before = len(lines(admin.text(), "invalid header length"))
    for number in range(1000):
        length = chance.choice([0, 65537, 2**31, 2**32 - 1])
        text = chance.choice([b"\xff", b"{", b"[1]", b"[" * 5000, b'{"a":' * 3000, b"9" * 6000, b"null", b""])
        bad_length = number % 2 == 0 or not text
        octets = (0 if not text else length).to_bytes(4, "big") if bad_length else len(text).to_bytes(4, "big") + text
        bad_lengths += bad_length
        with connect(daemons.admin) as client, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(octets)
            if number % 3:
                assert receive(client)["error"]["code"] == "malformed"
            elif number % 2:
                client.sendall(chance.randbytes(3000))
    assert answers_at_once(daemons) < 0.5
    poll(lambda: len(lines(admin.text(), "invalid header length")) == before + bad_lengths, "each bad length logged")
    assert admin.returncode is None


def test_a_frame_cut_at_every_octet_leaves_nothing_behind(served: Running) -> None:
    daemons, admin, _ = served
    whole = frame(request(1, "show-tunnels"))
    for cut in range(len(whole)):
        with connect(daemons.admin) as client:
            client.sendall(whole[:cut])
    with connect(daemons.admin) as client:
        for octet in whole:
            client.sendall(bytes([octet]))
        assert receive(client)["ok"]
    # Its listener, its epoll, its signal pipe, its three standard streams and its upstream: no client is left.
    poll(lambda: descriptors(admin) <= 12, "descriptors closed")


def test_fifty_clients_that_never_read_delay_nobody(served: Running) -> None:
    """Each asks 20 times for 512 KiB, more than its socket holds, and reads nothing of it."""
    daemons, _, control = served
    before = len(lines(control.text(), "huge"))
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            client = stack.enter_context(connect(daemons.admin))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(frame(request(1, "show-sessions", tunnel="huge")) * 20)
        assert answers_at_once(daemons) < 3  # with all their answers still on their way
        poll(lambda: len(lines(control.text(), "huge")) - before >= 32, "they asked")
        assert max(answers_at_once(daemons) for _ in range(10)) < 0.3
        # One answer at a time is fetched for a client, and the next only when it has read that one.
        assert len(lines(control.text(), "huge")) - before <= 50


def test_as_many_clients_as_like_to_connect_and_a_new_one_is_served(served: Running) -> None:
    daemons, admin, _ = served
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(daemons.admin)) for _ in range(100)]
        assert answers_at_once(daemons) < 0.5
        assert descriptors(admin) < 50
        # The one that connected first is gone, the one that connected last is not.
        assert closed(idle[0])
        assert exchange(idle[-1], request(1, "show-tunnels"))["ok"]
    assert lines(admin.text(), "<4>admin client uid", f"pid {os.getpid()} cut: a new client needs its place")


def test_a_stream_goes_through_until_the_client_leaves(served: Running) -> None:
    daemons, admin, _ = served
    before = descriptors(admin)
    with connect(daemons.admin) as client:
        assert exchange(client, request(6, "monitor")) == {"v": 1, "id": 6, "ok": True, "result": {}}
        assert [receive(client) for _ in CHANGES] == [{"v": 1, "id": 6, "event": change} for change in CHANGES]
        assert answers_at_once(daemons) < 0.5
    poll(lambda: descriptors(admin) <= before, "the connection to the control process closed")


def test_there_is_a_limit_on_streams(served: Running) -> None:
    daemons, admin, _ = served
    before = descriptors(admin)
    with contextlib.ExitStack() as stack:
        limit = Limits().streams
        clients = [stack.enter_context(connect(daemons.admin)) for _ in range(limit + 1)]
        answers = [exchange(client, request(1, "monitor")) for client in clients]
        assert [answer["ok"] for answer in answers] == [True] * limit + [False]
        assert answers[-1]["error"]["code"] == "busy"
    poll(lambda: descriptors(admin) <= before, "the connections to the control process closed")


def test_a_stream_ends_with_an_error_when_the_control_process_goes() -> None:
    with running() as (daemons, _, control), connect(daemons.admin) as client:
        assert exchange(client, request(6, "monitor"))["ok"]
        for _ in CHANGES:
            receive(client)
        control.stop()
        assert receive(client)["error"]["code"] == "unreachable"
        assert closed(client)


def test_requests_beyond_the_rate_wait_and_none_is_lost(served: Running) -> None:
    with connect(served[0].admin) as client:
        begun = time.monotonic()
        client.sendall(b"".join(frame(request(i, "show-tunnel", name="osaka")) for i in range(300)))
        assert [receive(client)["id"] for _ in range(300)] == list(range(300))
        # 200 may come at once, the 100 after them at 200 a second.
        assert time.monotonic() - begun > 0.45


def test_each_changing_command_is_in_the_audit_log_with_who_what_and_outcome(served: Running) -> None:
    daemons, admin, _ = served
    ask(daemons.admin, "clear-tunnel", target="osaka")
    ask(daemons.admin, "clear-tunnel", target="192.0.2.77\n<0>forged")
    ask(daemons.admin, "show-tunnel", name="osaka")
    who = f"by uid {os.getuid()} ("
    assert lines(admin.text(), "<5>admin command clear-tunnel osaka", who, f"pid {os.getpid()}: done")
    assert lines(
        admin.text(), "<5>admin command clear-tunnel 192.0.2.77\\n<0>forged", "not-found, there is no 192.0.2.77"
    )
    assert not lines(admin.text(), "admin command show-tunnel")
    assert not any(line.startswith("<0>") for line in admin.text().splitlines())


def test_a_changing_command_is_audited_even_when_its_client_has_gone(served: Running) -> None:
    daemons, admin, _ = served
    with connect(daemons.admin) as client:
        client.sendall(frame(request(1, "clear-tunnel", target="late-101")))
    admin.wait_for_log("admin command clear-tunnel late-101")
    assert lines(admin.text(), "clear-tunnel late-101", "done")


def test_the_control_process_goes_and_comes_back() -> None:
    with running() as (daemons, admin, control):
        assert ask(daemons.admin, "show-tunnels")["ok"]
        with connect(daemons.admin) as waiting:
            waiting.sendall(frame(request(4, "clear-tunnel", target="die")))
            answer = receive(waiting)
        assert (answer["id"], answer["error"]["code"]) == (4, "unreachable")
        assert control.wait() == 9
        begun = time.monotonic()
        for _ in range(20):
            assert ask(daemons.admin, "show-tunnels")["error"]["code"] == "unreachable"
        assert time.monotonic() - begun < 2
        with daemons.start_control():
            assert ask(daemons.admin, "show-tunnels")["ok"]
            assert len(lines(admin.text(), "<3>connection to l2tp-ctl lost")) == 1
            assert lines(admin.text(), "admin command clear-tunnel die", "unreachable")
            assert len(lines(admin.text(), "<6>connected to l2tp-ctl")) == 2


def test_a_control_process_that_hangs_makes_commands_unreachable_not_clients_wait_for_ever() -> None:
    with running() as (daemons, _, control):
        assert ask(daemons.admin, "show-tunnels")["ok"]
        control.signal(signal.SIGSTOP)
        try:
            with connect(daemons.admin, timeout=15) as client:
                begun = time.monotonic()
                answer = exchange(client, request(2, "show-tunnels"))
                took = time.monotonic() - begun
        finally:
            control.signal(signal.SIGCONT)
        assert answer["error"] == {"code": "unreachable", "message": "l2tp-ctl gave no answer in 8 s"}
        assert 7 < took < 10
        assert ask(daemons.admin, "show-tunnels")["ok"]


def test_sigterm_ends_it_cleanly_with_clients_connected_and_commands_under_way() -> None:
    with running() as (daemons, admin, control), connect(daemons.admin) as client:
        client.sendall(frame(request(1, "clear-tunnel", target="silent")))
        control.wait_for_log("silent")
        admin.signal(signal.SIGTERM)
        assert admin.wait() == 0
        assert closed(client)
        assert not daemons.admin.exists()
        assert lines(admin.text(), "<6>Received 15 signal")
        assert lines(admin.text(), "admin command clear-tunnel silent", "unreachable")
        assert "Traceback" not in admin.text()


def test_nothing_that_clients_do_makes_it_fail(served: Running) -> None:
    """Runs last in this module: the log of all before holds no failure of the program itself."""
    threads = [threading.Thread(target=answers_at_once, args=(served[0],)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert served[1].returncode is None
    assert "Traceback" not in served[1].text()
    assert not [line for line in served[1].text().splitlines() if not line.startswith("<")]
