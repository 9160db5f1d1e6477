"""Tokens, identities, sequence numbers and the limit on log lines."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from l2tp_kernel.clients import MAX_CLIENTS, Clients
from l2tp_kernel.journal import Complaints
from l2tp_kernel.schema import VERSION, Reason
from l2tp_kernel.wire import Hello, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN = b"\0\x01\x02\x03\x04"
"""An identity as libzmq chooses them."""


@pytest.fixture
def channels() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(MAX_CLIENTS + 1)]
    yield pairs
    for pair in pairs:
        for each in pair:
            each.close()


Channels = list[tuple[socket.socket, socket.socket]]


def refused(clients: Clients, identity: bytes, sequence: int, hello: Hello) -> Reason:
    with pytest.raises(Refused) as no:
        clients.bind(identity, sequence, hello)
    assert clients.bound(identity) is None
    return no.value.reason


def test_a_token_binds_one_identity_once(channels: Channels) -> None:
    clients = Clients()
    client = clients.add(channels[0][0], 0, 1)
    token = channels[0][1].recv(64)
    assert len(token) == 16
    assert refused(clients, OWN, 1, Hello(VERSION, bytes(16))) is Reason.NOT_GREETED
    assert refused(clients, b"chosen", 1, Hello(VERSION, token)) is Reason.NOT_GREETED
    assert refused(clients, OWN, 1, Hello(VERSION + 1, token)) is Reason.VERSION
    assert refused(clients, OWN, 2, Hello(VERSION, token)) is Reason.SEQUENCE
    assert clients.bind(OWN, 1, Hello(VERSION, token)) is client
    assert clients.bound(OWN) is client
    assert refused(clients, b"\0\x09\x09\x09\x09", 1, Hello(VERSION, token)) is Reason.NOT_GREETED


def test_sequence_numbers_rise_by_one(channels: Channels) -> None:
    client = Clients().add(channels[0][0], 0, 1)
    client.take(1)
    client.take(2)
    for wrong in (2, 1, 4, 2**64 - 1):
        with pytest.raises(Refused) as no:
            client.take(wrong)
        assert no.value.reason is Reason.SEQUENCE
    client.take(3)


def test_a_dropped_client_is_nobody(channels: Channels) -> None:
    clients = Clients()
    client = clients.add(channels[0][0], 0, 1)
    token = channels[0][1].recv(64)
    clients.bind(OWN, 1, Hello(VERSION, token))
    clients.drop(client)
    clients.drop(client)
    assert clients.bound(OWN) is None
    assert list(clients) == []
    assert channels[0][1].recv(64) == b""
    assert refused(clients, OWN, 1, Hello(VERSION, token)) is Reason.NOT_GREETED


def test_only_so_many_connect(channels: Channels) -> None:
    clients = Clients()
    made = [clients.add(ours, 0, 1) for ours, _ in channels[:-1]]
    with pytest.raises(OSError, match="connected already"):
        clients.add(channels[-1][0], 0, 1)
    clients.drop(made[0])
    assert clients.add(channels[-1][0], 0, 1) in list(clients)
    assert len({each.token for each in made}) == MAX_CLIENTS


def test_a_client_that_hung_up_is_not_kept(channels: Channels) -> None:
    clients = Clients()
    channels[0][1].close()
    with pytest.raises(OSError, match="Broken pipe"):
        clients.add(channels[0][0], 0, 1)
    assert list(clients) == []


def test_a_flood_of_complaints_is_cut_and_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr("l2tp_kernel.journal.time.monotonic", lambda: now)
    complaints = Complaints("somebody")
    for number in range(15):
        complaints.add(f"reason {number}")
    complaints.summarise()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"<4>somebody: reason {number}" for number in range(10)]
    now += 10
    complaints.summarise()
    assert capsys.readouterr().err == "<4>somebody: 5 more of these were not logged\n"
    complaints.add("again")
    complaints.summarise(end=True)
    assert capsys.readouterr().err == "<4>somebody: again\n"
