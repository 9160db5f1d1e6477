"""Clients that send anything, to a helper among things that are not its own: ``python -m tests.kernel.fuzz [SECONDS]``.

Whatever they send, the helper does not end, keeps no descriptor and touches nothing that is not its own: that is what
:meth:`Target.attack` checks.  tests/kernel/test_fuzz.py does it for a few cases, always the same.  As a program, which
is ``make fuzz`` as root, this module does it for SECONDS with cases that hypothesis draws, and for SECONDS with cases
that atheris changes where they reach new branches of the decoder, the policy and the registry.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l2tp_kernel import wire
from l2tp_kernel.genl import L2tp
from l2tp_kernel.links import Links
from l2tp_kernel.policy import Policy, prefix
from l2tp_kernel.registry import Registry
from l2tp_kernel.schema import Listener, Plane, PweParam, Reason, Status, Verb
from l2tp_kernel.wire import Refused
from tests.kernel.helper import Helper, address, listener, over_ip, param, running
from tests.kernel.memory import MemoryLinks, MemoryPlane
from tests.support.helper_client import HelperClient
from tests.support.netns import poll, veth_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.netns import Namespace

    Step = tuple[str, Any]

SECONDS = 60
ROOT = Path(__file__).resolve().parents[2]
CRASHES = ROOT / "build" / "fuzz"
"""Where atheris writes a case that broke something."""

THEIRS = (
    "link add br-theirs type bridge",
    "link add br-lan type bridge",
    "tuntap add pwtheirs mode tap",
    "link set pwtheirs master br-theirs up",
    "route add 192.0.2.77/32 dev outer mtu 100",
)
"""What is in the namespace that is not the helper's; the policy allows these names."""
FREE = ("pw0", "pw1", "pw2")
"""Interfaces that it may make."""
IN_MEMORY = Policy(
    clients=frozenset(),
    forwarder_user="nobody",
    listen=(prefix("192.0.2.0/24"),),
    ports=frozenset({0, 1701}),
    peers=(prefix("192.0.2.0/24"), prefix("2001:db8::/64")),
    interfaces=("pw*",),
    maximum=2,
    bridges=("br-*",),
)
IFLA_ADDRESS, IFLA_MASTER = 1, 10

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
    | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=30,
)  # fmt: skip
"""Anything that msgpack can carry."""

_numbers = st.sampled_from([0, 1, 2, 3, 68, 1400, 1701, 65535, 2**32 - 1])
_hosts = [bytes(4), bytes(16), *map(address, ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "10.0.0.1"))]
_addresses = st.sampled_from(_hosts)
_names = st.sampled_from(["pw0", "pw1", "pw2", "pwtheirs", "outer", "lo", "br-lan", "br-theirs", ""])
_interfaces = st.sampled_from([*FREE, "pwtheirs"])
_bits, _sequencings = st.integers(0, 1), st.integers(0, 2)
_cookies = st.sampled_from([b"", b"1234", b"12345678"])
_listeners = st.sampled_from([listener(), over_ip(), listener("2001:db8::1"), listener("192.0.2.99")])
_good = st.builds(
    param,
    st.just(0),
    _interfaces,
    bridge=st.sampled_from(["", "br-lan", "br-theirs", "br-none"]),
    up=st.booleans(),
    mtu=st.sampled_from([0, 1400]),
    local_session_id=st.integers(1, 3),
    peer_cookie=_cookies,
)
_params = st.one_of(
    _good,
    _good,
    st.builds(param, st.integers(0, 2), _interfaces, bridge=_names, mtu=_numbers, local_session_id=st.integers(1, 3)),
    st.builds(
        PweParam, st.sampled_from(Plane), _names, st.integers(0, 4), _addresses, _addresses, _numbers, _numbers,
        _numbers, _numbers, _numbers, _cookies, _cookies, _bits, _bits, _sequencings, _sequencings, _numbers, _names,
        st.booleans(),
    ),
).map(astuple)  # fmt: skip


def _spoilt(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values, now and then one that is anything."""
    return st.one_of(good, good, good, anything)


_requests = st.one_of(
    _listeners.map(lambda drawn: [Verb.OPEN_LISTENER, *astuple(drawn)]),
    st.lists(_params, max_size=5).map(lambda drawn: [Verb.SET_PWE_PARAM, drawn]),
    st.lists(_params, max_size=5).map(lambda drawn: [Verb.SET_PWE_PARAM, drawn]),
    st.lists(st.tuples(_names, _numbers), max_size=3).map(lambda drawn: [Verb.DELETE_PWE, drawn]),
    st.lists(_names, max_size=3).map(lambda drawn: [Verb.STATS, drawn]),
    st.integers(0, 4).map(lambda drawn: [Verb.CLOSE_LISTENER, drawn]),
    st.tuples(st.integers(0, 9), _spoilt(_numbers), _spoilt(st.lists(_spoilt(_params), max_size=3))).map(list),
    st.tuples(_spoilt(st.lists(_spoilt(_params), max_size=3))).map(lambda drawn: [Verb.SET_PWE_PARAM, *drawn]),
)
_OPEN = ("request", [Verb.OPEN_LISTENER, *astuple(listener())])
_steps = st.one_of(
    *(st.tuples(st.just("request"), _requests) for _ in range(4)),
    st.tuples(st.just("frame"), st.binary(max_size=300) | anything.map(msgpack.packb)),
    st.tuples(st.just("frames"), st.lists(st.binary(max_size=9), max_size=3)),
    st.tuples(st.just("number"), st.integers(0, 9)),
    st.tuples(st.just("stranger"), st.binary(max_size=100)),
    st.tuples(st.just("side"), st.binary(min_size=1, max_size=40)),
)
_begun = st.lists(_steps, max_size=12).map(lambda steps: [_OPEN, *steps])
cases = st.tuples(st.sampled_from([True]), _begun) | st.tuples(st.booleans(), st.lists(_steps, max_size=12))
"""Whether a client says HELLO first, and what it does then, half of them with a listener: send a request with its right
number, a frame as it is, several frames at once, a number that is not the next, octets to the socket for requests as no
ZeroMQ has them, octets on the side channel, which ends it."""


class Target:
    """A running helper, and what is there beside it: links, and tunnels and sessions of Linux's own L2TP.

    ``pid`` and ``directory`` are the helper's, ``log`` is what it prints.
    """

    def __init__(self, host: Namespace, pid: int, directory: Path, log: Path) -> None:
        self._pid = pid
        self._directory = directory
        self._log = log
        self._handles: list[int] = []
        """Of the listeners that the client has opened, which requests name by their place here."""
        with host.inside():
            self._links = Links()
            self._l2tp = None
            with contextlib.suppress(OSError):  # not every kernel has it
                self._l2tp = L2tp()
        self._theirs = self._look()
        self._descriptors = self._count_descriptors()

    def close(self) -> None:
        """Look no more."""
        self._links.close()
        if self._l2tp:
            self._l2tp.close()

    def attack(self, *, greet: bool, steps: list[Step]) -> list[str]:
        """Be one client that does all this, look around, remove what it made, look again; gives what it had made."""
        with contextlib.ExitStack() as stack:
            client = stack.enter_context(HelperClient(self._directory, greet=greet))
            self._handles.clear()
            answers = greet
            for kind, what in steps:
                if kind == "side":
                    with contextlib.suppress(OSError):  # it was ended already
                        client.channel.send(what)
                    answers = False
                elif kind == "stranger":
                    stranger = stack.enter_context(socket.socket(socket.AF_UNIX))
                    stranger.connect(str(self._directory / "command"))
                    stranger.sendall(what)
                elif answers:
                    self._ask(client, kind, what)
                else:
                    client.send(*self._frames(client, kind, what))
        with HelperClient(self._directory) as judge:
            listeners, pseudowires = judge.request(Verb.LIST)
            ours = {("link", each[1]) for each in pseudowires}
            assert ours <= {("link", name) for name in FREE}, "the policy allows no other that is free"
            there = self._look()
            assert self._theirs.items() <= there.items()
            assert ours <= there.keys()
            assert {each for each in there.keys() - self._theirs.keys() if each[0] == "link"} == ours
            for status, _ in judge.request(Verb.DELETE_PWE, [[each[1], each[8]] for each in pseudowires]):
                assert status == Status.OK
            for each in listeners:
                judge.request(Verb.CLOSE_LISTENER, each[-1])
            assert self._look() == self._theirs
        poll(lambda: self._count_descriptors() == self._descriptors, "every descriptor is closed")
        assert "Traceback" not in self._log.read_text(), self._log.read_text()[-4000:]
        return sorted(each[1] for each in pseudowires)

    def _ask(self, client: HelperClient, kind: str, what: Any) -> None:
        """Send something and check its answer."""
        frames = self._frames(client, kind, what)
        client.send(*frames)
        answer = client.receive()
        assert answer is not None, f"no answer to {kind} {what!r}"
        sequence, rest = wire.unpack(frames[0]) if len(frames) == 1 else (0, ())
        if sequence == client.sequence + 1:
            client.sequence = sequence
        with contextlib.suppress(Refused):
            if isinstance(wire.decode(rest), Listener) and answer[1] == Status.OK:
                self._handles.append(answer[2][0])
            assert answer[:2] in ([sequence, status] for status in (Status.OK, Status.REFUSED, Status.FAILED))
            return
        assert answer in ([sequence, Status.REFUSED, reason] for reason in (Reason.MALFORMED, Reason.SEQUENCE))

    def _frames(self, client: HelperClient, kind: str, what: Any) -> list[bytes]:
        """Octets of one message."""
        match kind, what:
            case "request", [Verb.SET_PWE_PARAM, list(params)]:
                named = [self._with_handle(each) if isinstance(each, tuple) else each for each in params]
                return [msgpack.packb([client.sequence + 1, Verb.SET_PWE_PARAM, named])]
            case "request", [Verb.CLOSE_LISTENER, int(place)] if place < len(self._handles):
                return [msgpack.packb([client.sequence + 1, Verb.CLOSE_LISTENER, self._handles[place]])]
            case "request", _:
                return [msgpack.packb([client.sequence + 1, *what])]
            case "number", _:
                return [msgpack.packb([what, Verb.LIST])]
            case "frame", _:
                return [what]
        return what or [b""]

    def _with_handle(self, param: tuple[Any, ...]) -> tuple[Any, ...]:
        place = param[2]
        return (*param[:2], self._handles[place], *param[3:]) if place < len(self._handles) else param

    def _look(self) -> dict[tuple[str, object], object]:
        """All that is there, with what nobody but its owner should change."""
        there: dict[tuple[str, object], object] = {}
        for link in self._links.all().values():
            told = [link.number, link.up, link.kind, link.label, link._attributes.get(IFLA_MASTER)]
            # The address and the MTU of a bridge depend on what is in it.
            own = [] if link.kind == "bridge" else [link.mtu, link._attributes[IFLA_ADDRESS]]
            there["link", link.name] = [*told, *own]
        if self._l2tp:
            there |= {("tunnel", tunnel.number): tunnel for tunnel in self._l2tp.tunnels()}
            there |= {("session", (each.tunnel, each.number)): each for each in self._l2tp.sessions()}
        return there

    def _count_descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self._pid}/fd"))  # noqa: PTH208  # their number is enough


def explore(steps: list[Step]) -> None:
    """Give the same requests to a registry in this process, where atheris sees which branches they take."""
    links = MemoryLinks()
    for name in ("pwtheirs", "br-lan"):
        links.add(name)
    with contextlib.closing(MemoryPlane(links)) as plane:
        registry = Registry([plane], cast("Links", links))
        for _, what in (step for step in steps if step[0] == "request"):
            with contextlib.suppress(Refused):
                match wire.decode(wire.unpack(msgpack.packb([1, *what]))[1]):
                    case Listener() as wanted:
                        registry.open_listener(wanted, IN_MEMORY)
                    case wire.SetPweParam(params):
                        registry.set(params, IN_MEMORY)
                    case wire.DeletePwe(deletions):
                        registry.delete(deletions)
                    case wire.CloseListener(handle):
                        registry.close_listener(handle)
                    case wire.Stats(interfaces):
                        registry.stats(interfaces)
                    case _:
                        registry.listing()


@contextlib.contextmanager
def helper_among_others(*more: str) -> Iterator[tuple[Namespace, Helper]]:
    """Start a helper beside a cable, a TAP and two bridges that are not its own, and what ``more`` lines of ip make."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="l2tpd-")))
        host, _ = stack.enter_context(veth_pair("fuzz"))
        for line in (*THEIRS, *more):
            host.ip(line)
        yield host, stack.enter_context(running(host, directory))


@contextlib.contextmanager
def target(host: Namespace, helper: Helper) -> Iterator[Target]:
    """Take aim at a helper."""
    with contextlib.closing(Target(host, helper.process.pid, helper.directory, helper.process.log)) as made:
        yield made


def attacks(aim: Target, **how: Any) -> Callable[[], None]:
    """Make a function that attacks with cases drawn by hypothesis; ``how`` are its settings."""

    @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), **how)
    @given(case=cases)
    def attack(case: tuple[bool, list[Step]]) -> None:
        greet, steps = case
        aim.attack(greet=greet, steps=steps)

    return attack


def main() -> int:
    """Attack until the time is over; a case that breaks something raises."""
    seconds = float(sys.argv[1]) if sys.argv[1:] else SECONDS
    with helper_among_others() as (host, helper):
        end = time.monotonic() + seconds
        rounds = 0
        with target(host, helper) as aim:
            while time.monotonic() < end:
                attacks(aim, max_examples=100)()
                rounds += 1
        print(f"fuzz: hypothesis, {rounds * 100} cases: nothing broke", flush=True)
        command = [sys.executable, "-m", "tests.kernel.fuzz_atheris", host.name, str(helper.process.pid)]
        where = [str(helper.directory), str(helper.process.log), str(int(seconds))]
        done = subprocess.run([*command, *where], cwd=ROOT, check=False)
        print(f"fuzz: atheris, {seconds:g} s: {'nothing broke' if done.returncode == 0 else 'BROKEN'}")
        return done.returncode


if __name__ == "__main__":
    sys.exit(main())
