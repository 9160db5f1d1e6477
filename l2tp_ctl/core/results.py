"""Result and Error Codes (RFC 3931, section 5.4.2; RFC 4667) and their words."""

from __future__ import annotations

from enum import IntEnum

from l2tp_ctl.core.message import MessageType, Result


class StopResult(IntEnum):
    """Result Codes of StopCCN."""

    CLEAR = 1
    ERROR = 2
    EXISTS = 3
    UNAUTHORISED = 4
    VERSION = 5
    SHUTDOWN = 6
    STATE = 7


class CallResult(IntEnum):
    """Result Codes of CDN."""

    CIRCUIT = 1
    ERROR = 2
    ADMINISTRATIVE = 3
    NO_FACILITIES = 4
    NO_FACILITIES_EVER = 5
    TIE = 13
    PSEUDOWIRE_TYPE = 14
    SUBLAYER = 15
    STATE = 16
    MTU = 23
    FORWARDER = 24
    FORWARDER_UNAUTHORISED = 25


class GeneralError(IntEnum):
    """Error Codes, where the Result Code is a general error."""

    NONE = 0
    NO_CONNECTION = 1
    LENGTH = 2
    VALUE = 3
    RESOURCES = 4
    SESSION_ID = 5
    VENDOR = 6
    TRY_ANOTHER = 7
    UNKNOWN_AVP = 8
    TRY_ANOTHER_DIRECTED = 9


LAST_STOP_RESULT, LAST_CALL_RESULT, LAST_ERROR = 7, 31, 12
"""The largest codes that IANA has assigned; 0 is one among the errors alone."""

STOP_WORDS: dict[int, str] = {
    StopResult.CLEAR: "general request to clear the control connection",
    StopResult.ERROR: "general error",
    StopResult.EXISTS: "control connection already exists",
    StopResult.UNAUTHORISED: "not authorized to establish a control connection",
    StopResult.VERSION: "protocol version not supported",
    StopResult.SHUTDOWN: "shutting down",
    StopResult.STATE: "state machine error or timeout",
}

CALL_WORDS: dict[int, str] = {
    CallResult.CIRCUIT: "loss of carrier or circuit disconnect",
    CallResult.ERROR: "general error",
    CallResult.ADMINISTRATIVE: "administrative reasons",
    CallResult.NO_FACILITIES: "no facilities for now",
    CallResult.NO_FACILITIES_EVER: "no facilities",
    CallResult.TIE: "lost the session tie break",
    CallResult.PSEUDOWIRE_TYPE: "pseudowire type not supported",
    CallResult.SUBLAYER: "sequencing required without a valid L2-Specific Sublayer",
    CallResult.STATE: "state machine error or timeout",
    CallResult.MTU: "interface MTU differs",
    CallResult.FORWARDER: "no such remote end id",
    CallResult.FORWARDER_UNAUTHORISED: "remote end id not authorized",
}

ERROR_WORDS: dict[int, str] = {
    GeneralError.NO_CONNECTION: "no control connection",
    GeneralError.LENGTH: "length is wrong",
    GeneralError.VALUE: "value out of range",
    GeneralError.RESOURCES: "insufficient resources",
    GeneralError.SESSION_ID: "invalid session id",
    GeneralError.VENDOR: "vendor-specific error",
    GeneralError.TRY_ANOTHER: "try another peer",
    GeneralError.UNKNOWN_AVP: "unknown mandatory AVP",
    GeneralError.TRY_ANOTHER_DIRECTED: "try another directed peer",
}


def in_range(message_type: MessageType, result: Result) -> bool:
    """Whether a StopCCN's or CDN's Result Code and Error Code are numbers that mean something."""
    last = LAST_STOP_RESULT if message_type is MessageType.STOPCCN else LAST_CALL_RESULT
    return 1 <= result.code <= last and (result.error or 0) <= LAST_ERROR


def describe(message_type: MessageType, result: Result | None) -> str:
    """Return a StopCCN's or CDN's Result Code in words for people."""
    if result is None:
        return "no result code"
    table = STOP_WORDS if message_type is MessageType.STOPCCN else CALL_WORDS
    words = table.get(result.code, "unknown result code")
    text = f"{words} (result {result.code}"
    if result.error:
        text += f", error {result.error}"
        if result.error in ERROR_WORDS:
            text += f": {ERROR_WORDS[result.error]}"
    text += ")"
    return f"{text}: {result.text}" if result.text else text
