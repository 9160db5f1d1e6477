"""Asks l2tp-resolver where host names lead, and never waits for it: what is not answered in its time has failed.

What it answers is untrusted: it says where tunnels may go, and can do nothing else.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Protocol

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.effects import LookUp
from l2tp_ctl.resolver_schema import (
    MAX_ANSWER,
    MAX_QUESTIONS,
    Answer,
    ContractError,
    Families,
    Question,
    Status,
    decode_answer,
)
from l2tp_ctl.runtime.config_schema import host_problem, spelling
from l2tp_ctl.runtime.log_sink import LogSink

ANSWER_TIME = 30.0
"""Seconds for an answer; each name server that is away costs the resolver 10 s, unless the machine says otherwise."""

_WORDS = {
    Status.NO_NAME: "there is no such name",
    Status.NO_ADDRESS: "it has no address of a family that is listened on",
    Status.NO_ANSWER: "the name servers do not answer",
    Status.FAILED: "the name servers refuse",
    Status.BUSY: "l2tp-resolver has too much to do",
}
_KIND = socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK


class Found(Protocol):
    """What is called with an answer: addresses, or else a problem; ``logged`` if the log has that already."""

    def __call__(
        self, look_up: LookUp, /, *, addresses: tuple[str, ...] = (), problem: str = "", logged: bool = False
    ) -> None:
        """Take the answer to ``look_up``."""


class Names:
    """The questions under way, and those that wait for their turn; ``path`` is the resolver's socket.

    A connection is made when there is something to ask, and again after the resolver has ended.
    """

    def __init__(self, path: Path, log: LogSink, found: Found) -> None:
        self._path = path
        self._log = log
        self._found = found
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._waiting: dict[LookUp, None] = {}
        """In the order in which they came."""
        self._asked: dict[int, tuple[LookUp, asyncio.TimerHandle]] = {}
        self._late: set[int] = set()
        """Numbers of questions that have failed for their time and may still be answered."""
        self._number = 0
        self._complaint: str | None = None
        """Why the resolver is away, empty while it answers, None until it is known."""

    def ask(self, look_up: LookUp) -> None:
        """Ask.  The answer comes later, and once for all who ask the same meanwhile."""
        if look_up not in self._waiting and all(look_up != asked for asked, _ in self._asked.values()):
            self._waiting[look_up] = None
            self._loop.call_soon(self._go_on)

    def close(self) -> None:
        """Ask nothing any more, and forget what was asked."""
        self._waiting.clear()
        for _, timer in self._asked.values():
            timer.cancel()
        self._asked.clear()
        self._late.clear()
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _go_on(self) -> None:
        """Ask as much as may be under way at one time."""
        while self._waiting and len(self._asked) < MAX_QUESTIONS:
            look_up = next(iter(self._waiting))
            self._number = (self._number + 1) & 0xFFFFFFFF
            try:
                self._connection().send(Question(self._number, _families(look_up), look_up.name).encode())
            except OSError as error:
                self._lost(str(error.strerror))
                return
            del self._waiting[look_up]
            self._asked[self._number] = look_up, self._loop.call_later(ANSWER_TIME, self._expire, self._number)

    def _connection(self) -> socket.socket:
        """Return the connection, made now if there is none; raises OSError."""
        if self._socket is None:
            made = socket.socket(socket.AF_UNIX, _KIND)
            try:
                made.connect(str(self._path))
            except OSError:
                made.close()
                raise
            self._loop.add_reader(made, self._read, made)
            self._socket = made
        return self._socket

    def _read(self, sock: socket.socket) -> None:
        try:
            packet = sock.recv(MAX_ANSWER + 1)
            if packet:
                self._take(decode_answer(packet))
            else:
                self._lost("it has closed the connection")
        except OSError as error:
            self._lost(str(error.strerror))
        except ContractError as error:
            self._lost(f"it does not keep to the contract: {error}")

    def _take(self, answer: Answer) -> None:
        """Take one answer; raises ContractError."""
        if answer.number in self._late:
            self._late.discard(answer.number)
            return
        if answer.number not in self._asked:
            raise ContractError("an answer to no question")
        look_up, timer = self._asked[answer.number]
        if any(_FAMILY[address.version] not in _families(look_up) for address in answer.addresses):
            raise ContractError("an address of a family that was not asked for")
        timer.cancel()
        del self._asked[answer.number]
        if self._complaint != "":
            self._complaint = ""
            self._log.write(Entry.RESOLVER_CONNECTED, {})
        usable = dict.fromkeys(spelling(address) for address in answer.addresses if not host_problem(address))
        if usable:
            self._found(look_up, addresses=tuple(usable))
        elif answer.addresses:
            self._found(look_up, problem=f"{', '.join(map(spelling, answer.addresses))}: not the address of a host")
        else:
            self._found(look_up, problem=_WORDS[answer.status])
        self._go_on()

    def _expire(self, number: int) -> None:
        look_up, _ = self._asked.pop(number)
        self._late.add(number)
        self._found(look_up, problem=f"no answer within {ANSWER_TIME:g} s")
        self._go_on()

    def _lost(self, reason: str) -> None:
        """Let all that was asked fail.  It is logged once, and only where something was asked."""
        failed = [*(look_up for look_up, _ in self._asked.values()), *self._waiting]
        self.close()
        if failed and reason != self._complaint:
            self._complaint = reason
            self._log.write(Entry.RESOLVER_LOST, {"error": reason})
        for look_up in failed:
            self._found(look_up, problem=f"l2tp-resolver is away: {reason}", logged=True)


_FAMILY = {4: Families.IPV4, 6: Families.IPV6}


def _families(look_up: LookUp) -> Families:
    return Families((Families.IPV4 if look_up.ipv4 else 0) | (Families.IPV6 if look_up.ipv6 else 0))
