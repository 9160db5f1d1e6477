"""A whole conversation, from which every message that an endpoint sends can be taken and judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from l2tp_ctl.core.codec import interpret
from l2tp_ctl.core.digest import DigestType
from l2tp_ctl.core.hiding import hiding_key
from l2tp_ctl.core.message import MessageType
from l2tp_ctl.core.settings import DigestPolicy, Encapsulation, Sequencing
from tests.core.bench import ADDRESS, Bench, FarEnd, Received, session, tunnel

SESSIONS = (
    session("s1", remote_end_id=bytes(4), sequencing=Sequencing.ALL, mtu=1400),
    session("s2"),
)
KINDS = frozenset(
    {
        MessageType.SCCRQ, MessageType.SCCRP, MessageType.SCCCN, MessageType.STOPCCN, MessageType.HELLO,
        MessageType.ICRQ, MessageType.ICRP, MessageType.ICCN, MessageType.CDN, MessageType.SLI, MessageType.ACK,
    }
)  # fmt: skip
"""What an endpoint sends: all but WEN, for want of errors on a circuit, and outgoing calls."""


def both_roles(**changes: Any) -> list[Received]:
    """Return all that an endpoint says as initiator and as responder, up to its StopCCN."""
    return _initiator(**changes) + _responder(**changes)


def _bench(*, initiate: bool, **changes: Any) -> tuple[Bench, FarEnd]:
    settings = tunnel(*SESSIONS, initiate=initiate, cookie_length=8, hello_interval=10.0, **changes)
    bench = Bench(settings)
    keys = [secret.value for secret in settings.secrets]
    sha1 = settings.digest is DigestPolicy.SHA1
    digest = DigestType.SHA1 if sha1 else DigestType.MD5 if keys else None
    return bench, FarEnd(bench, secrets=keys, digest=digest, address=settings.address)


def _initiator(**changes: Any) -> list[Received]:
    bench, far = _bench(initiate=True, **changes)
    bench.start()
    bench.run(0.5)
    sccrq = bench.stray(MessageType.SCCRQ)
    keys = [hiding_key(secret) for secret in far.secrets]
    far.learn(replace(sccrq, message=interpret(sccrq.avps, keys)))
    far.send(far.opening(MessageType.SCCRP))
    for local_id in (0x61, 0x62):
        ours = take(far, MessageType.ICRQ).message.local_session_id or 0
        far.of_session(MessageType.ICRP, local_id, ours, circuit_status=3)
    _live(bench, far)
    return far.received


def _responder(**changes: Any) -> list[Received]:
    bench, far = _bench(initiate=False, **changes)
    far.begin()
    far.send(MessageType.SCCCN)
    for name, local_id in (("s1", 0x51), ("s2", 0x52)):
        far.call(name, local_id, remote_end_id=bytes(4) if name == "s1" else b"s2", cookie=b"cookie88")
        ours = take(far, MessageType.ICRP).message.local_session_id or 0
        far.of_session(MessageType.ICCN, local_id, ours)
    _live(bench, far)
    return far.received


def _live(bench: Bench, far: FarEnd) -> None:
    """Let an established tunnel say the rest: SLI, HELLO, CDN of several kinds, StopCCN."""
    assert {view.state for view in bench.tunnel.sessions} == {"established"}
    for up in (False, True):
        bench.endpoint.link_changed("if-s2", up, bench.now)
        bench.settle()
    bench.run(10.0)
    far.of_session(MessageType.SLI, 0x99, 0x1234567)
    far.of_session(MessageType.OCRQ, 0x98, 0)
    far.call("nobody", 0x97)
    bench.endpoint.clear_session("s2", bench.now)
    bench.settle()
    bench.endpoint.clear_tunnel("all", bench.now)
    bench.settle()


def take(far: FarEnd, message_type: MessageType) -> Received:
    """Return the first message of this type that a far end has in its inbox, and forget it and those before."""
    while far.inbox[0].type is not message_type:
        far.inbox.pop(0)
    return far.inbox.pop(0)


OVER_IP = replace(ADDRESS, encapsulation=Encapsulation.IP, local_port=0, peer_port=0)
