"""The command line's side of the admin protocol: a question, and its answer within a time or a stream of events."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from l2tp_ctl.admin_framing import Decoder, FramingError, encode
from l2tp_ctl.admin_schema import MAX_ANSWER, Command, ErrorCode, Request

_READ_SIZE = 1024 * 1024


class CommandError(Exception):
    """The command was not carried out; the text is one line for a person."""

    def __init__(self, code: ErrorCode, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.details = details
        """More lines for a person."""


def ask(path: Path, timeout: float, command: Command, **args: str) -> dict[str, Any]:
    """Return the result of ``command`` from the server at ``path``, or raise ``CommandError``.

    ``timeout`` is in seconds, from connecting to the last octet of the answer.
    """
    deadline = time.monotonic() + timeout
    with _connected(path, timeout, command, args) as server:
        return _result(next(_answers(server, deadline)))


def follow(path: Path, timeout: float, command: Command, **args: str) -> Generator[dict[str, Any], None, None]:
    """Yield the result of ``command``, and then each event, until the server ends the stream by a ``CommandError``.

    ``timeout`` is in seconds, for the result alone.
    """
    deadline = time.monotonic() + timeout
    with _connected(path, timeout, command, args) as server:
        answers = _answers(server, deadline)
        yield _result(next(answers))
        for answer in answers:
            event = answer.get("event")
            yield event if isinstance(event, dict) else _result(answer)


@contextlib.contextmanager
def _connected(path: Path, timeout: float, command: Command, args: dict[str, str]) -> Iterator[socket.socket]:
    """Send the request; whatever goes wrong until the end is a ``CommandError``."""
    try:
        request = encode(Request(0, command, args).body())
    except UnicodeEncodeError:
        raise CommandError(ErrorCode.BAD_ARGUMENTS, "the name is not text in this locale's encoding") from None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            server.settimeout(timeout)
            server.connect(str(path))
            server.sendall(request)
            yield server
    except TimeoutError:
        raise CommandError(ErrorCode.UNREACHABLE, f"{path}: no answer within {timeout:g} s") from None
    except PermissionError:
        raise CommandError(ErrorCode.DENIED, f"{path}: permission denied") from None
    except OSError as error:
        raise CommandError(ErrorCode.UNREACHABLE, f"{path}: {error.strerror or error}") from None
    except FramingError as error:
        raise CommandError(ErrorCode.MALFORMED, f"{path}: the answer cannot be read: {error}") from None


def _answers(server: socket.socket, deadline: float) -> Iterator[dict[str, Any]]:
    """Yield what the server sends; the first must be there by ``deadline``."""
    decoder = Decoder(MAX_ANSWER)
    first = True
    while True:
        # A timeout of 0 would mean not to wait at all, and the error to be another one.
        server.settimeout(max(deadline - time.monotonic(), 0.001) if first else None)
        data = server.recv(_READ_SIZE)
        if not data:
            raise ConnectionResetError("it closed the connection without an answer")
        for answer in decoder.feed(data):
            first = False
            yield answer


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    if answer.get("ok") is True and isinstance(answer.get("result"), dict):
        result: dict[str, Any] = answer["result"]
        return result
    error = answer.get("error")
    if not isinstance(error, dict) or error.get("code") not in ErrorCode.__members__.values():
        raise CommandError(ErrorCode.MALFORMED, "the answer is not one of this version")
    details = error.get("details")
    raise CommandError(
        ErrorCode(error["code"]),
        str(error.get("message", "")),
        [str(line) for line in details] if isinstance(details, list) else (),
    )
