"""Move frames in batches: a Port is a data socket with its pseudowires, an End one pseudowire's TAP.

Every turn takes at most BATCH frames of one descriptor, so that no pseudowire starves another; what is left waits in
the kernel until its turn comes again.  Nothing here ever waits: what the kernel does not take at once is dropped.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING

from l2tp_kernel.forwarder.frames import PARSERS, Pseudowire
from l2tp_kernel.schema import Flavour

if TYPE_CHECKING:
    from l2tp_kernel.schema import PweParam

BATCH = 64
"""Frames in one turn, and in one run: UDP_MAX_SEGMENTS of the oldest kernels that know UDP_SEGMENT (4.18)."""

_LONGEST_FRAME = 65535 + 4 * 2
"""The longest that a TAP gives: its longest Ethernet frame and two VLAN tags."""
_LONGEST_RUN = 65000
"""Octets that one sendmsg takes, with room for any outer header."""
_LONGEST_HEADER = 4 + 4 + 8 + 4
_SCRATCH = 256 << 10

_UDP_SEGMENT = 103
_IP_PKTINFO = 8

_Ancillary = list[tuple[int, int, bytes]]

# One process, one thread, one frame at a time: one buffer each way serves all.
_outgoing = memoryview(bytearray(_SCRATCH))
_incoming = memoryview(bytearray(1 << 16))


class Port:
    """A data socket, its pseudowires by local Session ID, and the datagrams that belong to none of them."""

    def __init__(self, sock: socket.socket, flavour: Flavour) -> None:
        self.socket = sock
        self.flavour = flavour
        self.ends: dict[int, End] = {}
        self.unknown = 0
        self.malformed = 0
        self._parse = PARSERS[flavour]

    def fileno(self) -> int:
        """Return the socket's."""
        return self.socket.fileno()

    def turn(self) -> None:
        """Deliver the frames that wait in the socket, up to BATCH."""
        receive, parse, ends, buffer = self.socket.recvfrom_into, self._parse, self.ends, _incoming
        for _ in range(BATCH):
            try:
                length, address = receive(buffer)
            except BlockingIOError:
                return
            except OSError:  # an earlier datagram's error, told late; the next call goes on
                continue
            datagram = buffer[:length]
            session_id, cookie_at = parse(datagram)
            if (end := ends.get(session_id)) is not None:
                end.deliver(datagram, cookie_at, address[0])
            elif session_id:
                self.unknown += 1
            else:
                self.malformed += 1


class End:
    """A pseudowire's TAP, and how its frames leave through a Port."""

    def __init__(self, port: Port, param: PweParam, tap: int) -> None:
        self.pseudowire = Pseudowire(param, port.flavour)
        self.tap = tap
        self._route(port, param)

    def set(self, port: Port, param: PweParam) -> None:
        """Work with these parameters from now on; ValueError, and nothing changed, if they do not fit together."""
        self.pseudowire.set(param, port.flavour)
        self._route(port, param)

    def fileno(self) -> int:
        """Return the TAP's."""
        return self.tap

    def _route(self, port: Port, param: PweParam) -> None:
        self.port = port
        family = socket.AF_INET if len(param.peer_address) == 4 else socket.AF_INET6
        self._to = (socket.inet_ntop(family, param.peer_address), param.peer_port)
        self._segments = BATCH if port.flavour is Flavour.UDP else 1
        self._ancillary: _Ancillary = []
        if any(param.local_address):
            self._ancillary = [_source(param.local_address)]

    def deliver(self, datagram: memoryview, cookie_at: int, source: str) -> None:
        """Hand the datagram's frame to the TAP if all about it is right."""
        pseudowire = self.pseudowire
        if not (pseudowire.param.up and (start := pseudowire.unwrap(datagram, cookie_at, source))):
            return
        try:
            os.write(self.tap, datagram[start:])
        except OSError:  # the interface is down or gone: it counts that itself
            return
        pseudowire.rx_frames += 1
        pseudowire.rx_octets += len(datagram) - start

    def turn(self) -> None:
        """Send the frames that wait in the TAP, up to BATCH; OSError when the interface is no more.

        Frames lie in one buffer behind each other, each after its header.  A run of equal ones, and one shorter at its
        end, leaves in a single call.
        """
        wrap, room, tap, buffer = self.pseudowire.header, self.pseudowire.header_length, self.tap, _outgoing
        start = end = segment = count = 0
        for _ in range(BATCH):
            if end > _SCRATCH - _LONGEST_HEADER - _LONGEST_FRAME:
                self._send(start, end, segment, count)
                start = end = count = 0
            try:
                length = os.readv(tap, (buffer[end + room :],))
            except BlockingIOError:
                break
            frame_at = end + room
            buffer[end:frame_at] = wrap(buffer[frame_at : frame_at + length])
            size = room + length
            if count and (size > segment or count == self._segments or end + size - start > _LONGEST_RUN):
                self._send(start, end, segment, count)
                start, count = end, 0
            segment = segment if count else size
            end += size
            count += 1
            if size < segment:
                self._send(start, end, segment, count)
                start, count = end, 0
        self._send(start, end, segment, count)

    def _send(self, start: int, end: int, segment: int, count: int) -> None:
        """Send the ``count`` datagrams from ``start`` to ``end``, each of ``segment`` octets, maybe less the last."""
        pseudowire = self.pseudowire
        if not count:
            return
        if not pseudowire.param.up:
            pseudowire.tx_dropped += count
            return
        ancillary = self._ancillary
        if count > 1:
            ancillary = [*ancillary, (socket.IPPROTO_UDP, _UDP_SEGMENT, struct.pack("=H", segment))]
        try:
            self.port.socket.sendmsg((_outgoing[start:end],), ancillary, 0, self._to)
        except OSError as error:
            if count == 1 or error.errno in (errno.EAGAIN, errno.ENOBUFS):
                pseudowire.tx_dropped += count
                return
            # A run cannot be fragmented, nor does every device take one: then each datagram goes on its own.
            for at in range(start, end, segment):
                self._send(at, min(at + segment, end), segment, 1)
            return
        pseudowire.tx_frames += count
        pseudowire.tx_octets += end - start - count * pseudowire.header_length


def _source(address: bytes) -> tuple[int, int, bytes]:
    """Make the control message that chooses the source address of what is sent, leaving the interface to the route."""
    if len(address) == 4:
        return socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=i4s4s", 0, address, bytes(4))
    return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, struct.pack("=16si", address, 0)
