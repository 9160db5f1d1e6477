"""What a control connection logs, provoked by the octets of a peer, by time and by operators."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from l2tp_ctl.core.digest import DigestType
from l2tp_ctl.core.message import MessageType
from l2tp_ctl.core.settings import Address, DigestPolicy, Encapsulation, Limits
from l2tp_ctl.core.templates import TemplateSettings
from tests.catalogue.conftest import Witness
from tests.core.bench import ADDRESS, FAR, HIGHEST, LOWEST, Bench, FarEnd, answering, initiated, secrets, tunnel, up

KEY = b"the tunnel's password"


def waiting(**changes: object) -> tuple[Bench, FarEnd]:
    """A bench that has sent its SCCRQ, and the far end that got it."""
    bench = Bench(tunnel(initiate=True, **changes))
    far = FarEnd(bench, 0x1111)
    far.await_sccrq()
    return bench, far


# ---- Setting up.


@pytest.mark.provokes(
    "BEGIN_NEW_TUNNEL", "TUNNEL_CREATE_SUCCEEDED", "SEND_STATE", "RECEIVE_STATE", "SEND_MESSAGE", "SEND_CONTROL_PACKET"
)
def test_this_end_begins(witness: Witness) -> None:
    bench = witness.watch(initiated()[0])
    own = bench.tunnel.local_connection_id
    assert bench.lines[:6] == [
        f"tunnel create suceeded: my connection ID = {own}({own:#x})",
        f"[{own}] begin new tunnel [t1] peer:{FAR}",
        "send SCCRQ, state --> WAIT-CTL-REPLY",
        f"[{own}] send SCCRQ",
        f"[{own}] send control packet(1): SCCRQ",
        "receive SCCRP, state --> ESTABLISHED",
    ]


@pytest.mark.provokes("CREATE_NEW_TUNNEL", "RECEIVE_STATE", "SEND_STATE")
def test_the_peer_begins(witness: Witness) -> None:
    bench = witness.watch(Bench())
    answering(bench)
    own = bench.tunnel.local_connection_id
    told = [line for line in bench.lines if "state -->" in line]
    assert told == [
        f"[{own}] create new tunnel, state --> IDLE",
        "receive SCCRQ, state --> WAIT-CTL-CONN",
        "send SCCRP, state --> WAIT-CTL-CONN",
        "receive SCCCN, state --> ESTABLISHED",
    ]


@pytest.mark.provokes("TIE_BREAK_CHECK", "WIN_TIE_BREAK")
def test_both_begin_and_ours_wins(witness: Witness) -> None:
    bench, _ = waiting()
    FarEnd(witness.watch(bench), 0x2222).begin(tie_breaker=HIGHEST)
    assert bench.tunnel.state == "wait-ctl-reply"


@pytest.mark.provokes("LOSE_TIE_BREAK")
def test_both_begin_and_the_peers_wins(witness: Witness) -> None:
    bench, _ = waiting()
    FarEnd(witness.watch(bench), 0x2222).begin(tie_breaker=LOWEST)
    assert bench.tunnel.state == "wait-ctl-conn"


@pytest.mark.provokes("DRAW_TIE_BREAK")
def test_both_begin_with_the_same_tie_breaker(witness: Witness) -> None:
    bench, far = waiting()
    FarEnd(witness.watch(bench), 0x2222).begin(tie_breaker=far.received[0].message.tie_breaker)
    assert bench.tunnel.state == "idle"


@pytest.mark.provokes("ALREADY_HAVE_TUNNEL")
def test_a_peer_that_restarted_begins_again(witness: Witness) -> None:
    bench = witness.watch(Bench())
    answering(bench)
    FarEnd(bench, 0x2222).begin()
    assert bench.tunnel.state == "established"


@pytest.mark.provokes("HOSTNAME_MISMATCH")
def test_a_wrong_host_name(witness: Witness) -> None:
    bench = witness.watch(Bench(tunnel(peer_host_name=b"somebody")))
    FarEnd(bench).begin(host_name=b"else")
    assert bench.tunnel.state == "idle"


@pytest.mark.provokes("ROUTER_ID_MISMATCH")
def test_a_wrong_router_id(witness: Witness) -> None:
    bench, far = waiting(peer_router_id=1)
    far.send(far.opening(MessageType.SCCRP, router_id=2))
    assert witness.watch(bench).tunnel.state == "idle"


@pytest.mark.provokes("FAILED_TO_CREATE_TUNNEL")
def test_a_template_that_has_all_the_peers_it_may(witness: Witness) -> None:
    hub = tunnel(address=Address(Encapsulation.UDP, "", 1701, "", 0))
    template = TemplateSettings(tunnel=hub, networks=(ip_network("192.0.2.0/24"),), maximum=1)
    bench = witness.watch(
        Bench(replace(hub, name="other", address=replace(ADDRESS, peer="198.51.100.1")), templates=[template])
    )
    FarEnd(bench, 0x1111).begin()
    FarEnd(bench, 0x2222, address=replace(ADDRESS, peer="192.0.2.77")).begin()
    assert len(bench.endpoint.tunnels()) == 2


# ---- Authentication.


@pytest.mark.provokes("MESSAGE_DIGEST_INVALID")
def test_a_wrong_password(witness: Witness) -> None:
    bench = witness.watch(Bench(tunnel(secrets=secrets(KEY))))
    FarEnd(bench, secrets=[b"another password"]).begin()
    assert bench.dropped("authentication") == 1


@pytest.mark.provokes("ONLY_HMAC_MD5")
def test_hmac_sha_1_where_only_hmac_md5_is_taken(witness: Witness) -> None:
    """The reference knows HMAC-MD5 alone; here that is the choice of ``digest = "md5"``."""
    bench = witness.watch(Bench(tunnel(secrets=secrets(KEY), digest=DigestPolicy.MD5)))
    FarEnd(bench, secrets=[KEY], digest=DigestType.SHA1).begin()
    assert bench.dropped("authentication") == 1
    both = Bench(tunnel(secrets=secrets(KEY)))
    answering(both, secrets=[KEY], digest=DigestType.SHA1)
    assert both.tunnel.state == "established"


@pytest.mark.provokes("NONCE_NOT_FOUND")
def test_a_peer_that_does_not_authenticate(witness: Witness) -> None:
    bench, far = waiting(secrets=secrets(KEY))
    far.send(far.opening(MessageType.SCCRP))
    assert witness.watch(bench).tunnel.state == "wait-ctl-reply"


# ---- Living and ending.


@pytest.mark.provokes("RECEIVE_HELLO_SEND_ZLB_ACK")
def test_a_sign_of_life(witness: Witness) -> None:
    bench, far, _ = up()
    witness.watch(bench)
    far.received.clear()
    far.send(MessageType.HELLO)
    assert [one.type for one in far.received] == [MessageType.ACK]


@pytest.mark.provokes("RECEIVE_EXPLICIT_ACK")
def test_an_acknowledgement(witness: Witness) -> None:
    bench = witness.watch(Bench(tunnel(secrets=secrets(KEY))))
    answering(bench, secrets=[KEY])


@pytest.mark.provokes("SEQUENCE_NUMBER_MISMATCH")
def test_a_message_that_comes_twice(witness: Witness) -> None:
    bench, far, _ = up()
    hello = far.next(MessageType.HELLO)
    far.send_octets(hello)
    assert not bench.dropped("duplicate")
    far.send_octets(hello)
    assert witness.watch(bench).dropped("duplicate") == 1


@pytest.mark.provokes("RECEIVE_BUT_IGNORED")
def test_a_call_before_the_tunnel_is_up(witness: Witness) -> None:
    bench = witness.watch(Bench())
    far = FarEnd(bench)
    far.begin()
    far.call()
    assert bench.tunnel.state == "wait-ctl-conn"
    assert f"[{bench.tunnel.local_connection_id}] receive ICRQ, but ignored(tunnel state=WAIT-CTL-CONN)" in bench.lines


@pytest.mark.provokes("RESULT_CODE_NOT_SPECIFIED")
def test_a_message_that_the_state_does_not_allow(witness: Witness) -> None:
    bench, far, _ = up()
    far.inbox.clear()
    far.send(MessageType.SCCCN)
    assert witness.watch(bench).tunnel.state == "idle"
    assert far.result(MessageType.STOPCCN).code == 7


@pytest.mark.provokes("SEND_FAILED_TUNNEL_SHUTDOWN", "SEND_FAILED_TUNNEL_SHUTDOWN_DEBUG")
def test_a_peer_that_went_silent(witness: Witness) -> None:
    bench, far, _ = up(retry=2)
    far.acks = False
    bench.run(100.0)
    assert witness.watch(bench).tunnel.state == "idle"


@pytest.mark.provokes("FAILED_TO_NEW_PACKET")
def test_a_message_that_is_longer_than_any_may_be(witness: Witness) -> None:
    bench = witness.watch(Bench(tunnel(initiate=True, local_host_name=b"x" * 255), limits=Limits(message=255)))
    bench.start()
    bench.run(1.0)
    assert bench.astray == []
    assert bench.tunnel.state == "idle"


@pytest.mark.provokes("CLEANUP_TUNNEL_BY_NAME", "DELETE_TUNNEL", "RECEIVE_STATE")
def test_the_peer_ends_it(witness: Witness) -> None:
    bench, far, _ = up()
    before = len(bench.lines)
    own = bench.tunnel.local_connection_id
    far.send(MessageType.STOPCCN, assigned_connection_id=far.local_id)
    told = witness.watch(bench).lines[before:]
    assert f"[{own}] cleanup tunnel: t1" in told
    assert f"[{own}] delete tunnel" in told
    assert "receive StopCCN, state --> IDLE" in told


@pytest.mark.provokes("CLEANUP_TUNNEL")
def test_an_operator_clears_it_by_the_peers_address(witness: Witness) -> None:
    bench, _, _ = up()
    own = bench.tunnel.local_connection_id
    assert bench.endpoint.clear_tunnel(FAR, bench.now) == ["t1"]
    bench.settle()
    assert f"[{own}] clear: cleanup tunnel: {FAR}" in witness.watch(bench).lines
