"""What each admin command does."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

from l2tp_ctl.admin_schema import Command, ErrorCode, Reloaded, Request, Session, Statistics, Tunnel, Version
from l2tp_ctl.catalogue import Level
from l2tp_ctl.core.views import SessionView, TunnelView
from l2tp_ctl.runtime.admin_views import peer_answers, session_answer, statistics, tunnel_answer
from l2tp_ctl.runtime.config_file import ConfigError
from l2tp_ctl.runtime.config_view import config_view
from l2tp_ctl.runtime.feeds import Event, Stream
from l2tp_ctl.runtime.helper_link import HelperLink
from l2tp_ctl.runtime.log_ring import selection
from l2tp_ctl.runtime.reload import Reloader
from l2tp_ctl.runtime.shell import Shell

_AT_ONCE = 1000
"""Sessions put into an answer before other work gets its turn."""


class CommandError(Exception):
    """A command that was not carried out, and why."""

    def __init__(self, code: ErrorCode, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.details = details
        """More lines for people."""


class Commands:
    """Carries out the commands on what ``shell`` owns."""

    def __init__(self, shell: Shell, link: HelperLink, reloader: Reloader) -> None:
        self._shell = shell
        self._link = link
        self._reloader = reloader
        self._large = asyncio.Lock()
        """One at a time makes a large answer, and lets the protocol have its turn in between."""
        self._began = asyncio.get_running_loop().time()

    async def __call__(self, request: Request) -> Mapping[str, Any] | Stream:
        """Carry out one command and return its result; raises CommandError."""
        args = request.args
        match request.command:
            case Command.SHOW_TUNNELS:
                async with self._large:
                    tunnels = [self._tunnel_answer(view) for view in self._shell.tunnels()]
                    await asyncio.sleep(0)
                return {"tunnels": tunnels, "problem": self._link.problem}
            case Command.SHOW_TUNNEL:
                view = self._tunnel(args["name"])
                sessions = await self._sessions(view.sessions)
                return {"tunnel": self._tunnel_answer(view), "sessions": sessions, "problem": self._link.problem}
            case Command.SHOW_SESSIONS:
                async with self._large:
                    views = [self._tunnel(args["tunnel"])] if "tunnel" in args else self._shell.tunnels()
                    await asyncio.sleep(0)
                return {"sessions": await self._sessions([session for view in views for session in view.sessions])}
            case Command.SHOW_SESSION:
                return {"session": (await self._sessions([self._session(args["name"])]))[0]}
            case Command.SHOW_PEERS:
                return {"peers": peer_answers(self._shell.tunnels())}
            case Command.SHOW_STATISTICS:
                return {**self._statistics()}
            case Command.SHOW_CONFIG:
                return {"config": config_view(self._reloader.current)}
            case Command.SHOW_VERSION:
                return {**self._version()}
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
            case Command.CAPTURE:
                peer = args.get("peer")
                return Stream({}, self._shell.messages.follow(lambda one: peer in {None, one["peer_address"]}))
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

    def _session(self, name: str) -> SessionView:
        for view in self._shell.tunnels():
            for session in view.sessions:
                if session.name == name:
                    return session
        raise CommandError(ErrorCode.NOT_FOUND, f"there is no session {name!r}")

    def _tunnel_answer(self, view: TunnelView) -> Tunnel:
        answer = tunnel_answer(view, self._now())
        if answer["enabled"] and answer["uptime"] is None and not answer["last_error"]:
            answer["last_error"] = self._link.problem
        return answer

    def _statistics(self) -> Statistics:
        return statistics(
            self._shell.tunnels(),
            self._shell.counters,
            self._link.latencies,
            uptime=self._now() - self._began,
            problem=self._link.problem,
            helper_connected=self._link.connected,
        )

    def _version(self) -> Version:
        return Version(
            l2tpd=metadata.version("l2tpd"),
            python=platform.python_version(),
            pid=os.getpid(),
            planes=[plane.name.lower() for plane in self._link.planes],
        )

    async def _reload(self) -> Reloaded:
        try:
            return await self._reloader()
        except ConfigError as error:
            mistakes = str(error).splitlines()
            counted = "a mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
            message = f"{error.path} has {counted}, nothing was changed"
            raise CommandError(ErrorCode.BAD_CONFIGURATION, message, mistakes) from None

    def _log_lines(self, args: Mapping[str, str]) -> Callable[[Event], bool]:
        """Return what tells whether a log line is meant.  A tunnel that is no more may still have lines."""
        level = args.get("level", Level.DEBUG.name).upper()
        if level not in Level.__members__:
            raise CommandError(ErrorCode.BAD_ARGUMENTS, f"there is no level {args['level']!r}")
        return selection(args.get("tunnel"), Level[level])

    async def _sessions(self, views: Sequence[SessionView]) -> list[Session]:
        counters = await self._link.counters([view.interface for view in views])
        answers: list[Session] = []
        async with self._large:
            now = self._now()
            for start in range(0, len(views), _AT_ONCE):
                answers += [session_answer(view, counters, now) for view in views[start : start + _AT_ONCE]]
                await asyncio.sleep(0)
        return answers

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
