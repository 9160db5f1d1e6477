"""What each admin command does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from l2tp_ctl.admin_schema import Command, ErrorCode, Reloaded, Request, Session
from l2tp_ctl.catalogue import Level
from l2tp_ctl.core.views import SessionView, TunnelView
from l2tp_ctl.runtime.admin_views import session_answer, tunnel_answer
from l2tp_ctl.runtime.feeds import Event, Stream
from l2tp_ctl.runtime.log_ring import selection
from l2tp_ctl.runtime.shell import Shell
from l2tp_kernel.schema import Counters

CountersOf = Callable[[list[str]], Awaitable[Mapping[str, Counters]]]
"""Returns the plane's counters of interfaces, those that have any."""


class CommandError(Exception):
    """A command that was not carried out, and why."""

    def __init__(self, code: ErrorCode, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.details = details
        """More lines for people."""


class Commands:
    """Carries out the commands on what ``shell`` owns."""

    def __init__(self, shell: Shell, counters: CountersOf, reload: Callable[[], Awaitable[Reloaded]]) -> None:
        self._shell = shell
        self._counters = counters
        self._reload = reload

    async def __call__(self, request: Request) -> Mapping[str, Any] | Stream:
        """Carry out one command and return its result; raises CommandError."""
        args = request.args
        match request.command:
            case Command.SHOW_TUNNELS:
                now = self._now()
                return {"tunnels": [tunnel_answer(view, now) for view in self._shell.tunnels()]}
            case Command.SHOW_TUNNEL:
                view = self._tunnel(args["name"])
                return {"tunnel": tunnel_answer(view, self._now()), "sessions": await self._sessions(view.sessions)}
            case Command.SHOW_SESSIONS:
                views = [self._tunnel(args["tunnel"])] if "tunnel" in args else self._shell.tunnels()
                return {"sessions": await self._sessions([session for view in views for session in view.sessions])}
            case Command.CLEAR_TUNNEL:
                return _cleared("tunnel or peer address", args["target"], self._shell.clear_tunnel)
            case Command.CLEAR_SESSION:
                return _cleared("session or interface", args["target"], self._shell.clear_session)
            case Command.RELOAD:
                return {**await self._reload()}
            case Command.UP:
                return _changed(args["name"], self._shell.put_up)
            case Command.DOWN:
                return _changed(args["name"], self._shell.put_down)
            case Command.MONITOR:
                return Stream({}, self._shell.changes.follow())
            case Command.SHOW_LOG:
                return {"lines": [*self._shell.log.ring.lines(self._log_lines(args))]}
            case Command.FOLLOW_LOG:
                wanted = self._log_lines(args)
                ring = self._shell.log.ring
                return Stream({"lines": [*ring.lines(wanted)]}, ring.feed.follow(wanted))

    def _tunnel(self, name: str) -> TunnelView:
        for view in self._shell.tunnels():
            if view.name == name:
                return view
        raise CommandError(ErrorCode.NOT_FOUND, f"there is no tunnel {name!r}")

    def _log_lines(self, args: Mapping[str, str]) -> Callable[[Event], bool]:
        """Return what tells whether a log line is meant.  A tunnel that is no more may still have lines."""
        level = args.get("level", Level.DEBUG.name).upper()
        if level not in Level.__members__:
            raise CommandError(ErrorCode.BAD_ARGUMENTS, f"there is no level {args['level']!r}")
        return selection(args.get("tunnel"), Level[level])

    async def _sessions(self, views: Iterable[SessionView]) -> list[Session]:
        counters = await self._counters([view.interface for view in views])
        now = self._now()
        return [session_answer(view, counters, now) for view in views]

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _changed(name: str, change: Callable[[str], list[str]]) -> Mapping[str, Any]:
    changed = change(name)
    if not changed:
        raise CommandError(ErrorCode.NOT_FOUND, f"there is no tunnel {name!r}")
    return {"changed": changed}


def _cleared(what: str, target: str, clear: Callable[[str], list[str]]) -> Mapping[str, Any]:
    cleared = clear(target)
    if not cleared:
        raise CommandError(ErrorCode.NOT_FOUND, f"there is no {what} {target!r}")
    return {"cleared": cleared}
