"""Control message authentication (RFC 3931, section 4.3), over real octets and with digests computed apart."""

from __future__ import annotations

import hmac

import pytest

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.codec import encode
from l2tp_ctl.core.digest import DigestType, Signer
from l2tp_ctl.core.hiding import hiding_key
from l2tp_ctl.core.message import Message, MessageType, Result
from l2tp_ctl.core.settings import DigestPolicy, TunnelSettings
from tests.core.bench import Bench, FarEnd, answering, initiated, secrets, tunnel, up

SECRET = secrets(b"secret")


def responder(**changes: object) -> Bench:
    return Bench(tunnel(**{"secrets": SECRET, **changes}))


# ---- What is not believed.


def test_a_wrong_secret_is_met_with_silence_one_warning_and_a_counter() -> None:
    bench = responder()
    far = FarEnd(bench, secrets=[b"wrong"])
    for _ in range(5):
        far.ns = 0
        far.begin()
        bench.run(1.0)
    assert (bench.astray, far.received) == ([], [])
    assert [log.fields["msg_type"] for log in bench.logged(Entry.MESSAGE_DIGEST_INVALID)] == ["SCCRQ"]
    assert bench.dropped("authentication") == 5
    assert bench.tunnel.state == "idle"


def test_the_warning_comes_again_after_a_minute() -> None:
    bench = responder()
    far = FarEnd(bench, secrets=[b"wrong"])
    for _ in range(3):
        far.ns = 0
        far.begin()
        bench.run(61.0)
    assert len(bench.logged(Entry.MESSAGE_DIGEST_INVALID)) == 3


def test_a_refused_sccrq_leaves_nothing_behind() -> None:
    bench = responder()
    FarEnd(bench, secrets=[b"wrong"]).begin()
    assert bench.endpoint._context.connections == {}
    assert bench.endpoint.next_timer() is None


def test_a_digest_is_missing() -> None:
    bench = responder()
    far = FarEnd(bench)
    far.begin()
    (log,) = bench.logged(Entry.AUTHENTICATION_MISSING)
    assert log.fields["address"] == "192.0.2.2:1701"
    assert (bench.astray, far.received) == ([], [])


@pytest.mark.parametrize("message_type", [MessageType.SCCRQ, MessageType.SCCRP])
def test_a_nonce_is_missing(message_type: MessageType) -> None:
    bench = responder(initiate=message_type is MessageType.SCCRP)
    far = FarEnd(bench, secrets=[b"secret"], nonce=b"")
    if message_type is MessageType.SCCRP:
        far.await_sccrq()
    state = bench.tunnel.state
    far.send(far.opening(message_type))
    assert far.inbox == []
    entry = Entry.NONCE_NOT_FOUND if message_type is MessageType.SCCRP else Entry.AUTHENTICATION_MISSING
    assert len(bench.logged(entry)) == 1
    assert bench.tunnel.state == state


@pytest.mark.parametrize(("policy", "sent"), [(DigestPolicy.MD5, DigestType.SHA1), (DigestPolicy.SHA1, DigestType.MD5)])
def test_a_digest_type_that_the_policy_does_not_allow(policy: DigestPolicy, sent: DigestType) -> None:
    bench = responder(digest=policy)
    far = FarEnd(bench, secrets=[b"secret"], digest=sent)
    far.begin()
    (log,) = bench.logged(Entry.ONLY_HMAC_MD5 if policy is DigestPolicy.MD5 else Entry.DIGEST_TYPE_REFUSED)
    assert log.fields["n"] == sent
    assert far.received == []


@pytest.mark.parametrize("forge", ["without", "changed"])
def test_an_established_tunnel_ignores_a_forged_stopccn(forge: str) -> None:
    bench, far, _ = up(secrets=SECRET)
    data = bytearray(far.next(MessageType.STOPCCN, result=Result(6)))
    if forge == "without":
        plain = FarEnd(bench, 0x1234)
        plain.peer_id, plain.ns, plain.nr = far.peer_id, far.ns - 1, far.nr
        plain.send(MessageType.STOPCCN, result=Result(6))
    else:
        data[-1] ^= 1
        far.send_octets(bytes(data))
    assert bench.tunnel.state == bench.session.state == "established"
    assert bench.dropped("authentication") == 1


def test_neither_ns_nor_nr_of_a_forgery_changes_anything() -> None:
    bench, far, _ = up(secrets=SECRET)
    far.acks = False
    bench.run(60.0)
    before = (bench.tunnel.ns, bench.tunnel.nr, bench.tunnel.unacknowledged)
    assert before[2] == 1
    forger = FarEnd(bench, 0x1234)
    forger.peer_id, forger.ns, forger.nr = far.peer_id, far.ns, far.nr
    forger.acknowledge()
    forger.send(MessageType.HELLO)
    assert (bench.tunnel.ns, bench.tunnel.nr, bench.tunnel.unacknowledged) == before


def test_an_ack_before_the_sccrp_proves_nothing_and_is_no_reason_to_warn() -> None:
    bench = responder(initiate=True)
    far = FarEnd(bench, secrets=[b"secret"])
    far.await_sccrq()
    assert bench.dropped("authentication") == 1, "its signer's nonce is unknown"
    assert bench.logged(Entry.MESSAGE_DIGEST_INVALID) == []
    assert bench.tunnel.unacknowledged == 1
    far.send(far.opening(MessageType.SCCRP))
    assert bench.tunnel.state == "established"


def test_a_replay_into_another_control_connection_is_invalid() -> None:
    bench, far, _ = up(secrets=SECRET)
    first = far.octets(far.opening(MessageType.STOPCCN, result=Result(6)), ns=1, nr=1)
    bench.endpoint.clear_tunnel("all", bench.now)
    bench.settle()
    bench.run(60.0)
    other = answering(bench, connection_id=0x8800, secrets=[b"secret"], nonce=b"another nonce 16")
    bench.deliver(first[:4] + other.peer_id.to_bytes(4, "big") + first[8:])
    assert bench.tunnel.state == "established"


# ---- What is believed.


@pytest.mark.parametrize("initiates", [False, True])
@pytest.mark.parametrize("sent", [DigestType.MD5, DigestType.SHA1])
def test_every_message_is_signed_and_acknowledgements_are_explicit(sent: DigestType, initiates: bool) -> None:  # noqa: FBT001 - a parameter
    policy = DigestPolicy.SHA1 if sent is DigestType.SHA1 else DigestPolicy.MD5
    bench = responder(initiate=initiates, digest=policy)
    far = FarEnd(bench, secrets=[b"secret"], digest=sent)
    if initiates:
        far.reply()
        far.accept()
    else:
        far.establish()
        far.connect()
    far.send(MessageType.HELLO)
    assert bench.session.state == "established"
    assert bench.tunnel.authenticated
    assert all(one.types[:2] == (0, 59) for one in far.received)
    assert {one.octets(59)[0] for one in far.received} == {sent}
    assert far.received[-1].type is MessageType.ACK
    assert far.received[-1].header.ns == bench.tunnel.ns, "an ACK consumes no Ns"


def test_a_nonce_of_sixteen_random_octets_in_sccrq_and_sccrp() -> None:
    nonces = set()
    for initiate in (False, True):
        bench = responder(initiate=initiate)
        far = FarEnd(bench, secrets=[b"secret"])
        if initiate:
            nonces.add(far.await_sccrq().message.nonce)
        else:
            far.begin()
            nonces.add(far.pop(MessageType.SCCRP).message.nonce)
    assert {len(nonce or b"") for nonce in nonces} == {16}
    assert len(nonces) == 2


def test_a_retransmission_is_signed_anew() -> None:
    bench, far, _ = up(secrets=SECRET)
    far.acks = False
    while MessageType.HELLO not in far.types:
        bench.run(0.5)
    hello = far.inbox[-1]
    far.send_octets(far.octets(Message(type=MessageType.HELLO), ns=far.ns, nr=far.nr - 1))
    bench.run(1.0)
    again = far.received[-1]
    assert (again.type, again.header.ns) == (MessageType.HELLO, hello.header.ns)
    assert again.header.nr == hello.header.nr + 1
    assert again.octets(59) != hello.octets(59)


@pytest.mark.parametrize("used", [b"new", b"old"])
def test_two_secrets_either_verifies_and_both_sign(used: bytes) -> None:
    bench = responder(secrets=secrets(b"new", b"old"))
    far = FarEnd(bench, secrets=[used])
    far.establish()
    far.connect()
    assert bench.session.state == "established"
    assert {one.types[:3] for one in far.received} == {(0, 59, 59)}


@pytest.mark.parametrize("sent", [DigestType.MD5, DigestType.SHA1])
def test_auto_answers_with_the_type_of_the_peer(sent: DigestType) -> None:
    bench = responder()
    far = FarEnd(bench, secrets=[b"secret"], digest=sent)
    far.begin()
    assert far.pop(MessageType.SCCRP).octets(59)[0] == sent


def test_auto_begins_with_md5_and_believes_sha1() -> None:
    bench = responder(initiate=True)
    far = FarEnd(bench, secrets=[b"secret"], digest=DigestType.SHA1)
    assert far.await_sccrq().octets(59)[0] == DigestType.MD5
    far.send(far.opening(MessageType.SCCRP))
    assert bench.tunnel.state == "established"


def test_a_second_sccrp_does_not_change_an_agreed_nonce() -> None:
    bench, far = initiated(secrets=SECRET)
    other = FarEnd(bench, 0x9900, secrets=[b"secret"], nonce=b"another nonce 16")
    other.peer_id, other.peer_nonce, other.nr = far.peer_id, far.peer_nonce, 1
    other.send(other.opening(MessageType.SCCRP))
    assert bench.dropped("duplicate") == 1
    assert bench.tunnel.peer_connection_id == far.local_id
    far.accept()
    assert bench.session.state == "established"


@pytest.mark.parametrize("hidden", [False, True])
def test_a_stopccn_from_a_peer_that_never_saw_our_sccrp(hidden: bool) -> None:  # noqa: FBT001 - a parameter
    """It knows neither our Control Connection ID nor our nonce."""
    bench = responder()
    far = FarEnd(bench, secrets=[b"secret"])
    far.acks = False
    far.begin()
    assert bench.tunnel.state == "wait-ctl-conn"
    stop = Message(
        type=MessageType.STOPCCN, result=Result(1), assigned_connection_id=far.local_id, random_vector=b"r" * 16
    )
    signer = Signer(DigestType.MD5, far.keys[0], far.nonce)
    key = hiding_key(b"secret") if hidden else None
    far.send_octets(encode(stop, connection_id=0, ns=1, nr=0, signers=[signer], hide_key=key))
    assert bench.tunnel.state == "idle"
    assert bench.tunnel.last_error.startswith("peer: general request")


def test_a_refusal_is_signed_with_the_one_nonce_that_both_know() -> None:
    """Ours would come with the SCCRP, which a peer that is refused does not get."""
    bench = responder(peer_host_name=b"other")
    far = FarEnd(bench, secrets=[b"secret"])
    far.begin()
    assert far.result(MessageType.STOPCCN) == Result(4, 0, "unexpected Host Name")


# ---- Integrity alone.


def _key_of_nothing() -> bytes:
    return hmac.digest(b"", b"\x02", "md5")


@pytest.mark.parametrize("policy", [DigestPolicy.MD5, DigestPolicy.SHA1])
def test_integrity_alone_signs_with_the_empty_secret_and_sends_no_nonce(policy: DigestPolicy) -> None:
    bench = Bench(tunnel(digest=policy, initiate=True))
    sent = DigestType.SHA1 if policy is DigestPolicy.SHA1 else DigestType.MD5
    far = FarEnd(bench, digest=sent)
    sccrq = far.await_sccrq()
    assert sccrq.message.nonce is None
    assert far.keys == [_key_of_nothing()] == [bytes.fromhex("7b6085fbf45933670abcb07a27fcea5e")]
    far.send(far.opening(MessageType.SCCRP))
    far.pop(MessageType.SCCCN)
    far.accept()
    assert bench.session.state == "established"
    assert not bench.tunnel.authenticated


def test_integrity_alone_is_mirrored() -> None:
    bench = Bench(tunnel())
    far = FarEnd(bench, digest=DigestType.SHA1)
    far.establish()
    far.connect()
    assert {one.octets(59)[0] for one in far.received} == {DigestType.SHA1}


def test_integrity_alone_with_a_nonce_is_answered_with_one() -> None:
    bench = Bench(tunnel())
    far = FarEnd(bench, digest=DigestType.MD5, nonce=b"nonce of a peer!")
    far.begin()
    assert len(far.pop(MessageType.SCCRP).message.nonce or b"") == 16
    far.send(MessageType.SCCCN)
    assert bench.tunnel.state == "established"


def test_without_digests_none_is_sent_and_acknowledgements_are_zlbs() -> None:
    bench = Bench(tunnel(digest=DigestPolicy.NONE))
    far = answering(bench)
    far.send(MessageType.HELLO)
    assert all(59 not in one.types for one in far.received)
    assert far.received[-1].data[2:4] == b"\x00\x0c"


def test_a_peer_with_a_secret_where_we_have_none() -> None:
    bench = Bench(tunnel())
    far = FarEnd(bench, secrets=[b"secret"])
    far.begin()
    assert far.received == []
    assert len(bench.logged(Entry.MESSAGE_DIGEST_INVALID)) == 1


def test_secrets_never_show() -> None:
    settings: TunnelSettings = tunnel(secrets=SECRET)
    bench, _, _ = up(secrets=SECRET)
    assert "secret" not in repr(settings.secrets[0])
    assert "secret'" not in " ".join([*bench.lines, repr(bench.states), repr(bench.made), repr(bench.tunnel)])
