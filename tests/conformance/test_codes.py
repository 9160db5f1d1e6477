"""Result and Error Codes by their numbers (RFC 3931, section 5.4.2; RFC 4667, sections 4.3 and 5.1)."""

from __future__ import annotations

import pytest

from l2tp_ctl.core.message import MessageType, Result
from l2tp_ctl.core.results import CallResult, GeneralError, StopResult, in_range

STOPCCN = {
    "CLEAR": 1, "ERROR": 2, "EXISTS": 3, "UNAUTHORISED": 4, "VERSION": 5, "SHUTDOWN": 6, "STATE": 7,
}  # fmt: skip
CDN = {
    "CIRCUIT": 1, "ERROR": 2, "ADMINISTRATIVE": 3, "NO_FACILITIES": 4, "NO_FACILITIES_EVER": 5, "TIE": 13,
    "PSEUDOWIRE_TYPE": 14, "SUBLAYER": 15, "STATE": 16, "MTU": 23, "FORWARDER": 24, "FORWARDER_UNAUTHORISED": 25,
}  # fmt: skip
ERRORS = {
    "NONE": 0, "NO_CONNECTION": 1, "LENGTH": 2, "VALUE": 3, "RESOURCES": 4, "SESSION_ID": 5, "VENDOR": 6,
    "TRY_ANOTHER": 7, "UNKNOWN_AVP": 8, "TRY_ANOTHER_DIRECTED": 9,
}  # fmt: skip


def test_the_numbers_are_the_rfcs() -> None:
    assert {one.name: one.value for one in StopResult} == STOPCCN
    assert {one.name: one.value for one in CallResult} == CDN
    assert {one.name: one.value for one in GeneralError} == ERRORS


@pytest.mark.parametrize(
    ("message_type", "code", "good"),
    [
        (MessageType.STOPCCN, 0, False), (MessageType.STOPCCN, 1, True), (MessageType.STOPCCN, 7, True),
        (MessageType.STOPCCN, 8, False), (MessageType.CDN, 0, False), (MessageType.CDN, 1, True),
        (MessageType.CDN, 31, True), (MessageType.CDN, 32, False),
    ],
)  # fmt: skip
def test_result_codes_that_mean_something(message_type: MessageType, code: int, *, good: bool) -> None:
    assert in_range(message_type, Result(code)) is good


@pytest.mark.parametrize(("error", "good"), [(None, True), (0, True), (12, True), (13, False), (0xFFFF, False)])
@pytest.mark.parametrize("message_type", [MessageType.STOPCCN, MessageType.CDN])
def test_error_codes_that_mean_something(message_type: MessageType, error: int | None, *, good: bool) -> None:
    assert in_range(message_type, Result(2, error)) is good
