"""The Message Digest AVP (RFC 3931, sections 4.3 and 5.4.1).

A digest covers the whole message from its flags word on, with the value of every Message Digest AVP as zeros.
Digest AVPs stand directly after the Message Type, two at the most; one that stands elsewhere is none.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from l2tp_ctl.core.avp import AVP_HEADER_LENGTH, IETF, RawAvp
from l2tp_ctl.core.header import Header

MESSAGE_DIGEST = 59
"""Attribute type of the Message Digest AVP."""

NONCE = 73
"""Attribute type of the Control Message Authentication Nonce AVP."""

MAX_DIGESTS = 2
"""Message Digest AVPs in one message."""


class DigestType(IntEnum):
    """Digest Type, the first octet of a Message Digest AVP."""

    MD5 = 0
    """HMAC-MD5."""
    SHA1 = 1
    """HMAC-SHA-1."""

    @property
    def length(self) -> int:
        """Octets of the digest."""
        return 20 if self is DigestType.SHA1 else 16


@dataclass(frozen=True, slots=True)
class Signer:
    """What makes one Message Digest: its type, the key, and the nonces, sender's first."""

    type: DigestType
    key: bytes = field(repr=False)
    nonces: bytes = field(repr=False)

    @property
    def placeholder(self) -> bytes:
        """The digest AVP's value before it is signed."""
        return bytes([self.type]) + bytes(self.type.length)


def shared_key(secret: bytes) -> bytes:
    """Return the key of all digests under a shared secret, of either type; an empty secret proves integrity only."""
    return hmac.digest(secret, b"\x02", "md5")


def sign(data: bytes, offset: int, signers: Iterable[Signer]) -> bytes:
    """Return the message with its digests.

    ``data`` holds each signer's placeholder, in order, in the AVPs that begin at ``offset``.
    """
    signed = bytearray(data)
    for signer in signers:
        start = offset + AVP_HEADER_LENGTH + 1
        offset = start + signer.type.length
        signed[start:offset] = _compute(signer.type, signer.key, signer.nonces, data)
    return bytes(signed)


def verify(
    data: bytes,
    header: Header,
    avps: Sequence[RawAvp],
    keys: Sequence[bytes],
    nonces: bytes,
    types: Collection[DigestType] = tuple(DigestType),
) -> DigestType | None:
    """Return the type of the first digest that fits the message under any of ``keys``, None if there is none.

    ``nonces`` are the sender's and the receiver's; only digests of ``types`` count.
    """
    found = _digest_avps(avps)
    zeroed = bytearray(data[: header.length])
    for avp in found:
        start = avp.offset + AVP_HEADER_LENGTH + 1
        zeroed[start : start + len(avp.value) - 1] = bytes(len(avp.value) - 1)
    for avp in found:
        if avp.value[0] in types:
            digest_type = DigestType(avp.value[0])
            for key in keys:
                if hmac.compare_digest(_compute(digest_type, key, nonces, zeroed), avp.value[1:]):
                    return digest_type
    return None


def digests(avps: Sequence[RawAvp]) -> tuple[int, ...]:
    """Return the Digest Types of the message's digests, whether known to us or not."""
    return tuple(avp.value[0] for avp in _digest_avps(avps))


def nonce(avps: Sequence[RawAvp]) -> bytes | None:
    """Return the sender's nonce, None where the message has none."""
    for avp in avps:
        if (avp.vendor, avp.type, avp.hidden) == (IETF, NONCE, False):
            return avp.value
    return None


def _digest_avps(avps: Sequence[RawAvp]) -> tuple[RawAvp, ...]:
    """Return the digest AVPs directly after the Message Type, each with a Digest Type at least."""
    found: list[RawAvp] = []
    for avp in avps[1 : 1 + MAX_DIGESTS]:
        if (avp.vendor, avp.type, avp.hidden) != (IETF, MESSAGE_DIGEST, False) or not avp.value:
            break
        found.append(avp)
    return tuple(found)


def _compute(digest_type: DigestType, key: bytes, nonces: bytes, zeroed: bytes | bytearray) -> bytes:
    return hmac.digest(key, nonces + zeroed, "sha1" if digest_type is DigestType.SHA1 else "md5")
