"""Octets from a client into exact values, by one table of verbs; answers into octets.

Every value is checked for its exact type, range and length before anything looks at it.  What does not fit raises
:class:`Refused` with a text that names the field and never its value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import call
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import msgpack

from l2tp_kernel import schema
from l2tp_kernel.schema import Encapsulation, Listener, Plane, PweParam, Reason, Status, Verb

if TYPE_CHECKING:
    from enum import IntEnum


T = TypeVar("T")
Check = Callable[[object], T]
"""Gives a value back as what it must be, or raises Refused."""


class Refused(Exception):  # noqa: N818  # the contract's own word: nothing went wrong, the answer is no
    """A request that is not carried out: ``reason`` goes to the client, the text to the log."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Hello:
    """HELLO's arguments."""

    version: int
    token: bytes


@dataclass(frozen=True, slots=True)
class SetPweParam:
    """SET_PWE_PARAM's argument."""

    params: tuple[PweParam, ...]


@dataclass(frozen=True, slots=True)
class Deletion:
    """One pseudowire of a DELETE_PWE: the interface, if it still belongs to this session."""

    interface: str
    local_session_id: int


@dataclass(frozen=True, slots=True)
class DeletePwe:
    """DELETE_PWE's argument."""

    deletions: tuple[Deletion, ...]


@dataclass(frozen=True, slots=True)
class List:
    """LIST has no argument."""


@dataclass(frozen=True, slots=True)
class Stats:
    """STATS' argument."""

    interfaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CloseListener:
    """CLOSE_LISTENER's argument."""

    handle: int


Request: TypeAlias = Hello | Listener | SetPweParam | DeletePwe | List | Stats | CloseListener
"""A decoded request; a Listener is OPEN_LISTENER's."""


def _malformed(expected: str) -> Refused:
    return Refused(Reason.MALFORMED, f"not {expected}")


def _integer(low: int, high: int, *also: int) -> Check[int]:
    def check(value: object) -> int:
        if type(value) is int and (low <= value <= high or value in also):  # type(): a bool is no integer here
            return value
        raise _malformed(f"an integer from {low} to {high}")

    return check


_E = TypeVar("_E", bound="IntEnum")


def _member(kind: type[_E]) -> Check[_E]:
    within = _integer(min(kind), max(kind))
    return lambda value: kind(within(value))


def _octets(*lengths: int) -> Check[bytes]:
    def check(value: object) -> bytes:
        if type(value) is bytes and len(value) in lengths:
            return value
        raise _malformed(f"{' or '.join(map(str, lengths))} octets")

    return check


def _address(value: object) -> bytes:
    octets = _ADDRESS_OCTETS(value)
    if len(octets) == 16 and octets.startswith(bytes(10) + b"\xff\xff"):
        raise _malformed("of one family")  # IPv4 dressed as IPv6 would pass by the policy's IPv4 prefixes
    return octets


def _host(value: object) -> bytes:
    octets = _address(value)
    multicast = octets[0] >> 4 == 0xE if len(octets) == 4 else octets[0] == 0xFF
    if multicast or not any(octets) or octets == b"\xff\xff\xff\xff":
        raise _malformed("the address of one host")
    return octets


def _text(pattern: str, what: str) -> Check[str]:
    compiled = re.compile(pattern)

    def check(value: object) -> str:
        if type(value) is str and compiled.fullmatch(value):
            return value
        raise _malformed(what)

    return check


def _boolean(value: object) -> bool:
    if type(value) is bool:
        return value
    raise _malformed("a boolean")


def _record(kind: type[T], *checks: Check[object]) -> Check[T]:
    names = [each.name for each in fields(kind)]  # type: ignore[arg-type]  # only dataclasses come here

    def check(value: object) -> T:
        if type(value) is not tuple or len(value) != len(checks):
            raise _malformed(f"the {len(checks)} fields of {kind.__name__}")
        rest = iter(value)  # how much is left tells which one was refused
        try:
            return kind(*map(call, checks, rest))
        except Refused as no:
            raise Refused(no.reason, f"{names[-1 - len(list(rest))]}: {no}") from None

    return check


def _batch(check_one: Check[T]) -> Check[tuple[T, ...]]:
    def check(value: object) -> tuple[T, ...]:
        if type(value) is tuple:  # of at most MAX_BATCH: unpack refuses longer arrays
            return tuple(map(check_one, value))
        raise _malformed("an array")

    return check


_ADDRESS_OCTETS = _octets(4, 16)
_COOKIE = _octets(0, 4, 8)
_UNSIGNED = _integer(0, 2**32 - 1)
_SESSION_ID = _integer(1, 2**32 - 1)
_PORT = _integer(0, 65535)
_NAME = _text(schema.NAME, "a name of an interface")
_NAME_OR_NONE = _text(f"({schema.NAME})?", "a name of a bridge or empty")
_SUBLAYER = _integer(0, 1)
_SEQUENCING = _integer(0, 2)

_LISTENER = _record(Listener, _member(Plane), _member(Encapsulation), _address, _PORT)
_PARAM = _record(
    PweParam, _member(Plane), _NAME, _UNSIGNED, _address, _host, _PORT, _UNSIGNED, _UNSIGNED, _SESSION_ID, _SESSION_ID,
    _COOKIE, _COOKIE, _SUBLAYER, _SUBLAYER, _SEQUENCING, _SEQUENCING, _integer(68, 65535, 0), _NAME_OR_NONE, _boolean,
)  # fmt: skip

_ARGUMENTS: dict[Verb, Check[Request]] = {
    Verb.HELLO: _record(Hello, _UNSIGNED, _octets(schema.TOKEN_LENGTH)),
    Verb.OPEN_LISTENER: _LISTENER,
    Verb.SET_PWE_PARAM: _record(SetPweParam, _batch(_PARAM)),
    Verb.DELETE_PWE: _record(DeletePwe, _batch(_record(Deletion, _NAME, _SESSION_ID))),
    Verb.LIST: _record(List),
    Verb.STATS: _record(Stats, _batch(_NAME)),
    Verb.CLOSE_LISTENER: _record(CloseListener, _UNSIGNED),
}
_VERB = _member(Verb)
_SEQUENCE = _integer(1, 2**64 - 1)


def unpack(frame: bytes) -> tuple[int, tuple[object, ...]]:
    """Sequence number of a request and what follows it, unchecked; 0 and nothing if the frame shows no number."""
    try:
        value = msgpack.unpackb(
            frame, use_list=False, raw=False, max_array_len=schema.MAX_BATCH, max_map_len=0, max_ext_len=0,
            max_str_len=16, max_bin_len=16,
        )  # fmt: skip
        sequence, *rest = value if type(value) is tuple else ()
        return _SEQUENCE(sequence), tuple(rest)
    except (ValueError, Refused):  # every error of msgpack's is a ValueError, bad UTF-8 and too deep nesting too
        return 0, ()


def name(verb_and_arguments: tuple[object, ...]) -> str:
    """Name the verb for the log."""
    return next((each.name for each in Verb if verb_and_arguments[:1] == (each.value,)), "request")


def decode(verb_and_arguments: tuple[object, ...]) -> Request:
    """Check what ``unpack`` found; Refused if it is not exactly what the contract says."""
    if not verb_and_arguments:
        raise _malformed("an array of a sequence number, a verb and its arguments")
    verb, *arguments = verb_and_arguments
    return _ARGUMENTS[_VERB(verb)](tuple(arguments))


def encode(sequence: int, status: Status, value: object) -> bytes:
    """One answer, or with sequence 0 one event."""
    return bytes(msgpack.packb([sequence, status, value]))
