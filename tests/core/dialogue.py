"""A far end whose messages are written as AVPs, without this project's encoder."""

from __future__ import annotations

import hmac

from l2tp_ctl.core.digest import DigestType
from l2tp_ctl.core.message import MessageType
from tests.core.bench import FarEnd, Received
from tests.core.octets import avp, packet


class Peer(FarEnd):
    """A far end whose messages are given as AVPs."""

    def say(self, *avps: bytes, flags: int = 0xC803) -> Received | None:
        """Send one message and return the first that is new in the inbox, if any."""
        before = len(self.inbox)
        data = packet(*avps, connection_id=self.peer_id, flags=flags, ns=self.ns, nr=self.nr)
        if self.digest is not None:
            opening = avps[0][6:8] == b"\0\x01"
            nonces = b"" if opening else self.nonce + self.peer_nonce
            algorithm, length = ("sha1", 20) if self.digest is DigestType.SHA1 else ("md5", 16)
            place = bytes([self.digest]) + bytes(length)
            data = packet(
                avps[0], avp(59, place.hex()), *avps[1:],
                connection_id=self.peer_id, flags=flags, ns=self.ns, nr=self.nr,
            )  # fmt: skip
            data = data[:27] + hmac.digest(self.keys[0], nonces + data, algorithm) + data[27 + length :]
        self.ns += avps[0][6:8] != b"\0\x14"
        self.send_octets(data)
        return self.inbox[before] if len(self.inbox) > before else None

    def first(self, message_type: MessageType) -> Received:
        """Return the first message of this type in the inbox, and forget what came before it."""
        while self.inbox[0].type is not message_type:
            self.inbox.pop(0)
        return self.inbox.pop(0)

    def wait_for_sccrq(self) -> Received:
        self.bench.start()
        self.bench.run(0.5)
        self.learn(self.bench.stray(MessageType.SCCRQ))
        return self.first(MessageType.SCCRQ)


def text(words: str) -> str:
    return words.encode().hex()


def vendors(received: Received) -> set[int]:
    return {one.vendor for one in received.avps}
