"""What a forwarding plane does for the registry, whoever forwards: the kernel, or a process of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

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


class Interface(NamedTuple):
    """What a plane has made or changed."""

    number: int
    """Its index."""
    label: str | None
    """The alias that it is to carry, None for none."""


class ForwardingPlane(Protocol):
    """Listeners and interfaces of one kind; a call that raises OSError has changed nothing.

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

    def check(self, param: schema.PweParam) -> None:
        """Refused for parameters that this plane cannot do."""

    def set(self, params: Sequence[schema.PweParam]) -> list[Interface | OSError]:
        """Make each session be exactly this, all of different interfaces; gives what came of each, in order.

        A new interface is down, and so is one that had to be made anew for a change: it has another index.
        FileExistsError stands for a name or session that somebody else has.  Where a new one failed nothing is left;
        where a change failed the old parameters bring the old state back.
        """

    def delete(self, interfaces: Sequence[str]) -> None:
        """Remove these sessions, and the interfaces that are still there; raises nothing."""

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
