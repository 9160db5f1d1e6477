"""One session: an incoming call of RFC 3931, section 7.3, from either side.

The helper's answer is part of what "acceptable" means: an ICRQ or ICRP is acceptable once the pseudowire that it
describes exists.  Until then the message waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from l2tp_ctl.catalogue import Entry, Field
from l2tp_ctl.core import call_messages
from l2tp_ctl.core.acceptance import cookie_warning, refuse_call
from l2tp_ctl.core.circuit import Circuit
from l2tp_ctl.core.connection import message_name
from l2tp_ctl.core.effects import StateChange
from l2tp_ctl.core.message import Message, MessageType, Result
from l2tp_ctl.core.presence import fault
from l2tp_ctl.core.results import CallResult, describe
from l2tp_ctl.core.settings import SessionSettings
from l2tp_ctl.core.tables import (
    RECIPIENT,
    RECIPIENT_IGNORED,
    SENDER,
    SENDER_IGNORED,
    SessionAction,
    SessionEvent,
    SessionState,
)
from l2tp_ctl.core.terms import CIRCUIT_UP, Terms
from l2tp_ctl.core.timers import Timer

if TYPE_CHECKING:
    from l2tp_ctl.core.tunnel import Tunnel

TIE_BREAKER_LENGTH = 8


class Session:
    """The state machine of one configured session within one control connection."""

    def __init__(self, tunnel: Tunnel, settings: SessionSettings, last_error: str, now: float) -> None:
        self.tunnel = tunnel
        self.context = tunnel.context
        self.settings = settings
        self.state = SessionState.IDLE
        self.since = now
        self.last_error = last_error
        self.terms = Terms(settings, 0, b"")
        self.circuit = Circuit(self.context, self)
        self._sender = True
        self._tie_breaker = b""
        self._waiting: Message | None = None
        """The peer's message that goes on when the helper has answered."""
        self._timer: Timer | None = None
        """Bounds the setup; while idle, brings the next call."""
        self._failures = 0

    @property
    def established(self) -> bool:
        """Whether it carries frames, as far as signalling goes."""
        return self.state is SessionState.ESTABLISHED

    @property
    def waits_for_control(self) -> bool:
        """Whether a call of ours waits for the control connection."""
        return self.state is SessionState.WAIT_CONTROL_CONN

    # ---- What happens to it.

    def call(self, now: float) -> None:
        """Begin a call of ours; only while none is under way."""
        self.fire(SessionEvent.CALL, now)
        self.tunnel.new_call(self, now)

    def call_in(self, seconds: float, now: float) -> None:
        """Begin a call of ours after some time, unless the peer began one until then."""
        self._disarm()
        self._timer = self.context.timers.at(now + seconds, self._call_due)

    def _call_due(self, now: float) -> None:
        """Begin a call of ours, but leave it to an initiator that is still calling its first sessions."""
        limits, tunnel = self.context.limits, self.tunnel
        wait = tunnel.called + limits.call_delay - now
        if wait > 0 and not tunnel.initiator and now < tunnel.since + limits.setup:
            self.call_in(wait, now)
        else:
            self.call(now)

    def receive_icrq(self, message: Message, now: float) -> None:
        """Take the peer's call.  One that crosses ours is decided by the tie breakers (section 5.4.4)."""
        if self.state is SessionState.WAIT_REPLY and self._waiting is None:
            theirs = message.tie_breaker
            if theirs is None or self._tie_breaker < theirs:
                self.fire(SessionEvent.ICRQ_WIN, now, loser=message.local_session_id or 0)
                return
            if self._tie_breaker == theirs:
                self.fire(SessionEvent.ICRQ_DRAW, now, result=Result(CallResult.TIE))
                return
            self.fire(SessionEvent.ICRQ_LOSE, now)
        elif self.waits_for_control:
            self.fire(SessionEvent.CLOSE, now)  # the peer called first
        elif self.state is SessionState.WAIT_REPLY or self._waiting is not None:
            self.close(Result(CallResult.STATE, text="replaced by a new ICRQ"), now)
        elif self.state is not SessionState.IDLE:
            # The peer forgot the session that we had, and begins anew.
            self.fire(SessionEvent.ICRQ_OK, now, result=Result(CallResult.STATE, text="replaced by a new ICRQ"))
        self._take(message, now)

    def receive(self, message: Message, now: float) -> None:
        """Take any later message of the session."""
        problem = fault(message)
        refusal = Result(CallResult.ERROR, problem.error, problem.text) if problem else None
        match message.type:
            case MessageType.ICRP:
                self._receive_icrp(message, refusal, now)
            case MessageType.ICCN:
                self._receive_iccn(message, refusal, now)
            case MessageType.CDN:
                reason = describe(MessageType.CDN, message.result)
                self.last_error = f"peer: {reason}"
                self._log(Entry.PEER_STOPPED, msg_type="CDN", reason=reason)
                self.fire(SessionEvent.CDN, now)
            case _ if refusal is not None:
                self.close(refusal, now)
            case MessageType.SLI:
                self._take_circuit_status(message)
                self.circuit.follow()
            case _:  # WEN tells of errors on the peer's circuit; it is counted, and asks for nothing
                pass

    def pwe_answer(self, now: float, *, mtu: int, error: str) -> None:
        """Go on with what waited for the helper; a failure refuses it."""
        self.circuit.answered()
        message, self._waiting = self._waiting, None
        refusal = None
        if error:
            self._log(Entry.SET_PWE_PARAM_FAILED)
            refusal = Result(CallResult.NO_FACILITIES, text=f"set_pwe_param: {error}")
        else:
            self.circuit.mtu = mtu
        if message is not None:
            good, bad = _EVENTS[MessageType(message.type)]
            self.fire(bad if refusal else good, now, result=refusal)
        elif refusal is not None:
            self.close(refusal, now)

    def helper_lost(self, now: float) -> None:
        """Refuse what waits for the helper; what is established goes on without it."""
        if self._waiting is not None:
            self.pwe_answer(now, mtu=0, error="l2tp-kernel is away")
        self.circuit.answered()

    def helper_back(self) -> None:
        """Tell the helper again what should exist."""
        self.circuit.set_again()

    def link_changed(self, *, up: bool, now: float) -> None:
        """Tell the peer that our interface went up or down (RFC 3931, section 6.14)."""
        if up != self.circuit.up:
            self.circuit.up = up
            if self.state is SessionState.ESTABLISHED:
                self._send_circuit_status(now)
        self.circuit.link_changed(up=up)

    def close(self, result: Result, now: float) -> None:
        """End the session from this side; it is called again later."""
        self.fire(SessionEvent.CLOSE, now, result=result)

    def clear(self, now: float) -> None:
        """End the session because an operator says so; without waiting longer for what failed before."""
        if self.state is SessionState.ESTABLISHED:
            self._log(Entry.CLEANUP_CALL, func="clear", if_name=self.settings.interface)
        if self.waits_for_control:
            return  # nothing to end, and its call is due as soon as there is a control connection
        self.close(Result(CallResult.ADMINISTRATIVE, text="cleared by the operator"), now)
        if self.state is SessionState.IDLE and self.tunnel.established:
            self._failures = 0
            self.call_in(self._pause(), now)

    def retire(self, now: float) -> None:
        """End the session because the configuration has it no more, or otherwise; it is not called again."""
        self.close(Result(CallResult.ADMINISTRATIVE, text="removed from the configuration"), now)
        self._disarm()

    # ---- The tables' machine.

    def fire(self, event: SessionEvent, now: float, *, result: Result | None = None, loser: int = 0) -> None:
        """Apply one event.  ``result`` is what a CDN tells, ``loser`` the session id of a call that loses a tie.

        Raises KeyError for an event that the tables call a violation.
        """
        table, ignored = (SENDER, SENDER_IGNORED) if self._sender else (RECIPIENT, RECIPIENT_IGNORED)
        if (self.state, event) in ignored:
            return
        action, state = table[self.state, event]
        before, self.state = self.state, state
        if result is not None and state is SessionState.IDLE:
            self.last_error = describe(MessageType.CDN, result)
        reason = (self.last_error or self.tunnel.last_error) if state is SessionState.IDLE else ""
        if state is not before:
            self.since = now
            self.context.calls.leave(self)
            changed = StateChange(self.tunnel.settings.name, self.settings.name, state.value, reason)
            self.context.effects.append(changed)
        if event in _RECEIVED and state is not before and result is None:
            self._log_state(_RECEIVED[event], sent=False)
        if state is SessionState.IDLE and before is SessionState.ESTABLISHED:
            self._log(Entry.SESSION_DOWN, name=self.settings.name, reason=reason)
        self._act(action, result, loser, now)

    def _act(self, action: SessionAction, result: Result | None, loser: int, now: float) -> None:
        match action:
            case SessionAction.WAIT:
                pass
            case SessionAction.SEND_ICRQ:
                self._send_icrq(now)
            case SessionAction.SEND_ICRP:
                self._log_state(MessageType.ICRP, sent=True)
                self._send_icrp(now)
            case SessionAction.SEND_ICCN:
                self._log_state(MessageType.ICCN, sent=True)
                self._submit(MessageType.ICCN, now)
                self._up(now)
            case SessionAction.PREPARE_FOR_DATA:
                self._up(now)
            case SessionAction.BECOME_RECIPIENT | SessionAction.CLEAN:
                self._clean(now)
            case SessionAction.CDN_LOSER:
                call_messages.refuse(self.tunnel, loser, Result(CallResult.TIE), now)
            case SessionAction.CDN_CLEAN:
                self._log_state(MessageType.CDN, sent=True)
                self._submit(MessageType.CDN, now, result=result)
                self._clean(now)
            case never:
                assert_never(never)

    # ---- Messages of the peer.

    def _take(self, message: Message, now: float) -> None:
        self._sender = False
        self._begin(now)
        self._log(Entry.CREATE_NEW_SESSION)
        if message.serial_number is None:
            self._log(Entry.SERIAL_NUMBER_NOT_FOUND, msg_type="ICRQ")
        self._consider(message, None, now)

    def _receive_icrp(self, message: Message, refusal: Result | None, now: float) -> None:
        if not self._sender or self.state is not SessionState.WAIT_REPLY:
            self.fire(SessionEvent.ICRP_OK, now, result=self.tunnel.unspecified(CallResult.STATE, "unexpected ICRP"))
        elif self._waiting is not None:
            self.close(Result(CallResult.STATE, text="second ICRP"), now)
        else:
            self._consider(message, refusal, now)

    def _receive_iccn(self, message: Message, refusal: Result | None, now: float) -> None:
        if self._sender or self.state is not SessionState.WAIT_CONNECT:
            self.fire(SessionEvent.ICCN_OK, now, result=self.tunnel.unspecified(CallResult.STATE, "unexpected ICCN"))
        elif self._waiting is not None:
            self.close(Result(CallResult.STATE, text="second ICCN"), now)
        else:
            self._consider(message, refusal, now)

    def _consider(self, message: Message, refusal: Result | None, now: float) -> None:
        """Refuse what does not fit; let the helper make what the message describes, and go on from there."""
        good, bad = _EVENTS[MessageType(message.type)]
        self._take_circuit_status(message)
        if refusal is None:
            refusal = refuse_call(self.settings, message)
        unworkable = self.terms.learn(message)  # also of a refused call: its CDN needs the peer's session id
        refusal = refusal or unworkable
        if refusal is not None:
            if message.type is MessageType.ICRQ:
                self._log(Entry.FAILED_TO_NEW_SESSION)
            self.fire(bad, now, result=refusal)
            return
        if message.type is not MessageType.ICCN:
            warning = cookie_warning(self.tunnel.settings.cookie_length, message)
            if warning is not None:
                self._log(warning, msg_type=message_name(message.type))
        pseudowire = self.terms.pseudowire(self.tunnel.connection, up=self.circuit.link_up)
        if pseudowire == self.circuit.pseudowire:
            self.fire(good, now)
        else:
            self._waiting = message
            self.circuit.set(pseudowire)

    def _take_circuit_status(self, message: Message) -> None:
        if self.circuit.take_status(message):
            self._log(Entry.PEER_CIRCUIT, name=self.settings.name, state="up" if self.circuit.peer_up else "down")

    # ---- Messages of ours.

    def _send_icrq(self, now: float) -> None:
        self._begin(now)
        self._tie_breaker = self.context.entropy(TIE_BREAKER_LENGTH)
        self._log(Entry.BEGIN_NEW_SESSION)
        self._log_state(MessageType.ICRQ, sent=True)
        self._submit(
            MessageType.ICRQ,
            now,
            serial_number=self.context.serial(),
            pseudowire_type=int(self.settings.pseudowire_type),
            remote_end_id=self.settings.remote_end_id,
            tie_breaker=self._tie_breaker,
        )

    def _send_icrp(self, now: float) -> None:
        if self.tunnel.connection.dialect.type_in_icrp:
            self._submit(MessageType.ICRP, now, pseudowire_type=int(self.settings.pseudowire_type))
        else:
            self._submit(MessageType.ICRP, now)

    def _submit(self, message_type: MessageType, now: float, **fields: object) -> None:
        self.tunnel.submit(self.terms.message(message_type, **fields), now)

    def _send_circuit_status(self, now: float) -> None:
        self._submit(MessageType.SLI, now, circuit_status=CIRCUIT_UP if self.circuit.up else 0)

    # ---- Beginning, up, down, and what comes next.

    def _begin(self, now: float) -> None:
        """Take an identifier and a cookie, and bound the time for the setup."""
        self._disarm()
        self._timer = self.context.timers.at(now + self.context.limits.setup, self._expire)
        local_id = self.context.session_id()
        self.context.sessions[local_id] = self
        self.terms = Terms(self.settings, local_id, self.context.entropy(self.tunnel.settings.cookie_length))

    def _up(self, now: float) -> None:
        self._disarm()
        self._failures = 0
        self.last_error = ""
        self._log(Entry.SESSION_UP, name=self.settings.name, if_name=self.settings.interface)
        if self.tunnel.connection.dialect.status_after_iccn or not self.circuit.up:
            self._send_circuit_status(now)

    def _clean(self, now: float) -> None:
        """Give back what the session holds, and have it called again while the control connection lives."""
        self._disarm()
        if self.terms.local_id:
            self._log(Entry.CLEANUP_SESSION, name=self.settings.name)
        self.circuit.remove(self.terms.local_id)
        self.context.sessions.pop(self.terms.local_id, None)
        self._waiting = None
        self._sender = True  # in no role: closing what has ended sends no second CDN
        if self.terms.local_id:
            self._log(Entry.DELETE_SESSION)
        self.terms = Terms(self.settings, 0, b"")
        if self.tunnel.established:
            self.call_in(self._pause(), now)

    def _pause(self) -> float:
        """Return how long to wait before the next call; the control connection's initiator goes first."""
        limits = self.context.limits
        seconds = limits.restart
        if self._failures:
            seconds = self.tunnel.settings.reconnect_interval * min(self._failures, limits.backoff)
        self._failures += 1
        return self.context.spread(seconds, 0.5) + (0.0 if self.tunnel.initiator else limits.call_delay)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self, now: float) -> None:
        self.close(Result(CallResult.STATE, text="setup timed out"), now)

    # ---- What people see.

    def _log(self, entry: Entry, **fields: Field) -> None:
        self.tunnel.log(entry, session=self.settings.name, session_id=self.terms.local_id, **fields)

    def _log_state(self, message_type: MessageType, *, sent: bool) -> None:
        entry = Entry.SEND_STATE if sent else Entry.RECEIVE_STATE
        self._log(entry, msg_type=message_type.text, state=self.state.value.upper())


_EVENTS = {
    MessageType.ICRQ: (SessionEvent.ICRQ_OK, SessionEvent.ICRQ_BAD),
    MessageType.ICRP: (SessionEvent.ICRP_OK, SessionEvent.ICRP_BAD),
    MessageType.ICCN: (SessionEvent.ICCN_OK, SessionEvent.ICCN_BAD),
}
"""What a message becomes when it is acceptable, and when it is not."""

_RECEIVED = {
    SessionEvent.ICRQ_OK: MessageType.ICRQ,
    SessionEvent.ICRP_OK: MessageType.ICRP,
    SessionEvent.ICCN_OK: MessageType.ICCN,
    SessionEvent.CDN: MessageType.CDN,
}
"""The messages that take the session on."""
