"""What the kernel plane decides: which messages go out together, what is undone, and who is to blame.

On a kernel in memory, for errors and losses that a real one does not have at will; tests/guest has the real one.
"""

from __future__ import annotations

import errno
import socket
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from l2tp_kernel import kernelplane, netlink
from l2tp_kernel.genl import L2tp
from l2tp_kernel.kernelplane import LABELS, KernelPlane
from l2tp_kernel.links import Links
from l2tp_kernel.plane import Interface
from l2tp_kernel.schema import Counters, Encapsulation, Listener, Plane, PweParam, Reason
from l2tp_kernel.wire import Refused
from tests.kernel.helper import address, param
from tests.kernel.memory_kernel import MemoryKernel

if TYPE_CHECKING:
    from collections.abc import Iterator

CREATE_TUNNEL, DELETE_TUNNEL, CREATE, DELETE, MODIFY = 1, 2, 5, 6, 7
HERE, THERE = address("127.0.0.1"), address("127.0.0.2")


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> MemoryKernel:
    made = MemoryKernel()
    monkeypatch.setattr(netlink, "_open", made.open)
    monkeypatch.setattr(Links, "number", lambda _, name: made.index(name))
    return made


@pytest.fixture
def linux(kernel: MemoryKernel) -> Iterator[KernelPlane]:
    with closing(Links()) as links, closing(KernelPlane(links)) as made:
        assert made.adopt() == []
        made.open_listener(1, Listener(Plane.KERNEL, Encapsulation.UDP, HERE, port()))
        made.open_listener(2, Listener(Plane.KERNEL, Encapsulation.UDP, bytes(4), port()))
        yield made
        made.delete([each["interface"] for each in sessions(kernel)])
        assert not kernel.sessions
        assert not kernel.tunnels
        for handle in list(made._listeners):
            made.close_listener(handle)


def port() -> int:
    """A port that is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        number: int = probe.getsockname()[1]
    return number


def wanted(number: int = 1, listener: int = 1, **changes: Any) -> PweParam:
    given: dict[str, Any] = {"peer_address": THERE, "local_session_id": number, **changes}
    return param(listener, f"pw{number}", **given)


def sessions(kernel: MemoryKernel) -> list[dict[str, str]]:
    return [{"interface": netlink.string(each[8])} for each in kernel.sessions.values()]


def codes(outcomes: list[Interface | OSError]) -> list[int | None]:
    """Errno of each, 0 for what was made."""
    return [each.errno if isinstance(each, OSError) else 0 for each in outcomes]


def test_sessions_go_together_into_one_tunnel(kernel: MemoryKernel, linux: KernelPlane) -> None:
    made = linux.set([wanted(number) for number in range(1, 101)])
    assert made == [Interface(kernel.index(f"pw{number}"), LABELS[0]) for number in range(1, 101)]
    assert list(kernel.tunnels) == [11]
    assert (CREATE, 100) in kernel.asked
    (opened,) = linux.news()
    assert (opened.listener, opened.tunnel) == (1, 11)
    assert linux.tunnel_sockets(1) == [opened]
    assert linux.tunnel_sockets(2) == []
    linux.delete([f"pw{number}" for number in range(1, 101)])
    assert (DELETE, 100) in kernel.asked
    assert kernel.tunnels == {}
    (closed,) = linux.news()
    assert closed.socket is None


def test_sequencing_is_modified_and_all_else_makes_a_session_anew(kernel: MemoryKernel, linux: KernelPlane) -> None:
    sublayer = {"receive_sublayer": 1, "send_sublayer": 1}
    (first,) = linux.set([wanted(**sublayer)])
    (again,) = linux.set([wanted(**sublayer, receive_sequencing=2, send_sequencing=2)])
    assert again == first == Interface(kernel.index("pw1"), LABELS[1])
    assert kernel.sessions[11, 1][18] == b"\1"
    for change in ({"local_cookie": b"1234"}, {"peer_session_id": 9}, {"peer_address": address("127.0.0.3")}):
        (other,) = linux.set([wanted(**sublayer, **change)])
        assert isinstance(other, Interface)
        assert other != first
        first = other
    assert [each[25] for each in kernel.tunnels.values()] == [address("127.0.0.3")]
    assert 11 not in kernel.tunnels, "that number was taken when the second one was made"


def test_one_that_fails_fails_alone_and_leaves_nothing(kernel: MemoryKernel, linux: KernelPlane) -> None:
    kernel.fails[CREATE, 2] = errno.ENOMEM
    kernel.add_link("pw4")
    assert codes(linux.set([wanted(number) for number in range(1, 5)])) == [0, errno.ENOMEM, 0, errno.EEXIST]
    assert kernel.asked[-1] == (DELETE, 1), "the one whose state is not known, not the one that exists"
    assert {each["interface"] for each in sessions(kernel)} == {"pw1", "pw3"}
    assert kernel.index("pw4")


def test_an_interface_that_goes_at_once_leaves_nothing(
    kernel: MemoryKernel, linux: KernelPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Links, "number", lambda *_: 0)
    assert codes(linux.set([wanted()])) == [errno.ENODEV]
    assert not kernel.sessions
    assert not kernel.tunnels


def test_a_change_that_fails_is_told_and_the_old_one_comes_back_when_asked_for(
    kernel: MemoryKernel, linux: KernelPlane
) -> None:
    old = wanted()
    linux.set([old])
    kernel.fails[CREATE, 9] = errno.EINVAL
    assert codes(linux.set([replace(old, local_session_id=9)])) == [errno.EINVAL]
    assert kernel.sessions == {}
    assert codes(linux.set([old])) == [0]
    kernel.fails[MODIFY, 1] = errno.EBUSY
    assert codes(linux.set([old])) == [errno.EBUSY]
    assert list(kernel.sessions) == [(11, 1)], "what could not be modified stays"


def test_without_a_tunnel_there_is_no_session(kernel: MemoryKernel, linux: KernelPlane) -> None:
    kernel.add_tunnel(11)
    other = wanted(2, local_connection_id=12, peer_address=address("127.0.0.3"))
    assert codes(linux.set([wanted(), other])) == [errno.EEXIST, 0]
    del kernel.tunnels[11]
    assert linux.news()[0].tunnel == 12


def test_a_tunnel_goes_by_both_ends(kernel: MemoryKernel, linux: KernelPlane) -> None:
    assert (
        codes(
            linux.set(
                [
                    wanted(1, 2, local_address=address("127.0.0.5"), local_connection_id=0),
                    wanted(2, 2, local_address=address("127.0.0.6"), local_connection_id=0),
                    wanted(3, 2, local_connection_id=0),
                    wanted(4, 2, local_address=address("127.0.0.6")),
                ]
            )
        )
        == [0] * 4
    )
    assert 0 not in kernel.tunnels
    assert sorted(each[24] for each in kernel.tunnels.values()) == [address("127.0.0.5"), address("127.0.0.6")]
    tunnel_of = {netlink.string(each[8]): tunnel for (tunnel, _), each in kernel.sessions.items()}
    assert tunnel_of["pw3"] == tunnel_of["pw1"], "any will do"
    assert tunnel_of["pw4"] == tunnel_of["pw2"]


def test_a_deletion_is_waited_for_but_not_for_ever(
    kernel: MemoryKernel, linux: KernelPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    linux.set([wanted()])
    kernel.stays[11] = 3
    linux.delete(["pw1", "unknown"])
    assert kernel.stays[11] == 0
    monkeypatch.setattr(kernelplane, "DELETION_SECONDS", 0.01)
    linux.set([wanted()])
    kernel.stays[11] = 1_000_000
    linux.delete(["pw1"])
    kernel.stays.clear()


def test_others_that_delete_a_tunnel_are_told_of_and_ourselves_not(
    kernel: MemoryKernel, linux: KernelPlane, capsys: pytest.CaptureFixture[str]
) -> None:
    linux.set([wanted()])
    linux.delete(["pw1"])
    linux.set([wanted()])
    linux.tend()
    assert "deleted" not in capsys.readouterr().err
    linux.news()
    kernel.delete_tunnel(11)
    linux.tend()
    linux.tend()
    assert capsys.readouterr().err == "<5>tunnel 11: deleted by somebody else\n"
    assert [each.socket for each in linux.news()] == [None]
    kernel.add_tunnel(11)
    kernel.delete_tunnel(11)
    linux.tend()
    assert capsys.readouterr().err == "", "what others do with the number now is theirs"
    kernel.add_tunnel(11)
    assert codes(linux.set([wanted(2, peer_address=THERE)])) == [0], "not into that tunnel"
    linux.delete(["pw1", "pw2"])
    assert list(kernel.tunnels) == [11], "which is somebody else's now"
    del kernel.tunnels[11]


def test_lost_news_are_made_good(kernel: MemoryKernel, linux: KernelPlane, capsys: pytest.CaptureFixture[str]) -> None:
    linux.set([wanted(), wanted(2, peer_address=address("127.0.0.3"), local_connection_id=12)])
    kernel.delete_tunnel(11)
    kernel.lost = errno.ENOBUFS
    linux.tend()
    assert capsys.readouterr().err == "<5>tunnel 11: deleted by somebody else\n"
    kernel.lost = errno.EBADF
    with pytest.raises(OSError, match="Bad file"):
        linux.tend()


def test_what_is_labelled_is_adopted(kernel: MemoryKernel) -> None:
    kernel.add_tunnel(5)
    kernel.add_session(5, 1, "pw1", LABELS[0])
    index = kernel.add_session(5, 2, "pw2", LABELS[1])
    kernel.add_session(5, 3, "theirs")
    kernel.add_session(6, 4, "orphan", LABELS[0])
    kernel.add_session(5, 6, "gone", LABELS[0])
    del kernel.links[kernel.index("gone")]
    kernel.sessions[5, 7] = kernel.sessions[5, 1] | {1: b"\7\0"}  # PPP
    with closing(Links()) as links, closing(KernelPlane(links)) as linux:
        adopted = {each.param.interface: each for each in linux.adopt()}
        assert set(adopted) == {"pw1", "pw2"}
        assert adopted["pw2"].param == PweParam(
            plane=Plane.KERNEL, interface="pw2", listener=0, local_address=HERE, peer_address=THERE, peer_port=1701,
            local_connection_id=5, peer_connection_id=99, local_session_id=2, peer_session_id=7, local_cookie=b"",
            peer_cookie=b"", receive_sublayer=1, send_sublayer=1, receive_sequencing=0, send_sequencing=0, mtu=1500,
            bridge="", up=True,
        )  # fmt: skip
        assert adopted["pw2"].link.number == index
        linux.delete(["pw1"])
        assert set(kernel.sessions) == {(5, 2), (5, 3), (6, 4), (5, 6), (5, 7)}
        linux.delete(["pw2"])
    assert set(kernel.sessions) == {(6, 4)}, "with the tunnel goes what others have added to it"


def test_a_listener_shares_its_port_with_what_was_adopted(kernel: MemoryKernel) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as left:
        left.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        left.bind(("127.0.0.1", 0))
        there = Listener(Plane.KERNEL, Encapsulation.UDP, HERE, left.getsockname()[1])
        with closing(Links()) as links, closing(KernelPlane(links)) as linux:
            with pytest.raises(OSError, match="in use"):
                linux.open_listener(1, there)
            kernel.add_tunnel(5)
            kernel.add_session(5, 1, "pw1", LABELS[0])
            linux.adopt()
            linux.open_listener(1, there)


def test_counters_are_the_links_and_the_sessions(kernel: MemoryKernel, linux: KernelPlane) -> None:
    linux.set([wanted(1), wanted(2), wanted(3)])
    statistics = ((6, 2), (8, 9), (10, 3))
    kernel.sessions[11, 1][30] = b"".join(netlink.octets(kind, n.to_bytes(8, "little")) for kind, n in statistics)
    del kernel.links[kernel.index("pw2")]
    index = kernel.index("pw1")
    counters = linux.stats()
    assert set(counters) == {"pw1", "pw3"}
    assert counters["pw1"] == Counters(
        rx_frames=index, tx_frames=index + 1, rx_octets=index + 2, tx_octets=index + 3, tx_dropped=index + 7,
        rx_cookie=3, rx_malformed=4, rx_sequence=2, rx_source=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"receive_sublayer": 1}, Reason.PLANE),
        ({"receive_sublayer": 1, "send_sublayer": 1, "receive_sequencing": 1}, Reason.PLANE),
        ({"receive_sublayer": 1, "send_sublayer": 1, "send_sequencing": 2}, Reason.PLANE),
        ({"receive_sequencing": 2}, Reason.MALFORMED),
    ],
)
def test_what_linux_cannot_do_is_refused(linux: KernelPlane, changes: dict[str, int], reason: Reason) -> None:
    linux.check(wanted())
    with pytest.raises(Refused) as no:
        linux.check(wanted(**changes))
    assert no.value.reason is reason


def test_without_the_family_nothing_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare(MemoryKernel):
        def answers(self, *_: object, **__: object) -> Any:
            raise FileNotFoundError(errno.ENOENT, "no family")

    sockets = [Bare().open(0), Bare().open(0)]
    waiting = iter(sockets)
    monkeypatch.setattr(netlink, "_open", lambda *_: next(waiting))
    with pytest.raises(FileNotFoundError):
        L2tp()
    assert [each.closed for each in sockets] == [True, True]


def test_only_a_tunnel_that_is_not_there_is_none(kernel: MemoryKernel, linux: KernelPlane) -> None:
    assert linux._genl.tunnel(4711) is None
    kernel.fails[4, 4711] = errno.EPERM
    with pytest.raises(PermissionError):
        linux._genl.tunnel(4711)
    assert linux.fileno() == -1


def test_a_route_without_an_interface_leads_nowhere(kernel: MemoryKernel, linux: KernelPlane) -> None:
    kernel.route = kernel.add_link("outer")
    assert linux._links.path_mtu(THERE, bytes(4)) == 1500
    kernel.route = 4711
    with pytest.raises(OSError, match="unreachable"):
        linux._links.path_mtu(THERE, HERE)
