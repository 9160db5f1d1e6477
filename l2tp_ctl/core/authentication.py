"""Control message authentication of one control connection (RFC 3931, section 4.3).

With a secret, both ends send a nonce and sign every message, and nothing unsigned is believed.  Without one, messages
may still carry a digest made with the empty secret: it proves integrity and nothing else, and is sent where the
configuration asks for it or the peer began with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto

from l2tp_ctl.core.avp import RawAvp
from l2tp_ctl.core.digest import DigestType, Signer, digests, nonce, shared_key, verify
from l2tp_ctl.core.header import Header
from l2tp_ctl.core.message import MessageType
from l2tp_ctl.core.settings import DigestPolicy, Secret, TunnelSettings

NONCE_LENGTH = 16
"""Octets of our nonce; RFC 3931, section 5.4.3 asks for at least 16."""


class Verdict(Enum):
    """What a message's authentication came to."""

    OK = auto()
    MISSING = auto()
    """A digest is required and there is none."""
    UNSUPPORTED = auto()
    """Only digests of a type that is not allowed here."""
    INVALID = auto()
    """The digest does not fit the octets."""
    NO_NONCE = auto()
    """The digest fits, but the peer sent no nonce where it must."""
    EARLY = auto()
    """An ACK that overtook the SCCRP: signed with a nonce that we do not know yet, it proves nothing."""


class Authentication:
    """Keys, nonces and digest types of one control connection, one end."""

    def __init__(self, settings: TunnelSettings, entropy: Callable[[int], bytes]) -> None:
        self.required = bool(settings.secrets)
        """Whether messages without a valid digest are dropped."""
        self.signing = self.required or settings.digest in (DigestPolicy.MD5, DigestPolicy.SHA1)
        """Whether our messages carry digests."""
        self.type = DigestType.SHA1 if settings.digest is DigestPolicy.SHA1 else DigestType.MD5
        """The type we sign with."""
        self.local_nonce = entropy(NONCE_LENGTH) if self.required else b""
        self.peer_nonce = b""
        self._nonce_told = False
        """Whether the peer may know our nonce: it is in our SCCRQ or SCCRP."""
        self._entropy = entropy
        self._policy = settings.digest
        self._keys = _keys(settings.secrets)

    def replace_secrets(self, secrets: tuple[Secret, ...]) -> None:
        """Sign with the first of other secrets, and believe any of them, from now on (section 4.3)."""
        self._keys = _keys(secrets)

    def share_nonce(self, other: Authentication) -> None:
        """Sign with the nonce of another control connection of ours, which the same peer has been told."""
        self.local_nonce, self._nonce_told = other.local_nonce, True

    def check(self, data: bytes, header: Header, avps: Sequence[RawAvp], message_type: int) -> Verdict:
        """Judge one received message over its raw octets, before anything of it is used.

        A message that opens a control connection (SCCRQ, SCCRP) also brings the peer's nonce.
        """
        types = set(digests(avps))
        opening = message_type in (MessageType.SCCRQ, MessageType.SCCRP)
        peer_nonce = (nonce(avps) or b"") if opening else self.peer_nonce
        if not types:
            # A nonce without a digest: the peer wants authentication, and does not take part in it itself.
            return Verdict.MISSING if self.required or (opening and peer_nonce) else Verdict.OK
        if not types & self._allowed():
            return Verdict.UNSUPPORTED
        nonces = b"" if message_type == MessageType.SCCRQ else peer_nonce + self.local_nonce
        verified = verify(data, header, avps, self._keys, nonces, self._allowed())
        if verified is None and message_type == MessageType.STOPCCN:
            # A peer that gives up before it had our SCCRP does not know our nonce.
            verified = verify(data, header, avps, self._keys, peer_nonce, self._allowed())
        if verified is None:
            early = self.required and not self.peer_nonce and message_type == MessageType.ACK
            return Verdict.EARLY if early else Verdict.INVALID
        if opening:
            if self.required and not peer_nonce:
                return Verdict.NO_NONCE
            # A second SCCRP answers a duplicated SCCRQ of ours: it must not change an agreed nonce.
            self.peer_nonce = self.peer_nonce or peer_nonce
        if message_type == MessageType.SCCRQ or (self.peer_nonce and not self.signing):
            self._mirror(verified)
        if message_type == MessageType.SCCRQ and self.peer_nonce and not self.local_nonce:
            self.local_nonce = self._entropy(NONCE_LENGTH)
        return Verdict.OK

    def signers(self, message_type: int) -> tuple[Signer, ...]:
        """Return what signs a message of this type: one signer for each secret, none when we do not sign."""
        if not self.signing:
            return ()
        self._nonce_told |= message_type in (MessageType.SCCRQ, MessageType.SCCRP)
        local_nonce = self.local_nonce if self._nonce_told else b""
        nonces = b"" if message_type == MessageType.SCCRQ else local_nonce + self.peer_nonce
        return tuple(Signer(self.type, key, nonces) for key in self._keys)

    def _allowed(self) -> set[DigestType]:
        match self._policy:
            case DigestPolicy.MD5:
                return {DigestType.MD5}
            case DigestPolicy.SHA1:
                return {DigestType.SHA1}
            case _:
                return {DigestType.MD5, DigestType.SHA1}

    def _mirror(self, verified: DigestType) -> None:
        """Sign as the peer does, where the configuration leaves it to the peer."""
        if self._policy in (DigestPolicy.AUTO, DigestPolicy.NONE):
            self.type = verified
            self.signing = True


def _keys(secrets: tuple[Secret, ...]) -> tuple[bytes, ...]:
    return tuple(shared_key(secret.value) for secret in secrets) or (shared_key(b""),)
