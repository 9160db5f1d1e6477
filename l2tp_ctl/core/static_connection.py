"""The control channel of a static tunnel: HELLO and its acknowledgement, and nothing else (RFC 3931, section 4.4).

The Control Connection IDs are configured, so nobody tells when an end begins anew: it counts from 0 again, and the
other goes on where it was.  A HELLO says nothing but that its sender lives, so its number matters for the
acknowledgement alone.  This end therefore counts as its peer does: what the peer expects is what it sends next, and
what the peer sends is what it expected.  The peer is heard once it has acknowledged a HELLO with a number that it
expected, for only that HELLO can have brought it to expect the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.authentication import Authentication
from l2tp_ctl.core.avp import RawAvp
from l2tp_ctl.core.connection import Connection, message_name, peek_type
from l2tp_ctl.core.context import Context
from l2tp_ctl.core.errors import Drop, ProtocolError
from l2tp_ctl.core.header import Header
from l2tp_ctl.core.message import Message, MessageType
from l2tp_ctl.core.settings import Address, Compatibility, StaticTunnelSettings, TunnelSettings

_LAST_NUMBER = 0xFFFF


class StaticConnection(Connection):
    """``answered`` is called when the peer has acknowledged a HELLO, ``silent`` when it has let all repetitions pass.

    There is no secret: a nonce cannot be agreed on without signalling, and a digest without one could be replayed.
    """

    def __init__(
        self,
        context: Context,
        settings: StaticTunnelSettings,
        *,
        answered: Callable[[float], None],
        silent: Callable[[float], None],
    ) -> None:
        plain = _plain(settings)
        authentication = Authentication(plain, context.entropy)
        super().__init__(context, plain, settings.address, authentication, local_id=settings.local_connection_id)
        self.peer_id = settings.peer_connection_id
        self.failure = silent
        self._answered = answered
        self._agreed = False
        """Whether the peer has told what it expects since this connection began."""
        self._renumbered = False
        """Whether the HELLO under way was: once is enough, and a peer that always expects another gets no more."""

    def adopt(self, settings: StaticTunnelSettings) -> None:
        """Take over what may change under a living connection."""
        self.reconfigure(_plain(settings))

    def probe(self, now: float) -> None:
        """Ask for a sign of life, unless that is under way."""
        if self.channel.idle:
            self._renumbered = False
            self.submit(Message(type=MessageType.HELLO), now)

    def receive(self, data: bytes, header: Header, avps: Sequence[RawAvp], address: Address, now: float) -> None:
        """Take one datagram; raises ProtocolError where it is dropped."""
        del address  # it is the peer's, which the endpoint has seen to
        message_type = peek_type(avps)
        self.authenticate(data, header, avps, message_type, now)
        if message_type == MessageType.HELLO:
            self.inspect(self.interpret(avps), now)
            self.log(Entry.RECEIVE_HELLO_SEND_ZLB_ACK)
            self.channel.nr = (header.ns + 1) & _LAST_NUMBER
            self.channel.ack_due = True
        elif message_type != MessageType.ACK:
            raise ProtocolError(Drop.STATIC, f"{message_name(message_type)} to a static tunnel")
        self._count("received", message_name(message_type) if avps else "zlb")
        self.last_received = now
        self.context.touch(self)
        self._follow(header.nr, now)

    def _follow(self, expected: int, now: float) -> None:
        """Count as the peer does, which expects this number next."""
        channel = self.channel
        if channel.idle:
            channel.next_ns = expected
            self._agreed = True
        elif self._agreed and expected == channel.next_ns:
            channel.acknowledge(expected, now)
            self._answered(now)
        elif not self._renumbered and not (self._agreed and expected == (channel.next_ns - 1) & _LAST_NUMBER):
            self._agreed = self._renumbered = True
            self.channel = self._new_channel()
            self.channel.next_ns, self.channel.nr, self.channel.ack_due = expected, channel.nr, channel.ack_due
            self.submit(Message(type=MessageType.HELLO), now)

    def _acknowledge(self) -> None:
        """Acknowledge by an ACK message: there are static peers (go-l2tp) that cannot read a ZLB."""
        self._send(Message(type=MessageType.ACK), self.channel.next_ns)


def _plain(settings: StaticTunnelSettings) -> TunnelSettings:
    """Return the settings of a control connection without anything that both ends would have to agree on."""
    return TunnelSettings(
        name=settings.name, address=settings.address, retry=settings.retry, compatibility=Compatibility.STRICT
    )
