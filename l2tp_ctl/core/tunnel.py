"""One control connection's state machine (RFC 3931, section 7.2) and the sessions within it."""

from __future__ import annotations

from typing import Protocol, assert_never

from l2tp_ctl.catalogue import Entry, Field
from l2tp_ctl.core import call_messages
from l2tp_ctl.core.acceptance import Refusal, refuse_connection
from l2tp_ctl.core.connection import Connection, message_name
from l2tp_ctl.core.context import Context
from l2tp_ctl.core.effects import StateChange
from l2tp_ctl.core.keepalive import Keepalive
from l2tp_ctl.core.message import Message, MessageType, Result
from l2tp_ctl.core.presence import fault
from l2tp_ctl.core.results import CallResult, GeneralError, StopResult, describe
from l2tp_ctl.core.session import Session
from l2tp_ctl.core.settings import Address, TunnelSettings
from l2tp_ctl.core.tables import TUNNEL, TUNNEL_IGNORED, SessionEvent, TunnelAction, TunnelEvent, TunnelState
from l2tp_ctl.core.timers import Timer

TIE_BREAKER_LENGTH = 8
PSEUDOWIRE_CAPABILITIES = (5, 4)
"""Ethernet and Ethernet VLAN (RFC 4719, section 2.1)."""

VENDOR_NAME = b"l2tpd"

_RECEIVED = {
    TunnelEvent.SCCRQ_OK: MessageType.SCCRQ,
    TunnelEvent.SCCRQ_LOSE_OK: MessageType.SCCRQ,
    TunnelEvent.SCCRP_OK: MessageType.SCCRP,
    TunnelEvent.SCCCN_OK: MessageType.SCCCN,
    TunnelEvent.STOPCCN: MessageType.STOPCCN,
}
"""The messages that take the control connection on."""


class Owner(Protocol):
    """Whom a tunnel tells of its life: the configured peer."""

    def established(self, tunnel: Tunnel, now: float) -> None:
        """Take note that the control connection is up."""

    def ended(self, tunnel: Tunnel, now: float, *, soon: bool) -> None:
        """Take note that it is gone; ``soon`` where the next attempt should not wait for long."""


class Tunnel:
    """The state machine of one control connection, from either side."""

    def __init__(
        self, owner: Owner, settings: TunnelSettings, connection: Connection, errors: dict[str, str], now: float
    ) -> None:
        self.owner = owner
        self.context: Context = connection.context
        self.settings = settings
        self.state = TunnelState.IDLE
        self.since = now
        self.initiator = False
        self.last_error = ""
        self.peer_host_name = b""
        self.peer_router_id = 0
        self.peer_vendor_name = b""
        self._peer_capabilities: tuple[int, ...] = ()
        self.sessions = [Session(self, session, errors.get(session.name, ""), now) for session in settings.sessions]
        self._waiting: dict[Session, None] = {}
        """Sessions that wait for the control connection."""
        self.called = now
        """When the peer last called, or the control connection came up."""
        self._rival = connection
        """The connection whose SCCRQ crossed ours last."""
        self._setup: Timer | None = None
        self._keepalive = Keepalive()
        self._adopt(connection)

    @property
    def established(self) -> bool:
        """Whether sessions can be set up in it."""
        return self.state is TunnelState.ESTABLISHED

    def crosses(self, address: Address) -> bool:
        """Whether an SCCRQ from there crosses ours.  From another address of the peer's name it does not."""
        return self.state is TunnelState.WAIT_CTL_REPLY and self.connection.address.peer == address.peer

    # ---- What happens to it.

    def open(self, now: float) -> None:
        """Begin a control connection of ours."""
        self.initiator = True
        self.log(Entry.BEGIN_NEW_TUNNEL, tun_name=self.settings.name, IPaddress=self.connection.address.peer)
        for session in self.sessions:
            session.call(now)
        self.fire(TunnelEvent.LOCAL_OPEN, now)

    def accept(self, message: Message, now: float, refusal: Result | None = None) -> None:
        """Answer the SCCRQ that began this control connection; ``refusal`` is why it is refused whatever it says."""
        self.log(Entry.CREATE_NEW_TUNNEL)
        refusal = self._judge(message, self.connection) or refusal
        self.fire(TunnelEvent.SCCRQ_BAD if refusal else TunnelEvent.SCCRQ_OK, now, result=refusal)

    def contest(self, rival: Connection, message: Message, now: float) -> None:
        """Decide between our SCCRQ and the peer's, which came over ``rival`` (RFC 3931, section 5.4.3)."""
        self._rival = rival
        ours, theirs = self.connection.tie_breaker, message.tie_breaker
        self.log(Entry.TIE_BREAK_CHECK, local_tie=ours.hex(), remote_tie=theirs.hex() if theirs else "none")
        if theirs is None or ours < theirs:
            self.log(Entry.WIN_TIE_BREAK)
            self.fire(TunnelEvent.SCCRQ_WIN, now)
        elif ours == theirs:
            self.log(Entry.DRAW_TIE_BREAK)
            rival.abandon(now)
            self.fire(TunnelEvent.SCCRQ_DRAW, now)
        else:
            self.log(Entry.LOSE_TIE_BREAK)
            refusal = self._judge(message, rival)
            event = TunnelEvent.SCCRQ_LOSE_BAD if refusal else TunnelEvent.SCCRQ_LOSE_OK
            self.fire(event, now, result=refusal)

    def receive(self, message: Message, now: float) -> None:
        """Take one message, each once and in order."""
        known = isinstance(message.type, MessageType)
        self.context.counters[f"received-{message_name(message.type).lower() if known else 'unknown'}"] += 1
        if not isinstance(message.type, MessageType):
            self._receive_unknown(message, now)
        elif message.type is MessageType.STOPCCN:
            reason = describe(MessageType.STOPCCN, message.result)
            self.last_error = f"peer: {reason}"
            self.log(Entry.PEER_STOPPED, msg_type="StopCCN", reason=reason)
            self.fire(TunnelEvent.STOPCCN, now)
        elif message.type in (MessageType.SCCRQ, MessageType.SCCRP, MessageType.SCCCN):
            self._receive_setup(message, now)
        elif not self.established:
            state = self.state.value.upper()
            self.log(Entry.RECEIVE_BUT_IGNORED, msg_type=message.type.text, state=state)
        elif message.type in call_messages.OF_CALLS:
            call_messages.receive(self, message, now)
        elif (problem := fault(message)) is not None:
            self.close(Result(StopResult.ERROR, problem.error, problem.text), now)
        else:
            self.log(Entry.RECEIVE_HELLO_SEND_ZLB_ACK)

    def new_call(self, session: Session, now: float) -> None:
        """Let a session call as soon as the control connection is up."""
        self._waiting[session] = None
        self.fire(TunnelEvent.NEW_CALL, now)

    def close(self, result: Result, now: float, *, soon: bool = False) -> None:
        """End the control connection, and all sessions with it, by a StopCCN."""
        self.fire(TunnelEvent.CLOSE, now, result=result, soon=soon)

    def give_up(self, reason: str, now: float) -> None:
        """End the control connection without a word to the peer, who would not hear it."""
        self.last_error = reason
        self.fire(TunnelEvent.DELIVERY_FAILED, now)

    def reconfigure(self, settings: TunnelSettings, now: float) -> None:
        """Take over settings that differ in what may change under a living control connection, or in sessions."""
        self.settings = settings
        self.connection.reconfigure(settings)
        if self.established:
            self._keepalive.start(self.connection, now)
        for session in [*self.sessions]:
            if session.settings not in settings.sessions:
                self.sessions.remove(session)
                session.retire(now)
        kept = {session.settings for session in self.sessions}
        for added in settings.sessions:
            if added not in kept:
                session = Session(self, added, "", now)
                self.sessions.append(session)
                if self.initiator:
                    session.call(now)
                elif self.established:
                    session.call_in(self.context.limits.call_delay, now)

    def submit(self, message: Message, now: float) -> None:
        """Send a message reliably and in order."""
        self.connection.submit(message, now)

    # ---- The table's machine.

    def fire(self, event: TunnelEvent, now: float, *, result: Result | None = None, soon: bool = False) -> None:
        """Apply one event.  ``result`` is what a StopCCN tells.

        Raises KeyError for an event that the table calls a violation.
        """
        if (self.state, event) in TUNNEL_IGNORED:
            return
        action, state = TUNNEL[self.state, event]
        before, self.state = self.state, state
        if result is not None and state is TunnelState.IDLE:
            self.last_error = describe(MessageType.STOPCCN, result)
        if state is not before:
            self.since = now
            reason = self.last_error if state is TunnelState.IDLE else ""
            self.context.effects.append(StateChange(self.settings.name, "", state.value, reason))
        if event in _RECEIVED and state is not before and result is None:
            self._log_state(_RECEIVED[event], sent=False)
        if before is TunnelState.ESTABLISHED and state is TunnelState.IDLE:
            self.log(Entry.TUNNEL_DOWN, tun_name=self.settings.name, reason=self.last_error)
        if state is TunnelState.ESTABLISHED and before is not state:
            self._enter_established(now)
        self._act(action, result, now)
        if state is TunnelState.IDLE:
            lost = before is TunnelState.ESTABLISHED and event is not TunnelEvent.STOPCCN
            self.owner.ended(self, now, soon=soon or lost or event is TunnelEvent.SCCRQ_DRAW)

    def _act(self, action: TunnelAction, result: Result | None, now: float) -> None:
        match action:
            case TunnelAction.SEND_SCCRQ:
                self._bound_setup(now)
                self.connection.tie_breaker = self.context.entropy(TIE_BREAKER_LENGTH)
                self._send_opening(MessageType.SCCRQ, now, tie_breaker=self.connection.tie_breaker)
            case TunnelAction.SEND_SCCRP:
                self._bound_setup(now)
                self._send_opening(MessageType.SCCRP, now)
            case TunnelAction.SEND_SCCCN_OPEN_SESSIONS:
                self._log_state(MessageType.SCCCN, sent=True)
                self.submit(Message(type=MessageType.SCCCN), now)
                self._open_sessions(now)
            case TunnelAction.OPEN_SESSIONS:
                self._open_sessions(now)
            case TunnelAction.SWITCH_SEND_SCCRP:
                self._switch(now)
                self._bound_setup(now)
                self._send_opening(MessageType.SCCRP, now)
            case TunnelAction.SWITCH_STOPCCN:
                self._switch(now)
                self._stop(result, now)
                self._clean(now)
            case TunnelAction.STOPCCN_LOSER:
                self._stop_loser(now)
            case TunnelAction.STOPCCN_CLEAN:
                self._stop(result, now)
                self._clean(now)
            case TunnelAction.CLEAN:
                self._clean(now)
            case never:
                assert_never(never)

    # ---- Messages of the peer.

    def _receive_setup(self, message: Message, now: float) -> None:
        events = {
            MessageType.SCCRQ: (TunnelEvent.SCCRQ_OK, TunnelEvent.SCCRQ_BAD),
            MessageType.SCCRP: (TunnelEvent.SCCRP_OK, TunnelEvent.SCCRP_BAD),
            MessageType.SCCCN: (TunnelEvent.SCCCN_OK, TunnelEvent.SCCCN_BAD),
        }
        good, bad = events[MessageType(message.type)]
        name = message_name(message.type)
        due = {TunnelState.WAIT_CTL_REPLY: MessageType.SCCRP, TunnelState.WAIT_CTL_CONN: MessageType.SCCCN}
        if message.type is not due.get(self.state):
            self.log(Entry.VIOLATION, msg_type=name, state=self.state.value.upper())
            self.fire(bad, now, result=self.unspecified(StopResult.STATE, f"unexpected {name}"))
            return
        refusal = self._judge(message, self.connection)
        self.fire(bad if refusal else good, now, result=refusal)

    def _judge(self, message: Message, connection: Connection) -> Result | None:
        """Take over what the peer tells of itself, and return why it is refused, if it is."""
        problem = fault(message)
        if problem is not None:
            return Result(StopResult.ERROR, problem.error, problem.text)
        if message.type is MessageType.SCCCN:
            return None
        self.peer_host_name = message.host_name or b""
        self.peer_router_id = message.router_id or 0
        self.peer_vendor_name = message.vendor_name or b""
        self._peer_capabilities = message.pseudowire_capabilities or ()
        if message.receive_window is not None:
            connection.channel.set_peer_window(message.receive_window)
        refusal: Refusal | None = refuse_connection(self.settings, message)
        if refusal is None:
            return None
        self.log(refusal.entry, msg_type=message_name(message.type))
        return refusal.result

    def _receive_unknown(self, message: Message, now: float) -> None:
        name = message_name(message.type)
        self.log(Entry.UNKNOWN_MESSAGE_TYPE, func="receive", msg_type=name)
        if message.message_type_mandatory:
            self.log(Entry.CANNOT_HANDLE_MESSAGE, msg_type=name)
            self.close(Result(StopResult.ERROR, GeneralError.UNKNOWN_AVP, f"unknown message type {name}"), now)

    # ---- Messages of ours.

    def _send_opening(self, message_type: MessageType, now: float, *, tie_breaker: bytes | None = None) -> None:
        self._log_state(message_type, sent=True)
        message = Message(
            type=message_type,
            host_name=self.settings.local_host_name,
            router_id=self.settings.local_router_id,
            vendor_name=VENDOR_NAME,
            receive_window=self.settings.receive_window,
            assigned_connection_id=self.connection.local_id,
            pseudowire_capabilities=PSEUDOWIRE_CAPABILITIES,
            tie_breaker=tie_breaker,
            nonce=self.connection.authentication.local_nonce or None,
        )
        self.submit(message, now)

    def _stop(self, result: Result | None, now: float) -> None:
        self._log_state(MessageType.STOPCCN, sent=True)
        self.submit(stop_message(self.connection, result or Result(StopResult.STATE)), now)

    def _stop_loser(self, now: float) -> None:
        rival = self._rival
        # The peer learnt our nonce from our SCCRQ: only what is signed with it can it verify.
        rival.authentication.share_nonce(self.connection.authentication)
        rival.submit(stop_message(rival, Result(StopResult.EXISTS, text="lost the tie break")), now)
        rival.linger(now)

    # ---- Connections, timers, sessions.

    def _adopt(self, connection: Connection) -> None:
        self.connection = connection
        connection.receiver = self.receive
        connection.failure = self._delivery_failed
        self.log(Entry.TUNNEL_CREATE_SUCCEEDED, id=connection.local_id)

    def _switch(self, now: float) -> None:
        """Go on over the connection that the peer began; ours lost the tie."""
        # The winner's StopCCN to the loser is signed with the nonce of the winner's own SCCRQ.
        self.connection.authentication.peer_nonce = self._rival.authentication.peer_nonce
        self.connection.abandon(now)
        self.initiator = False
        self._adopt(self._rival)
        for session in self.sessions:
            session.fire(SessionEvent.CONTROL_CLOSED, now)  # the initiator goes first

    def _enter_established(self, now: float) -> None:
        self._disarm()
        self.called = now
        self.last_error = ""
        self.log(Entry.TUNNEL_UP, tun_name=self.settings.name, address=str(self.connection.address))
        self._keepalive.start(self.connection, now)
        self.owner.established(self, now)
        for session in self.sessions:
            if not self.initiator:
                session.call_in(self.context.limits.call_delay, now)

    def _open_sessions(self, now: float) -> None:
        """Let the waiting sessions call, but for a type that the peer does not offer (RFC 3931, section 5.4.4)."""
        waiting, self._waiting = self._waiting, {}
        for session in waiting:
            if session.waits_for_control:
                kind = session.settings.pseudowire_type
                if kind in self._peer_capabilities:
                    self.context.calls.wait(session)
                else:
                    text = f"the peer does not offer pseudowire type {kind}"
                    session.close(Result(CallResult.PSEUDOWIRE_TYPE, text=text), now)

    def _clean(self, now: float) -> None:
        self._disarm()
        for session in self.sessions:
            session.fire(SessionEvent.CONTROL_CLOSED, now)
        self.log(Entry.CLEANUP_TUNNEL_BY_NAME, name=self.settings.name)
        self.connection.linger(now)
        self.log(Entry.DELETE_TUNNEL)

    def _bound_setup(self, now: float) -> None:
        self._disarm()
        self._setup = self.context.timers.at(now + self.context.limits.setup, self._setup_expired)

    def _disarm(self) -> None:
        self._keepalive.stop()
        if self._setup is not None:
            self._setup.cancel()

    def _setup_expired(self, now: float) -> None:
        self.close(Result(StopResult.STATE, text="setup timed out"), now)

    def _delivery_failed(self, now: float) -> None:
        self.log(Entry.SEND_FAILED_TUNNEL_SHUTDOWN)
        self.give_up("the peer does not answer", now)

    # ---- What people see.

    def unspecified(self, code: StopResult | CallResult, text: str) -> Result:
        """Return the Result of a StopCCN or CDN for which RFC 3931's tables specify none: a state machine error."""
        self.log(Entry.RESULT_CODE_NOT_SPECIFIED)
        return Result(code, text=text)

    def log(self, entry: Entry, *, session: str = "", **fields: Field) -> None:
        """Log an entry with this tunnel's name and Control Connection ID."""
        self.context.log(
            entry, tunnel=self.settings.name, session=session, tunnel_id=self.connection.local_id, **fields
        )

    def _log_state(self, message_type: MessageType, *, sent: bool) -> None:
        entry = Entry.SEND_STATE if sent else Entry.RECEIVE_STATE
        self.log(entry, msg_type=message_type.text, state=self.state.value.upper())


def stop_message(connection: Connection, result: Result) -> Message:
    """Return a StopCCN for a connection."""
    return Message(type=MessageType.STOPCCN, result=result, assigned_connection_id=connection.local_id)
