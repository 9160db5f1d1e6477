"""``l2tp-admin resolve``: looks up host names for l2tp-ctl, which has no network to do so.

It holds no privilege and no secret.  The system does the work (getaddrinfo(3)): /etc/hosts, name servers, whatever
nsswitch.conf(5) says; each question waits for it in a thread of its own.  What is asked and answered is the contract of
``l2tp_ctl.resolver_schema``.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from ipaddress import ip_address
from pathlib import Path

import setproctitle

from l2tp_admin import systemd
from l2tp_admin.log import to_stderr
from l2tp_admin.peer import peer_of
from l2tp_admin.process import become, feed_watchdog, group_id, listen
from l2tp_ctl.catalogue import Entry
from l2tp_ctl.resolver_schema import (
    MAX_ADDRESSES,
    MAX_QUESTION,
    MAX_QUESTIONS,
    Answer,
    ContractError,
    Families,
    IPAddress,
    Question,
    Status,
    decode_question,
)

MAX_CLIENTS = 4
"""Connections at one time; l2tp-ctl needs one.  One more is closed at once."""
MAX_THREADS = 64
"""Names that are looked up at one time, over all clients; a name server that is away holds each for long."""
_ACCEPT_AGAIN = 0.5
"""Seconds until the next try when descriptors or memory have run out."""

_FAMILIES = {Families.IPV4: socket.AF_INET, Families.IPV6: socket.AF_INET6}

_STATUS = {
    socket.EAI_NONAME: Status.NO_NAME,
    socket.EAI_NODATA: Status.NO_ADDRESS,
    socket.EAI_ADDRFAMILY: Status.NO_ADDRESS,
    socket.EAI_AGAIN: Status.NO_ANSWER,
}
"""By the errors of getaddrinfo(3); all others are FAILED."""


def resolve(path: Path, group: str | None, user: str | None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status: 0 after a signal, 1 where it could not begin.

    ``group`` is the one whose members may ask, ``user`` whom root becomes, or None.
    """
    setproctitle.setproctitle("l2tp-resolver")
    try:
        members = group_id(group)
        if user is not None:
            become(user, () if members is None else (members,))
        inherited = systemd.inherited_listener(socket.AF_UNIX, kind=socket.SOCK_SEQPACKET)
        mode = 0o600 if members is None else 0o660
        listener = inherited or listen(path, socket.SOCK_SEQPACKET, mode=mode, group=members, backlog=MAX_CLIENTS)
    except (OSError, LookupError) as error:
        to_stderr(Entry.CONFIG_ERROR, tag=str(path), problem=str(error))
        to_stderr(Entry.L2TPD_INITIALIZATION_FAILED)
        return 1
    try:
        asyncio.run(_run(listener))
    finally:
        listener.close()
        if inherited is None:
            path.unlink(missing_ok=True)
    return 0


def look_up(name: str, families: Families) -> tuple[Status, tuple[IPAddress, ...]]:
    """Return where a name leads, the first addresses first, in the system's order (RFC 6724)."""
    family = _FAMILIES.get(families, socket.AF_UNSPEC)
    try:
        # Octets, for a text would be taken for a name in any alphabet.
        found = socket.getaddrinfo(name.encode("ascii"), None, family, socket.SOCK_DGRAM)
    except OSError as error:
        return _STATUS.get(error.errno or 0, Status.FAILED), ()
    addresses = dict.fromkeys(ip_address(str(place[0]).partition("%")[0]) for *_, place in found)
    return Status.OK, tuple(addresses)[:MAX_ADDRESSES]


async def _run(listener: socket.socket) -> None:
    serving = asyncio.create_task(Resolver().run(listener))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, number, serving)
    systemd.notify("READY=1")
    feeding = asyncio.create_task(feed_watchdog())
    await asyncio.wait([serving])
    systemd.notify("STOPPING=1")
    feeding.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        serving.result()


def _stop(number: int, serving: asyncio.Task[None]) -> None:
    to_stderr(Entry.RECEIVED_SIGNAL, signo=number)
    serving.cancel()


class Resolver:
    """The clients, and what is looked up for them."""

    def __init__(self) -> None:
        self._clients: dict[socket.socket, int] = {}
        """Each with the number of its questions under way."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, listener: socket.socket) -> None:
        """Accept clients until cancelled."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)  # noqa: FBT003 - the socket module takes it by position only
        while True:
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError as error:
                to_stderr(Entry.FAILED_TO_ACCEPT, error=error.strerror or str(error))
                await asyncio.sleep(_ACCEPT_AGAIN)
                continue
            if len(self._clients) >= MAX_CLIENTS:
                client.close()
                continue
            self._clients[client] = 0
            task = loop.create_task(self._serve(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        client.setblocking(False)  # noqa: FBT003 - the socket module takes it by position only
        try:
            while packet := await loop.sock_recv(client, MAX_QUESTION + 1):
                self._take(client, decode_question(packet))
        except ContractError as error:
            to_stderr(Entry.ADMIN_CLIENT_CUT, who=str(peer_of(client)), reason=str(error))
        except OSError:
            pass  # it has gone, which is its right
        finally:
            del self._clients[client]
            client.close()

    def _take(self, client: socket.socket, question: Question) -> None:
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._work, args=(loop, client, question), daemon=True)
        if self._clients[client] >= MAX_QUESTIONS or sum(self._clients.values()) >= MAX_THREADS:
            _send(client, Answer(question.number, Status.BUSY))
            return
        try:
            thread.start()
        except RuntimeError:  # the system lets us have no more
            _send(client, Answer(question.number, Status.BUSY))
        else:
            self._clients[client] += 1

    def _work(self, loop: asyncio.AbstractEventLoop, client: socket.socket, question: Question) -> None:
        """Look a name up, in a thread that ends with that."""
        answer = Answer(question.number, *look_up(question.name, question.families))
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(self._done, client, answer)

    def _done(self, client: socket.socket, answer: Answer) -> None:
        if client in self._clients:
            self._clients[client] -= 1
            _send(client, answer)


def _send(client: socket.socket, answer: Answer) -> None:
    """Send an answer; a client that does not read them does without."""
    with contextlib.suppress(OSError):
        client.send(answer.encode())
