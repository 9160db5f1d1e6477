"""The helper's one loop: requests, side channels, interfaces, the forwarder and signals, one thing at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import signal
import socket
import struct
import time
from functools import partial
from typing import TYPE_CHECKING, cast

import msgpack
import zmq

from l2tp_kernel import policy as policies
from l2tp_kernel import schema, wire
from l2tp_kernel.catalogue import Line
from l2tp_kernel.clients import Clients
from l2tp_kernel.journal import Complaints, log, notify
from l2tp_kernel.registry import Registry
from l2tp_kernel.schema import EventKind, Listener, Reason, Status
from l2tp_kernel.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from l2tp_kernel.clients import Client
    from l2tp_kernel.links import Links
    from l2tp_kernel.plane import ForwardingPlane, TunnelSocket
    from l2tp_kernel.policy import Policy
    from l2tp_kernel.schema import PweParam
    from l2tp_kernel.wire import Deletion

TURN = 0.05
"""Seconds in which requests are begun before the other sources have their turn."""
QUEUE = 4096
"""Answers and events that a client may leave unread; then it is dropped."""
TICK = 1.0
"""Seconds from one look at what is due to the next; also the watchdog's, which must allow more than this."""


class Server:
    """Serves the clients that the policy names, through the sockets ``command`` and ``descriptors`` of a directory.

    Whoever may enter the directory may connect; the policy says who is answered.  OSError when the sockets cannot be
    made, BlockingIOError when another helper serves in this directory.
    """

    def __init__(
        self, directory: Path, policy_file: Path, policy: Policy, planes: Sequence[ForwardingPlane], links: Links
    ) -> None:
        self._policy_file = policy_file
        self._policy = policy
        self._planes = planes
        self._links = links
        self._registry = Registry(planes, links)
        self._clients = Clients()
        self._strangers = Complaints("unbound identity")
        self._visitors = Complaints("descriptors")
        self._stopping = False
        directory.mkdir(mode=0o755, exist_ok=True)
        self._lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._paths = descriptors, _ = directory / "descriptors", directory / "command"
        for path in self._paths:
            path.unlink(missing_ok=True)
        self._descriptors = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self._descriptors.bind(str(descriptors))
        self._descriptors.listen()
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.set(zmq.MAXMSGSIZE, schema.MAX_REQUEST)
        self._router.set(zmq.SNDHWM, QUEUE)
        self._router.set(zmq.ROUTER_MANDATORY, 1)  # an error when a client is gone or does not read
        self._router.set(zmq.LINGER, 0)
        self._admitted: frozenset[int] = frozenset()
        self._admit()
        descriptors.chmod(0o666)
        self._signals, self._wakeup = socket.socketpair()
        self._wakeup.settimeout(0)
        signal.set_wakeup_fd(self._wakeup.fileno())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)  # its number arrives at self._signals
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # `l2tp-admin run` holds it back until here

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        notify("READY=1")
        log(Line.SERVING, directory=self._paths[0].parent)
        next_tick = 0.0
        while not self._stopping:
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK
                self._tick()
            sources: dict[zmq.Socket[bytes] | int, Callable[[], None]] = {
                # In this order: a client that is gone leaves its place to one that has just come.
                **{each.channel.fileno(): partial(self._lost, each) for each in self._clients},
                self._descriptors.fileno(): self._accept,
                self._router: self._serve,
                self._links.fileno(): self._follow,
                self._signals.fileno(): self._signal,
            }
            sources |= {plane.fileno(): plane.tend for plane in self._planes if plane.fileno() >= 0}
            poller = zmq.Poller()
            for source in sources:
                poller.register(source, zmq.POLLIN)
            for source, _ in poller.poll(int(TICK * 1000)):
                sources[source]()
                self._pass_sockets()

    def close(self) -> None:
        """Remove all that was made, then the sockets."""
        notify("STOPPING=1")
        self._registry.close()
        self._pass_sockets()
        for client in self._clients:
            self._clients.drop(client)
        self._strangers.summarise(end=True)
        self._visitors.summarise(end=True)
        self._context.destroy()
        for each in (self._descriptors, self._signals, self._wakeup):
            each.close()
        for path in self._paths:
            path.unlink(missing_ok=True)
        os.close(self._lock)

    def _tick(self) -> None:
        notify("WATCHDOG=1")
        for plane in self._planes:
            plane.tend()
        for complaints in (self._strangers, self._visitors, *(each.complaints for each in self._clients)):
            complaints.summarise()

    def _accept(self) -> None:
        try:
            channel, _ = self._descriptors.accept()
        except OSError as error:
            self._visitors.add(f"cannot accept: {error}")  # out of descriptors
            return
        channel.settimeout(0)
        pid, uid, _ = struct.unpack("3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        try:
            if uid not in self._policy.clients:
                raise PermissionError(errno.EPERM, "not one of the policy's clients")
            log(Line.CLIENT_CONNECTED, sender=self._clients.add(channel, uid, pid).name)
        except OSError as error:
            self._visitors.add(f"uid {uid} pid {pid} turned away: {error.strerror or error}")
            channel.close()

    def _admit(self) -> None:
        """Let the policy's clients connect; libzmq closes the connections of others before it reads from them."""
        for uid in self._policy.clients:
            self._router.set(zmq.IPC_FILTER_UID, uid)
        self._router.bind(f"ipc://{self._paths[1]}")
        self._paths[1].chmod(0o666)
        self._admitted |= self._policy.clients

    def _lost(self, client: Client) -> None:
        """Take the end of the side channel, or anything sent on it, for the end of the client."""
        log(Line.CLIENT_GONE, sender=client.name)
        self._clients.drop(client)

    def _signal(self) -> None:
        for number in self._signals.recv(64):
            if number != signal.SIGHUP:
                self._stopping = True
                continue
            try:
                self._policy = policies.load(self._policy_file)
            except policies.BadPolicy as bad:
                for mistake in bad.args:
                    log(Line.POLICY_MISTAKE, mistake=mistake)
                log(Line.POLICY_KEPT)
                continue
            log(Line.POLICY_READ, file=self._policy_file)
            more = not self._policy.clients <= self._admitted
            if more:
                self._router.unbind(f"ipc://{self._paths[1]}")  # this ends the connections that there are
                self._admit()
            for client in self._clients:
                if more or client.uid not in self._policy.clients:
                    self._lost(client)

    def _follow(self) -> None:
        for interface, up in self._registry.follow(self._policy):
            event: list[object] = [EventKind.PWE_GONE, interface]
            if up is None:
                log(Line.INTERFACE_REMOVED_BY_OTHERS, interface=interface)
            else:
                event = [EventKind.LINK, interface, up]
                log(Line.INTERFACE_SET_BY_OTHERS, interface=interface, state="up" if up else "down")
            for client in self._clients:
                if client.identity is not None:
                    self._send(client.identity, wire.encode(0, Status.EVENT, event))

    def _serve(self) -> None:
        end = time.monotonic() + TURN
        while time.monotonic() < end:
            try:
                identity, *frames = self._router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            frame = frames[0] if len(frames) == 1 else b""
            client = self._clients.bound(identity)
            sequence, rest = wire.unpack(frame)
            if client:
                call = partial(self._carry_out, client, sequence, rest)
                answer = self._outcome(client.complaints, wire.name(rest), call)
            elif sequence and wire.name(rest) == "HELLO":
                answer = self._outcome(self._strangers, "HELLO", partial(self._greet, identity, sequence, rest))
            else:
                self._strangers.add("frame dropped")
                continue
            self._pass_sockets()
            self._send(identity, wire.encode(sequence, *answer))

    def _greet(self, identity: bytes, sequence: int, rest: tuple[object, ...]) -> object:
        self._clients.bind(identity, sequence, cast("wire.Hello", wire.decode(rest)))  # by its name it is one
        return [[plane.kind for plane in self._planes], os.getpid()]

    def _carry_out(self, client: Client, sequence: int, rest: tuple[object, ...]) -> object:
        if sequence:
            client.take(sequence)
        match wire.decode(rest):
            case Listener() as listener:
                return self._open(client, sequence, listener)
            case wire.SetPweParam(params):
                return _told(client.complaints, wire.name(rest), params, self._registry.set(params, self._policy))
            case wire.DeletePwe(deletions):
                return _told(client.complaints, wire.name(rest), deletions, self._registry.delete(deletions))
            case wire.List():
                return self._registry.listing()
            case wire.Stats(interfaces):
                return self._registry.stats(interfaces)
            case wire.CloseListener(handle):
                self._registry.close_listener(handle)
                return None
            case _:
                raise Refused(Reason.MALFORMED, "greeted already")

    def _open(self, client: Client, sequence: int, listener: Listener) -> object:
        handle, control = self._registry.open_listener(listener, self._policy)
        beside = msgpack.packb([sequence, handle])
        try:
            socket.send_fds(client.channel, [beside], [control.socket.fileno()])
        except OSError:
            with contextlib.suppress(Refused):  # IN_USE: an earlier client's pseudowires keep it
                self._registry.close_listener(handle)
            raise
        for plane in self._planes:
            for each in plane.tunnel_sockets(handle):
                self._pass(client, each)
        return [handle, control.flavour]

    def _pass_sockets(self) -> None:
        """Tell every client where control messages arrive, or arrive no more."""
        for each in itertools.chain.from_iterable(plane.news() for plane in self._planes):
            for client in self._clients:
                if client.identity is not None:
                    self._pass(client, each)

    def _pass(self, client: Client, each: TunnelSocket) -> None:
        packet = msgpack.packb([0, each.listener, each.tunnel])
        descriptors = [each.socket.fileno()] if each.socket and each.socket.fileno() >= 0 else []
        try:
            socket.send_fds(client.channel, [packet], descriptors)
        except OSError as error:
            client.complaints.add(f"does not take its sockets: {error}")
            self._lost(client)

    def _outcome(self, complaints: Complaints, what: str, call: Callable[[], object]) -> tuple[Status, object]:
        try:
            return Status.OK, call()
        except (Refused, OSError) as no:
            return _answer(complaints, what, no)

    def _send(self, identity: bytes, answer: bytes) -> None:
        try:
            self._router.send_multipart([identity, answer], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if client := self._clients.bound(identity):
                client.complaints.add(f"does not take its answers: {error}")
                self._lost(client)


def _answer(complaints: Complaints, what: str, outcome: object) -> tuple[Status, object]:
    """Give the answer to what a call has returned or raised, and log why if it is no."""
    if isinstance(outcome, Refused):
        complaints.add(f"{what} refused, {outcome.reason.name}: {outcome}")
        return Status.REFUSED, outcome.reason
    if isinstance(outcome, OSError):
        complaints.add(f"{what} failed: {outcome}")
        return Status.FAILED, outcome.errno or errno.EIO
    return Status.OK, outcome


def _told(
    complaints: Complaints, verb: str, items: Sequence[PweParam | Deletion], outcomes: Sequence[object]
) -> list[tuple[Status, object]]:
    """Answer for each item of a batch."""
    pairs = zip(items, outcomes, strict=True)
    return [_answer(complaints, f"{verb} {item.interface}", outcome) for item, outcome in pairs]
