"""What is shown of static tunnels and sessions."""

from __future__ import annotations

from typing import Any

import pytest

from l2tp_admin.views import headline, session_facts, session_headline, tunnel_facts
from tests.admin.fake_control import session, tunnel


def static(state: str, **other: Any) -> dict[str, Any]:
    silent: dict[str, Any] = {"peer_host_name": "", "peer_router_id": "", "peer_vendor_name": "", "next_attempt": None}
    return tunnel("wire", state, **(silent | {"mode": "static", "hello_interval": 10.0} | other))


def facts(one: dict[str, Any]) -> dict[str, str]:
    return {fact.label: fact.text for fact in tunnel_facts(one)}


def test_a_static_tunnel_shows_its_mode_and_whether_dead_peers_are_found() -> None:
    told = facts(static("established"))
    assert told["state"] == "established: its sessions may carry frames"
    assert told["mode"] == "static: identifiers and cookies are configured"
    assert told["dead peers"] == "HELLO every 10s"
    assert told["connection ids"] == "2864434397 (0xaabbccdd) local, 305419896 (0x12345678) peer"
    assert {"sequence", "messages", "round trip"} <= told.keys()
    assert not {"peer says", "authentication", "begun by"} & told.keys()


def test_without_identifiers_there_are_no_messages_to_tell_of() -> None:
    told = facts(static("established", local_connection_id=0, peer_connection_id=0, hello_interval=None))
    assert told["dead peers"] == "are not found out"
    assert not {"connection ids", "sequence", "messages", "round trip"} & told.keys()


@pytest.mark.parametrize(
    ("state", "last_error", "sentence", "next_attempt"),
    [
        ("probing", "", "is not up: HELLO was sent, the peer's answer is awaited", "under way"),
        ("probing", "the peer does not answer", "is not up: the peer does not answer", "under way"),
        ("idle", "cleared by the operator", "is not up: cleared by the operator", "under way"),
        ("established", "", "is up for 1d02h", "none needed"),
    ],
)
def test_headline_and_next_attempt(state: str, last_error: str, sentence: str, next_attempt: str) -> None:
    one = static(state, last_error=last_error)
    assert headline(one) == f"tunnel wire {sentence}"
    assert facts(one)["next attempt"] == next_attempt


def test_a_static_session_has_no_remote_end_id() -> None:
    one = session("lan", "wire", "wait-peer", remote_end_id="", last_error="")
    assert session_headline(one) == "session lan is not up: the peer does not answer, so the interface is down"
    assert "remote end id" not in {fact.label for fact in session_facts(one)}
    assert "remote end id" in {fact.label for fact in session_facts(session("eth0", "tokyo", "established"))}
