"""Bridges of pseudowire interfaces, by name: they may appear after the interfaces, go, come back and be renamed."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from l2tp_kernel.catalogue import Line
from l2tp_kernel.journal import log
from l2tp_kernel.links import Setting
from l2tp_kernel.wire import Refused

if TYPE_CHECKING:
    from l2tp_kernel.links import Link, Links
    from l2tp_kernel.owned import Owned, Pwe
    from l2tp_kernel.policy import Policy
    from l2tp_kernel.schema import PweParam


def check(link: Link | None) -> int:
    """Index of a bridge, 0 if there is none, yet or at all; OSError as Linux has it for something else of that name."""
    if link and link.kind != "bridge":
        raise OSError(errno.EOPNOTSUPP, f"{link.name} is no bridge")
    return link.number if link else 0


def master(param: PweParam, bridge: int, before: Pwe | None) -> int | None:
    """Index to put an interface into, 0 for none, None to leave it: what an operator has chosen stays there.

    A bridge that a client has chosen is left when the client chooses none, or another that is not there.
    """
    left = before is not None and before.param.bridge not in ("", param.bridge)
    return bridge or (0 if left else None)


def follow(owned: Owned, links: Links, changed: dict[int, Link | None], policy: Policy) -> None:
    """Put interfaces into their bridges among ``changed``, unless it is the one that they know.

    One that they know stays theirs under another name too, and an operator may take an interface out of it.
    """
    named = {link.name: link for link in changed.values() if link and not owned.numbered(link.number)}
    joining = []
    for pwe in owned.bridged():
        gone = pwe.bridge in changed and changed[pwe.bridge] is None
        if gone:
            log(Line.BRIDGE_AWAITED, interface=pwe.param.interface, bridge=pwe.param.bridge)
        known = 0 if gone else pwe.bridge
        there = named.get(pwe.param.bridge)
        if there and there.number != known:
            known = there.number
            try:
                policy.check_bridge(pwe.param)
                joining.append((pwe.param, Setting(pwe.number, master=check(there))))
            except (Refused, OSError) as no:
                log(Line.BRIDGE_NOT_JOINED, interface=pwe.param.interface, bridge=pwe.param.bridge, error=no)
        owned.put(pwe._replace(bridge=known))
    errors = links.configure([setting for _, setting in joining])
    for (param, _), error in zip(joining, errors, strict=True):
        line = Line.BRIDGE_NOT_JOINED if error else Line.BRIDGE_JOINED
        log(line, interface=param.interface, bridge=param.bridge, error=error)
