"""A bench for one Endpoint: a virtual clock, a helper that answers, and peers made by hand.

A :class:`FarEnd` speaks through real octets and holds its own identifiers, nonces and counters: what it signs and
verifies, it computes with :mod:`hmac` alone.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.avp import RawAvp, split_avps
from l2tp_ctl.core.codec import encode, encode_zlb, interpret
from l2tp_ctl.core.digest import DigestType, Signer
from l2tp_ctl.core.effects import DeletePwe, Effect, Log, LookUp, Send, SetPwe, StateChange
from l2tp_ctl.core.endpoint import Endpoint
from l2tp_ctl.core.header import Header, parse_header
from l2tp_ctl.core.hiding import hiding_key
from l2tp_ctl.core.message import Message, MessageType, Result
from l2tp_ctl.core.settings import (
    Address,
    AnyTunnelSettings,
    Encapsulation,
    Limits,
    Secret,
    SessionSettings,
    TunnelSettings,
)
from l2tp_ctl.core.views import SessionView, TunnelView

NEAR, FAR = "192.0.2.1", "192.0.2.2"
ADDRESS = Address(Encapsulation.UDP, NEAR, 1701, FAR, 1701)
LOWEST, HIGHEST = bytes(8), b"\xff" * 8
"""Tie breakers that win and lose against every random one."""


def session(name: str = "s1", **changes: Any) -> SessionSettings:
    return replace(SessionSettings(name=name, remote_end_id=name.encode(), interface=f"if-{name}"), **changes)


def tunnel(*sessions: SessionSettings, **changes: Any) -> TunnelSettings:
    """Settings of a tunnel to FAR that does not initiate; one session unless told otherwise."""
    settings = TunnelSettings(
        name="t1",
        address=ADDRESS,
        local_host_name=b"near",
        local_router_id=0x0A000001,
        initiate=False,
        sessions=sessions or (session(),),
    )
    return replace(settings, **changes)


def secrets(*values: bytes) -> tuple[Secret, ...]:
    return tuple(Secret(value) for value in values)


@dataclass(frozen=True)
class Received:
    """One message as the far end reads it."""

    header: Header
    avps: tuple[RawAvp, ...]
    message: Message
    address: Address
    data: bytes = field(repr=False)

    @property
    def type(self) -> MessageType | int:
        return self.message.type

    def octets(self, number: int) -> bytes:
        """The value of its first AVP of this type."""
        return next(avp.value for avp in self.avps if (avp.vendor, avp.type) == (0, number))

    @property
    def types(self) -> tuple[int, ...]:
        """The attribute types, in order."""
        return tuple(avp.type for avp in self.avps)


class Bench:
    """One Endpoint, and everything that it wanted done."""

    def __init__(self, *tunnels: AnyTunnelSettings, limits: Limits | None = None, seed: int = 0, **more: Any) -> None:
        self.now = 1000.0
        options = {"entropy": Random(seed).randbytes, "limits": limits} | more
        self.endpoint = Endpoint(tunnels or (tunnel(),), **options)
        self.logs: list[Log] = []
        self.lines: list[str] = []
        self.states: list[StateChange] = []
        self.made: list[SetPwe] = []
        self.deleted: list[DeletePwe] = []
        self.astray: list[Received] = []
        """Messages for no far end: the first of a control connection, mostly."""
        self.far: dict[int, FarEnd] = {}
        self.helper = True
        """Whether the helper answers at once; with False, :meth:`answer` does."""
        self.names: dict[str, tuple[str, ...] | str] = {}
        """Where each host name leads, or why nowhere; one that is not there has no answer."""
        self.asked: list[tuple[float, LookUp]] = []
        """When each name was looked up."""
        self._settling = False

    # ---- The endpoint's life.

    def start(self) -> None:
        self.endpoint.start(self.now)
        self.settle()

    def deliver(self, data: bytes, address: Address = ADDRESS) -> None:
        self.endpoint.receive_datagram(data, address, self.now)
        self.settle()

    def run(self, seconds: float) -> None:
        """Let time pass, timer by timer."""
        end = self.now + seconds
        while (due := self.endpoint.next_timer()) is not None and due <= end:
            self.now = max(due, self.now)
            self.endpoint.handle_timer(self.now)
            self.settle()
        self.now = end

    def answer(self, index: int = -1, *, error: str = "", mtu: int = 1400) -> None:
        """Answer a request as the helper."""
        self.endpoint.pwe_answer(self.made[index].request, self.now, mtu=0 if error else mtu, error=error)
        self.settle()

    def settle(self) -> None:
        """Do what the endpoint wants, until it wants nothing more."""
        if self._settling:
            return  # a far end that reacts: the loop goes on with what comes of it
        self._settling = True
        try:
            while effects := self.endpoint.take_effects():
                for effect in effects:
                    self._do(effect)
                for far in [*self.far.values()]:
                    far.react()
        finally:
            self._settling = False

    def _do(self, effect: Effect) -> None:
        match effect:
            case Send():
                self._send(effect)
            case SetPwe():
                self.made.append(effect)
                if self.helper:
                    self.endpoint.pwe_answer(effect.request, self.now, mtu=1400)
            case DeletePwe():
                self.deleted.append(effect)
            case LookUp():
                self.asked.append((self.now, effect))
                self.resolve(effect)
            case Log():
                self.logs.append(effect)
                self.lines.append(effect.entry.render(dict(effect.fields)))
            case StateChange():
                self.states.append(effect)

    def _send(self, effect: Send) -> None:
        header = parse_header(effect.data)
        assert header.version == 3
        assert header.length == len(effect.data)
        avps = split_avps(effect.data, header, 256)
        far = self.far.get(header.connection_id)
        keys = [] if far is None else [hiding_key(secret) for secret in far.secrets]
        received = Received(header, avps, interpret(avps, keys), effect.address, effect.data)
        if far is None:
            self.astray.append(received)
        else:
            far.take(received)

    def resolve(self, look_up: LookUp, *, logged: bool = False) -> None:
        """Answer a look at a name, if there is an answer."""
        match self.names.get(look_up.name):
            case str(problem):
                self.endpoint.looked_up(look_up, self.now, problem=problem, logged=logged)
            case tuple(addresses):
                self.endpoint.looked_up(look_up, self.now, addresses=addresses)

    # ---- What it shows.

    @property
    def tunnel(self) -> TunnelView:
        return self.endpoint.tunnels()[0]

    @property
    def session(self) -> SessionView:
        return self.tunnel.sessions[0]

    def logged(self, entry: Entry) -> list[Log]:
        return [log for log in self.logs if log.entry is entry]

    def dropped(self, reason: str) -> int:
        return self.endpoint.counters[f"dropped-{reason}"]

    def stray(self, message_type: MessageType) -> Received:
        """Return the latest message of a type that was for no far end, and forget it."""
        found = [one for one in self.astray if one.type is message_type][-1]
        self.astray.remove(found)
        return found


class FarEnd:
    """One end of one control connection, made by hand."""

    def __init__(
        self,
        bench: Bench,
        connection_id: int = 0x7700,
        *,
        secrets: Iterable[bytes] = (),
        digest: DigestType | None = None,
        nonce: bytes | None = None,
        address: Address = ADDRESS,
    ) -> None:
        self.bench = bench
        self.local_id = connection_id
        self.peer_id = 0
        self.secrets = tuple(secrets)
        """The first signs; what comes is verified with any."""
        self.digest = DigestType.MD5 if digest is None and self.secrets else digest
        self.nonce = nonce if nonce is not None else b"far nonce 16 oct" if any(self.secrets) else b""
        self.peer_nonce = b""
        self.address = address
        self.ns = self.nr = 0
        self.acks = True
        """Whether it acknowledges at once what it receives."""
        self.due = False
        self.inbox: list[Received] = []
        """Numbered messages, each once and in order, that no test has taken."""
        self.received: list[Received] = []
        """Every datagram, acknowledgements and repetitions too."""
        bench.far[connection_id] = self

    # ---- From here to the endpoint.

    def octets(self, message: Message, *, ns: int, nr: int, connection_id: int | None = None) -> bytes:
        """Return a message's octets, signed if this end signs."""
        target = self.peer_id if connection_id is None else connection_id
        signers = [] if self.digest is None else [Signer(self.digest, self.keys[0], self._nonces(message.type))]
        return encode(message, connection_id=target, ns=ns, nr=nr, signers=signers)

    def send(self, message: Message | MessageType, **fields: Any) -> None:
        """Send a message, numbered; fields of Message may be given with a type."""
        self.send_octets(self.next(message, **fields))

    def next(self, message: Message | MessageType, **fields: Any) -> bytes:
        """Return a message's octets, numbered, for a test to deliver as it likes."""
        if isinstance(message, MessageType):
            message = Message(type=message, **fields)
        data = self.octets(message, ns=self.ns, nr=self.nr)
        self.ns = (self.ns + 1) % 65536
        return data

    def send_octets(self, data: bytes) -> None:
        self.due = False
        self.bench.deliver(data, self.address)

    def acknowledge(self) -> None:
        """Send an acknowledgement alone: a ZLB, or the ACK message where this end signs."""
        if self.digest is None:
            self.send_octets(encode_zlb(self.peer_id, self.ns, self.nr))
        else:
            self.send_octets(self.octets(Message(type=MessageType.ACK), ns=self.ns, nr=self.nr))

    @property
    def keys(self) -> list[bytes]:
        return [hmac.digest(secret, b"\x02", "md5") for secret in self.secrets or (b"",)]

    def _nonces(self, message_type: MessageType | int) -> bytes:
        return b"" if message_type == MessageType.SCCRQ else self.nonce + self.peer_nonce

    # ---- From the endpoint to here.

    def learn(self, opening: Received) -> None:
        """Take an SCCRQ that went astray as this end's first message."""
        self.take(opening)
        self.react()

    def take(self, received: Received) -> None:
        if received.type in (MessageType.SCCRQ, MessageType.SCCRP):
            self.peer_id = received.message.assigned_connection_id or 0
            self.peer_nonce = received.message.nonce or b""
        if self.digest is not None:
            self._verify(received)
        self.received.append(received)
        if received.type is not MessageType.ACK:
            self.due = True
            if received.header.ns == self.nr:
                self.nr = (self.nr + 1) % 65536
                self.inbox.append(received)

    def react(self) -> None:
        if self.due and self.acks:
            self.acknowledge()

    def _verify(self, received: Received) -> None:
        """Compute every digest anew, from the octets."""
        found = [avp for avp in received.avps if avp.type == 59]
        assert found, f"unsigned {received.type!r}"
        zeroed = bytearray(received.data)
        for avp in found:
            zeroed[avp.offset + 7 : avp.offset + 6 + len(avp.value)] = bytes(len(avp.value) - 1)
        nonces = b"" if received.type == MessageType.SCCRQ else self.peer_nonce + self.nonce
        fits = [
            hmac.compare_digest(hmac.digest(key, nonces + zeroed, ("md5", "sha1")[avp.value[0]]), avp.value[1:])
            for avp in found
            for key in self.keys
        ]
        assert any(fits), f"wrong digest in {received.type!r}"

    def pop(self, message_type: MessageType) -> Received:
        """Return the next message, which must be of this type."""
        received = self.inbox.pop(0)
        assert received.type is message_type, f"{received.type!r} instead of {message_type!r}"
        return received

    @property
    def types(self) -> list[MessageType | int]:
        """The types in the inbox."""
        return [one.type for one in self.inbox]

    # ---- Common flows.

    def opening(self, message_type: MessageType, **changes: Any) -> Message:
        """An SCCRQ or SCCRP of this end."""
        fields: dict[str, Any] = {
            "host_name": b"far",
            "router_id": 0x0A000002,
            "assigned_connection_id": self.local_id,
            "pseudowire_capabilities": (5, 4),
            "nonce": self.nonce or None,
        }
        return Message(type=message_type, **(fields | changes))

    def begin(self, **changes: Any) -> None:
        """Send an SCCRQ."""
        self.send(self.opening(MessageType.SCCRQ, **changes))

    def establish(self, **changes: Any) -> None:
        """Set up the control connection as its initiator."""
        self.begin(**changes)
        self.pop(MessageType.SCCRP)
        self.send(MessageType.SCCCN)
        assert "established" in {view.state for view in self.bench.endpoint.tunnels()}

    def await_sccrq(self) -> Received:
        """Start the endpoint, if need be, and take its SCCRQ."""
        if not self.bench.astray:
            self.bench.start()
            self.bench.run(0.5)
        self.learn(self.bench.stray(MessageType.SCCRQ))
        return self.pop(MessageType.SCCRQ)

    def reply(self, **changes: Any) -> None:
        """Set up the control connection that the endpoint initiates."""
        self.await_sccrq()
        self.send(self.opening(MessageType.SCCRP, **changes))
        self.pop(MessageType.SCCCN)
        assert self.bench.tunnel.state == "established"

    def call(self, name: str = "s1", local_id: int = 0x55, **changes: Any) -> None:
        """Send an ICRQ."""
        fields: dict[str, Any] = {
            "local_session_id": local_id,
            "remote_session_id": 0,
            "serial_number": 1,
            "pseudowire_type": 5,
            "remote_end_id": name.encode(),
            "circuit_status": 3,
        }
        self.send(MessageType.ICRQ, **(fields | changes))

    def connect(self, name: str = "s1", local_id: int = 0x55, **changes: Any) -> int:
        """Set up a session as its caller; return the endpoint's session id."""
        self.call(name, local_id, **changes)
        remote = self.pop(MessageType.ICRP).message.local_session_id or 0
        self.send(MessageType.ICCN, local_session_id=local_id, remote_session_id=remote)
        return remote

    def accept(self, local_id: int = 0x66, **changes: Any) -> int:
        """Answer the endpoint's ICRQ; return the endpoint's session id."""
        remote = self.pop(MessageType.ICRQ).message.local_session_id or 0
        self.of_session(MessageType.ICRP, local_id, remote, circuit_status=3, **changes)
        return remote

    def of_session(self, message_type: MessageType, local_id: int, remote_id: int, **fields: Any) -> None:
        self.send(message_type, local_session_id=local_id, remote_session_id=remote_id, **fields)

    def result(self, message_type: MessageType) -> Result:
        """Return the Result Code of the next message, which must be of this type."""
        result = self.pop(message_type).message.result
        assert result is not None
        return result


def answering(bench: Bench, **options: Any) -> FarEnd:
    """Return a far end that has set up a control connection as its initiator."""
    far = FarEnd(bench, **options)
    far.establish()
    return far


def initiated(*sessions: SessionSettings, limits: Limits | None = None, **changes: Any) -> tuple[Bench, FarEnd]:
    """Return a bench whose endpoint has set up a control connection, and its far end."""
    bench = Bench(tunnel(*sessions, initiate=True, **changes), limits=limits)
    far = FarEnd(bench, secrets=[secret.value for secret in changes.get("secrets", ())])
    far.reply()
    return bench, far


def up(*, limits: Limits | None = None, **changes: Any) -> tuple[Bench, FarEnd, int]:
    """Return a bench with a session that the far end called, and the endpoint's session id."""
    bench = Bench(tunnel(**changes), limits=limits)
    far = answering(bench, secrets=[secret.value for secret in changes.get("secrets", ())])
    remote = far.connect()
    assert bench.session.state == "established"
    return bench, far, remote
