"""Who signs when (RFC 3931, section 4.3)."""

from __future__ import annotations

import pytest

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.digest import DigestType
from l2tp_ctl.core.message import MessageType
from l2tp_ctl.core.settings import DigestPolicy
from tests.core.bench import Bench, FarEnd, answering, initiated, secrets, tunnel


@pytest.mark.parametrize("message_type", [MessageType.SCCRQ, MessageType.SCCRP])
def test_a_nonce_without_a_digest_is_no_offer(message_type: MessageType) -> None:
    """Both sides authenticate or neither does; we must sign after a nonce, and could not."""
    bench = Bench(tunnel(initiate=message_type is MessageType.SCCRP))
    far = FarEnd(bench, nonce=b"nonce of a peer!")
    if message_type is MessageType.SCCRP:
        far.await_sccrq()
    state = bench.tunnel.state
    far.send(far.opening(message_type))
    assert (far.inbox, bench.tunnel.state) == ([], state)
    assert len(bench.logged(Entry.AUTHENTICATION_MISSING)) == 1


@pytest.mark.parametrize("digest", [DigestType.MD5, DigestType.SHA1])
@pytest.mark.parametrize("policy", [DigestPolicy.AUTO, DigestPolicy.NONE])
def test_a_nonce_in_the_sccrp_makes_us_sign(policy: DigestPolicy, digest: DigestType) -> None:
    """We began without a digest; the peer's nonce asks for one in all that follows."""
    bench = Bench(tunnel(initiate=True, digest=policy))
    bench.start()
    bench.run(0.5)
    sccrq = bench.stray(MessageType.SCCRQ)
    assert sccrq.message.nonce is None
    assert 59 not in sccrq.types
    far = FarEnd(bench, digest=digest, nonce=b"nonce of a peer!")
    far.peer_id, far.nr = sccrq.message.assigned_connection_id or 0, 1
    far.send(far.opening(MessageType.SCCRP))
    assert far.pop(MessageType.SCCCN).types == (0, 59)
    far.accept()
    assert bench.session.state == "established"
    far.send(MessageType.HELLO)
    assert {one.octets(59)[0] for one in far.received} == {digest}


def test_one_that_signs_keeps_its_type_whatever_the_sccrp_has() -> None:
    bench, far = initiated(secrets=secrets(b"secret"))
    assert {one.octets(59)[0] for one in far.received} == {DigestType.MD5}
    far.digest = DigestType.SHA1
    far.accept()
    assert bench.session.state == "established"
    assert {one.octets(59)[0] for one in far.received} == {DigestType.MD5}


def test_without_a_secret_nothing_is_hidden() -> None:
    """The H bit needs a secret and authentication (section 5.3)."""
    bench = Bench(tunnel(hidden=True, digest=DigestPolicy.MD5))
    far = answering(bench, digest=DigestType.MD5)
    far.connect()
    assert bench.session.state == "established"
    assert not any(avp.hidden or avp.type == 36 for one in far.received for avp in one.avps)
