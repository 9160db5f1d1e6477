"""The control process's contract with the process that looks up host names.

It is spoken over a SOCK_SEQPACKET connection: each question is one packet, each answer another, in any order.  The
control process trusts no answer: what is not in this form ends the connection.

Question: 4 octets number, 1 octet families, the name in ASCII.
Answer:   4 octets number of the question, 1 octet status, and then for each address 4 or 16 octets after 1 octet that
          is 4 or 6.  Only OK has addresses, at least one and at most MAX_ADDRESSES.

Numbers are big-endian.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum, IntFlag
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, TypeAlias

IPAddress: TypeAlias = IPv4Address | IPv6Address

MAX_NAME = 253
"""Octets of the longest name (RFC 1035, section 2.3.4, as it is written)."""
MAX_ADDRESSES = 16
"""Addresses in one answer; those of a name that has more are the first ones."""
MAX_QUESTIONS = 32
"""Questions of one client under way; one more is answered BUSY."""

_HEAD = struct.Struct("!IB")
MAX_QUESTION = _HEAD.size + MAX_NAME
MAX_ANSWER = _HEAD.size + MAX_ADDRESSES * 17

_LENGTHS = {4: 4, 6: 16}
"""Octets of an address by its version."""

_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}\.?", re.ASCII | re.IGNORECASE)
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+", re.ASCII | re.IGNORECASE)


class Families(IntFlag):
    """Which addresses are wanted; at least one."""

    IPV4 = 1
    IPV6 = 2


class Status(IntEnum):
    """What became of a question."""

    OK = 0
    NO_NAME = 1
    """There is no such name."""
    NO_ADDRESS = 2
    """The name has no address of these families."""
    NO_ANSWER = 3
    """The name servers do not answer, or cannot for now."""
    FAILED = 4
    """The name servers, or the system, refuse."""
    BUSY = 5
    """There are as many questions under way as may be."""


class ContractError(Exception):
    """A packet that is not of this contract."""


class Question(NamedTuple):
    """What the addresses of a name are; ``number`` is chosen by who asks, 0..2**32-1, and the answer carries it."""

    number: int
    families: Families
    name: str

    def encode(self) -> bytes:
        """Return the packet."""
        return _HEAD.pack(self.number, self.families) + self.name.encode("ascii")


class Answer(NamedTuple):
    """What was found out."""

    number: int
    status: Status
    addresses: tuple[IPAddress, ...] = ()

    def encode(self) -> bytes:
        """Return the packet."""
        addresses = (bytes([address.version]) + address.packed for address in self.addresses)
        return _HEAD.pack(self.number, self.status) + b"".join(addresses)


def is_name(text: str) -> bool:
    """Whether a text may be a host name (RFC 1123, section 2.1, and with ``_``), and can be no address at all.

    What ends in a number could be read as an IPv4 address in one of its old spellings.
    """
    last = text.removesuffix(".").rpartition(".")[2]
    return len(text) <= MAX_NAME and _NAME.fullmatch(text) is not None and _NUMBER.fullmatch(last) is None


def decode_question(packet: bytes) -> Question:
    """Return the question in a packet; raises ContractError."""
    number, families = _head(packet, MAX_QUESTION)
    if families not in range(1, 4):
        raise ContractError(f"families {families}")
    name = packet[_HEAD.size :].decode("ascii", "replace")
    if not is_name(name):
        raise ContractError("not a host name")
    return Question(number, Families(families), name)


def decode_answer(packet: bytes) -> Answer:
    """Return the answer in a packet; raises ContractError."""
    number, status = _head(packet, MAX_ANSWER)
    if status not in Status.__members__.values():
        raise ContractError(f"status {status}")
    addresses = tuple(_addresses(packet[_HEAD.size :]))
    if bool(addresses) != (status == Status.OK):
        raise ContractError(f"{len(addresses)} addresses with status {status}")
    return Answer(number, Status(status), addresses)


def _head(packet: bytes, longest: int) -> Sequence[int]:
    if not _HEAD.size <= len(packet) <= longest:
        raise ContractError(f"{len(packet)} octets")
    return _HEAD.unpack_from(packet)


def _addresses(octets: bytes) -> Iterator[IPAddress]:
    while octets:
        version, octets = octets[0], octets[1:]
        length = _LENGTHS.get(version, 0)
        if not 0 < length <= len(octets):
            raise ContractError("not an address")
        packed, octets = octets[:length], octets[length:]
        yield IPv4Address(packed) if version == 4 else IPv6Address(packed)
