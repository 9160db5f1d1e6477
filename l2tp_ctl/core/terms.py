"""The terms of one session: how frames must come to each end, as both ends said in ICRQ, ICRP and ICCN.

Each end states what it requires of the frames that it receives: its session id, a cookie, the L2-Specific Sublayer
and data sequencing (RFC 3931, section 5.4.4).  What the peer requires is what we send.
"""

from __future__ import annotations

from l2tp_ctl.core.connection import Connection
from l2tp_ctl.core.effects import Pseudowire
from l2tp_ctl.core.message import Message, MessageType, Result
from l2tp_ctl.core.results import CallResult
from l2tp_ctl.core.settings import Sequencing, SessionSettings, Sublayer

CIRCUIT_UP = 1
CIRCUIT_NEW = 2
"""Bits of the Circuit Status AVP (RFC 3931, section 5.4.5)."""


class Terms:
    """What the two ends of one session agreed on, complete when both have spoken."""

    def __init__(self, settings: SessionSettings, local_id: int, local_cookie: bytes) -> None:
        self.settings = settings
        self.local_id = local_id
        self.local_cookie = local_cookie
        self.peer_id = 0
        self.peer_cookie = b""
        self.send_sublayer: int = Sublayer.NONE
        self.send_sequencing: int = Sequencing.NONE

    @property
    def receive_sublayer(self) -> int:
        """What we require; sequence numbers live in the sublayer, so requiring them requires it."""
        return int(Sublayer.DEFAULT if self.settings.sequencing else self.settings.sublayer)

    def learn(self, message: Message) -> Result | None:
        """Take over what an ICRQ, ICRP or ICCN says of the peer's end; return why that cannot work, if so."""
        if message.type is not MessageType.ICCN:
            self.peer_id = message.local_session_id or 0
            self.peer_cookie = message.cookie or b""
        if message.sublayer is not None:
            self.send_sublayer = message.sublayer
        if message.sequencing is not None:
            self.send_sequencing = message.sequencing
        if self.send_sequencing and not self.send_sublayer:
            return Result(CallResult.SUBLAYER)
        return None

    def message(self, message_type: MessageType, **fields: object) -> Message:
        """Return a message of this session.

        ICRQ and ICRP also carry what we require; ``fields`` are further fields of Message.
        """
        if message_type in (MessageType.ICRQ, MessageType.ICRP):
            fields = self._requirements() | fields
        return Message(
            type=message_type,
            local_session_id=self.local_id,
            remote_session_id=self.peer_id,
            **fields,  # type: ignore[arg-type]  # each caller names Message's own fields
        )

    def pseudowire(self, connection: Connection, *, up: bool) -> Pseudowire:
        """Return the pseudowire end that these terms make."""
        return Pseudowire(
            interface=self.settings.interface,
            address=connection.address,
            local_connection_id=connection.local_id,
            peer_connection_id=connection.peer_id,
            local_session_id=self.local_id,
            peer_session_id=self.peer_id,
            local_cookie=self.local_cookie,
            peer_cookie=self.peer_cookie,
            receive_sublayer=self.receive_sublayer,
            send_sublayer=self.send_sublayer,
            receive_sequencing=int(self.settings.sequencing),
            send_sequencing=self.send_sequencing,
            mtu=self.settings.mtu,
            bridge=self.settings.bridge,
            up=up,
        )

    def _requirements(self) -> dict[str, object]:
        """Return the AVPs of ours that are not at their defaults."""
        fields: dict[str, object] = {"circuit_status": CIRCUIT_UP | CIRCUIT_NEW}
        if self.local_cookie:
            fields["cookie"] = self.local_cookie
        if self.receive_sublayer:
            fields["sublayer"] = self.receive_sublayer
        if self.settings.sequencing:
            fields["sequencing"] = int(self.settings.sequencing)
        if self.settings.mtu:
            fields["interface_mtu"] = self.settings.mtu
        return fields
