"""Where a peer is: at the address that the configuration gives, or where its host name leads.

A host name is looked up before each attempt, and now and then.  What was found out holds until something else is: a
name that leads nowhere for a while takes no tunnel down and no address out of use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.effects import LookUp, StateChange
from l2tp_ctl.core.places import Claim
from l2tp_ctl.core.settings import Address, HostName
from l2tp_ctl.core.timers import Action, Timer

if TYPE_CHECKING:
    from l2tp_ctl.core.context import Context
    from l2tp_ctl.core.peer import Peer


class Whereabouts:
    """A peer whose address is given: nothing needs to be found out."""

    name = ""
    """The host name, empty where there is none."""
    addresses: tuple[str, ...] = ()
    """Where it leads and the tunnel may go."""
    problem = ""
    """Why the latest look at it was no use, empty where it was."""

    def __init__(self, address: Address) -> None:
        self.address = address
        """Where the latest attempt went, or the next one goes; its peer is empty while that is not known."""

    def start(self, now: float) -> None:
        """Begin to look."""

    def stop(self) -> None:
        """Look no more."""

    def look(self, now: float, then: Action) -> bool:  # noqa: ARG002  # there is nothing to look at
        """Find out before an attempt where it goes; False where ``then`` will not be called, for that is known."""
        return False

    def hold(self) -> None:
        """Call nothing any more once it is found out."""

    def next(self) -> Address | None:
        """Return where the next attempt goes, None where that cannot be said."""
        return self.address

    def reached(self, address: Address) -> None:
        """Take note that a control connection is up there."""

    def ended(self, now: float) -> None:
        """Take note that a control connection has ended."""

    def answer(self, look_up: LookUp, addresses: tuple[str, ...], problem: str, now: float, *, logged: bool) -> None:
        """Take what was found out, if it was this that was asked."""


class NamedWhereabouts(Whereabouts):
    """A peer whose host name is given."""

    def __init__(self, context: Context, peer: Peer, host: HostName) -> None:
        super().__init__(peer.settings.address)
        self.name = host.name
        self._context = context
        self._peer = peer
        self._host = host
        self._question = LookUp(host.name, ipv4=host.local_ipv4 is not None, ipv6=host.local_ipv6 is not None)
        self._found: tuple[str, ...] = ()
        """What the last answer with any address had."""
        self._asked = False
        self._good_until = 0.0
        self._told: object = None
        self._tried: set[str] = set()
        """Where attempts went since one succeeded or all had their turn."""
        self._reached = ""
        """Where the last control connection was up."""
        self._then: Action | None = None
        self._patience: Timer | None = None
        self._again: Timer | None = None
        self._stopped = False

    def start(self, now: float) -> None:
        """Begin to look."""
        self._ask(now)

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        self.hold()
        self._rest()

    def look(self, now: float, then: Action) -> bool:
        """Find out before an attempt where it goes; False where ``then`` will not be called, for that is known."""
        if not self._asked and now < self._good_until:
            return False
        self._ask(now)
        self._then = then
        if self.addresses:
            # One that was right before is better than none while names cannot be looked up.
            due = now + self._context.limits.look_up_patience
            self._patience = self._context.timers.at(due, partial(self._go_on, then))
        return True

    def hold(self) -> None:
        """Call nothing any more once it is found out."""
        self._then = None
        if self._patience is not None:
            self._patience.cancel()

    def next(self) -> Address | None:
        """Return where the next attempt goes, None where that cannot be said.

        The address that worked last comes first, and then each has its turn.
        """
        left = [address for address in self.addresses if address not in self._tried]
        if not left:
            self._tried.clear()
            left = [*self.addresses]
        if not left:
            return None
        chosen = self._reached if self._reached in left else left[0]
        self._tried.add(chosen)
        self.address = self._at(chosen)
        return self.address

    def reached(self, address: Address) -> None:
        """Take note that a control connection is up there."""
        self._reached = address.peer
        self._tried.clear()
        self._claim()

    def ended(self, now: float) -> None:
        """Take note that a control connection has ended: perhaps because the peer is elsewhere now."""
        if not self._stopped:
            self._claim()
            if now >= self._good_until:
                self._ask(now)

    def answer(self, look_up: LookUp, addresses: tuple[str, ...], problem: str, now: float, *, logged: bool) -> None:
        """Take what was found out, if it was this that was asked."""
        if look_up != self._question or self._stopped:
            return
        self._asked = False
        self._good_until = now + self._context.limits.look_up_again
        self._found = addresses or self._found
        others = self._claim()
        self.problem = f"cannot resolve {self.name}: {problem}" if problem else self._conflict(others)
        self._tell(others, problem, logged=logged)
        self._rest()
        self._again = self._context.timers.at(now + self._context.spread(self._pause()), self._ask)
        if self._then is not None:
            self._go_on(self._then, now)
        else:
            self._peer.moved(now)

    def _ask(self, _now: float) -> None:
        if not self._asked:
            self._asked = True
            if not self._found and not self.problem:
                self.problem = f"looking up {self.name}"
            self._rest()
            self._context.effects.append(self._question)

    def _rest(self) -> None:
        if self._again is not None:
            self._again.cancel()

    def _go_on(self, then: Action, now: float) -> None:
        self.hold()
        then(now)

    def _pause(self) -> float:
        limits = self._context.limits
        if self._peer.up:
            return limits.look_up_up
        return limits.look_up_down if self.addresses else limits.look_up_missing

    def _claim(self) -> Mapping[str, Peer]:
        """Claim what was found and what is in use; return who else has some of it."""
        encapsulation = self.address.encapsulation
        places = {(encapsulation, address) for address in {*self._found, *self._peer.in_use()}}
        others = self._context.places.claim(self._peer, Claim.NAME, places)
        self.addresses = tuple(address for address in self._found if address not in others)
        if self.address.peer not in self.addresses:
            self.address = self._at(self.addresses[0] if self.addresses else "")
        return others

    def _at(self, peer: str) -> Address:
        local = self._host.local(peer) if peer else self._peer.settings.address.local
        return replace(self.address, peer=peer, local=local)

    def _conflict(self, others: Mapping[str, Peer]) -> str:
        for address in self._found:
            if address in others:
                return f"{self.name} is {address}, which tunnel {others[address].settings.name} has"
        return ""

    def _tell(self, others: Mapping[str, Peer], problem: str, *, logged: bool) -> None:
        """Log what is new, and tell those who follow the states."""
        told = (sorted(self.addresses), self.problem)
        if told == self._told:
            return
        self._told = told
        tunnel, leads = self._peer.settings.name, ", ".join(self.addresses)
        if not self.problem:
            self._context.log(Entry.NAME_RESOLVED, tunnel=tunnel, tun_name=tunnel, name=self.name, address=leads)
        elif not problem:
            address = next(address for address in self._found if address in others)
            other = others[address].settings.name
            self._context.log(
                Entry.NAME_CONFLICT, tunnel=tunnel, tun_name=tunnel, name=self.name, address=address, other=other
            )
        elif not logged:
            self._context.log(Entry.NAME_NOT_RESOLVED, tunnel=tunnel, tun_name=tunnel, name=self.name, error=problem)
        reason = self.problem or f"{self.name} is {leads}"
        self._context.effects.append(StateChange(tunnel, "", self._peer.state.value, reason))


def whereabouts(context: Context, peer: Peer) -> Whereabouts:
    """Return what keeps track of where a peer is."""
    settings = peer.settings
    if settings.peer_name is None:
        return Whereabouts(settings.address)
    return NamedWhereabouts(context, peer, settings.peer_name)
