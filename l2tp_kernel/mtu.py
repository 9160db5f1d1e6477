"""MTU of pseudowire interfaces: what passes the path to the peer without fragments."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from l2tp_kernel.schema import Encapsulation, Listener, PweParam

if TYPE_CHECKING:
    from collections.abc import Callable

_IPV4_HEADER, _IPV6_HEADER, _UDP_HEADER, _ETHERNET_HEADER = 20, 40, 8, 14
_DATA_HEADER = {Encapsulation.UDP: 8, Encapsulation.IP: 4}
"""Octets up to and with the Session ID (RFC 3931, sections 4.1.1.1 and 4.1.2.1)."""
_SUBLAYER = 4
_SMALLEST_MTU = 68


def automatic(param: PweParam, listener: Listener, path_mtu: Callable[[bytes, bytes], int]) -> int:
    """MTU by the path; OSError as ``path_mtu`` raises it, and EMSGSIZE where not even the smallest frame passes."""
    source = param.local_address if any(param.local_address) else listener.address
    mtu = interface_mtu(path_mtu(param.peer_address, source), listener.encapsulation, param)
    if mtu < _SMALLEST_MTU:
        raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
    return mtu


def interface_mtu(path: int, encapsulation: Encapsulation, param: PweParam) -> int:
    """Compute the largest MTU whose frames need no outer fragment on a path of ``path`` octets.

    Cookie and sublayer may differ by direction; the larger counts, so that both ends come to the same value.
    """
    outer = _IPV4_HEADER if len(param.peer_address) == 4 else _IPV6_HEADER
    outer += _UDP_HEADER if encapsulation is Encapsulation.UDP else 0
    cookie = max(len(param.local_cookie), len(param.peer_cookie))
    sublayer = _SUBLAYER * max(param.receive_sublayer, param.send_sublayer)
    return path - outer - _DATA_HEADER[encapsulation] - cookie - sublayer - _ETHERNET_HEADER
