"""What the helper owns: listeners by handle, pseudowires by interface.

Whatever a client asks for is checked against the policy and against this before anything is touched.  A call either
does all, or raises Refused or OSError and leaves things as they were.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import itertools
import os
from dataclasses import astuple, replace
from typing import TYPE_CHECKING, NamedTuple

from l2tp_kernel.catalogue import Line
from l2tp_kernel.journal import log
from l2tp_kernel.schema import MAX_LISTENERS, Encapsulation, Listener, Plane, PweParam, Reason
from l2tp_kernel.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from l2tp_kernel.links import Link, Links
    from l2tp_kernel.plane import ControlSocket, ForwardingPlane
    from l2tp_kernel.policy import Policy
    from l2tp_kernel.wire import Deletion

_IPV4_HEADER, _IPV6_HEADER, _UDP_HEADER, _ETHERNET_HEADER = 20, 40, 8, 14
_DATA_HEADER = {Encapsulation.UDP: 8, Encapsulation.IP: 4}
"""Octets up to and with the Session ID (RFC 3931, sections 4.1.1.1 and 4.1.2.1)."""
_SUBLAYER = 4
_SMALLEST_MTU = 68


class _Open(NamedTuple):
    listener: Listener
    control: ControlSocket


class _Pwe(NamedTuple):
    param: PweParam
    number: int
    """Index of the interface."""
    mtu: int
    up: bool
    """The administrative state as last seen."""
    bridge: int = 0
    """Index of what has the name of its bridge, as last seen; 0 if there is nothing or it wants none."""


def interface_mtu(path: int, encapsulation: Encapsulation, param: PweParam) -> int:
    """Compute the largest MTU whose frames need no outer fragment on a path of ``path`` octets.

    Cookie and sublayer may differ by direction; the larger counts, so that both ends come to the same value.
    """
    outer = _IPV4_HEADER if len(param.peer_address) == 4 else _IPV6_HEADER
    outer += _UDP_HEADER if encapsulation is Encapsulation.UDP else 0
    cookie = max(len(param.local_cookie), len(param.peer_cookie))
    sublayer = _SUBLAYER * max(param.receive_sublayer, param.send_sublayer)
    return path - outer - _DATA_HEADER[encapsulation] - cookie - sublayer - _ETHERNET_HEADER


class Registry:
    """All that was made here or adopted; AUTO is the first of ``planes``, ``links`` the kernel's view of interfaces."""

    def __init__(self, planes: Sequence[ForwardingPlane], links: Links) -> None:
        self._planes = {plane.kind: plane for plane in planes}
        self._automatic = planes[0].kind
        self._links = links
        self._handles = itertools.count(1)
        self._listeners: dict[int, _Open] = {}
        self._pwes: dict[str, _Pwe] = {}
        for param, link in itertools.chain.from_iterable(plane.adopt() for plane in planes):
            self._pwes[param.interface] = _Pwe(param, link.number, link.mtu, link.up)
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
        address, encapsulation = ipaddress.ip_address(listener.address), listener.encapsulation.name
        log(Line.LISTENER_OPEN, handle=handle, encapsulation=encapsulation, address=address, port=listener.port)
        return handle, opened

    def close_listener(self, handle: int) -> None:
        """Close a listener that no pseudowire uses."""
        if handle not in self._listeners:
            raise Refused(Reason.NOT_FOUND, f"listener {handle}")
        if any(each.param.listener == handle for each in self._pwes.values()):
            raise Refused(Reason.IN_USE, f"listener {handle} has pseudowires")
        self._planes[self._listeners[handle].listener.plane].close_listener(handle)
        del self._listeners[handle]
        log(Line.LISTENER_CLOSED, handle=handle)

    def set(self, param: PweParam, policy: Policy) -> tuple[str, int, int]:
        """Make one pseudowire end be exactly this; gives its interface, MTU and index."""
        old = self._pwes.get(param.interface)
        policy.check_param(param, others=len(self._pwes) - (old is not None))
        listener = self._check_listener(param)
        param = replace(param, plane=listener.plane)
        if old and old.param.plane is not param.plane:
            raise Refused(Reason.PLANE, f"{param.interface} exists in the other plane")
        for each in self._pwes.values():
            other = each.param
            same_session = (other.listener, other.local_session_id) == (param.listener, param.local_session_id)
            if same_session and other.interface != param.interface:
                raise Refused(Reason.IN_USE, f"session {param.local_session_id} belongs to {other.interface}")
        present = self._links.find(param.interface)
        if old and (present is None or present.number != old.number):
            self._forget(param.interface)  # somebody removed or renamed it, and the event is still under way
            old = None
        if present and not old:
            raise Refused(Reason.NOT_OWNED, f"{param.interface} exists")
        mtu = param.mtu or self._automatic_mtu(param, listener)
        bridge = self._bridge(param)
        master = _master(param, bridge, old)
        try:
            number = self._modify(old, param, mtu, master) if old else self._create(param, mtu, master)
        except FileExistsError:
            raise Refused(Reason.NOT_OWNED, f"{param.interface}, its session or tunnel exists") from None
        if not old or old.param != param:
            log(
                Line.INTERFACE_CHANGED if old else Line.INTERFACE_MADE,
                interface=param.interface,
                local_id=param.local_session_id,
                peer_id=param.peer_session_id,
                peer=ipaddress.ip_address(param.peer_address),
            )
        if param.bridge and not bridge and not (old and old.param.bridge == param.bridge and not old.bridge):
            log(Line.BRIDGE_AWAITED, interface=param.interface, bridge=param.bridge)
        self._pwes[param.interface] = _Pwe(param, number, mtu, param.up, bridge)
        return param.interface, mtu, number

    def delete(self, deletion: Deletion) -> None:
        """Remove a pseudowire if it still belongs to this session."""
        pwe = self._pwes.get(deletion.interface)
        if pwe is None or pwe.param.local_session_id != deletion.local_session_id:
            raise Refused(Reason.NOT_FOUND, f"{deletion.interface} with session {deletion.local_session_id}")
        self._forget(deletion.interface)
        log(Line.INTERFACE_REMOVED, interface=deletion.interface)

    def listing(self) -> list[list[tuple[object, ...]]]:
        """Give what LIST answers."""
        listeners = [(*astuple(each.listener), handle) for handle, each in self._listeners.items()]
        return [listeners, [astuple(each.param) for each in self._pwes.values()]]

    def stats(self, interfaces: Iterable[str]) -> list[tuple[object, ...]]:
        """Give what STATS answers."""
        counters = {name: counted for plane in self._planes.values() for name, counted in plane.stats().items()}
        wanted = list(interfaces) or list(self._pwes)
        return [(name, *astuple(counters[name])) for name in wanted if name in self._pwes and name in counters]

    def follow(self, policy: Policy) -> list[tuple[str, bool | None]]:
        """Interfaces that others changed since the last call: name and administrative state, None for removed.

        Bridges that have appeared get the interfaces that are to be in them.
        """
        changed = self._changes()
        news: list[tuple[str, bool | None]] = []
        for name, pwe in list(self._pwes.items()):
            if pwe.number not in changed:
                continue
            link = changed[pwe.number]
            if link is None:
                self._forget(name)
                news.append((name, None))
            elif link.up != pwe.up:
                self._pwes[name] = pwe._replace(up=link.up)
                news.append((name, link.up))
        named = {link.name: link for link in changed.values() if link}
        for name, pwe in list(self._pwes.items()):
            if pwe.param.bridge:
                gone = pwe.bridge in changed and changed[pwe.bridge] is None
                self._follow_bridge(name, named.get(pwe.param.bridge), policy, gone=gone)
        return news

    def _changes(self) -> dict[int, Link | None]:
        """Give what has changed as it is now, for our own changes are among the messages; None for what is gone."""
        try:
            numbers = self._links.changes()
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            # Some messages were lost: look at all that matters.
            numbers = {number for pwe in self._pwes.values() for number in (pwe.number, pwe.bridge) if number}
            bridges = (self._links.find(name) for name in {pwe.param.bridge for pwe in self._pwes.values()} if name)
            numbers.update(bridge.number for bridge in bridges if bridge)
        return {number: self._links.find(number) for number in numbers}

    def _follow_bridge(self, interface: str, there: Link | None, policy: Policy, *, gone: bool) -> None:
        """Put an interface into ``there``, which has the name of its bridge, unless it is the one that it knows.

        One that it knows stays its bridge under another name too, and an operator may take the interface out of it.
        """
        pwe = self._pwes[interface]
        if gone:
            log(Line.BRIDGE_AWAITED, interface=interface, bridge=pwe.param.bridge)
        seen = 0 if gone else pwe.bridge
        if there and there.number != seen:
            seen = there.number
            try:
                policy.check_bridge(pwe.param)
                self._links.join(pwe.number, _check_bridge(there))
                log(Line.BRIDGE_JOINED, interface=interface, bridge=there.name)
            except (Refused, OSError) as error:
                log(Line.BRIDGE_NOT_JOINED, interface=interface, bridge=there.name, error=error)
        self._pwes[interface] = pwe._replace(bridge=seen)

    def close(self) -> None:
        """Remove all that was made."""
        for interface in list(self._pwes):
            self._forget(interface)
        self._listeners.clear()
        for plane in self._planes.values():
            plane.close()

    def _resolve(self, plane: Plane) -> Plane:
        if plane is Plane.AUTO:
            return self._automatic
        if plane not in self._planes:
            raise Refused(Reason.PLANE, f"no {plane.name.lower()} plane here")
        return plane

    def _check_listener(self, param: PweParam) -> Listener:
        if param.listener not in self._listeners:
            raise Refused(Reason.NOT_FOUND, f"listener {param.listener}")
        listener = self._listeners[param.listener].listener
        if param.plane not in (Plane.AUTO, listener.plane):
            raise Refused(Reason.PLANE, f"listener {param.listener} is of the other plane")
        if not len(param.peer_address) == len(param.local_address) == len(listener.address):
            raise Refused(Reason.MALFORMED, "addresses of another family than the listener's")
        if (param.peer_port == 0) is (listener.encapsulation is Encapsulation.UDP):
            raise Refused(Reason.MALFORMED, "a peer's port over UDP and 0 over IP")
        if any(listener.address) and any(param.local_address) and param.local_address != listener.address:
            raise Refused(Reason.MALFORMED, "a local address that is not the listener's")
        return listener

    def _automatic_mtu(self, param: PweParam, listener: Listener) -> int:
        source = param.local_address if any(param.local_address) else listener.address
        mtu = interface_mtu(self._links.path_mtu(param.peer_address, source), listener.encapsulation, param)
        if mtu < _SMALLEST_MTU:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        return mtu

    def _bridge(self, param: PweParam) -> int:
        """Index of the bridge, 0 if it is not there, yet or at all; OSError if something else has its name."""
        bridge = self._links.find(param.bridge) if param.bridge else None
        return _check_bridge(bridge) if bridge else 0

    def _create(self, param: PweParam, mtu: int, master: int | None) -> int:
        index = self._planes[param.plane].create(param)
        try:
            self._links.configure(index, mtu=mtu, up=param.up, master=master)
        except OSError:
            self._planes[param.plane].delete(param.interface)
            raise
        return index

    def _modify(self, old: _Pwe, param: PweParam, mtu: int, master: int | None) -> int:
        plane, number = self._planes[param.plane], old.number
        try:
            if param != old.param:
                number = plane.modify(param)
            self._links.configure(number, mtu=mtu, up=param.up, master=master)
        except OSError:
            with contextlib.suppress(OSError):
                before = replace(old.param, listener=old.param.listener or param.listener)  # it may be an adopted one
                number = plane.modify(before)
                self._pwes[param.interface] = old._replace(number=number)
                back = _master(old.param, self._bridge(old.param), old._replace(param=param))
                self._links.configure(number, mtu=old.mtu, up=old.up, master=back)
            raise
        return number

    def _forget(self, interface: str) -> None:
        self._planes[self._pwes.pop(interface).param.plane].delete(interface)


def _check_bridge(link: Link) -> int:
    """Index of a bridge; OSError as Linux has it for anything else."""
    if link.kind != "bridge":
        raise OSError(errno.EOPNOTSUPP, f"{link.name} is no bridge")
    return link.number


def _master(param: PweParam, bridge: int, before: _Pwe | None) -> int | None:
    """Index to put an interface into, 0 for none, None to leave it: what an operator has chosen stays there.

    A bridge that a client has chosen is left when the client chooses none, or another that is not there.
    """
    left = before is not None and before.param.bridge not in ("", param.bridge)
    return bridge or (0 if left else None)
