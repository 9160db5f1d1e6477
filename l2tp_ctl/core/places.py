"""Which tunnel an address belongs to: one for each address and encapsulation."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from l2tp_ctl.core.settings import Address, Encapsulation

if TYPE_CHECKING:
    from l2tp_ctl.core.peer import Peer

Place: TypeAlias = tuple[Encapsulation, str]
"""Encapsulation and the peer's address."""


class Claim(IntEnum):
    """What gives a tunnel its address.  The better claim wins; of two alike the first."""

    TEMPLATE = 0
    """A template took the peer."""
    NAME = 1
    """The tunnel's host name leads there."""
    ADDRESS = 2
    """The configuration says so."""


class Places:
    """Who has which place."""

    def __init__(self) -> None:
        self._taken: dict[Place, tuple[Claim, Peer]] = {}
        self._of: dict[Peer, set[Place]] = {}

    def find(self, address: Address) -> Peer | None:
        """Return the peer that messages from this address are for, if they are for no control connection."""
        taken = self._taken.get((address.encapsulation, address.peer))
        return None if taken is None else taken[1]

    def claim(self, peer: Peer, claim: Claim, places: Iterable[Place]) -> dict[str, Peer]:
        """Let a peer have these places and no others; return who has each address that it cannot have.

        Who loses a place to a better claim keeps its control connections, but gets no new one from there.
        """
        wanted = {*places}
        self._give_up(peer, self._of.get(peer, set()) - wanted)
        others: dict[str, Peer] = {}
        for place in wanted:
            taken = self._taken.get(place)
            if taken is not None and taken[1] is not peer:
                if taken[0] >= claim:
                    others[place[1]] = taken[1]
                    continue
                self._give_up(taken[1], {place})
            self._taken[place] = claim, peer
            self._of.setdefault(peer, set()).add(place)
        return others

    def release(self, peer: Peer) -> None:
        """Let others have all of a peer's places."""
        self._give_up(peer, self._of.get(peer, set()))

    def _give_up(self, peer: Peer, places: set[Place]) -> None:
        for place in [*places]:
            del self._taken[place]
            self._of[peer].discard(place)
        if not self._of.get(peer, True):
            del self._of[peer]
