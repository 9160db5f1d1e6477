"""What breaks where nothing should, in the program or in the ground that it stands on, as log lines."""

from __future__ import annotations

import errno
import os
import selectors
import time
import traceback
from pathlib import Path

from l2tp_ctl.catalogue import Entry, Field
from l2tp_ctl.runtime.log_sink import LogSink


class LoopError(Exception):
    """The event loop cannot wait for events any more, and that is in the log."""


class Selector(selectors.EpollSelector):
    """Waits for events for the event loop.

    A failure is logged and raised as LoopError, once: after that there are no events, so that the loop can still end
    what runs on it.
    """

    def __init__(self, log: LogSink) -> None:
        super().__init__()
        self._log = log
        self._broken = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait, at most ``timeout`` seconds."""
        if self._broken:
            time.sleep(max(timeout or 0.0, 0.0))
            return []
        try:
            return super().select(timeout)
        except OSError as error:
            self._broken = True
            self._log.write(Entry.SELECT_ERROR, {"error": str(error.strerror)})
            raise LoopError(str(error.strerror)) from None


def entropy_problem() -> str:
    """Return why the system gives no random octets; empty if it does."""
    try:
        os.urandom(1)
    except (OSError, NotImplementedError) as error:
        return str(getattr(error, "strerror", None) or error)
    return ""


def describe(error: BaseException) -> tuple[Entry, dict[str, Field]]:
    """Return the log entry for an exception that nobody expected, and its fields; of a group the first counts."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, MemoryError):
        return Entry.MALLOC_ERROR, {"error": os.strerror(errno.ENOMEM)}
    frames = reversed(traceback.extract_tb(error.__traceback__))
    places = (f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    return Entry.INTERNAL_ERROR, {"error": f"{error!r} in {' < '.join(places)}"}
