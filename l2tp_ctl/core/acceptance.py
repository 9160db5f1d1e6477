"""Whether a peer's request fits the configuration: RFC 3931's "acceptable", as pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.message import Message, Result
from l2tp_ctl.core.results import CallResult, GeneralError, StopResult
from l2tp_ctl.core.settings import Sequencing, SessionSettings, Sublayer, TunnelSettings


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a control connection is refused: what the peer is told, and what is logged."""

    result: Result
    entry: Entry


def refuse_connection(settings: TunnelSettings, message: Message) -> Refusal | None:
    """Judge an SCCRQ or SCCRP: the configured Host Name and Router ID must match exactly."""
    if settings.peer_host_name is not None and message.host_name != settings.peer_host_name:
        return Refusal(Result(StopResult.UNAUTHORISED, text="unexpected Host Name"), Entry.HOSTNAME_MISMATCH)
    if settings.peer_router_id is not None and message.router_id != settings.peer_router_id:
        return Refusal(Result(StopResult.UNAUTHORISED, text="unexpected Router ID"), Entry.ROUTER_ID_MISMATCH)
    return None


def refuse_call(settings: SessionSettings, message: Message) -> Result | None:
    """Judge an ICRQ, ICRP or ICCN against the session that it is for; return what its CDN is to say, if any."""
    kind = message.pseudowire_type
    if kind is not None and kind != settings.pseudowire_type:
        return Result(CallResult.PSEUDOWIRE_TYPE, text=f"pseudowire type {kind} is not the configured one")
    for name, value, known in (
        ("L2-Specific Sublayer", message.sublayer, Sublayer),
        ("Data Sequencing", message.sequencing, Sequencing),
    ):
        if value is not None and value not in set[int](known):
            return Result(CallResult.ERROR, GeneralError.VALUE, f"{name} {value} is not supported")
    if settings.mtu and message.interface_mtu is not None and message.interface_mtu != settings.mtu:
        return Result(CallResult.MTU, text=f"interface MTU is {settings.mtu} here")
    return None


def cookie_warning(cookie_length: int, message: Message) -> Entry | None:
    """Tell a cookie setting that differs from the peer's; the call works all the same."""
    if cookie_length and not message.cookie:
        return Entry.COOKIE_NOT_FOUND
    if not cookie_length and message.cookie:
        return Entry.COOKIE_IS_OFF_BUT_FOUND
    return None


def find_session(sessions: Iterable[SessionSettings], message: Message) -> SessionSettings | None:
    """Return the session that an ICRQ's Remote End ID means.

    A decimal number in ASCII and the same number as four octets are equal: vendors differ (RFC 4719, section 2.2).
    """
    wanted = message.remote_end_id
    if wanted is None:
        return None
    candidates = tuple(sessions)
    for settings in candidates:
        if settings.remote_end_id == wanted:
            return settings
    for settings in candidates:
        if _same_number(settings.remote_end_id, wanted) or _same_number(wanted, settings.remote_end_id):
            return settings
    return None


def _same_number(digits: bytes, octets: bytes) -> bool:
    return digits.isdigit() and len(octets) == 4 and int(digits) == int.from_bytes(octets, "big")
