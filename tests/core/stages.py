"""Every stage that a control connection and its sessions can be in, each brought about by real messages."""

from __future__ import annotations

from collections.abc import Callable

from l2tp_ctl.core.message import MessageType
from l2tp_ctl.core.settings import Limits, Sublayer
from tests.core.bench import Bench, FarEnd, initiated, session, tunnel, up

SETTLED = 400.0
"""Seconds after which a silent peer's control connections, and what they held, must be gone."""

LIMITS = Limits(half_open=3, send_queue=8)


def _two(*, initiate: bool) -> Bench:
    return Bench(tunnel(session("s1"), session("2"), initiate=initiate), limits=LIMITS)


def idle() -> tuple[Bench, FarEnd]:
    bench = _two(initiate=False)
    return bench, FarEnd(bench)


def wait_ctl_reply() -> tuple[Bench, FarEnd]:
    bench = _two(initiate=True)
    far = FarEnd(bench)
    far.await_sccrq()
    return bench, far


def wait_ctl_conn() -> tuple[Bench, FarEnd]:
    bench, far = idle()
    far.begin()
    return bench, far


def established() -> tuple[Bench, FarEnd]:
    bench, far = wait_ctl_conn()
    far.send(MessageType.SCCCN)
    return bench, far


def wait_reply() -> tuple[Bench, FarEnd]:
    return initiated(session("s1"), session("2"), limits=LIMITS)


def wait_reply_with_helper() -> tuple[Bench, FarEnd]:
    bench, far = wait_reply()
    bench.helper = False
    far.accept()
    return bench, far


def idle_with_helper() -> tuple[Bench, FarEnd]:
    bench, far = established()
    bench.helper = False
    far.call()
    return bench, far


def wait_connect() -> tuple[Bench, FarEnd]:
    bench, far = established()
    far.call()
    return bench, far


def wait_connect_with_helper() -> tuple[Bench, FarEnd]:
    bench, far = wait_connect()
    bench.helper = False
    local_id = far.inbox[-1].message.local_session_id or 0
    far.of_session(MessageType.ICCN, 0x55, local_id, sublayer=int(Sublayer.DEFAULT))
    return bench, far


def established_sender() -> tuple[Bench, FarEnd]:
    bench, far = wait_reply()
    far.accept()
    return bench, far


def established_recipient() -> tuple[Bench, FarEnd]:
    bench, far, _ = up()
    return bench, far


def between_calls() -> tuple[Bench, FarEnd]:
    bench, far = established_recipient()
    far.send(MessageType.CDN, local_session_id=0x55, remote_session_id=bench.session.local_session_id)
    return bench, far


def lingering() -> tuple[Bench, FarEnd]:
    bench, far = established_recipient()
    bench.endpoint.clear_tunnel("all", bench.now)
    bench.settle()
    return bench, far


STAGES: dict[str, Callable[[], tuple[Bench, FarEnd]]] = {
    stage.__name__: stage
    for stage in (
        idle, wait_ctl_reply, wait_ctl_conn, established, wait_reply, wait_reply_with_helper, idle_with_helper,
        wait_connect, wait_connect_with_helper, established_sender, established_recipient, between_calls, lingering,
    )
}  # fmt: skip


def settles(bench: Bench, far: FarEnd) -> None:
    """Let the peer die, and see that all is given back."""
    far.acks = False
    bench.endpoint.shutdown(bench.now)
    bench.settle()
    bench.run(SETTLED)
    context = bench.endpoint._context
    assert (context.connections, context.sessions, context.requests) == ({}, {}, {})
    assert bench.tunnel.state == "idle"
    assert {view.state for view in bench.tunnel.sessions} == {"idle"}
    made = {(one.pseudowire.interface, one.pseudowire.local_session_id) for one in bench.made}
    assert made == {(one.interface, one.local_session_id) for one in bench.deleted}
    assert bench.endpoint.next_timer() is None
