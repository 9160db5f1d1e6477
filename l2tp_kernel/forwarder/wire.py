"""What the helper and its forwarder say to each other over a SOCK_SEQPACKET pair, one msgpack array a packet.

A request is ``[sequence, verb, arguments...]``, descriptors beside it (SCM_RIGHTS); its answer is
``[sequence, error, value]`` with an errno number, 0 when done.  The forwarder's first packet, ``[0, 0, None]``,
says that it has dropped its privileges and works.  It trusts the helper; the helper trusts nothing it answers.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from enum import IntEnum
from typing import TypeGuard

import msgpack

from l2tp_kernel.schema import Counters, Plane, PweParam

PACKET = 65536
"""Octets of the longest packet, either way."""

PAGE = 256
"""Pseudowires in one answer to COUNTERS."""

_LAST_ERRNO = 4095
_COUNTERS = len(fields(Counters))


class Verb(IntEnum):
    """What the helper asks for."""

    ADD_SOCKET = 1
    """``handle, flavour`` and the data socket → None."""
    REMOVE_SOCKET = 2
    """``handle`` → None."""
    SET_SESSION = 3
    """:class:`PweParam` fields, and the TAP unless the forwarder has it already → None."""
    DELETE_SESSION = 4
    """``interface`` → None."""
    COUNTERS = 5
    """``first`` → ``[[interface, counters...], ...]``, at most PAGE, from the ``first``-th pseudowire on."""
    STRAYS = 6
    """``handle`` → ``[unknown, malformed]``, see :class:`Strays`."""


@dataclass(frozen=True, slots=True)
class Strays:
    """Datagrams of one data socket that belong to no pseudowire."""

    unknown: int
    """With a Session ID that nobody has here."""
    malformed: int
    """Not a data message of version 3."""


class WireError(Exception):
    """The other side sent what is not in this contract."""


def pack(number: int, *items: object) -> bytes:
    """One packet."""
    packet: bytes = msgpack.packb([number, *items])
    return packet


def unpack_request(packet: bytes) -> tuple[int, Verb, list[object]]:
    """``(sequence, verb, arguments)`` of a request."""
    sequence, verb, *arguments = msgpack.unpackb(packet)
    return sequence, Verb(verb), arguments


def unpack_answer(packet: bytes) -> tuple[int, int, object]:
    """``(sequence, error, value)`` of an answer; WireError for anything else."""
    try:
        answer = msgpack.unpackb(packet)
    except ValueError as error:
        raise WireError("not msgpack") from error
    if not isinstance(answer, list) or len(answer) != 3:
        raise WireError("not an answer")
    sequence, refused, value = answer
    if not _is_count(sequence) or not _is_count(refused) or refused > _LAST_ERRNO:
        raise WireError("not an answer")
    return sequence, refused, value


def pack_param(param: PweParam) -> tuple[object, ...]:
    """Make the arguments of SET_SESSION."""
    return astuple(param)


def unpack_param(arguments: list[object]) -> PweParam:
    """Read the parameters in the arguments of SET_SESSION."""
    plane, *rest = arguments
    return PweParam(Plane(plane), *rest)  # type: ignore[arg-type]  # the helper's own types, packed by pack_param


def pack_counters(rows: list[tuple[str, Counters]]) -> list[list[object]]:
    """Make the value of an answer to COUNTERS."""
    return [[interface, *astuple(counters)] for interface, counters in rows]


def unpack_counters(value: object) -> dict[str, Counters]:
    """Read the counters in an answer to COUNTERS; WireError for anything else."""
    if not isinstance(value, list) or len(value) > PAGE:
        raise WireError("not a page of counters")
    page = {}
    for row in value:
        if not isinstance(row, list) or len(row) != 1 + _COUNTERS or not isinstance(row[0], str):
            raise WireError("not a row of counters")
        interface, *counts = row
        if not _are_counts(counts):
            raise WireError("not counters")
        page[interface] = Counters(*counts)
    return page


def unpack_strays(value: object) -> Strays:
    """Read the counts in an answer to STRAYS; WireError for anything else."""
    if not isinstance(value, list) or len(value) != 2 or not _are_counts(value):
        raise WireError("not stray counts")
    return Strays(*value)


def _are_counts(values: list[object]) -> TypeGuard[list[int]]:
    return all(_is_count(value) for value in values)


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0
