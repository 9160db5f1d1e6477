"""Length-prefixed JSON frames: the octets of the admin protocol, without any input or output.

A frame is a 4-octet big-endian length and that many octets of JSON text in UTF-8, which must be one object.  What
the objects mean is ``admin_schema``'s business.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from l2tp_ctl.admin_schema import HEADER_LENGTH, MAX_ID, VERSION

T = TypeVar("T")

_BEFORE_ID = b'{"v":%d,"id":' % VERSION
_BEFORE_RESULT = b',"ok":true,"result":'
_LONGEST_START = len(_BEFORE_ID) + len(str(MAX_ID)) + len(_BEFORE_RESULT) + 1


class FramingError(Exception):
    """What was received is not a frame of the admin protocol.  The stream has no next frame: close it."""


class HeaderLengthError(FramingError):
    """The header's length is zero or over the limit."""


class BodyError(FramingError):
    """The body is not one JSON object in UTF-8, or it is nested too deeply or holds what could not be encoded again."""


def json_text(value: object) -> bytes:
    """Return JSON text without a blank, in UTF-8; ``TypeError`` or ``ValueError`` where JSON cannot."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def encode(body: Mapping[str, Any]) -> bytes:
    """Return the frame that carries ``body``; ``TypeError`` or ``ValueError`` where JSON cannot."""
    text = json_text(body)
    return len(text).to_bytes(HEADER_LENGTH, "big") + text


def encode_success(request_id: int, result: bytes) -> bytes:
    """Return the frame of ``admin_schema.success``, where the result is JSON text already: one object in UTF-8."""
    start = b"%b%d%b" % (_BEFORE_ID, request_id, _BEFORE_RESULT)
    length = len(start) + len(result) + 1
    return b"".join((length.to_bytes(HEADER_LENGTH, "big"), start, result, b"}"))


def split_success(body: bytes) -> tuple[int, bytes] | None:
    """Return the id and the result's text of a body that :func:`encode_success` made, None for any other.

    So what is only passed on, be it large, need not be taken apart and put together again.
    """
    start, found, rest = body[:_LONGEST_START].partition(_BEFORE_RESULT)
    number = start.removeprefix(_BEFORE_ID)
    if not found or start == number or not number.isdigit() or not rest.startswith(b"{") or not body.endswith(b"}}"):
        return None
    return int(number), body[len(start) + len(found) : -1]


class Decoder:
    """Cuts a stream of octets into the bodies of frames.

    ``limit`` is the largest body taken, in octets.  At most ``limit`` octets and a header are held beyond what one
    ``feed`` brings.  After a ``FramingError`` every further ``feed`` raises it again: the stream is lost.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._error: FramingError | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> list[dict[str, Any]]:
        """Take what was received and return the bodies that are now complete, in order.

        Raises ``FramingError``; bodies before the bad frame in the same ``data`` are then dropped with the stream.
        """
        return self._feed(data, parse)

    def cut(self, data: bytes | bytearray | memoryview) -> list[bytes]:
        """Do the same, but leave the bodies as octets, which may be anything: :func:`parse` tells."""
        return self._feed(data, bytes)

    def _feed(self, data: bytes | bytearray | memoryview, made: Callable[[bytearray], T]) -> list[T]:
        if self._error is not None:
            raise self._error
        self._buffer += data
        try:
            return self._complete(made)
        except FramingError as error:
            self._error = error
            self._buffer.clear()
            raise

    @property
    def pending(self) -> int:
        """Octets of a frame that is not complete yet."""
        return len(self._buffer)

    def _complete(self, made: Callable[[bytearray], T]) -> list[T]:
        bodies = []
        start = 0
        while len(self._buffer) - start >= HEADER_LENGTH:
            body = start + HEADER_LENGTH
            length = int.from_bytes(self._buffer[start:body], "big")
            if not 0 < length <= self._limit:
                raise HeaderLengthError(f"frame of {length} octets, 1 to {self._limit} are allowed")
            if len(self._buffer) - body < length:
                break
            start = body + length
            bodies.append(made(self._buffer[body:start]))
        del self._buffer[:start]
        return bodies


def parse(text: bytes | bytearray) -> dict[str, Any]:
    """Return what a body says; raises ``BodyError``."""
    try:
        value = json.loads(text.decode(), parse_float=_finite, parse_constant=_finite)
        if b"\\u" in text:
            # An escaped surrogate without its other half is a string that could be neither sent on nor printed.
            encode({"": value})
    except UnicodeDecodeError as error:
        raise BodyError("the body is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        # ValueError is also an integer of more digits than Python converts.
        raise BodyError(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BodyError("the body is not a JSON object")
    return value


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number} is not a finite number")
    return value
