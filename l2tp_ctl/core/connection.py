"""One control connection's way to its peer: identifiers, address, authentication and reliable delivery.

A Connection outlives the state machine that it served: after StopCCN it lingers, so that the peer's
retransmissions are still acknowledged and ours still sent (RFC 3931, section 3.3.2).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace

from l2tp_ctl.catalogue import Entry, Field
from l2tp_ctl.core import codec, dialects, hiding
from l2tp_ctl.core.authentication import Authentication, Verdict
from l2tp_ctl.core.avp import RawAvp
from l2tp_ctl.core.channel import Channel
from l2tp_ctl.core.context import Context
from l2tp_ctl.core.digest import nonce
from l2tp_ctl.core.effects import Send
from l2tp_ctl.core.errors import Drop, ProtocolError
from l2tp_ctl.core.header import Header
from l2tp_ctl.core.inspection import complaints
from l2tp_ctl.core.message import Message, MessageType
from l2tp_ctl.core.settings import Address, DigestPolicy, TunnelSettings
from l2tp_ctl.core.timers import Timer

_RANDOM_VECTOR_LENGTH = 16
"""Octets of a Random Vector (RFC 3931, section 5.3)."""

_NOTHING_TO_HIDE = frozenset({MessageType.SCCCN, MessageType.HELLO, MessageType.ACK})

Receiver = Callable[[Message, float], None]
Failure = Callable[[float], None]


def message_name(message_type: int) -> str:
    """Return a message type's name for people, its number where it has none."""
    try:
        return MessageType(message_type).text
    except ValueError:
        vendor, number = divmod(message_type, 1 << 16)
        return f"{number} of vendor {vendor}" if vendor > 0 else str(message_type)


def peek_type(avps: Sequence[RawAvp]) -> int:
    """Return the Message Type of a message not yet authenticated; ACK for one without AVPs, -1 if unreadable."""
    if not avps:
        return MessageType.ACK
    first = avps[0]
    if first.vendor or first.type or first.hidden or len(first.value) != 2:
        return -1
    return int.from_bytes(first.value, "big")


class Connection:
    """The transport of one control connection.

    ``receiver`` gets each message once and in order; ``failure`` is called when the peer acknowledges no more.
    ``local_id`` is our Control Connection ID, a random one where it is 0.
    """

    def __init__(
        self,
        context: Context,
        settings: TunnelSettings,
        address: Address,
        authentication: Authentication,
        *,
        local_id: int = 0,
    ) -> None:
        self.context = context
        self.settings = settings
        self.address = address
        self.authentication = authentication
        self.local_id = local_id or context.connection_id()
        self.peer_id = 0
        """The peer's Control Connection ID, 0 until it told us."""
        self.tie_breaker = b""
        """What our SCCRQ began it with; empty where the peer began it."""
        self.channel = self._new_channel()
        self.dialect = dialects.initial(settings.compatibility)
        self.last_received = 0.0
        self.receiver: Receiver | None = None
        self.failure: Failure | None = None
        self.hide_keys = tuple(hiding.hiding_key(secret.value) for secret in settings.secrets)
        self._retransmit: Timer | None = None
        self._linger: Timer | None = None
        context.connections[self.local_id] = self

    def reconfigure(self, settings: TunnelSettings) -> None:
        """Take over what may change under a living control connection: secrets, hiding, retransmissions."""
        self.settings = settings
        self.authentication.replace_secrets(settings.secrets)
        self.hide_keys = tuple(hiding.hiding_key(secret.value) for secret in settings.secrets)
        self.channel.retry = settings.retry

    def submit(self, message: Message, now: float) -> None:
        """Send a message as soon as the window allows.  A full queue counts as a failed delivery."""
        self.log(Entry.SEND_MESSAGE, msg_type=message_name(message.type))
        if self.settings.hidden and self.hide_keys and message.type not in _NOTHING_TO_HIDE:
            # Here, not at each sending: a message that is sent again is the same one.
            message = replace(message, random_vector=self.context.entropy(_RANDOM_VECTOR_LENGTH))
        if self.channel.submit(message):
            self.context.touch(self)
        else:
            # Not at once: who submits is in the middle of an event, and would go on with what is gone.
            self.context.timers.at(now, self._fail)

    def begin(self, header: Header, message: Message, now: float) -> None:
        """Count the SCCRQ that began this connection as received.

        Raises ProtocolError unless it is numbered as a first message.
        """
        if header.ns or header.nr:
            raise ProtocolError(Drop.WINDOW, f"SCCRQ with Ns {header.ns}, Nr {header.nr}")
        self.channel.accept(header.ns, message)
        self.peer_id = message.assigned_connection_id or 0
        self.dialect = dialects.after(self.dialect, self.settings.compatibility, message)
        self.last_received = now
        self.context.touch(self)

    def began_with(self, message: Message) -> bool:
        """Whether this SCCRQ is the one of ours that began it."""
        return (
            message.assigned_connection_id == self.local_id
            and message.tie_breaker == self.tie_breaker
            and (message.nonce or b"") == self.authentication.local_nonce
        )

    def acknowledge_again(self) -> None:
        """Acknowledge a repetition of what was received before."""
        self.channel.ack_due = True
        self.context.touch(self)

    def receive(self, data: bytes, header: Header, avps: Sequence[RawAvp], address: Address, now: float) -> None:
        """Authenticate and decode one datagram, and hand on what is now in order.

        Raises ProtocolError where the datagram is dropped.
        """
        message_type = peek_type(avps)
        self.authenticate(data, header, avps, message_type, now)
        if not avps:
            self._count("received", "zlb")
            self._acknowledged(header, now)
            return
        message = self.interpret(avps)
        if message.type is MessageType.ACK:
            self._count("received", "ack")
            self.log(Entry.RECEIVE_EXPLICIT_ACK)
            self._acknowledged(header, now)
            return
        self._acknowledged(header, now)
        self.context.touch(self)
        drop, ready = self.channel.accept(header.ns, message)
        if drop is not None or not ready:
            self.log(Entry.SEQUENCE_NUMBER_MISMATCH, ns=header.ns, nr=self.channel.nr)
        if drop is not None:
            raise ProtocolError(drop, f"Ns {header.ns}, expected {self.channel.nr}")
        for ordered in ready:
            self.inspect(ordered, now)
            self.dialect = dialects.after(self.dialect, self.settings.compatibility, ordered)
            if not self.peer_id and ordered.assigned_connection_id:
                # The first answer; it may come from another port, and tells which of our addresses the peer reached.
                self.peer_id = ordered.assigned_connection_id
                self.address = replace(address, local_port=self.address.local_port)
            if self.receiver is not None:
                self.receiver(ordered, now)

    def interpret(self, avps: Sequence[RawAvp]) -> Message:
        """Return what a message's AVPs say; raises ProtocolError where it is dropped for them."""
        if self.settings.discard_reserved and any(avp.reserved for avp in avps):
            raise ProtocolError(Drop.RESERVED, message_name(peek_type(avps)))
        return codec.interpret(avps, self.hide_keys)

    def inspect(self, message: Message, now: float) -> None:
        """Log what is wrong with a message's AVPs, each thing once a minute."""
        for entry, fields in complaints(message):
            if self.context.complains((entry, message.type, self.address.peer, *fields.values()), now):
                self.log(entry, **fields)

    def authenticate(self, data: bytes, header: Header, avps: Sequence[RawAvp], message_type: int, now: float) -> None:
        """Raise ProtocolError unless the message may be believed; log why."""
        verdict = self.authentication.check(data, header, avps, message_type)
        if verdict is Verdict.OK:
            return
        answer = message_type == MessageType.SCCRP  # which tells more than the acknowledgement before it
        if verdict is not Verdict.EARLY and self.context.complains((verdict, answer, self.address.peer), now):
            self._log_verdict(verdict, avps, message_type)
        raise ProtocolError(Drop.AUTHENTICATION, verdict.name.lower())

    def flush(self, now: float) -> None:
        """Send what the window allows, or else the acknowledgement that is due."""
        if not self.alive:
            return
        for outgoing in self.channel.transmit(now):
            message = outgoing.message
            self.context.counters["retransmissions"] += outgoing.sends > 1
            self.log(Entry.SEND_CONTROL_PACKET, n=outgoing.sends, msg_type=message_name(message.type))
            try:
                self._send(message, outgoing.ns)
            except (ValueError, struct.error):
                self.log(Entry.FAILED_TO_NEW_PACKET, msg_type=message_name(message.type))
                self._fail(now)
                return
        if self.channel.ack_due:
            self._acknowledge()
        self._arm()

    def linger(self, now: float) -> None:
        """Serve no state machine any more; acknowledge and retransmit for one full cycle, then be gone."""
        self.receiver = self.failure = None
        self._linger = self.context.timers.at(now + self.context.limits.linger, self.release)
        self.context.touch(self)

    def abandon(self, now: float) -> None:
        """Linger without sending again what is not acknowledged."""
        self.channel.abandon()
        self.linger(now)

    @property
    def alive(self) -> bool:
        """Whether it can still send and receive, be it only to linger."""
        return self.context.connections.get(self.local_id) is self

    def release(self, _now: float = 0.0) -> None:
        """Forget the connection: its identifier is free, and nothing is sent or armed any more."""
        for timer in (self._retransmit, self._linger):
            if timer is not None:
                timer.cancel()
        self.receiver = self.failure = None
        if self.alive:
            del self.context.connections[self.local_id]

    def log(self, entry: Entry, **fields: Field) -> None:
        """Log an entry with our Control Connection ID as its ``tunnel_id``."""
        self.context.log(entry, tunnel=self.settings.name, session="", tunnel_id=self.local_id, **fields)

    def _new_channel(self) -> Channel:
        settings = self.settings
        return Channel(retry=settings.retry, receive_window=settings.receive_window, limits=self.context.limits)

    def _acknowledged(self, header: Header, now: float) -> None:
        if not self.channel.acknowledge(header.nr, now):
            raise ProtocolError(Drop.ACKNOWLEDGEMENT, f"Nr {header.nr}, sent up to {self.channel.next_ns}")
        self.last_received = now
        self.context.touch(self)

    def _send(self, message: Message, ns: int) -> None:
        """Send one message; raises ValueError or ``struct.error`` where it cannot be made."""
        if self.dialect.vendor_avps:
            message = replace(message, cisco=True)
        data = codec.encode(
            message,
            connection_id=self.peer_id,
            ns=ns,
            nr=self.channel.nr,
            signers=self.authentication.signers(message.type),
            hide_key=None if message.random_vector is None else self.hide_keys[0],
        )
        if len(data) > self.context.limits.message:
            raise ValueError(f"a message of {len(data)} octets")
        self.channel.ack_due = False
        self._count("sent", message_name(message.type))
        self.context.effects.append(Send(self.address, data))

    def _count(self, what: str, name: str) -> None:
        self.context.counters[f"{what}-{name.lower()}"] += 1

    def _acknowledge(self) -> None:
        """Acknowledge at once: explicitly where messages are signed, by a ZLB elsewhere (section 4.3)."""
        if self.authentication.signing:
            self._send(Message(type=MessageType.ACK), self.channel.next_ns)
            return
        self.channel.ack_due = False
        data = codec.encode_zlb(self.peer_id, self.channel.next_ns, self.channel.nr)
        self._count("sent", "zlb")
        self.context.effects.append(Send(self.address, data))

    def _arm(self) -> None:
        if self._retransmit is not None:
            self._retransmit.cancel()
            self._retransmit = None
        if self.channel.deadline is not None:
            self._retransmit = self.context.timers.at(self.channel.deadline, self._expire)

    def _expire(self, now: float) -> None:
        if self.channel.expire(now):
            self.context.touch(self)
        else:
            self._fail(now)

    def _fail(self, now: float) -> None:
        self.log(Entry.SEND_FAILED_TUNNEL_SHUTDOWN_DEBUG)
        failure = self.failure
        self.release(now)
        if failure is not None:
            failure(now)

    def _log_verdict(self, verdict: Verdict, avps: Sequence[RawAvp], message_type: int) -> None:
        """Log why a message is not believed."""
        name = message_name(message_type)
        if verdict is Verdict.INVALID:
            self.log(Entry.MESSAGE_DIGEST_INVALID, msg_type=name)
        elif verdict is Verdict.UNSUPPORTED:
            only_md5 = self.settings.digest is DigestPolicy.MD5
            entry = Entry.ONLY_HMAC_MD5 if only_md5 else Entry.DIGEST_TYPE_REFUSED
            self.log(entry, func="authenticate", n=avps[1].value[0], msg_type=name)
        elif message_type == MessageType.SCCRP and nonce(avps) is None:
            self.log(Entry.NONCE_NOT_FOUND)
        else:
            self.log(Entry.AUTHENTICATION_MISSING, msg_type=name, address=str(self.address))
