"""The helper's wire contract: closed verbs, exact types, ranges and lengths.

One request is one msgpack array ``[sequence, verb, arguments...]`` in one ZeroMQ frame; its answer is
``[sequence, status, value]``.  Descriptors travel beside the answer over a SOCK_SEQPACKET side channel.

Session of a client
-------------------
1. The client connects to the side channel.  The helper checks its uid (SO_PEERCRED) and sends one packet:
   16 random octets, the token.
2. The client connects to the ZeroMQ ROUTER, where libzmq lets nobody but the policy's users in, with a DEALER that
   chose no identity of its own, and sends ``HELLO(version, token)``.  That binds the ZeroMQ identity to the side
   channel connection, once per token.  A HELLO that fails is answered; whatever else comes from an unbound identity is
   dropped without an answer.
3. Sequence numbers rise by one from 1 (the HELLO's).  A request whose number is not the next one is refused and
   changes nothing.  A malformed request uses up its number; one so malformed that it shows none is answered with 0.
4. A verb that yields a descriptor answers Ok with a handle, after it sent ``msgpack([sequence, handle])`` with the
   descriptor (SCM_RIGHTS) over the side channel.  The client sends nothing there.
5. In the kernel plane the control messages of a peer that has pseudowires over UDP arrive at a socket of its own
   instead of the listener's, so the helper sends ``msgpack([0, handle, tunnel])`` with that socket too: when the tunnel
   begins, and before it answers OPEN_LISTENER.  ``handle`` is the listener whose socket still sends.  The client reads
   what comes there and keeps the descriptor, which also keeps the kernel's tunnel alive without the helper, until
   ``msgpack([0, handle, tunnel])`` comes without a descriptor: then it closes it.  Over IP nothing arrives there.
6. Closing the side channel ends the client.  What it made stays: the next client finds it through LIST, opens the same
   listeners again (which yields the same handles and sockets) and sets the pseudowires that it wants to keep.

The helper may also send ``[0, EVENT, [kind, interface, ...]]`` at any time after HELLO (see :class:`EventKind`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

VERSION = 1
"""The contract's version, refused by HELLO when it differs."""

MAX_REQUEST = 65536
"""Octets of the largest request; libzmq drops a client that sends more (ZMQ_MAXMSGSIZE)."""

MAX_BATCH = 256
"""Pseudowires in one SET_PWE_PARAM or DELETE_PWE request."""

MAX_LISTENERS = 64
"""Listeners that exist at one time; more are refused (POLICY)."""

TOKEN_LENGTH = 16

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}"
"""Names of interfaces and bridges: what Linux takes, without templates (``%d``), labels (``:``) and paths."""


class Verb(IntEnum):
    """What the helper can be asked for."""

    HELLO = 1
    """``(version: int, token: bytes)`` → ``[planes, pid]``; the first plane is the one that AUTO means."""
    OPEN_LISTENER = 2
    """``(plane, encapsulation, address, port)``, a :class:`Listener`, → ``[handle, flavour]``, the socket beside it.

    A listener that exists already yields its handle and its socket again.
    """
    SET_PWE_PARAM = 3
    """``([PweParam fields, ...],)`` → one ``[status, value]`` for each, value ``[interface, mtu, ifindex]`` when Ok.

    What exists with these parameters stays as it is; what differs is changed, without a new interface where the plane
    can.  Setting it again also computes an MTU of 0 anew.
    """
    DELETE_PWE = 4
    """``([[interface, local_session_id], ...],)`` → one ``[status, value]`` for each."""
    LIST = 5
    """``()`` → ``[[Listener fields + handle, ...], [PweParam fields, ...]]``: all that the helper owns, as it is.

    The plane is the one in use, never AUTO.  MTU, bridge and administrative state are as they were set, unless somebody
    has changed them on the interface, or the bridge is not there: then they are what the interface has.
    """
    STATS = 6
    """``([interface, ...],)``, empty for all → ``[[interface, counters...], ...]`` in :class:`Counters` order.

    Names that the helper does not own are left out.
    """
    CLOSE_LISTENER = 7
    """``(handle,)`` → None; refused while a pseudowire uses it."""


class Status(IntEnum):
    """How an answer starts."""

    OK = 0
    """The value is the verb's result."""
    REFUSED = 1
    """The value is a :class:`Reason`: nothing was done."""
    FAILED = 2
    """The value is an errno number: nothing half made is left."""
    EVENT = 3
    """Not an answer: the helper reports something by itself."""


class Reason(IntEnum):
    """Why a request was refused."""

    MALFORMED = 1
    """Not the contract's types, ranges or lengths."""
    NOT_GREETED = 2
    """No HELLO yet, or a wrong token."""
    VERSION = 3
    """Another contract version."""
    SEQUENCE = 4
    """Replayed or skipped sequence number."""
    POLICY = 5
    """The root-owned policy does not allow these addresses, ports, names, bridges or counts."""
    NOT_OWNED = 6
    """The object exists, and the helper neither made nor adopted it."""
    NOT_FOUND = 7
    """The helper owns no such object."""
    PLANE = 8
    """The plane that was asked for does not exist here, or cannot do this."""
    IN_USE = 9
    """Another pseudowire of this listener has the session ID, or pseudowires still use the listener."""


class EventKind(IntEnum):
    """What the helper reports by itself."""

    PWE_GONE = 1
    """``[1, interface]``: somebody else removed the interface."""
    LINK = 2
    """``[2, interface, up]``: the administrative state of the interface changed (``ip link set … up|down``)."""


class Encapsulation(IntEnum):
    """How messages and frames are carried (RFC 3931, section 4.1)."""

    UDP = 0
    IP = 1


class Plane(IntEnum):
    """Who forwards the frames."""

    AUTO = 0
    USERSPACE = 1
    KERNEL = 2


class Flavour(IntEnum):
    """How a control socket's octets begin, told by the answer to OPEN_LISTENER as ``[handle, flavour]``."""

    UDP = 0
    """The control header comes first, both ways."""
    RAW4 = 1
    """IPv4 raw: received with the IP header; four zero octets precede the control header both ways."""
    RAW6 = 2
    """IPv6 raw: no IP header; four zero octets precede the control header both ways."""
    L2TPIP = 3
    """The kernel's own L2TP/IP socket: it strips and adds the four zero octets."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A control socket on one local address.

    ``address`` is 4 or 16 octets, all zero for any; ``port`` is 1..65535 over UDP and 0 over IP.
    """

    plane: Plane
    encapsulation: Encapsulation
    address: bytes
    port: int


@dataclass(frozen=True, slots=True)
class PweParam:
    """One pseudowire end, whole: ``set_pwe_param`` makes it exist with exactly these parameters.

    Addresses are 4 or 16 octets, of the listener's family; the peer's is a host's, its port 0 over IP.  Connection IDs
    are 0 for a session without a control connection, session IDs never.  ``local_cookie`` is what we expect to
    receive, ``peer_cookie`` what we send; each has 0, 4 or 8 octets and stays out of every repr.  Sublayers are 0
    (none) or 1 (default), sequencings 0 (none), 1 (non-IP) or 2 (all frames); ``receive_`` is what arriving frames
    carry, ``send_`` what we put on ours.  ``mtu`` is 0 (from the path to the peer) or 68..65535, ``bridge`` a name or
    empty, ``up`` the administrative state.
    """

    plane: Plane
    interface: str
    listener: int
    """Handle of the listener whose local address, port and encapsulation this pseudowire shares."""
    local_address: bytes
    """Source address of the frames, all zero to leave it to the routing table."""
    peer_address: bytes
    peer_port: int
    local_connection_id: int
    peer_connection_id: int
    local_session_id: int
    peer_session_id: int
    local_cookie: bytes = field(repr=False)
    peer_cookie: bytes = field(repr=False)
    receive_sublayer: int
    send_sublayer: int
    receive_sequencing: int
    send_sequencing: int
    mtu: int
    bridge: str
    up: bool

    @property
    def ends(self) -> tuple[int, bytes, bytes, int]:
        """Where the frames go, which many pseudowires share: listener, address here, address and port of the peer."""
        return self.listener, self.local_address, self.peer_address, self.peer_port


@dataclass(frozen=True, slots=True)
class Counters:
    """Frames and octets of one pseudowire since it was made; octets count the Ethernet frame alone."""

    tx_frames: int
    tx_octets: int
    rx_frames: int
    rx_octets: int
    tx_dropped: int
    """Frames that could not be sent: too long, no route, queue full."""
    rx_cookie: int
    """Frames with a wrong cookie."""
    rx_malformed: int
    """Frames too short, or with a sublayer that does not fit."""
    rx_sequence: int
    """Frames out of order where sequencing is required."""
    rx_source: int
    """Frames from an address that is not the peer's."""
