"""Octets of netlink against hand-written ones and against pyroute2's, and bursts on a real kernel's sockets."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from l2tp_kernel import links, netlink
from l2tp_kernel.links import Link, Links, Setting, Traffic
from l2tp_kernel.netlink import BURST, Monitor, Netlink
from l2tp_kernel.sockets import attach_filter
from tests.support.netns import namespace, poll, veth_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.netns import Namespace


def expected(text: str) -> bytes:
    return bytes.fromhex(text)


def test_attributes_are_padded_and_read_back() -> None:
    laid_out = (
        netlink.u8(1, 0xAB) + netlink.u16(2, 0xABCD) + netlink.u32(3, 0xDEADBEEF)
        + netlink.octets(4, b"12345") + netlink.octets(5, b"") + netlink.text(6, "abc")
    )  # fmt: skip
    assert laid_out == expected(
        "0500 0100 ab 000000  0600 0200 cdab 0000  0800 0300 efbeadde  0900 0400 3132333435 000000"
        "0400 0500  0800 0600 61626300"
    )
    found = netlink.attributes(b"head" + laid_out, 4)
    assert [netlink.integer(found[kind]) for kind in (1, 2, 3)] == [0xAB, 0xABCD, 0xDEADBEEF]
    assert (found[4], found[5], netlink.string(found[6])) == (b"12345", b"", "abc")
    assert netlink.attributes(expected("0800 0380 01000000")) == {3: expected("01000000")}, "nested, by its flag"
    assert (netlink.integer(None), netlink.string(None)) == (0, "")


@settings(deadline=None)  # the machine may be busy
@given(packet=st.binary(max_size=100))
def test_whatever_comes_is_taken_apart_and_comes_to_an_end(packet: bytes) -> None:
    for _, _, body in netlink.messages(packet):
        assert len(body) <= len(packet)
    assert sum(map(len, netlink.attributes(packet).values())) <= 30 * len(packet)


def test_requests_for_interfaces() -> None:
    assert links.get_link(5) == (18, expected("00 00 0000 05000000 00000000 00000000  0800 1d00 08000000"))
    assert links.get_link("pw0") == (
        18,
        expected("00 00 0000 00000000 00000000 00000000  0800 1d00 08000000  0800 0300 70773000"),
    )
    assert links.set_link(Setting(5)) == expected("00 00 0000 05000000 00000000 00000000")
    assert links.set_link(Setting(5, mtu=1400, up=True, master=9, label="ours")) == expected(
        "00 00 0000 05000000 01000000 010000000800 0400 78050000  0900 1400 6f75727300 000000  0800 0a00 09000000"
    )
    assert links.set_link(Setting(5, up=False, master=0)) == expected(
        "00 00 0000 05000000 00000000 01000000  0800 0a00 00000000"
    )


def test_requests_for_routes() -> None:
    four, six = bytes([192, 0, 2, 1]), expected("20010db8000000000000000000000001")
    assert links.get_route(four, bytes(4)) == (26, expected("02 20 00 000000000000000000  0800 0100 c0000201"))
    assert links.get_route(six, six) == (
        26, expected(f"0a 80 80 000000000000000000  1400 0100 {six.hex()}  1400 0200 {six.hex()}"),
    )  # fmt: skip


def decoded(kind: Any, body: bytes) -> Any:
    """The body of a request as pyroute2 reads it."""
    message = kind((16 + len(body)).to_bytes(4, "little") + bytes(12) + body)
    message.decode()
    return message


def test_pyroute2_reads_our_requests() -> None:
    message = decoded(ifinfmsg, links.set_link(Setting(7, mtu=1400, up=True, master=3, label="l2tp-kernel")))
    assert (message["index"], message["flags"], message["change"]) == (7, 1, 1)
    names = ("IFLA_MTU", "IFLA_MASTER", "IFLA_IFALIAS")
    assert [message.get_attr(name) for name in names] == [1400, 3, "l2tp-kernel"]
    message = decoded(ifinfmsg, links.get_link("pw0").body)
    assert (message.get_attr("IFLA_IFNAME"), message.get_attr("IFLA_EXT_MASK")) == ("pw0", 8)
    message = decoded(rtmsg, links.get_route(bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])).body)
    assert (message["family"], message["dst_len"], message["src_len"]) == (socket.AF_INET, 32, 32)
    assert (message.get_attr("RTA_DST"), message.get_attr("RTA_SRC")) == ("192.0.2.1", "192.0.2.2")


def test_we_read_pyroute2s_messages() -> None:
    message = ifinfmsg()
    message["index"], message["flags"] = 9, 1
    kind = {"attrs": [["IFLA_INFO_KIND", "bridge"]]}
    message["attrs"] = [
        ["IFLA_IFNAME", "br-lan"], ["IFLA_MTU", 1300], ["IFLA_IFALIAS", "mine"], ["IFLA_LINKINFO", kind],
    ]  # fmt: skip
    message.encode()
    link = Link(bytes(message.data[16:]))
    assert (link.number, link.up, link.name, link.mtu, link.label, link.kind) == (
        9, True, "br-lan", 1300, "mine", "bridge",
    )  # fmt: skip
    bare = Link(expected("00 00 0000 05000000 00000000 00000000"))
    assert (bare.number, bare.up, bare.name, bare.mtu, bare.label, bare.kind) == (5, False, "", 0, "", "")


@pytest.fixture(scope="module")
def host() -> Iterator[Namespace]:
    with veth_pair("netlink") as (left, _):
        yield left


@pytest.fixture
def open_links(host: Namespace) -> Iterator[Links]:
    with host.inside():
        made = Links()
    with closing(made):
        yield made


def index(open_links: Links, name: str) -> int:
    link = open_links.find(name)
    assert link is not None
    return int(link.number)


@pytest.mark.root
def test_links_are_found_by_name_and_index(open_links: Links) -> None:
    outer = open_links.find("outer")
    assert outer is not None
    assert (outer.name, outer.kind, outer.mtu, outer.up) == ("outer", "veth", 1500, True)
    again = open_links.find(outer.number)
    assert again is not None
    assert again.name == "outer"
    assert open_links.name(outer.number) == "outer"
    assert open_links.number("outer") == outer.number
    assert (open_links.find("none"), open_links.find(4711)) == (None, None)
    assert (open_links.name(4711), open_links.number("none")) == ("", 0)
    assert {each.name for each in open_links.all().values()} >= {"lo", "outer"}
    assert open_links.all()[outer.number].label == ""


@pytest.mark.parametrize("kind", [links._RTM_NEWLINK, 17])
@pytest.mark.parametrize("changed", [0, 1, 0xFFFFFFFF])
@pytest.mark.parametrize("known_by_a_kind", [False, True])
def test_what_the_filter_of_links_drops(kind: int, changed: int, known_by_a_kind: bool) -> None:  # noqa: FBT001  # a case
    described = netlink.octets(18, netlink.text(1, "bridge")) if known_by_a_kind else b""
    body = struct.pack("=BxHiII", 0, 1, 5, 1, changed) + netlink.text(3, "pw0") + described
    message = struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        attach_filter(ours, links._NEWS)
        ours.settimeout(0)
        theirs.send(message)
        if kind == links._RTM_NEWLINK and changed != 1 and not known_by_a_kind:
            with pytest.raises(BlockingIOError):
                ours.recv(1000)
        else:
            assert ours.recv(1000) == message


@pytest.mark.root
def test_an_mtu_is_news_only_of_what_linux_knows_by_its_kind(host: Namespace, open_links: Links) -> None:
    outer = index(open_links, "outer")
    for name in ("lo", "outer"):  # lo has no kind, like the interfaces of l2tp_eth, and veth is one
        host.ip(f"link set {name} mtu 1400")
    assert set(poll(open_links.changes, "news")) == {outer}


@pytest.mark.root
def test_up_and_down_is_news_of_every_interface(host: Namespace, open_links: Links) -> None:
    loopback = index(open_links, "lo")
    for up in (False, True, False):
        host.ip(f"link set lo {'up' if up else 'down'}")
        link = poll(open_links.changes, "news")[loopback]
        assert link
        assert link.up is up


@pytest.mark.root
def test_only_what_is_not_there_is_none(host: Namespace) -> None:
    with host.inside():
        made = Links()
    os.close(made._netlink.fileno())
    for call in (lambda: made.name(1), lambda: made.find(1)):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call()
    made._netlink._socket.detach()
    made.close()


@pytest.mark.root
def test_traffic_is_the_kernels_own(host: Namespace, open_links: Links) -> None:
    host.run("ping", "-c3", "-i0.2", "192.0.2.2")
    number = index(open_links, "outer")
    names = ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_errors", "tx_errors", "rx_dropped", "tx_dropped")

    def known() -> Traffic:
        return Traffic(*(int(host.run("cat", f"/sys/class/net/outer/statistics/{name}").stdout) for name in names))

    before, counted, after = known(), open_links.traffic()[number], known()
    assert counted.rx_packets >= 3
    assert before <= counted <= after


@pytest.mark.root
def test_errors_come_back_each_for_its_own(host: Namespace, open_links: Links) -> None:
    number = index(open_links, "outer")
    settings = [Setting(number, mtu=1400 + each) for each in range(2 * BURST)]
    wrong = {0: Setting(4711, mtu=1400), BURST - 1: Setting(number, mtu=1 << 20), 2 * BURST - 1: Setting(4711)}
    for position, each in wrong.items():
        settings[position] = each
    errors = open_links.configure(settings)
    assert {at: error.errno for at, error in enumerate(errors) if error} == {
        0: errno.ENODEV, BURST - 1: errno.EINVAL, 2 * BURST - 1: errno.ENODEV,
    }  # fmt: skip
    assert f"mtu {1400 + 2 * BURST - 2} " in host.ip("link show outer")
    assert all(open_links.configure([Setting(4711)] * 3 * BURST)), "all may fail"
    assert open_links.configure([]) == []
    assert open_links.configure([Setting(number, mtu=1500)]) == [None]


@pytest.mark.root
def test_the_last_message_about_an_interface_is_how_it_is(host: Namespace, open_links: Links) -> None:
    host.ip("link add br-lan type bridge")
    host.ip("link add pw-a type veth peer name pw-b")
    numbers = {name: index(open_links, name) for name in ("br-lan", "pw-a", "pw-b")}
    open_links.changes()
    host.ip("link set pw-a up")
    host.ip("link set pw-a master br-lan")
    host.ip("link set pw-a nomaster")
    changed = open_links.changes()
    link = changed[numbers["pw-a"]]
    assert link is not None, "a port that leaves its bridge is told as deleted, in the bridge's family"
    assert link.up
    host.ip("link set pw-a down")
    host.ip("link set br-lan name br-two")
    host.ip("link del pw-b")
    changed = open_links.changes()
    assert changed[numbers["pw-a"]] is None
    bridge = changed[numbers["br-lan"]]
    assert bridge is not None
    assert (bridge.name, bridge.kind) == ("br-two", "bridge")
    host.ip("link del br-two")
    assert open_links.changes() == {numbers["br-lan"]: None}
    assert open_links.changes() == {}


@pytest.mark.root
def test_lost_messages_are_told_and_nothing_older_is_left(host: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "RECEIVE_BUFFER", 4096)
    with host.inside():
        made = Links()
    with closing(made):
        for mtu in (1300, 1301, 1302, 1303, 1304, 1305, 1306, 1307, 1500):
            host.ip(f"link set outer mtu {mtu}")
        with pytest.raises(OSError, match="No buffer space") as lost:
            made.changes()
        assert lost.value.errno == errno.ENOBUFS
        assert made.changes() == {}
        host.ip("link set outer mtu 1400")
        assert [link and link.mtu for link in made.changes().values()] == [1400]
        host.ip("link set outer mtu 1500")


def test_a_socket_that_ends_is_an_error() -> None:
    with closing(Monitor(socket.NETLINK_ROUTE)) as monitor:
        os.close(monitor.fileno())
        with pytest.raises(OSError, match="Bad file descriptor"):
            monitor.packets()
        monitor._socket.detach()


@pytest.mark.root
def test_only_the_kernel_is_believed(host: Namespace) -> None:
    with host.inside():
        made = Links()
        liar = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    with closing(made), liar:
        outer = index(made, "outer")
        gone = netlink._HEADER.pack(32, 17, 0, 0, 0) + expected("00 00 0000") + outer.to_bytes(4, "little") + bytes(8)
        for packet in (b"short", gone):
            liar.sendto(packet, (made._monitor._socket.getsockname()[0], 0))
            liar.sendto(packet, (made._netlink._socket.getsockname()[0], 0))
        assert made.changes() == {}
        assert index(made, "outer") == outer


class Plain(socket.socket):
    """A socket that is not netlink's; all that comes is said to be the kernel's."""

    def recvfrom(self, size: int, _flags: int = 0) -> tuple[bytes, tuple[int, int]]:
        return self.recv(size), (0, 0)


class Deaf(Netlink):
    """A socket whose other end is in the hands of the test, not of the kernel."""

    def __init__(self, seconds: float) -> None:
        super().__init__(socket.NETLINK_ROUTE)
        super().close()
        ours, self.kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket = Plain(fileno=ours.detach())
        self._socket.settimeout(seconds)

    def close(self) -> None:
        super().close()
        self.kernel.close()


def answer(sequence: int, code: int, kind: int = 2) -> bytes:
    return netlink._HEADER.pack(20, kind, 0, sequence, 0) + (-code).to_bytes(4, "little", signed=True)


def test_what_is_not_answered_failed_and_a_late_answer_is_no_other_ones() -> None:
    with closing(Deaf(0.1)) as deaf:
        errors = deaf.burst(16, [b""] * 3)
        assert [type(error) for error in errors] == [TimeoutError] * 3
        late = [answer(sequence, errno.EPERM) for sequence in range(3)]
        deaf.kernel.send(b"".join([*late, answer(3, 0)]))
        assert deaf.burst(16, [b""]) == [None]


def test_sequence_numbers_begin_again() -> None:
    with closing(Deaf(10)) as deaf:
        deaf._sequence = 0xFFFFFFFF

        def kernel() -> None:
            packet = deaf.kernel.recv(1000)
            sequences = [sequence for _, sequence, _ in netlink.messages(packet)]
            deaf.kernel.send(b"".join(answer(each, errno.EBUSY * (each == 0)) for each in sequences))

        there = threading.Thread(target=kernel)
        there.start()
        first, second = deaf.burst(16, [b""] * 2)
        there.join()
        assert first is None
        assert second is not None
        assert second.errno == errno.EBUSY


@pytest.mark.root
def test_a_refused_question_raises(host: Namespace) -> None:
    with namespace("empty"), host.inside(), closing(Netlink(socket.NETLINK_ROUTE)) as asked:
        with pytest.raises(OSError, match="No such device"):
            asked.ask(links.get_link("none"))
        with pytest.raises(OSError, match="Operation not supported"):
            asked.dump(netlink.Request(9999, b""))
