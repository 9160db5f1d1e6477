"""Which session a message of calls is for, and what is answered where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.acceptance import find_session
from l2tp_ctl.core.message import Message, MessageType, Result
from l2tp_ctl.core.presence import fault
from l2tp_ctl.core.results import CallResult, GeneralError

if TYPE_CHECKING:
    from l2tp_ctl.core.tunnel import Tunnel

_OUTGOING = {
    MessageType.OCRQ: Entry.NOT_SUPPORT_OCRQ,
    MessageType.OCRP: Entry.NOT_SUPPORT_OCRP,
    MessageType.OCCN: Entry.NOT_SUPPORT_OCCN,
}
"""The outgoing call model is not used for Ethernet (RFC 4719, section 2.2)."""

_OF_A_SESSION = frozenset({MessageType.ICRP, MessageType.ICCN, MessageType.CDN, MessageType.WEN, MessageType.SLI})
_BEFORE_AN_ANSWER = frozenset({MessageType.CDN, MessageType.WEN, MessageType.SLI})
"""What a peer may send as soon as it has sent ICRQ (RFC 3931, section 5.4.4; RFC 4719, section 2.3)."""

OF_CALLS = frozenset({MessageType.ICRQ, *_OF_A_SESSION, *_OUTGOING})
"""The messages that :func:`receive` takes."""


def receive(tunnel: Tunnel, message: Message, now: float) -> None:
    """Hand a message of a call to its session, or refuse the call."""
    message_type = MessageType(message.type)
    if message_type in _OUTGOING:
        tunnel.log(_OUTGOING[message_type], func="receive")
        result = Result(CallResult.NO_FACILITIES_EVER, text="outgoing calls are not used")
        refuse(tunnel, message.local_session_id, result, now)
    elif message_type is MessageType.ICRQ:
        _receive_icrq(tunnel, message, now)
    else:
        _receive_for_session(tunnel, message, now)


def refuse(tunnel: Tunnel, peer_id: int | None, result: Result, now: float) -> None:
    """Send a CDN for a call of the peer's, by its session id if it told one; no session of ours stands for it."""
    refusal = Message(
        type=MessageType.CDN,
        result=result,
        local_session_id=tunnel.context.session_id(),
        remote_session_id=peer_id or 0,
    )
    tunnel.submit(refusal, now)


def _receive_icrq(tunnel: Tunnel, message: Message, now: float) -> None:
    tunnel.called = now
    problem = fault(message)
    if problem is not None:
        tunnel.log(Entry.FAILED_TO_NEW_SESSION)
        refusal = Result(CallResult.ERROR, problem.error, problem.text)
        refuse(tunnel, message.local_session_id, refusal, now)
        return
    settings = find_session(tunnel.settings.sessions, message)
    if settings is None:
        tunnel.log(Entry.REMOTE_END_ID_MISMATCH, msg_type="ICRQ")
        identifier = (message.remote_end_id or b"").decode("ascii", "backslashreplace")
        tunnel.log(Entry.CANNOT_FIND_SESSION_CONFIG, id=identifier)
        refuse(tunnel, message.local_session_id, Result(CallResult.FORWARDER, text="unknown Remote End ID"), now)
        return
    for session in tunnel.sessions:
        if session.settings == settings:  # another object where the configuration was read again
            session.receive_icrq(message, now)


def _receive_for_session(tunnel: Tunnel, message: Message, now: float) -> None:
    session = tunnel.context.sessions.get(message.remote_session_id or 0)
    if message.type in _BEFORE_AN_ANSWER and not message.remote_session_id and message.local_session_id:
        # Before our first answer the peer knows only its own session id.
        session = next((s for s in tunnel.sessions if s.terms.peer_id == message.local_session_id), None)
    if session is not None and session.tunnel is tunnel:
        session.receive(message, now)
    elif message.type is not MessageType.CDN:
        result = Result(CallResult.ERROR, GeneralError.SESSION_ID, "no such session")
        refuse(tunnel, message.local_session_id, result, now)
