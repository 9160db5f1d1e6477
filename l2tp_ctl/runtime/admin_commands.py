"""What each admin command does."""

from __future__ import annotations

import asyncio
import itertools
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any, TypeVar

from l2tp_ctl.admin_framing import json_text
from l2tp_ctl.admin_schema import Command, ErrorCode, Reloaded, Request, Session, Statistics, Tunnel, Version
from l2tp_ctl.catalogue import Level
from l2tp_ctl.core.views import SessionView, TunnelView
from l2tp_ctl.runtime.admin_views import peer_answers, session_answer, statistics, tunnel_answer
from l2tp_ctl.runtime.config_file import ConfigError
from l2tp_ctl.runtime.config_view import config_view
from l2tp_ctl.runtime.differences import Differences
from l2tp_ctl.runtime.feeds import Event, Stream
from l2tp_ctl.runtime.helper_link import HelperLink
from l2tp_ctl.runtime.log_ring import selection
from l2tp_ctl.runtime.reload import Reloader
from l2tp_ctl.runtime.shell import Shell

_AT_ONCE = 200
"""Tunnels or sessions put into an answer before other work gets its turn: some milliseconds."""

T = TypeVar("T")


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
        self._differences = Differences(shell, link)
        self._reloader = reloader
        self._large = asyncio.Lock()
        """One at a time makes a large answer, and lets the protocol have its turn in between."""
        self._began = asyncio.get_running_loop().time()

    async def __call__(self, request: Request) -> Mapping[str, Any] | bytes | Stream:
        """Carry out one command and return its result, a large one as JSON text; raises CommandError."""
        args = request.args
        match request.command:
            case Command.SHOW_TUNNELS:
                tunnels = await self._array(self._shell.overview(), self._tunnel_answer)
                return b'{"tunnels":%b,"problem":%b}' % (tunnels, json_text(self._link.problem))
            case Command.SHOW_TUNNEL:
                view = self._tunnel(args["name"])
                head, problem = json_text(self._tunnel_answer(view)), json_text(self._link.problem)
                interfaces = [session.interface for session in view.sessions]
                sessions, differences = await asyncio.gather(
                    self._sessions(view.sessions, interfaces), self._differences.of_tunnel(view)
                )
                parts = (head, sessions, problem, json_text(differences))
                return b'{"tunnel":%b,"sessions":%b,"problem":%b,"differences":%b}' % parts
            case Command.SHOW_SESSIONS if "tunnel" in args:
                views = self._tunnel(args["tunnel"]).sessions
                sessions = await self._sessions(views, [session.interface for session in views])
                return b'{"sessions":%b}' % sessions
            case Command.SHOW_SESSIONS:
                return b'{"sessions":%b}' % await self._sessions(self._shell.sessions())
            case Command.SHOW_SESSION:
                session = self._session(args["name"])
                counters, differences = await asyncio.gather(
                    self._link.counters([session.interface]), self._differences.of_session(session)
                )
                return {"session": session_answer(session, counters, self._now()), "differences": differences}
            case Command.SHOW_PEERS:
                return {"peers": peer_answers(await self._gently(self._shell.overview()))}
            case Command.SHOW_STATISTICS:
                return {**self._statistics(await self._gently(self._shell.overview()))}
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
        view = self._shell.tunnel(name)
        if view is None:
            raise CommandError(ErrorCode.NOT_FOUND, f"there is no tunnel {name!r}")
        return view

    def _session(self, name: str) -> SessionView:
        view = self._shell.session(name)
        if view is None:
            raise CommandError(ErrorCode.NOT_FOUND, f"there is no session {name!r}")
        return view

    def _tunnel_answer(self, view: TunnelView) -> Tunnel:
        answer = tunnel_answer(view, self._now())
        if answer["enabled"] and answer["uptime"] is None and not answer["last_error"]:
            answer["last_error"] = self._link.problem
        return answer

    def _statistics(self, tunnels: Sequence[TunnelView]) -> Statistics:
        return statistics(
            tunnels,
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

    async def _sessions(self, views: Iterable[SessionView], interfaces: Sequence[str] | None = None) -> bytes:
        """Return the JSON text of sessions, whose ``interfaces`` need not be told where they are all that there are."""
        counters = await self._link.counters(interfaces)
        now = self._now()
        return await self._array(views, lambda view: session_answer(view, counters, now))

    async def _array(self, items: Iterable[T], answer: Callable[[T], Tunnel | Session]) -> bytes:
        """Return the JSON text of an array of answers, letting others have their turn in between."""
        texts = []
        async with self._large:
            remaining = iter(items)
            while some := [*itertools.islice(remaining, _AT_ONCE)]:
                texts.append(json_text([answer(item) for item in some])[1:-1])
                await asyncio.sleep(0)
        return b"[%b]" % b",".join(texts)

    async def _gently(self, views: Iterator[TunnelView]) -> list[TunnelView]:
        """Make all snapshots, letting others have their turn in between."""
        made: list[TunnelView] = []
        while some := [*itertools.islice(views, _AT_ONCE)]:
            made += some
            await asyncio.sleep(0)
        return made

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
