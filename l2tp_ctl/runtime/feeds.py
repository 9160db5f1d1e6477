"""What happens, told to everybody who asked for it: each listener has a queue of its own and can delay nobody."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

QUEUE = 1024
"""Events that wait for one slow listener; beyond it the oldest are dropped, and it is told how many."""

Event = Mapping[str, Any]
"""One event as JSON, by the admin contract."""


class Feed:
    """One kind of events."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()

    @property
    def followed(self) -> bool:
        """Whether anybody listens: if not, an event need not be made."""
        return bool(self._listeners)

    def publish(self, event: Event) -> None:
        """Tell everybody; never waits."""
        for listener in self._listeners:
            listener.put(event)

    def follow(self, wanted: Callable[[Event], bool] = lambda _: True) -> Listener:
        """Return the events that are ``wanted`` from now on; close it in the end."""
        listener = Listener(wanted, self._listeners.discard)
        self._listeners.add(listener)
        return listener


class Listener:
    """An asynchronous iterator over events, which never ends by itself."""

    def __init__(self, wanted: Callable[[Event], bool], closed: Callable[[Listener], None]) -> None:
        self._wanted = wanted
        self._closed = closed
        self._queue: deque[Event] = deque()
        self._filled = asyncio.Event()
        self._lost = 0

    def put(self, event: Event) -> None:
        """Queue one event, if it is wanted."""
        if not self._wanted(event):
            return
        if len(self._queue) >= QUEUE:
            self._queue.popleft()
            self._lost += 1
        self._queue.append(event)
        self._filled.set()

    def close(self) -> None:
        """Listen no more."""
        self._closed(self)

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> Event:
        await self._filled.wait()
        if self._lost:
            lost, self._lost = self._lost, 0
            return {"lost": lost}
        event = self._queue.popleft()
        if not self._queue:
            self._filled.clear()
        return event


class Stream(NamedTuple):
    """A command's result, and the events that follow it."""

    result: Mapping[str, Any]
    events: Listener
