"""Hiding of AVP values (RFC 3931, section 5.3).

The hidden form is the original length (16 bits), the value and any padding, enciphered with a chain of MD5 blocks.
"""

from __future__ import annotations

import hashlib
import hmac

from l2tp_ctl.core.errors import Drop, ProtocolError

_LENGTH_FIELD = 2
_BLOCK = 16


def hiding_key(secret: bytes) -> bytes:
    """Return the key that hides AVPs under a shared secret."""
    return hmac.digest(secret, b"\x01", "md5")


def hide(attribute_type: int, value: bytes, key: bytes, random_vector: bytes, padding: bytes = b"") -> bytes:
    """Return the hidden form of a value.  Random ``padding`` would conceal its length."""
    return _chain(attribute_type, len(value).to_bytes(_LENGTH_FIELD, "big") + value + padding, key, random_vector)


def reveal(attribute_type: int, hidden: bytes, key: bytes, random_vector: bytes) -> bytes:
    """Return the value that a hidden form holds.

    Raises ProtocolError where the deciphered length does not fit, as it hardly ever does with a wrong key.
    """
    plain = _chain(attribute_type, hidden, key, random_vector, decipher=True)
    length = int.from_bytes(plain[:_LENGTH_FIELD], "big")
    if len(plain) < _LENGTH_FIELD + length:
        raise ProtocolError(Drop.AVP_LENGTH, "hidden AVP does not decipher")
    return plain[_LENGTH_FIELD : _LENGTH_FIELD + length]


def _chain(attribute_type: int, text: bytes, key: bytes, random_vector: bytes, *, decipher: bool = False) -> bytes:
    """Combine each block with the MD5 of the key and the cipher text of the block before it."""
    result = b""
    seed = attribute_type.to_bytes(2, "big") + key + random_vector
    for start in range(0, len(text), _BLOCK):
        block = text[start : start + _BLOCK]
        mask = hashlib.md5(seed, usedforsecurity=False).digest()
        combined = _xor(block, mask[: len(block)])
        result += combined
        seed = key + (block if decipher else combined)
    return result


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")
