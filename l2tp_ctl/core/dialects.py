"""The dialects that peers speak beside RFC 3931, one row each.

What is received in any of them is understood always; a dialect is only about what we send.
"""

from __future__ import annotations

from dataclasses import dataclass

from l2tp_ctl.core.message import Message
from l2tp_ctl.core.settings import Compatibility


@dataclass(frozen=True, slots=True)
class Dialect:
    """What is sent beside, or instead of, what RFC 3931 asks for."""

    name: str
    vendor_avps: bool
    """Cisco's own AVPs (vendor 9) beside those that they became in RFC 3931."""
    type_in_icrp: bool
    """A Pseudowire Type AVP in ICRP, which the RFC has in ICRQ alone."""
    status_after_iccn: bool
    """An SLI with the circuit's status as soon as the session is up."""


STRICT = Dialect("strict", vendor_avps=False, type_in_icrp=False, status_after_iccn=False)
"""RFC 3931, RFC 4719 and nothing else: SEIL, Yamaha, MikroTik, Juniper Mist and SoftEther are content with it."""

CISCO = Dialect("cisco", vendor_avps=True, type_in_icrp=True, status_after_iccn=True)
"""Cisco IOS, whose L2TPv3 is older than the RFC."""


def initial(compatibility: Compatibility) -> Dialect:
    """Return the dialect for the first message."""
    return CISCO if compatibility is Compatibility.CISCO else STRICT


def after(dialect: Dialect, compatibility: Compatibility, message: Message) -> Dialect:
    """Return the dialect to speak once ``message`` came: with "auto", Cisco's when the peer shows it."""
    return CISCO if message.cisco and compatibility is Compatibility.AUTO else dialect
