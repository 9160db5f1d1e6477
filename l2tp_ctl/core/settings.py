"""What an endpoint is told to do: the core's own view of the configuration, as values.

The runtime makes these from the configuration file.  Lengths are octets, times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TypeAlias


class Mode(Enum):
    """Where a tunnel's identifiers and cookies come from."""

    SIGNALLED = "signalled"
    """Both ends assign them in RFC 3931's control messages."""
    STATIC = "static"
    """Both ends are configured with them."""


class Encapsulation(Enum):
    """How control messages and frames are carried (RFC 3931, section 4.1)."""

    UDP = "udp"
    IP = "ip"


class Compatibility(Enum):
    """Which dialect to speak to a peer."""

    AUTO = "auto"
    """RFC 3931, and Cisco's when the peer's SCCRQ shows it."""
    CISCO = "cisco"
    """Cisco's vendor AVPs beside RFC 3931's from the first message on."""
    STRICT = "strict"
    """RFC 3931 alone."""


class DigestPolicy(Enum):
    """Which Message Digest is sent; what is accepted follows (RFC 3931, section 4.3)."""

    NONE = "none"
    """No digest is sent; only without a secret."""
    MD5 = "md5"
    SHA1 = "sha1"
    AUTO = "auto"
    """With a secret: HMAC-MD5 as initiator, the peer's choice as responder.  Without: none."""


class PseudowireType(IntEnum):
    """IANA's pseudowire types that this daemon speaks (RFC 4719)."""

    ETHERNET_VLAN = 4
    ETHERNET = 5


class Sublayer(IntEnum):
    """L2-Specific Sublayer (RFC 3931, section 5.4.4)."""

    NONE = 0
    DEFAULT = 1


class Sequencing(IntEnum):
    """Data Sequencing (RFC 3931, section 5.4.4)."""

    NONE = 0
    NON_IP = 1
    ALL = 2


@dataclass(frozen=True, slots=True)
class Address:
    """Where a control connection's messages go: one peer over one local socket.

    ``local`` is empty where the routing table chooses the source; ports are 0 over IP.
    """

    encapsulation: Encapsulation
    local: str
    local_port: int
    peer: str
    peer_port: int

    def __str__(self) -> str:
        if self.encapsulation is Encapsulation.IP:
            return self.peer
        host = f"[{self.peer}]" if ":" in self.peer else self.peer
        return f"{host}:{self.peer_port}"


@dataclass(frozen=True, slots=True)
class HostName:
    """A name that leads to a peer's address, and our own address towards what it leads to, for each family.

    Ours is empty where the routing table chooses it, None where nothing is to be listened on in that family.
    """

    name: str
    local_ipv4: str | None = ""
    local_ipv6: str | None = ""

    def local(self, peer: str) -> str:
        """Return our address towards an address of the peer's."""
        return (self.local_ipv6 if ":" in peer else self.local_ipv4) or ""


@dataclass(frozen=True, slots=True)
class Secret:
    """A shared secret.  Its value never shows in a repr."""

    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """One configured pseudowire of a tunnel."""

    name: str
    """Unique in the whole configuration: what ``show session NAME`` takes."""
    remote_end_id: bytes
    """Remote End ID, equal at both ends (RFC 3931, section 5.4.4)."""
    interface: str
    pseudowire_type: PseudowireType = PseudowireType.ETHERNET
    mtu: int = 0
    """Interface MTU; 0 leaves it to the path."""
    bridge: str = ""
    sublayer: Sublayer = Sublayer.NONE
    """What we require on frames we receive."""
    sequencing: Sequencing = Sequencing.NONE
    """What we require on frames we receive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelSettings:
    """One configured control connection and its sessions."""

    name: str
    address: Address
    peer_name: HostName | None = None
    """What stands for the peer's address; ``address.peer`` is empty then.  Not the Host Name AVP."""
    peer_host_name: bytes | None = None
    """The Host Name that the peer must send; None accepts any."""
    peer_router_id: int | None = None
    """The Router ID that the peer must send; None accepts any."""
    local_host_name: bytes = b"l2tpd"
    local_router_id: int = 0
    secrets: tuple[Secret, ...] = ()
    """At most two: the first signs, either verifies (RFC 3931, section 4.3).  Empty: no authentication."""
    digest: DigestPolicy = DigestPolicy.AUTO
    hidden: bool = False
    """Whether what may be hidden in our messages is (RFC 3931, section 5.3); needs a secret."""
    cookie_length: int = 0
    """0, 4 or 8 octets that we assign; 0 also refuses none of the peer's."""
    retry: int = 10
    """Retransmissions before the tunnel is given up, 1..99."""
    hello_interval: float | None = 60.0
    """Seconds of silence before a HELLO; None sends none."""
    initiate: bool = True
    """Whether this end sends SCCRQ by itself; it always answers one."""
    reconnect_interval: float = 10.0
    """Seconds between the end of one attempt and the next."""
    compatibility: Compatibility = Compatibility.AUTO
    discard_reserved: bool = False
    """Whether a message with a reserved bit set in an AVP is discarded; RFC 3931, section 5.1 has the bits ignored."""
    receive_window: int = 16
    """Receive Window Size that we advertise."""
    sessions: tuple[SessionSettings, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticSessionSettings:
    """One pseudowire whose parameters both ends are configured with: the same ones, the other way round."""

    name: str
    """Unique in the whole configuration."""
    interface: str
    local_session_id: int
    """1..4294967295: what the frames to us carry."""
    peer_session_id: int
    """1..4294967295: what ours carry."""
    local_cookie: bytes = field(default=b"", repr=False)
    """0, 4 or 8 octets that the frames to us must carry."""
    peer_cookie: bytes = field(default=b"", repr=False)
    """0, 4 or 8 octets that ours carry."""
    mtu: int = 0
    """Interface MTU; 0 leaves it to the path."""
    bridge: str = ""
    sublayer: Sublayer = Sublayer.NONE
    """What frames carry, both ways."""
    sequencing: Sequencing = Sequencing.NONE
    """Which frames carry sequence numbers, both ways."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticTunnelSettings:
    """Configured pseudowires between the same two addresses, of which nothing is signalled."""

    name: str
    address: Address
    local_connection_id: int = 0
    peer_connection_id: int = 0
    """Control Connection IDs, both 0 where there are none: then no control message is sent and none is answered."""
    hello_interval: float | None = None
    """Seconds from one HELLO to the next, which need the IDs; None finds no dead peer."""
    retry: int = 10
    """Retransmissions of a HELLO before the peer counts as dead, 1..99."""
    reconnect_interval: float = 10.0
    """Seconds from a pseudowire that could not be made to the next attempt; the pause grows from attempt to attempt."""
    sessions: tuple[StaticSessionSettings, ...] = ()


AnyTunnelSettings: TypeAlias = TunnelSettings | StaticTunnelSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every bound of the core, in one value."""

    half_open: int = 8
    """Control connections that one peer began and that are not established, refused ones included."""
    avps: int = 256
    """AVPs in one message."""
    message: int = 65535
    """Octets of one control message."""
    send_queue: int = 32768
    """Messages waiting for the window, for one control connection: three of each of ten thousand sessions."""
    retransmit_first: float = 1.0
    """Seconds before the first retransmission (RFC 3931, section 4.2)."""
    retransmit_cap: float = 8.0
    """Seconds at which the doubling stops."""
    linger: float = 31.0
    """Seconds for which a closed control connection still acknowledges (RFC 3931, section 3.3.2)."""
    call_delay: float = 3.0
    """Seconds without a call for which the responder of a control connection leaves the calling to the initiator."""
    calls: int = 64
    """Calls of ours that are under way at one time, over all control connections."""
    call_patience: float = 1.0
    """Seconds after which a call that was not answered makes room for another; it is not given up."""
    setup: float = 60.0
    """Seconds in which a control connection or session must be established once it began."""
    restart: float = 1.0
    """Seconds before an established tunnel or session that ended is begun again."""
    look_up_again: float = 5.0
    """Seconds for which what was found out about a peer's name is good for one more attempt."""
    look_up_patience: float = 3.0
    """Seconds for which an attempt waits to hear of a name whose last address is known."""
    look_up_missing: float = 10.0
    """Seconds from one look at a name to the next, while no address is known."""
    look_up_down: float = 30.0
    """The same while an address is known and the tunnel is not up."""
    look_up_up: float = 60.0
    """The same while the tunnel is up."""
    backoff: int = 6
    """Times the reconnect interval at which a refused session's waiting stops growing."""
