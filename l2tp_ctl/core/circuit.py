"""One session's end of its circuit: what the helper was told of the pseudowire, and whether both ends are up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from l2tp_ctl.core.context import Context
from l2tp_ctl.core.effects import DeletePwe, Pseudowire, SetPwe
from l2tp_ctl.core.message import Message
from l2tp_ctl.core.terms import CIRCUIT_UP

if TYPE_CHECKING:
    from l2tp_ctl.core.session import Session


class Circuit:
    """What there is for frames to pass; ``session`` gets the helper's answers."""

    def __init__(self, context: Context, session: Session) -> None:
        self._context = context
        self._session = session
        self._reset()

    def _reset(self) -> None:
        self.mtu = 0
        """What the helper has set, 0 before."""
        self.up = True
        """Whether our interface is up, but for what the peer's end does to it."""
        self.peer_up = True
        """What the peer last told of its end (RFC 3931, section 5.4.5)."""
        self.pseudowire: Pseudowire | None = None
        """What the helper was told last."""
        self._request = 0

    @property
    def pending(self) -> bool:
        """Whether a helper request is not answered yet."""
        return self._request != 0

    @property
    def link_up(self) -> bool:
        """Whether frames may pass: none do while either end is down (RFC 3931, section 5.4.5)."""
        return self.up and self.peer_up

    def set(self, pseudowire: Pseudowire) -> None:
        """Have the helper make or change the pseudowire."""
        self._context.requests.pop(self._request, None)  # an earlier one's answer would tell nothing of this one
        self.pseudowire = pseudowire
        self._request = self._context.request(self._session)
        self._context.effects.append(SetPwe(self._request, pseudowire))

    def set_again(self) -> None:
        """Tell a new helper what should exist."""
        if self.pseudowire is not None and not self.pending:
            self.set(self.pseudowire)

    def answered(self) -> None:
        """Take note that the helper has answered, or never will."""
        self._request = 0

    def follow(self, *, again: bool = False) -> None:
        """Have the interface up, or down, as both ends are; ``again`` even if it should be so already."""
        if self.pseudowire is not None and (again or self.pseudowire.up != self.link_up):
            self.set(replace(self.pseudowire, up=self.link_up))

    def link_changed(self, *, up: bool) -> None:
        """Take note that our interface was set up or down."""
        self.up = up
        if self.pseudowire is not None:
            self.pseudowire = replace(self.pseudowire, up=up)
            self.follow(again=self.pending)  # what is still under way may undo what was done meanwhile

    def take_status(self, message: Message) -> bool:
        """Take what a message tells of the peer's end; whether that is news."""
        if message.circuit_status is None:
            return False
        before, self.peer_up = self.peer_up, bool(message.circuit_status & CIRCUIT_UP)
        return self.peer_up != before

    def remove(self, local_session_id: int) -> None:
        """Have the helper remove the pseudowire, and begin anew."""
        if self.pseudowire is not None:
            self._context.effects.append(DeletePwe(self.pseudowire.interface, local_session_id))
        self._context.requests.pop(self._request, None)
        self._reset()
