"""What is not to be complained about is not: whole lives in which nothing goes wrong."""

from __future__ import annotations

from typing import Any

import pytest

from l2tp_ctl.catalogue import Entry, Level
from l2tp_ctl.core.message import MessageType, Result
from l2tp_ctl.core.settings import Compatibility, DigestPolicy
from tests.core.bench import Bench, FarEnd, answering, initiated, secrets, session, tunnel

KEY = b"the tunnel's password"

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "a password": {"secrets": secrets(KEY)},
    "HMAC-MD5 alone": {"secrets": secrets(KEY), "digest": DigestPolicy.MD5},
    "reserved bits discarded": {"discard_reserved": True},
    "names that must fit": {"peer_host_name": b"far", "peer_router_id": 0x0A000002},
    "Cisco's dialect": {"compatibility": Compatibility.CISCO},
}

NOISE = {Entry.PEER_STOPPED, Entry.TUNNEL_RETRY}
"""Warnings of our own about a peer that ends the tunnel."""


def live(bench: Bench, far: FarEnd, own_id: int) -> None:
    """Hello, a session that ends, a tunnel that ends, in good order."""
    far.send(MessageType.HELLO)
    bench.run(200.0)
    assert bench.session.state == "established"
    far.of_session(MessageType.CDN, 0x55 if bench.tunnel.initiator is False else 0x66, own_id, result=Result(3))
    far.send(MessageType.STOPCCN, result=Result(1), assigned_connection_id=far.local_id)
    assert bench.tunnel.state == "idle"


def complaints(bench: Bench) -> list[str]:
    """Lines that tell of something wrong."""
    return [
        line
        for log, line in zip(bench.logs, bench.lines, strict=True)
        if log.entry.level <= Level.WARN and log.entry not in NOISE
    ]


@pytest.mark.parametrize("way", WAYS)
def test_a_life_that_the_peer_begins(way: str) -> None:
    bench = Bench(tunnel(**WAYS[way]))
    far = answering(bench, secrets=[KEY] if "secrets" in WAYS[way] else [])
    live(bench, far, far.connect())
    assert complaints(bench) == []


@pytest.mark.parametrize("way", WAYS)
def test_a_life_that_this_end_begins(way: str) -> None:
    bench, far = initiated(session(), **WAYS[way])
    live(bench, far, far.accept())
    assert complaints(bench) == []


def test_what_is_told_of_a_whole_life_and_how_often() -> None:
    """No line comes out twice for one event, and none of those that mean something else."""
    bench = Bench()
    far = answering(bench)
    own = far.connect()
    far.send(MessageType.STOPCCN, result=Result(1), assigned_connection_id=far.local_id)
    assert own
    once = [log.entry for log in bench.logs if log.entry not in {Entry.SEND_MESSAGE, Entry.SEND_CONTROL_PACKET}]
    assert once == [
        Entry.TUNNEL_CREATE_SUCCEEDED,
        Entry.CREATE_NEW_TUNNEL,
        Entry.RECEIVE_STATE,  # SCCRQ
        Entry.SEND_STATE,  # SCCRP
        Entry.RECEIVE_STATE,  # SCCCN
        Entry.TUNNEL_UP,
        Entry.CREATE_NEW_SESSION,
        Entry.RECEIVE_STATE,  # ICRQ
        Entry.SEND_STATE,  # ICRP
        Entry.RECEIVE_STATE,  # ICCN
        Entry.SESSION_UP,
        Entry.PEER_STOPPED,
        Entry.RECEIVE_STATE,  # StopCCN
        Entry.TUNNEL_DOWN,
        Entry.SESSION_DOWN,
        Entry.CLEANUP_SESSION,
        Entry.DELETE_SESSION,
        Entry.CLEANUP_TUNNEL_BY_NAME,
        Entry.DELETE_TUNNEL,
    ]
