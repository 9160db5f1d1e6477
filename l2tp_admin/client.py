"""The command line's side of the admin protocol: one question, one answer, within a time."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

from l2tp_ctl.admin_framing import Decoder, FramingError, encode
from l2tp_ctl.admin_schema import MAX_ANSWER, Command, ErrorCode, Request

_READ_SIZE = 1024 * 1024


class CommandError(Exception):
    """The command was not carried out; the text is one line for a person."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def ask(path: Path, timeout: float, command: Command, **args: str) -> dict[str, Any]:
    """Return the result of ``command`` from the server at ``path``, or raise ``CommandError``.

    ``timeout`` is in seconds, from connecting to the last octet of the answer.
    """
    try:
        request = encode(Request(0, command, args).body())
    except UnicodeEncodeError:
        raise CommandError(ErrorCode.BAD_ARGUMENTS, "the name is not text in this locale's encoding") from None
    deadline = time.monotonic() + timeout
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            server.settimeout(timeout)
            server.connect(str(path))
            server.sendall(request)
            answer = _receive(server, deadline)
    except TimeoutError:
        raise CommandError(ErrorCode.UNREACHABLE, f"{path}: no answer within {timeout:g} s") from None
    except PermissionError:
        raise CommandError(ErrorCode.DENIED, f"{path}: permission denied") from None
    except OSError as error:
        raise CommandError(ErrorCode.UNREACHABLE, f"{path}: {error.strerror or error}") from None
    except FramingError as error:
        raise CommandError(ErrorCode.MALFORMED, f"{path}: the answer cannot be read: {error}") from None
    return _result(answer)


def _receive(server: socket.socket, deadline: float) -> dict[str, Any]:
    decoder = Decoder(MAX_ANSWER)
    while True:
        # A timeout of 0 would mean not to wait at all, and the error to be another one.
        server.settimeout(max(deadline - time.monotonic(), 0.001))
        data = server.recv(_READ_SIZE)
        if not data:
            raise ConnectionResetError("it closed the connection without an answer")
        if answers := decoder.feed(data):
            return answers[0]


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    if answer.get("ok") is True and isinstance(answer.get("result"), dict):
        result: dict[str, Any] = answer["result"]
        return result
    error = answer.get("error")
    if not isinstance(error, dict) or error.get("code") not in ErrorCode.__members__.values():
        raise CommandError(ErrorCode.MALFORMED, "the answer is not one of this version")
    raise CommandError(ErrorCode(error["code"]), str(error.get("message", "")))
