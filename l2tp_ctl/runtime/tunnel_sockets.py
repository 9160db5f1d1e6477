"""The kernel plane's sockets: where a peer's control messages arrive while the kernel forwards its frames."""

from __future__ import annotations

import socket

from l2tp_ctl.runtime.control_socket import ControlSocket
from l2tp_ctl.runtime.shell import Shell
from l2tp_kernel.schema import Flavour


class TunnelSockets:
    """Those that the helper has given out, by its number of the tunnel.

    They stay open when the helper ends, for that keeps the kernel's tunnels and their traffic alive.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._waiting: dict[int, tuple[int, socket.socket]] = {}
        """Handle of a listener that is not open here yet, and the socket."""
        self._open: dict[int, ControlSocket] = {}

    def put(self, handle: int, tunnel: int, sock: socket.socket | None) -> None:
        """Take the socket of a tunnel, or close it for ``None``."""
        if tunnel in self._open:
            self._shell.unwatch(self._open.pop(tunnel))
        if tunnel in self._waiting:
            self._waiting.pop(tunnel)[1].close()
        if sock is not None:
            self._waiting[tunnel] = handle, sock
            self.watch()

    def watch(self) -> None:
        """Read from the sockets whose listener is open now."""
        listeners = {each.handle: each.listen for each in self._shell.sockets}
        for tunnel, (handle, sock) in [*self._waiting.items()]:
            if handle in listeners:
                del self._waiting[tunnel]
                self._open[tunnel] = ControlSocket(sock, Flavour.UDP, handle, listeners[handle])
                self._shell.watch(self._open[tunnel])

    def close(self) -> None:
        """Close all."""
        for tunnel in [*self._open, *self._waiting]:
            self.put(0, tunnel, None)
