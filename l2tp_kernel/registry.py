"""What the helper owns: listeners by handle, pseudowires by interface.

Whatever a client asks for is checked against the policy and against this before anything is touched.  A call either
does all, or raises Refused or OSError and leaves things as they were.
"""

from __future__ import annotations

import errno
import functools
import itertools
import socket
from dataclasses import astuple, fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from l2tp_kernel import bridges, mtu
from l2tp_kernel.catalogue import Line
from l2tp_kernel.journal import log, together
from l2tp_kernel.links import Setting
from l2tp_kernel.owned import Owned, Pwe
from l2tp_kernel.plane import Interface
from l2tp_kernel.schema import MAX_LISTENERS, Encapsulation, Listener, Plane, PweParam, Reason
from l2tp_kernel.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from l2tp_kernel.links import Link, Links
    from l2tp_kernel.plane import ControlSocket, ForwardingPlane
    from l2tp_kernel.policy import Policy
    from l2tp_kernel.wire import Deletion

_fields = attrgetter(*(each.name for each in fields(PweParam)))
"""What ``astuple`` gives, without copying each value: there may be thousands."""

Outcome: TypeAlias = tuple[str, int, int] | Refused | OSError
"""Interface, MTU and index of a pseudowire that was set, or why it was not."""


class _Open(NamedTuple):
    listener: Listener
    control: ControlSocket


class _Wish(NamedTuple):
    """One pseudowire of a request, checked."""

    position: int
    """In the request."""
    param: PweParam
    plane: Plane
    old: Pwe | None
    mtu: int
    bridge: int
    """Index of its bridge, 0 without."""

    def setting(self, made: Interface) -> Setting:
        """Give what is the same for every kind of interface."""
        master = bridges.master(self.param, self.bridge, self.old)
        return Setting(made.number, self.mtu, self.param.up, master, made.label)


class _Batch:
    """One request on its way: what waits to be carried out together, and what many of its pseudowires have in common.

    ``check_ends`` gives the listener for a policy, a plane and :attr:`PweParam.ends`, or raises Refused.
    """

    def __init__(self, links: Links, policy: Policy, check_ends: Callable[..., Listener]) -> None:
        self.policy = policy
        self.check_ends = functools.cache(functools.partial(check_ends, policy))
        self.path_mtu = functools.cache(links.path_mtu)
        self.find = functools.cache(links.find)
        self.waiting: dict[str, _Wish] = {}
        self.sessions: set[tuple[int, int]] = set()
        self.outcomes: dict[int, Outcome] = {}


class Registry:
    """All that was made here or adopted; AUTO is the first of ``planes``, ``links`` the kernel's view of interfaces."""

    def __init__(self, planes: Sequence[ForwardingPlane], links: Links) -> None:
        self._planes = {plane.kind: plane for plane in planes}
        self._automatic = planes[0].kind
        self._links = links
        self._handles = itertools.count(1)
        self._listeners: dict[int, _Open] = {}
        self._owned = Owned()
        for param, link in itertools.chain.from_iterable(plane.adopt() for plane in planes):
            self._owned.put(Pwe(param, param.plane, link.number, link.mtu, link.up))
            log(Line.INTERFACE_ADOPTED, interface=param.interface)

    def open_listener(self, listener: Listener, policy: Policy) -> tuple[int, ControlSocket]:
        """Handle and control socket of a listener, made unless it is there."""
        if (listener.port == 0) is (listener.encapsulation is Encapsulation.UDP):
            raise Refused(Reason.MALFORMED, "a port over UDP and 0 over IP")
        listener = replace(listener, plane=self._resolve(listener.plane))
        policy.check_listener(listener)
        for handle, each in self._listeners.items():
            if each.listener == listener:
                return handle, each.control
        if len(self._listeners) >= MAX_LISTENERS:
            raise Refused(Reason.POLICY, f"{MAX_LISTENERS} listeners are open")
        handle = next(self._handles)
        opened = self._planes[listener.plane].open_listener(handle, listener)
        self._listeners[handle] = _Open(listener, opened)
        where, encapsulation = _text(listener.address), listener.encapsulation.name
        log(Line.LISTENER_OPEN, handle=handle, encapsulation=encapsulation, address=where, port=listener.port)
        return handle, opened

    def close_listener(self, handle: int) -> None:
        """Close a listener that no pseudowire uses."""
        if handle not in self._listeners:
            raise Refused(Reason.NOT_FOUND, f"listener {handle}")
        if any(each.param.listener == handle for each in self._owned):
            raise Refused(Reason.IN_USE, f"listener {handle} has pseudowires")
        self._planes[self._listeners[handle].listener.plane].close_listener(handle)
        del self._listeners[handle]
        log(Line.LISTENER_CLOSED, handle=handle)

    def set(self, params: Sequence[PweParam], policy: Policy) -> list[Outcome]:
        """Make each pseudowire end be exactly this; gives interface, MTU and index of each, or why not.

        It comes out as if they had been set one after the other, but all that do not depend on one another go to the
        kernel together.
        """
        batch = _Batch(self._links, policy, self._check_ends)
        for position, param in enumerate(params):
            wish = self._consider(position, param, batch)
            if not isinstance(wish, _Wish) and batch.waiting:
                self._carry_out(batch)  # what waits may free a name, a session or a place
                wish = self._consider(position, param, batch)
            if isinstance(wish, _Wish):
                batch.waiting[param.interface] = wish
                batch.sessions.add((param.listener, param.local_session_id))
            else:
                batch.outcomes[position] = wish
        self._carry_out(batch)
        return [batch.outcomes[position] for position in range(len(params))]

    def delete(self, deletions: Sequence[Deletion]) -> list[Refused | None]:
        """Remove pseudowires that still belong to these sessions; gives why not for each that does not."""
        outcomes: list[Refused | None] = []
        gone = []
        for interface, session in ((each.interface, each.local_session_id) for each in deletions):
            pwe = self._owned.get(interface)
            if pwe and pwe.param.local_session_id == session:
                gone.append(pwe)
                self._owned.pop(interface)
                outcomes.append(None)
            else:
                outcomes.append(Refused(Reason.NOT_FOUND, f"{interface} with session {session}"))
        self._remove(gone)
        for pwe in gone:
            log(Line.INTERFACE_REMOVED, interface=pwe.param.interface)
        return outcomes

    def listing(self) -> list[list[tuple[object, ...]]]:
        """Give what LIST answers."""
        listeners = [(*astuple(each.listener), handle) for handle, each in self._listeners.items()]
        links = self._links.all()
        return [listeners, [_fields(self._as_it_is(each, links.get(each.number))) for each in self._owned]]

    def stats(self, interfaces: Iterable[str]) -> list[tuple[object, ...]]:
        """Give what STATS answers."""
        counters = {name: counted for plane in self._planes.values() for name, counted in plane.stats().items()}
        wanted = list(interfaces) or [each.param.interface for each in self._owned]
        return [(name, *astuple(counters[name])) for name in wanted if name in counters and self._owned.get(name)]

    def follow(self, policy: Policy) -> list[tuple[str, bool | None]]:
        """Interfaces that others changed since the last call: name and administrative state, None for removed.

        Bridges that have appeared get the interfaces that are to be in them.
        """
        try:
            changed = self._links.changes()
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            known = {number for each in self._owned for number in (each.number, each.bridge) if number}
            changed = dict.fromkeys(known) | self._links.all()  # some were lost: look at all
        news: list[tuple[str, bool | None]] = []
        gone = []
        for number, link in changed.items():
            pwe = self._owned.numbered(number)
            if pwe and link and link.up != pwe.up:
                link = self._links.find(number)  # noqa: PLW2901  # what goes is told as down first
            if pwe is None or (link and link.up == pwe.up):
                continue
            if link:
                self._owned.put(pwe._replace(up=link.up))
            else:
                gone.append(pwe)
                self._owned.pop(pwe.param.interface)
            news.append((pwe.param.interface, link.up if link else None))
        self._remove(gone)
        bridges.follow(self._owned, self._links, changed, policy)
        return news

    def close(self) -> None:
        """Remove all that was made."""
        self._remove(list(self._owned))
        self._listeners.clear()
        for plane in self._planes.values():
            plane.close()

    def _as_it_is(self, pwe: Pwe, there: Link | None) -> PweParam:
        """Give the parameters of a pseudowire, with what is otherwise on its interface, if that is there."""
        param = pwe.param
        mtu = there.mtu if there and there.mtu != pwe.mtu else param.mtu
        as_set = not param.bridge or (pwe.bridge and (there is None or there.master == pwe.bridge))
        bridge = param.bridge if as_set else self._links.name(there.master) if there and there.master else ""
        return replace(param, plane=pwe.plane, mtu=mtu, bridge=bridge, up=pwe.up)

    def _consider(self, position: int, param: PweParam, batch: _Batch) -> _Wish | Refused | OSError:
        try:
            return self._check(position, param, batch)
        except (Refused, OSError) as no:
            return no

    def _check(self, position: int, param: PweParam, batch: _Batch) -> _Wish:
        """Check one pseudowire against all that is there, and all that waits as if it were there."""
        interface, session = param.interface, (param.listener, param.local_session_id)
        old = self._owned.get(interface)
        listener = batch.check_ends(param.plane, *param.ends)
        batch.policy.check_interface(param, others=len(self._owned) + len(batch.waiting) - (old is not None))
        self._planes[listener.plane].check(param)
        if old and old.plane is not listener.plane:
            raise Refused(Reason.PLANE, f"{interface} exists in the other plane")
        if interface in batch.waiting or session in batch.sessions:
            raise Refused(Reason.IN_USE, f"{interface} or its session is being set")
        if self._owned.holder(*session) not in ("", interface):
            raise Refused(Reason.IN_USE, f"session {param.local_session_id} belongs to {self._owned.holder(*session)}")
        if old and self._links.name(old.number) != interface:
            self._owned.pop(interface)  # somebody removed or renamed it, and the event is still under way
            self._remove([old])
            old = None
        size = param.mtu or mtu.automatic(param, listener, batch.path_mtu)
        bridge = bridges.check(batch.find(param.bridge)) if param.bridge else 0
        return _Wish(position, param, listener.plane, old, size, bridge)

    def _resolve(self, plane: Plane) -> Plane:
        if plane is Plane.AUTO:
            return self._automatic
        if plane not in self._planes:
            raise Refused(Reason.PLANE, f"no {plane.name.lower()} plane here")
        return plane

    def _check_ends(
        self, policy: Policy, plane: Plane, handle: int, local: bytes, peer: bytes, peer_port: int
    ) -> Listener:
        """Check where frames are to go, and give the listener beside which they do."""
        policy.check_ends(local, peer)
        if handle not in self._listeners:
            raise Refused(Reason.NOT_FOUND, f"listener {handle}")
        listener = self._listeners[handle].listener
        if plane not in (Plane.AUTO, listener.plane):
            raise Refused(Reason.PLANE, f"listener {handle} is of the other plane")
        if not len(peer) == len(local) == len(listener.address):
            raise Refused(Reason.MALFORMED, "addresses of another family than the listener's")
        if (peer_port == 0) is (listener.encapsulation is Encapsulation.UDP):
            raise Refused(Reason.MALFORMED, "a peer's port over UDP and 0 over IP")
        if any(listener.address) and any(local) and local != listener.address:
            raise Refused(Reason.MALFORMED, "a local address that is not the listener's")
        return listener

    @together()
    def _carry_out(self, batch: _Batch) -> None:
        """Make and set what waits, and take back what fails."""
        wishes = list(batch.waiting.values())
        batch.waiting.clear()
        batch.sessions.clear()
        pairs = list(zip(wishes, self._make(wishes), strict=True))
        settings = [wish.setting(each) for wish, each in pairs if isinstance(each, Interface)]
        errors = iter(self._links.configure(settings))
        for wish, each in pairs:
            number = each.number if isinstance(each, Interface) else 0
            error = each if isinstance(each, OSError) else next(errors)
            batch.outcomes[wish.position] = self._undo(wish, error, number) if error else self._remember(wish, number)

    def _make(self, wishes: list[_Wish]) -> list[Interface | OSError]:
        """Have sessions made and changed, by the plane of each; those that are as wanted stay as they are."""
        same = [each.old for each in wishes if each.old and each.old.param == each.param]
        made: dict[str, Interface | OSError] = {old.param.interface: Interface(old.number, None) for old in same}
        for kind, plane in self._planes.items():
            params = [each.param for each in wishes if each.plane is kind and each.param.interface not in made]
            made |= zip((param.interface for param in params), plane.set(params), strict=True)
        return [made[each.param.interface] for each in wishes]

    def _remember(self, wish: _Wish, number: int) -> tuple[str, int, int]:
        """Own what was made or changed."""
        param, old = wish.param, wish.old
        self._owned.put(Pwe(param, wish.plane, number, wish.mtu, param.up, wish.bridge))
        if not old or old.param != param:
            line, peer = Line.INTERFACE_CHANGED if old else Line.INTERFACE_MADE, _text(param.peer_address)
            ids = {"local_id": param.local_session_id, "peer_id": param.peer_session_id}
            log(line, interface=param.interface, **ids, peer=peer)
        if param.bridge and not wish.bridge and not (old and old.param.bridge == param.bridge and not old.bridge):
            log(Line.BRIDGE_AWAITED, interface=param.interface, bridge=param.bridge)
        return param.interface, wish.mtu, number

    def _undo(self, wish: _Wish, error: OSError, number: int) -> Refused | OSError:
        """Leave things as they were before a wish that failed; ``number`` is the index of what was made, or 0."""
        plane = self._planes[wish.plane]
        if old := wish.old:
            before = replace(old.param, listener=old.param.listener or wish.param.listener)  # one adopted has none
            (back,) = plane.set([before])
            if isinstance(back, Interface):
                self._owned.put(old._replace(number=back.number))
                master = bridges.master(old.param, old.bridge, old._replace(param=wish.param))
                basics = Setting(back.number, old.mtu, old.up, label=back.label)
                self._links.configure([basics, Setting(back.number, master=master)])
        elif number:
            plane.delete([wish.param.interface])
        if isinstance(error, FileExistsError):
            return Refused(Reason.NOT_OWNED, f"{wish.param.interface}, its session or tunnel exists")
        return error

    def _remove(self, pwes: Sequence[Pwe]) -> None:
        for kind, plane in self._planes.items():
            plane.delete([each.param.interface for each in pwes if each.plane is kind])


@functools.lru_cache  # many pseudowires have one peer
def _text(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)
