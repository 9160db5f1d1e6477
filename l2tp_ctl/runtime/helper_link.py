"""Keeps a connection to l2tp-kernel: connects, takes over what it owns, opens the control sockets, begins again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import zmq.asyncio

from l2tp_ctl.admin_schema import Latency
from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.settings import Encapsulation
from l2tp_ctl.runtime.config_file import Configuration, ListenAddress
from l2tp_ctl.runtime.control_socket import ControlSocket
from l2tp_ctl.runtime.helper_client import HelperClient, HelperError, HelperGoneError, HelperRefusedError
from l2tp_ctl.runtime.pseudowires import packed
from l2tp_ctl.runtime.shell import Shell
from l2tp_ctl.runtime.tunnel_sockets import TunnelSockets
from l2tp_kernel import schema
from l2tp_kernel.schema import Counters, Listener, Plane, Verb

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 3.0
"""Seconds between two attempts to connect; the pause doubles from the first to the longest."""
COUNTERS_TIME = LIST_TIME = 2.0
"""Seconds for the plane's counters, and for what the helper has, which an answer can do without."""
LISTEN_AGAIN = 2.0
"""Seconds between two attempts to open a control socket, whose address may be not there yet."""

_COUNTERS = tuple(field.name for field in fields(Counters))
MODULES = "l2tp_eth l2tp_ip l2tp_ip6"
"""What to load for the kernel plane; the modules that these need come along."""
REMEDY = f'modprobe -a {MODULES} and restart l2tp-kernel, or write plane = "auto"'

_ENCAPSULATIONS: Mapping[Encapsulation, schema.Encapsulation] = {
    Encapsulation.UDP: schema.Encapsulation.UDP,
    Encapsulation.IP: schema.Encapsulation.IP,
}


class HelperLink:
    """The connection to the helper, through all of the helper's lives."""

    def __init__(self, configuration: Configuration, shell: Shell) -> None:
        self._configuration = configuration
        self._wanted = configuration.listeners
        """The control sockets that there should be."""
        self._changed = asyncio.Event()
        self._listening = asyncio.Lock()
        self._shell = shell
        self._tunnels = TunnelSockets(shell)
        self._context = zmq.asyncio.Context()
        self._client: HelperClient | None = None
        self._started = False
        self._pause = FIRST_PAUSE
        self._complaint = ""
        """What was logged of the helper's absence."""
        self.latencies: dict[str, Latency] = {}
        """What it has answered in all its lives, by the verb's name."""
        self._refused: dict[ListenAddress, str] = {}
        """Why each control socket could not be opened; only a new reason is logged."""

    @property
    def connected(self) -> bool:
        """Whether the helper is there."""
        return self._client is not None

    @property
    def problem(self) -> str:
        """Why the helper is not there or cannot do what is configured, empty where all is well."""
        if self._client is not None:
            return "" if self._has_plane(self._client) else f"l2tp-kernel has no kernel plane: {REMEDY}"
        return f"l2tp-kernel is away: {self._complaint}" if self._complaint else "l2tp-kernel is away"

    @property
    def planes(self) -> tuple[Plane, ...]:
        """What the helper can do here, nothing while it is away."""
        return () if self._client is None else self._client.planes

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        try:
            while True:
                reason = await self._live()
                if reason != self._complaint:
                    self._complaint = reason
                    self._shell.log.write(Entry.HELPER_LOST, {"error": reason})
                await asyncio.sleep(self._pause)
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
        finally:
            for sock in self._shell.sockets:
                self._shell.detach(sock)
            self._tunnels.close()
            self._context.destroy(linger=0)

    async def open(self, listeners: tuple[ListenAddress, ...]) -> None:
        """Take note of the control sockets that there should be from now on, and open those that can be opened."""
        self._wanted = listeners
        if self._client is not None:
            with contextlib.suppress(HelperError):
                await self._listen(self._client)

    def tend(self) -> None:
        """Close what need not be open any more as soon as nobody uses it, and open what had to wait for that."""
        self._changed.set()

    async def counters(self, interfaces: Sequence[str] | None = None) -> dict[str, dict[str, int]]:
        """Return the plane's counters by interface and name, of those that the helper owns; of all without a choice.

        There are none while it does not answer.
        """
        if self._client is None or interfaces == []:
            return {}
        # Beyond one batch it is shorter to ask for all.
        asked = interfaces if interfaces and len(interfaces) <= schema.MAX_BATCH else []
        with contextlib.suppress(HelperError, TimeoutError):
            async with asyncio.timeout(COUNTERS_TIME):
                told = await self._client.request(Verb.STATS, asked)
                return {name: dict(zip(_COUNTERS, values, strict=True)) for name, *values in told}
        return {}

    async def listing(self) -> tuple[list[list[Any]], str]:
        """Return the fields of every pseudowire that the helper has, or else why it does not tell them."""
        if self._client is None:
            return [], self.problem
        try:
            async with asyncio.timeout(LIST_TIME):
                _, pseudowires = await self._client.request(Verb.LIST)
        except TimeoutError:
            return [], f"l2tp-kernel has not answered for {LIST_TIME:g} s"
        except HelperError as error:
            return [], f"l2tp-kernel does not tell what it has: {error}"
        return pseudowires, ""

    async def _live(self) -> str:
        """Serve one life of the helper, and return why it ended."""
        directory = self._configuration.kernel_directory
        try:
            client = await HelperClient.connect(self._context, directory, self._shell.helper_event, self._tunnels.put)
        except HelperError as error:
            return str(error)
        reason = ""
        try:
            async with asyncio.TaskGroup() as group:
                await self._take_over(client)
                group.create_task(self._shell.pseudowires.run(client))
                group.create_task(self._tend(client))
                raise HelperGoneError(await client.ended())
        except* HelperError as errors:
            reason = str(errors.exceptions[0])
        finally:
            self._client = None
            client.close()
            self._shell.helper_lost()
        return reason

    async def _take_over(self, client: HelperClient) -> None:
        """Remove what nobody wants, open the control sockets, and let the core begin or go on."""
        listeners, pseudowires = await client.request(Verb.LIST)
        await self._shell.pseudowires.remove_strangers(client, pseudowires)
        for plane, encapsulation, address, port, handle in listeners:
            listener = Listener(plane, encapsulation, address, port)
            if not any(self._same(listener, self._listener(wanted)) for wanted in self._wanted):
                await self._attempt(client, Verb.CLOSE_LISTENER, handle)
        for sock in self._shell.sockets:
            # A helper that begins anew could not bind what is still open here; one that went on gives it out again.
            self._shell.detach(sock)
        await self._listen(client)
        self._client, self._pause, self._complaint = client, FIRST_PAUSE, ""
        client.latencies = self.latencies
        self._shell.pseudowires.connect()
        planes = ", ".join(plane.name.lower() for plane in client.planes)
        self._shell.log.write(Entry.HELPER_CONNECTED, {"plane": planes})
        if not self._has_plane(client):
            self._shell.log.write(Entry.NO_SUCH_PLANE, {"remedy": REMEDY})
        if self._started:
            self._shell.helper_back()
        else:
            self._started = True
            self._shell.start()

    async def _listen(self, client: HelperClient) -> None:
        """Open the control sockets that are not open, unless another has to make room."""
        if not self._has_plane(client):
            return
        async with self._listening:
            for wanted in self._shell.sockets.missing(self._wanted):
                if not any(wanted.overlaps(sock.listen) for sock in self._shell.sockets):
                    await self._open(client, wanted)

    async def _open(self, client: HelperClient, wanted: ListenAddress) -> None:
        try:
            handle, flavour, sock = await client.open_listener(self._listener(wanted))
        except HelperGoneError:
            raise
        except HelperError as error:
            if self._refused.get(wanted) != str(error):
                self._refused[wanted] = str(error)
                self._shell.helper_failed(error, Verb.OPEN_LISTENER, str(wanted))
        else:
            self._refused.pop(wanted, None)
            self._shell.attach(ControlSocket(sock, flavour, handle, wanted))
            self._tunnels.watch()

    async def _tend(self, client: HelperClient) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LISTEN_AGAIN):
                    await self._changed.wait()
            self._changed.clear()
            for sock in self._shell.sockets:
                if sock.listen not in self._wanted:
                    await self._retire(client, sock)
            await self._listen(client)

    async def _retire(self, client: HelperClient, sock: ControlSocket) -> None:
        """Close a control socket that need not be open any more, if nobody uses it or another needs its place."""
        if any(sock.listen.overlaps(wanted) for wanted in self._wanted):
            for view in self._shell.overview():
                if self._shell.sockets.find(view.address) is sock:
                    self._shell.clear_tunnel(view.name)
        elif self._shell.uses(sock):
            return
        await self._shell.pseudowires.done()
        try:
            await client.request(Verb.CLOSE_LISTENER, sock.handle)
        except HelperRefusedError:
            return  # a pseudowire came up meanwhile: next time
        self._shell.detach(sock)

    async def _attempt(self, client: HelperClient, verb: Verb, *arguments: object) -> None:
        try:
            await client.request(verb, *arguments)
        except HelperGoneError:
            raise
        except HelperError as error:
            self._shell.helper_failed(error, verb)

    def _has_plane(self, client: HelperClient) -> bool:
        """Whether the helper has the plane that is configured; what it has, it has for life."""
        return self._configuration.plane in (Plane.AUTO, *client.planes)

    def _listener(self, wanted: ListenAddress) -> Listener:
        encapsulation = _ENCAPSULATIONS[wanted.encapsulation]
        return Listener(self._configuration.plane, encapsulation, packed(wanted.address), wanted.port)

    @staticmethod
    def _same(listed: Listener, wanted: Listener) -> bool:
        """Whether opening ``wanted`` yields the listener that the helper lists."""
        return wanted in {listed, replace(listed, plane=Plane.AUTO)}
