"""What a forwarding plane does for the registry, whoever forwards: the kernel, or a process of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import socket

    from l2tp_kernel import schema
    from l2tp_kernel.links import Link


class ControlSocket(NamedTuple):
    """The half of a listener that carries control messages; the plane keeps and closes it."""

    socket: socket.socket
    flavour: schema.Flavour


class TunnelSocket(NamedTuple):
    """A socket on which control messages of one peer arrive, instead of at the listener."""

    listener: int
    tunnel: int
    """The plane's number of it."""
    socket: socket.socket | None
    """None once it is closed."""


class Adopted(NamedTuple):
    """A pseudowire that an earlier helper made, with listener 0."""

    param: schema.PweParam
    link: Link


class ForwardingPlane(Protocol):
    """Listeners and interfaces of one kind; every call may raise OSError or Refused and then has changed nothing.

    The registry decides what is allowed and owned, and sets MTU, bridge and administrative state itself: they are the
    same for every kind of interface.
    """

    @property
    def kind(self) -> schema.Plane:
        """What clients call it."""

    def adopt(self) -> list[Adopted]:
        """Take over, once and at first, what an earlier helper left."""

    def open_listener(self, handle: int, listener: schema.Listener) -> ControlSocket:
        """Open the sockets of a listener."""

    def close_listener(self, handle: int) -> None:
        """Close them; no pseudowire uses them any more."""

    def create(self, param: schema.PweParam) -> int:
        """Make a new interface, still down, with its session, and give its index; FileExistsError for a taken name."""

    def modify(self, param: schema.PweParam) -> int:
        """Change the session of ``param.interface`` and give its index: another one if it had to be made anew, down.

        After an error the old parameters bring the old state back, again with an index that may be another one.
        """

    def delete(self, interface: str) -> None:
        """Remove the session, and the interface if it is still there; raises nothing."""

    def stats(self) -> dict[str, schema.Counters]:
        """Counters of every pseudowire, by interface."""

    def tunnel_sockets(self, listener: int) -> list[TunnelSocket]:
        """Sockets where control messages arrive beside a listener."""

    def news(self) -> list[TunnelSocket]:
        """Those opened or closed since the last call."""

    def fileno(self) -> int:
        """Readable when :meth:`tend` has something to do."""

    def tend(self) -> None:
        """Do what is due, such as to start a forwarder again that has died."""

    def close(self) -> None:
        """End everything."""
