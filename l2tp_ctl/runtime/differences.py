"""Where l2tp-kernel and this process differ about pseudowires: a line in plain words for each thing.

Cookies are compared and never told: of two that differ the lengths are.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from l2tp_ctl.core.views import SessionView, TunnelView
from l2tp_ctl.runtime.helper_link import HelperLink
from l2tp_ctl.runtime.shell import Shell
from l2tp_kernel.schema import PweParam

MOST = 20
"""Lines in one answer; of what is beyond only the number is told."""
_AT_ONCE = 200
"""Sessions compared before other work gets its turn."""

_INTERFACE = [field.name for field in fields(PweParam)].index("interface")
_SUBLAYERS = ("none", "default")
_SEQUENCINGS = ("none", "non-ip", "all")


def _address(octets: bytes) -> str:
    if not any(octets):
        return "chosen by routing"
    return socket.inet_ntop(socket.AF_INET if len(octets) == 4 else socket.AF_INET6, octets)


def _length(cookie: bytes) -> str:
    return f"one of {len(cookie)} octets" if cookie else "none"


_THINGS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "local_address": ("local address", _address),
    "peer_address": ("peer's address", _address),
    "peer_port": ("peer's port", str),
    "local_connection_id": ("local Control Connection ID", str),
    "peer_connection_id": ("peer's Control Connection ID", str),
    "local_session_id": ("local session id", str),
    "peer_session_id": ("peer's session id", str),
    "local_cookie": ("cookie of received frames", _length),
    "peer_cookie": ("cookie of sent frames", _length),
    "receive_sublayer": ("sublayer of received frames", _SUBLAYERS.__getitem__),
    "send_sublayer": ("sublayer of sent frames", _SUBLAYERS.__getitem__),
    "receive_sequencing": ("sequencing of received frames", _SEQUENCINGS.__getitem__),
    "send_sequencing": ("sequencing of sent frames", _SEQUENCINGS.__getitem__),
    "mtu": ("MTU", lambda mtu: str(mtu or "left to the path")),
    "bridge": ("bridge", lambda name: name or "none"),
    "up": ("interface", lambda up: "up" if up else "down"),
}
"""What is compared, what it is called, and how its values are told."""


class Differences:
    """Compares what the sessions of ``shell`` want with what the helper behind ``link`` says that it has."""

    def __init__(self, shell: Shell, link: HelperLink) -> None:
        self._shell = shell
        self._link = link

    async def of_session(self, before: SessionView) -> list[str]:
        """Return what differs on the interface of a session, or why that is not known."""
        rows, problem = await self._link.listing()
        if problem:
            return [problem]
        after = self._shell.session(before.name)
        return [] if after is None else await self._told([before], [after], rows)

    async def of_tunnel(self, before: TunnelView) -> list[str]:
        """Return the same for all sessions of a tunnel, and what else the helper has towards its peer."""
        rows, problem = await self._link.listing()
        if problem:
            return [problem]
        after = self._shell.tunnel(before.name)
        if after is None:
            return []
        return await self._told(before.sessions, after.sessions, rows, after.address.peer)

    async def _told(
        self, before: Sequence[SessionView], after: Sequence[SessionView], rows: Sequence[Sequence[Any]], peer: str = ""
    ) -> list[str]:
        """Compare sessions that were seen before and after the helper said what it has."""
        under_way = self._shell.pseudowires.under_way()
        earlier = {view.name: view for view in before}
        own = {view.interface for view in after}
        listed = {row[_INTERFACE]: PweParam(*row) for row in rows if row[_INTERFACE] in own}
        strangers = [
            stranger
            for row in rows
            if not self._shell.pseudowires.wanted(row[_INTERFACE])
            and row[_INTERFACE] not in own | under_way
            and _address((stranger := PweParam(*row)).peer_address) == peer
        ]
        lines: list[str] = []
        for number, view in enumerate(after, start=1):
            if view.interface not in under_way and _is_settled(earlier.get(view.name), view):
                lines += self._of(view, listed.get(view.interface))
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        lines += map(_unwanted, strangers)
        more = len(lines) - MOST
        return [*lines[:MOST], f"and {more} more"] if more > 0 else lines

    def _of(self, view: SessionView, listed: PweParam | None) -> Iterator[str]:
        if view.pseudowire is None:
            if listed is not None:
                yield _unwanted(listed)
            return
        wanted = self._shell.pseudowires.parameters(view.pseudowire)
        if wanted is None:
            return  # its control socket is not open, and the log says why
        if listed is None:
            yield f"{view.interface}: missing at l2tp-kernel"
            return
        yield from _of_parameters(view, wanted, listed)
        if not view.circuit_up:
            yield f"{view.interface}: somebody has set the interface down; to undo it: ip link set {view.interface} up"


def _is_settled(before: SessionView | None, after: SessionView) -> bool:
    """Whether nothing has happened to a session while the helper was asked."""
    return before is not None and before.pseudowire == after.pseudowire and not before.pending and not after.pending


def _unwanted(listed: PweParam) -> str:
    return f"{listed.interface}: l2tp-kernel has it for local session id {listed.local_session_id}, which nobody wants"


def _of_parameters(view: SessionView, wanted: PweParam, listed: PweParam) -> Iterator[str]:
    for field, (thing, told) in _THINGS.items():
        ours, theirs = getattr(wanted, field), getattr(listed, field)
        if ours == theirs:
            continue
        if field == "mtu":
            ours = ours or view.mtu  # 0 stands for what the helper has computed from the path
        line = f"{view.interface}: {thing} is {told(theirs)} at l2tp-kernel"
        yield f"{line}, another here" if told(ours) == told(theirs) else f"{line}, {told(ours)} here"
