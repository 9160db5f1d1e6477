"""Asks the peer for a sign of life after a time of silence (RFC 3931, section 4.4)."""

from __future__ import annotations

from functools import partial

from l2tp_ctl.core.connection import Connection
from l2tp_ctl.core.message import Message, MessageType
from l2tp_ctl.core.timers import Timer


class Keepalive:
    """The HELLOs of one control connection, while it is established."""

    def __init__(self) -> None:
        self._timer: Timer | None = None

    def start(self, connection: Connection, now: float) -> None:
        """Send a HELLO after every silent interval of the connection's settings, from now on; none if it has none."""
        self.stop()
        if connection.settings.hello_interval is not None:
            silence = connection.context.spread(connection.settings.hello_interval)
            self._wait(connection, silence, now + silence)

    def stop(self) -> None:
        """Send none any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, connection: Connection, silence: float, due: float) -> None:
        self._timer = connection.context.timers.at(due, partial(self._expired, connection, silence))

    def _expired(self, connection: Connection, silence: float, now: float) -> None:
        due = connection.last_received + silence
        if due > now:
            self._wait(connection, silence, due)
            return
        if connection.channel.idle:
            connection.submit(Message(type=MessageType.HELLO), now)
        self.start(connection, now)
