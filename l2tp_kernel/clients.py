"""Who is connected: side channel, token, ZeroMQ identity and sequence number, each bound to the others."""

from __future__ import annotations

import secrets
import socket
from typing import TYPE_CHECKING

from l2tp_kernel import schema
from l2tp_kernel.journal import Complaints
from l2tp_kernel.schema import Reason
from l2tp_kernel.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from l2tp_kernel.wire import Hello

MAX_CLIENTS = 4
"""Side channels open at one time; one control process needs one, and one more while it is replaced."""


class Client:
    """One connection, from its token to the end of its side channel."""

    def __init__(self, channel: socket.socket, uid: int, pid: int) -> None:
        self.channel = channel
        self.token = secrets.token_bytes(schema.TOKEN_LENGTH)
        self.identity: bytes | None = None
        """ZeroMQ routing identity, bound by HELLO."""
        self.uid = uid
        self.name = f"client uid {uid} pid {pid}"
        self.complaints = Complaints(self.name)
        self._sequence = 0

    def take(self, sequence: int) -> None:
        """Use up the next sequence number; Refused(SEQUENCE) if it is not this one."""
        if sequence != self._sequence + 1:
            raise Refused(Reason.SEQUENCE, f"sequence number {sequence} after {self._sequence}")
        self._sequence = sequence


class Clients:
    """All connections; each is closed through :meth:`drop`."""

    def __init__(self) -> None:
        self._clients: list[Client] = []

    def __iter__(self) -> Iterator[Client]:
        return iter(self._clients.copy())

    def add(self, channel: socket.socket, uid: int, pid: int) -> Client:
        """Send a connection, which must not block, its token; OSError if there are too many or it does not take it."""
        client = Client(channel, uid, pid)
        if len(self._clients) >= MAX_CLIENTS:
            raise OSError(f"{MAX_CLIENTS} are connected already")
        channel.send(client.token)
        self._clients.append(client)
        return client

    def bound(self, identity: bytes) -> Client | None:
        """Whose requests come from this identity."""
        return next((each for each in self._clients if each.identity == identity), None)

    def bind(self, identity: bytes, sequence: int, hello: Hello) -> Client:
        """Carry out HELLO; Refused if the version, the token, the identity or the number is wrong.

        libzmq's own identities start with a zero octet and are never used twice; one that a client chose could be
        taken over by another process after it.
        """
        client = next((each for each in self._clients if secrets.compare_digest(each.token, hello.token)), None)
        if client is None or client.identity is not None or identity[:1] != b"\0":
            raise Refused(Reason.NOT_GREETED, "wrong or used token, or an identity of its own choice")
        if hello.version != schema.VERSION:
            raise Refused(Reason.VERSION, f"version {hello.version}, not {schema.VERSION}")
        client.take(sequence)
        client.identity = identity
        return client

    def drop(self, client: Client) -> None:
        """Forget it and close its side channel; what it made stays."""
        if client in self._clients:
            self._clients.remove(client)
            client.complaints.summarise(end=True)
            client.channel.close()
