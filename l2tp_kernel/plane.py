"""What a forwarding plane does for the registry, whoever forwards: the kernel, or a process of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import socket

    from l2tp_kernel import schema


class ControlSocket(NamedTuple):
    """The half of a listener that carries control messages; the plane keeps and closes it."""

    socket: socket.socket
    flavour: schema.Flavour


class ForwardingPlane(Protocol):
    """Listeners and interfaces of one kind; every call may raise OSError and then has changed nothing.

    The registry decides what is allowed and owned, and sets MTU, bridge and administrative state itself: they are the
    same for every kind of interface.
    """

    @property
    def kind(self) -> schema.Plane:
        """What clients call it."""

    def open_listener(self, handle: int, listener: schema.Listener) -> ControlSocket:
        """Open the sockets of a listener."""

    def close_listener(self, handle: int) -> None:
        """Close them; no pseudowire uses them any more."""

    def create(self, param: schema.PweParam) -> int:
        """Make a new interface, still down, with its session, and give its index; FileExistsError for a taken name."""

    def modify(self, param: schema.PweParam) -> None:
        """Change the session of ``param.interface``, which exists."""

    def delete(self, interface: str) -> None:
        """Remove the session, and the interface if it is still there; raises nothing."""

    def stats(self) -> dict[str, schema.Counters]:
        """Counters of every pseudowire, by interface."""

    def fileno(self) -> int:
        """Readable when :meth:`tend` has something to do."""

    def tend(self) -> None:
        """Do what is due, such as to start a forwarder again that has died."""

    def close(self) -> None:
        """End everything."""
