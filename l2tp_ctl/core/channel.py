"""Reliable delivery of control messages (RFC 3931, section 4.2 and appendix A).

One Channel is one end of one control connection: it numbers what is sent, keeps it until it is acknowledged,
puts what arrives into order, and says when to send.  It knows neither octets nor sockets.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from l2tp_ctl.core.errors import Drop
from l2tp_ctl.core.message import Message
from l2tp_ctl.core.settings import Limits

DEFAULT_WINDOW = 4
"""The peer's receive window until it tells one (RFC 3931, section 5.4.3)."""

_MODULUS = 1 << 16
_HALF = 1 << 15


@dataclass(slots=True, eq=False)
class Outgoing:
    """A numbered message that is not yet acknowledged."""

    ns: int
    message: Message
    sends: int = 0
    """How often it was sent."""
    in_flight: bool = False
    """Sent, and not presumed lost."""
    sent_at: float = 0.0
    """When it was sent last."""


class Channel:
    """Numbers, window, retransmission and order of one control connection.

    ``retry`` is the number of retransmissions before delivery has failed, ``receive_window`` the number of messages
    beyond the next expected one that are kept when they come early.
    """

    def __init__(self, *, retry: int, receive_window: int, limits: Limits) -> None:
        self.next_ns = 0
        """Ns of the next new message."""
        self.nr = 0
        """Ns that the peer's next message must carry."""
        self.ack_due = False
        """Something arrived that no message of ours has acknowledged yet."""
        self.deadline: float | None = None
        """When the oldest unacknowledged message counts as lost."""
        self.retransmissions = 0
        """Messages sent again since the beginning."""
        self.rtt: float | None = None
        """Seconds from a message to its acknowledgement, smoothed (RFC 6298, section 2); None until there was one."""
        self.peer_window = DEFAULT_WINDOW
        self._threshold = float(DEFAULT_WINDOW)
        self._congestion_window = 1.0
        self.retry = retry
        self._receive_window = receive_window
        self._limits = limits
        self._timeout = limits.retransmit_first
        self._timeouts = 0
        self._queue: deque[Message] = deque()
        self._unacknowledged: deque[Outgoing] = deque()
        self._early: dict[int, Message] = {}

    @property
    def window(self) -> int:
        """Messages that may be in flight now."""
        return min(self.peer_window, int(self._congestion_window))

    @property
    def queued(self) -> int:
        """Messages waiting for the window."""
        return len(self._queue)

    @property
    def unacknowledged(self) -> int:
        """Messages sent and not acknowledged."""
        return len(self._unacknowledged)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be sent or acknowledged."""
        return not self._queue and not self._unacknowledged

    def set_peer_window(self, window: int) -> None:
        """Obey the peer's Receive Window Size; 0 is never valid and counts as absent (section 5.4.3)."""
        self.peer_window = window or DEFAULT_WINDOW
        self._threshold = float(self.peer_window)

    def submit(self, message: Message) -> bool:
        """Queue a message.  False, and nothing queued, when the queue is full."""
        if len(self._queue) >= self._limits.send_queue:
            return False
        self._queue.append(message)
        return True

    def abandon(self) -> None:
        """Forget every message that is not acknowledged."""
        self._queue.clear()
        self._unacknowledged.clear()
        self.deadline = None

    def transmit(self, now: float) -> list[Outgoing]:
        """Return what to send now, oldest first: what was presumed lost, then new messages, as the window allows."""
        window = self.window
        in_flight = sum(outgoing.in_flight for outgoing in self._unacknowledged)
        lost = [outgoing for outgoing in self._unacknowledged if not outgoing.in_flight]
        sending = lost[: max(window - in_flight, 0)]
        self.retransmissions += len(sending)
        in_flight += len(sending)
        while self._queue and in_flight < window and len(self._unacknowledged) < self.peer_window:
            outgoing = Outgoing(self.next_ns, self._queue.popleft())
            self.next_ns = (self.next_ns + 1) % _MODULUS
            self._unacknowledged.append(outgoing)
            sending.append(outgoing)
            in_flight += 1
        for outgoing in sending:
            outgoing.sends += 1
            outgoing.in_flight = True
            outgoing.sent_at = now
        if sending and self.deadline is None:
            self.deadline = now + self._timeout
        return sending

    def expire(self, now: float) -> bool:
        """Take note that the deadline may have passed.  False when delivery has failed for good.

        What is in flight then counts as lost, and the timeout doubles up to its cap.
        """
        if self.deadline is None or now < self.deadline:
            return True
        self._timeouts += 1
        if self._timeouts > self.retry:
            return False
        self._threshold = max(self._congestion_window / 2, 1.0)
        self._congestion_window = 1.0
        self._timeout = min(self._timeout * 2, self._limits.retransmit_cap)
        for outgoing in self._unacknowledged:
            outgoing.in_flight = False
        self.deadline = now + self._timeout
        return True

    def acknowledge(self, nr: int, now: float) -> bool:
        """Take the peer's Nr.  False when it acknowledges what was never sent."""
        oldest = self._unacknowledged[0].ns if self._unacknowledged else self.next_ns
        count = (nr - oldest) % _MODULUS
        if count >= _HALF:
            return True  # an old message, overtaken by a newer one
        if count > len(self._unacknowledged):
            return False
        for _ in range(count):
            self._measure(self._unacknowledged.popleft(), now)
            self._grow()
        if count:
            self._timeouts = 0
            self._timeout = self._limits.retransmit_first
            self.deadline = now + self._timeout if self._unacknowledged else None
        return True

    def accept(self, ns: int, message: Message) -> tuple[Drop | None, list[Message]]:
        """Take a message that consumed ``ns``; return why it was dropped, if so, and what is now in order."""
        self.ack_due = True
        ahead = (ns - self.nr) % _MODULUS
        if ahead >= _HALF:
            return Drop.DUPLICATE, []
        if ahead >= self._receive_window:
            return Drop.WINDOW, []
        if ns in self._early:
            return Drop.DUPLICATE, []
        self._early[ns] = message
        ready = []
        while (found := self._early.pop(self.nr, None)) is not None:
            ready.append(found)
            self.nr = (self.nr + 1) % _MODULUS
        return None, ready

    def _measure(self, outgoing: Outgoing, now: float) -> None:
        if outgoing.sends == 1:  # of one sent twice nobody knows which was acknowledged
            seconds = now - outgoing.sent_at
            self.rtt = seconds if self.rtt is None else self.rtt + (seconds - self.rtt) / 8

    def _grow(self) -> None:
        """Open the congestion window for one acknowledged message (appendix A)."""
        if self._congestion_window < self._threshold:
            self._congestion_window += 1.0
        else:
            self._congestion_window += 1.0 / self._congestion_window
        self._congestion_window = min(self._congestion_window, float(self.peer_window))
