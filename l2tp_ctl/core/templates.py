"""Tunnels from peers that no tunnel names, but a template allows.

A template is a tunnel's settings for a range of addresses.  An SCCRQ that fits one makes a tunnel of its own, which
lives as long as a control connection does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address

from l2tp_ctl.core.acceptance import refuse_connection
from l2tp_ctl.core.context import Context
from l2tp_ctl.core.errors import Drop, ProtocolError
from l2tp_ctl.core.message import Message
from l2tp_ctl.core.peer import Peer
from l2tp_ctl.core.settings import Address, TunnelSettings

NUMBER = "{n}"
"""In a template's interface names: the number of the peer, the lowest that is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSettings:
    """One ``[template.NAME]``: ``tunnel`` is what a peer from ``networks`` gets, with an address of its own.

    The peer's address in ``tunnel.address`` is not used.  Every interface name of its sessions contains
    :data:`NUMBER`.  ``maximum`` bounds the peers at one time.
    """

    tunnel: TunnelSettings
    networks: tuple[IPv4Network | IPv6Network, ...]
    maximum: int = 256


class Template:
    """A template and the peers that it has made."""

    def __init__(self, context: Context, settings: TemplateSettings) -> None:
        self.context = context
        self.settings = settings
        self.peers: dict[int, Peer] = {}
        """By number, from 0."""

    def covers(self, address: Address) -> bool:
        """Whether a peer at this address may use the template; none at an IPv6 link-local one may.

        Such an address means nothing without the interface that it is on, which nothing here tells.
        """
        peer = ip_address(address.peer)
        if peer.version == 6 and peer.is_link_local:
            return False
        return address.encapsulation is self.settings.tunnel.address.encapsulation and any(
            peer in network for network in self.settings.networks
        )

    def make(self, address: Address, gone: Callable[[Peer], None]) -> Peer:
        """Return a new peer for this address; ``gone`` is called when it has ended for good.

        Raises ProtocolError where there are as many as may be.
        """
        if len(self.peers) >= self.settings.maximum:
            raise ProtocolError(Drop.HALF_OPEN, f"template {self.settings.tunnel.name} is full")
        number = next(n for n in range(self.settings.maximum) if n not in self.peers)
        model = self.settings.tunnel
        name = f"{model.name}-{address.peer}"
        sessions = tuple(
            replace(
                session,
                name=f"{session.name}@{address.peer}",
                interface=session.interface.replace(NUMBER, str(number)),
            )
            for session in model.sessions
        )

        def ended(peer: Peer) -> None:
            self.peers.pop(number, None)
            gone(peer)

        local = model.address.local
        settings = replace(model, name=name, address=replace(address, local=local), sessions=sessions, initiate=False)
        peer = Peer(self.context, settings, ended=ended)
        self.peers[number] = peer
        return peer


def choose(templates: Iterable[Template], address: Address, message: Message) -> Template | None:
    """Return the template for an SCCRQ: of those for its address the one whose Host Name and Router ID fit.

    Where none fits the first refuses it, with the reason.
    """
    covering = [template for template in templates if template.covers(address)]
    for template in covering:
        if refuse_connection(template.settings.tunnel, message) is None:
            return template
    return covering[0] if covering else None
