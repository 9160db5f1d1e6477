"""What the core asks of the runtime: frozen values, executed in order.

An effect never waits.  What comes back (a helper's answer, a timer) enters the Endpoint as one more event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from l2tp_ctl.catalogue import Entry, Field
from l2tp_ctl.core.settings import Address


@dataclass(frozen=True, slots=True)
class Send:
    """Send one control message, from its flags word on, to ``address``."""

    address: Address
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pseudowire:
    """One pseudowire end as signalled or configured: what the helper is told by ``set_pwe_param``.

    Field for field the helper's own PweParam, in the core's words; see there for units and ranges.
    """

    interface: str
    address: Address
    local_connection_id: int
    peer_connection_id: int
    local_session_id: int
    peer_session_id: int
    local_cookie: bytes = field(repr=False)
    peer_cookie: bytes = field(repr=False)
    receive_sublayer: int
    send_sublayer: int
    receive_sequencing: int
    send_sequencing: int
    mtu: int
    bridge: str
    up: bool = True
    """Whether frames may pass: False while either end's circuit is down (RFC 3931, section 5.4.5)."""


@dataclass(frozen=True, slots=True)
class SetPwe:
    """Make the pseudowire exist; answer with ``Endpoint.pwe_answer(request, …)``."""

    request: int
    pseudowire: Pseudowire


@dataclass(frozen=True, slots=True)
class DeletePwe:
    """Remove the pseudowire, if the interface still belongs to this session; nothing is answered."""

    interface: str
    local_session_id: int


@dataclass(frozen=True, slots=True)
class LookUp:
    """Find the addresses that a host name leads to; answer, be it for several alike, with ``Endpoint.looked_up``.

    At least one family is wanted.
    """

    name: str
    ipv4: bool
    ipv6: bool


@dataclass(frozen=True, slots=True)
class Log:
    """Write one catalogue entry, for one tunnel and session where the names are given."""

    entry: Entry
    fields: Mapping[str, Field]
    tunnel: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True)
class StateChange:
    """A tunnel's or session's state changed; for ``monitor`` and for persistence."""

    tunnel: str
    session: str
    """Empty when the tunnel itself changed."""
    state: str
    reason: str = ""
    """Why it is down now, as far as that is known: idle, or a static one whose peer does not answer.

    Or what is new about where the peer's host name leads; else empty.
    """


Effect: TypeAlias = Send | SetPwe | DeletePwe | LookUp | Log | StateChange
