"""Result and Error Codes in words for people."""

from __future__ import annotations

import pytest

from l2tp_ctl.core.message import MessageType, Result
from l2tp_ctl.core.results import CALL_WORDS, ERROR_WORDS, STOP_WORDS, CallResult, GeneralError, StopResult, describe

STOP, CDN = MessageType.STOPCCN, MessageType.CDN


@pytest.mark.parametrize(
    ("message_type", "result", "text"),
    [
        (STOP, None, "no result code"),
        (STOP, Result(6), "shutting down (result 6)"),
        (STOP, Result(6, 0, ""), "shutting down (result 6)"),
        (STOP, Result(4, 0, "who?"), "not authorized to establish a control connection (result 4): who?"),
        (STOP, Result(2, 8), "general error (result 2, error 8: unknown mandatory AVP)"),
        (STOP, Result(2, 77, "x"), "general error (result 2, error 77): x"),
        (STOP, Result(0, 0x0600), "unknown result code (result 0, error 1536)"),  # SoftEther's
        (STOP, Result(13), "unknown result code (result 13)"),
        (CDN, Result(13), "lost the session tie break (result 13)"),
        (CDN, Result(3, 0, "bye"), "administrative reasons (result 3): bye"),
        (CDN, Result(65535), "unknown result code (result 65535)"),
    ],
)
def test_in_words(message_type: MessageType, result: Result | None, text: str) -> None:
    assert describe(message_type, result) == text


def test_every_code_of_ours_has_words() -> None:
    assert set(STOP_WORDS) == set(StopResult)
    assert set(CALL_WORDS) == set(CallResult)
    assert set(ERROR_WORDS) == set(GeneralError) - {GeneralError.NONE}
