"""Keeps a connection to l2tp-kernel: connects, takes over what it owns, opens the control sockets, begins again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import replace

import zmq.asyncio

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.settings import Encapsulation
from l2tp_ctl.runtime.config_file import Configuration, ListenAddress
from l2tp_ctl.runtime.control_socket import ControlSocket
from l2tp_ctl.runtime.helper_client import HelperClient, HelperError, HelperGoneError
from l2tp_ctl.runtime.pseudowires import packed
from l2tp_ctl.runtime.shell import Shell
from l2tp_kernel import schema
from l2tp_kernel.schema import Counters, Listener, Plane, Verb

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 3.0
"""Seconds between two attempts to connect; the pause doubles from the first to the longest."""
LISTEN_AGAIN = 2.0
"""Seconds between two attempts to open a control socket, whose address may be not there yet."""

_ENCAPSULATIONS: Mapping[Encapsulation, schema.Encapsulation] = {
    Encapsulation.UDP: schema.Encapsulation.UDP,
    Encapsulation.IP: schema.Encapsulation.IP,
}


class HelperLink:
    """The connection to the helper, through all of the helper's lives."""

    def __init__(self, configuration: Configuration, shell: Shell) -> None:
        self._configuration = configuration
        self._shell = shell
        self._context = zmq.asyncio.Context()
        self._client: HelperClient | None = None
        self._started = False
        self._refused: dict[ListenAddress, str] = {}
        """Why each control socket could not be opened; only a new reason is logged."""

    @property
    def connected(self) -> bool:
        """Whether the helper is there."""
        return self._client is not None

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        pause, complaint = FIRST_PAUSE, ""
        try:
            while True:
                try:
                    client = await HelperClient.connect(
                        self._context, self._configuration.kernel_directory, self._shell.helper_event
                    )
                except HelperError as error:
                    if str(error) != complaint:
                        complaint = str(error)
                        self._shell.log.write(Entry.HELPER_LOST, {"error": complaint})
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                    continue
                pause, complaint = FIRST_PAUSE, ""
                await self._use(client)
        finally:
            for sock in self._shell.sockets:
                self._shell.detach(sock)
            self._context.destroy(linger=0)

    async def counters(self, interfaces: list[str]) -> dict[str, Counters]:
        """Return the plane's counters by interface, of those that the helper owns; empty while it is away."""
        if self._client is None or not interfaces:
            return {}
        # Beyond one batch it is shorter to ask for all.
        asked = interfaces if len(interfaces) <= schema.MAX_BATCH else []
        with contextlib.suppress(HelperError):
            return {name: Counters(*values) for name, *values in await self._client.request(Verb.STATS, asked)}
        return {}

    async def _use(self, client: HelperClient) -> None:
        """Serve one life of the helper."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._take_over(client)
                group.create_task(self._shell.pseudowires.run(client))
                group.create_task(self._listen_again(client))
                raise HelperGoneError(await client.ended())
        except* HelperError as errors:
            self._shell.log.write(Entry.HELPER_LOST, {"error": str(errors.exceptions[0])})
        finally:
            self._client = None
            client.close()
            self._shell.helper_lost()

    async def _take_over(self, client: HelperClient) -> None:
        """Remove what nobody wants, open the control sockets, and let the core begin or go on."""
        listeners, pseudowires = await client.request(Verb.LIST)
        await self._shell.pseudowires.remove_strangers(client, pseudowires)
        for plane, encapsulation, address, port, handle in listeners:
            listener = Listener(plane, encapsulation, address, port)
            if not any(self._same(listener, self._listener(wanted)) for wanted in self._configuration.listeners):
                await self._attempt(client, Verb.CLOSE_LISTENER, handle)
        for sock in self._shell.sockets:
            # A helper that begins anew could not bind what is still open here; one that went on gives it out again.
            self._shell.detach(sock)
        await self._listen(client)
        self._client = client
        self._shell.pseudowires.connect()
        planes = ", ".join(plane.name.lower() for plane in client.planes)
        self._shell.log.write(Entry.HELPER_CONNECTED, {"plane": planes})
        if self._started:
            self._shell.helper_back()
        else:
            self._started = True
            self._shell.start()

    async def _listen(self, client: HelperClient) -> None:
        """Open the control sockets that are not open."""
        for wanted in self._shell.sockets.missing(self._configuration.listeners):
            try:
                handle, flavour, sock = await client.open_listener(self._listener(wanted))
            except HelperGoneError:
                raise
            except HelperError as error:
                if self._refused.get(wanted) != str(error):
                    self._refused[wanted] = str(error)
                    self._shell.helper_failed(error, Verb.OPEN_LISTENER)
            else:
                self._refused.pop(wanted, None)
                self._shell.attach(ControlSocket(sock, flavour, handle, wanted))

    async def _listen_again(self, client: HelperClient) -> None:
        while True:
            await asyncio.sleep(LISTEN_AGAIN)
            await self._listen(client)

    async def _attempt(self, client: HelperClient, verb: Verb, *arguments: object) -> None:
        try:
            await client.request(verb, *arguments)
        except HelperGoneError:
            raise
        except HelperError as error:
            self._shell.helper_failed(error, verb)

    def _listener(self, wanted: ListenAddress) -> Listener:
        encapsulation = _ENCAPSULATIONS[wanted.encapsulation]
        return Listener(self._configuration.plane, encapsulation, packed(wanted.address), wanted.port)

    @staticmethod
    def _same(listed: Listener, wanted: Listener) -> bool:
        """Whether opening ``wanted`` yields the listener that the helper lists."""
        return wanted in {listed, replace(listed, plane=Plane.AUTO)}
