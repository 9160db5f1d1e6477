"""A live helper makes, changes and removes real interfaces in a namespace of its own, in each forwarding plane."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
from dataclasses import astuple, replace
from typing import TYPE_CHECKING, Any

import pytest

from l2tp_kernel import userspace
from l2tp_kernel.schema import EventKind, Flavour, Plane, Reason, Verb
from tests.kernel.helper import Helper, address, listener, over_ip, param, running
from tests.support.helper_client import FailedError, HelperClient, RefusedError
from tests.support.netns import poll, veth_pair
from tests.support.planes import has_kernel_plane, plane_of, remove_interface, sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from l2tp_kernel.schema import PweParam

pytestmark = pytest.mark.root

BOTH: dict[str, Any] = {"receive_sublayer": 1, "send_sublayer": 1, "receive_sequencing": 2, "send_sequencing": 2}
"""What Linux has for both directions or for none."""


@pytest.fixture(scope="module")
def helper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helper]:
    with veth_pair("kernel") as (left, _), running(left, tmp_path_factory.mktemp("kernel")) as started:
        left.ip("link add br-lan type bridge")
        left.ip("link add br-two type bridge")
        left.ip("link set br-lan up")
        yield started


@pytest.fixture
def client(helper: Helper) -> Iterator[HelperClient]:
    with helper.client() as connected:
        yield connected
        listeners, pseudowires = connected.request(Verb.LIST)
        connected.request(Verb.DELETE_PWE, [[each[1], each[8]] for each in pseudowires])
        for each in listeners:
            connected.request(Verb.CLOSE_LISTENER, each[-1])
        assert connected.request(Verb.LIST) == [[], []]
    assert not {each for each in helper.links() if each.startswith("pw")}


@pytest.fixture
def handle(client: HelperClient, plane: Plane) -> int:
    """A listener of one plane, whose pseudowires are of that plane too."""
    number, _, control = client.open_listener(listener(plane=plane))
    control.close()
    return number


def refused(client: HelperClient, wanted: PweParam) -> Reason:
    with pytest.raises(RefusedError) as no:
        client.set_pwe(wanted)
    return no.value.reason


def failed(client: HelperClient, wanted: PweParam) -> int | None:
    with pytest.raises(FailedError) as no:
        client.set_pwe(wanted)
    return no.value.errno


def test_greeting_tells_planes_and_process(helper: Helper, client: HelperClient) -> None:
    assert client.planes == [Plane.KERNEL, Plane.USERSPACE][not has_kernel_plane() :]
    assert client.helper_pid == helper.process.pid


def test_a_pseudowire_is_an_interface_with_its_parameters(
    helper: Helper, client: HelperClient, handle: int, plane: Plane
) -> None:
    interface, mtu, index = client.set_pwe(param(handle, mtu=1400))
    shown = helper.host.ip(f"-d link show {interface}")
    assert (interface, mtu) == ("pw0", 1400)
    assert f"{index}: pw0:" in shown
    assert "mtu 1400" in shown
    assert plane_of(helper.host, interface) is plane
    assert re.search(r"<[A-Z,]*\bUP\b", shown)
    _, _, other = client.set_pwe(param(handle, "pw1", local_session_id=2, up=False))
    assert other != index
    assert not re.search(r"<[A-Z,]*\bUP\b", helper.host.ip("link show pw1"))


def test_the_same_again_changes_nothing(helper: Helper, client: HelperClient, handle: int, plane: Plane) -> None:
    wanted = param(handle, local_cookie=b"12345678", peer_cookie=b"abcd")
    made = client.set_pwe(wanted)
    before = helper.host.ip("link show pw0")
    assert client.set_pwe(wanted) == made
    assert helper.host.ip("link show pw0") == before
    assert client.request(Verb.LIST)[1] == [list(astuple(replace(wanted, plane=plane)))]


def test_everything_can_change_and_a_tap_stays(helper: Helper, client: HelperClient, handle: int, plane: Plane) -> None:
    _, _, index = client.set_pwe(param(handle))
    numbered: dict[str, Any] = BOTH if plane is Plane.KERNEL else {"send_sublayer": 1, "send_sequencing": 2}
    changed = param(
        handle, local_session_id=7, peer_session_id=8, local_cookie=b"1234", peer_address=address("192.0.2.9"),
        mtu=1300, up=False, local_address=address("192.0.2.1"), **numbered,
    )  # fmt: skip
    interface, mtu, again = client.set_pwe(changed)
    assert (interface, mtu, again == index) == ("pw0", 1300, plane is Plane.USERSPACE)
    assert "mtu 1300" in helper.host.ip("link show pw0")
    assert client.request(Verb.LIST)[1] == [list(astuple(replace(changed, plane=plane)))]
    with pytest.raises(RefusedError, match="NOT_FOUND"):
        client.delete_pwe("pw0", 101)
    client.delete_pwe("pw0", 7)
    assert "pw0" not in helper.links()


def test_an_interface_that_vanished_is_made_again(helper: Helper, client: HelperClient, handle: int) -> None:
    _, _, index = client.set_pwe(param(handle))
    helper.host.ip("link set pw0 down")
    helper.host.ip("link set pw0 name other")
    _, _, again = client.set_pwe(param(handle))
    assert again != index
    assert {"pw0"} == {each for each in helper.links() if each.startswith(("pw", "other"))}


@pytest.mark.parametrize("encapsulation", ["UDP", "IP"])
@pytest.mark.parametrize("family", ["192.0.2", "2001:db8:"])
def test_the_mtu_leaves_room_for_every_header(
    client: HelperClient, plane: Plane, encapsulation: str, family: str
) -> None:
    ours, peer = f"{family}:1" if ":" in family else f"{family}.1", f"{family}:2" if ":" in family else f"{family}.2"
    wanted = listener(ours) if encapsulation == "UDP" else over_ip(ours)
    opened, _, control = client.open_listener(replace(wanted, plane=plane))
    control.close()
    expected = {
        ("UDP", "192.0.2"): 1450,
        ("IP", "192.0.2"): 1462,
        ("UDP", "2001:db8:"): 1430,
        ("IP", "2001:db8:"): 1442,
    }
    for cookies, cookie_octets in (((0, 0), 0), ((4, 4), 4), ((8, 0), 8), ((4, 8), 8)):
        for sublayer in (0, 1):
            _, mtu, _ = client.set_pwe(
                param(
                    opened, local_address=bytes(len(address(peer))), peer_address=address(peer),
                    receive_sublayer=sublayer, send_sublayer=sublayer if plane is Plane.KERNEL else 0,
                    peer_port=1701 if encapsulation == "UDP" else 0,
                    local_cookie=bytes(cookies[0]), peer_cookie=bytes(cookies[1]),
                )
            )  # fmt: skip
            room = expected[encapsulation, family] - cookie_octets - 4 * sublayer
            assert mtu == room, (cookies, sublayer)


def test_the_mtu_follows_the_path_when_set_again(helper: Helper, client: HelperClient, handle: int) -> None:
    assert client.set_pwe(param(handle))[1] == 1450
    helper.host.ip("route add 192.0.2.2/32 dev outer mtu 1400")
    try:
        assert client.set_pwe(param(handle))[1] == 1350
        assert "mtu 1350" in helper.host.ip("link show pw0")
    finally:
        helper.host.ip("route del 192.0.2.2/32 dev outer mtu 1400")


def test_a_bridge_takes_and_gives_back(helper: Helper, client: HelperClient, handle: int) -> None:
    client.set_pwe(param(handle, bridge="br-lan"))
    assert "master br-lan" in helper.host.ip("link show pw0")
    client.set_pwe(param(handle, bridge="br-two"))
    assert "master br-two" in helper.host.ip("link show pw0")
    client.set_pwe(param(handle))
    assert "master" not in helper.host.ip("link show pw0")


def test_a_bridge_that_an_operator_chose_stays(helper: Helper, client: HelperClient, handle: int) -> None:
    client.set_pwe(param(handle))
    helper.host.ip("link set pw0 master br-lan")
    assert client.set_pwe(param(handle, mtu=1300))[1] == 1300
    assert "master br-lan" in helper.host.ip("link show pw0")


def test_what_fails_leaves_nothing(helper: Helper, client: HelperClient, handle: int, plane: Plane) -> None:
    assert failed(client, param(handle, bridge="outer")) == errno.EOPNOTSUPP, "an interface that is no bridge"
    if plane is Plane.USERSPACE:
        assert failed(client, param(handle, mtu=65535)) == errno.EINVAL, "more than a TAP takes"
    helper.host.ip("route add prohibit 192.0.2.77/32")
    assert failed(client, param(handle, peer_address=address("192.0.2.77"))) == errno.EACCES
    assert client.request(Verb.LIST)[1] == []
    assert "pw0" not in helper.links()
    client.set_pwe(param(handle))


@pytest.mark.planes("userspace")
def test_a_change_that_fails_leaves_things_as_they_were(helper: Helper, client: HelperClient, handle: int) -> None:
    good = param(handle, mtu=1400, bridge="br-lan", peer_cookie=b"1234")
    client.set_pwe(good)
    before = helper.host.ip("link show pw0")
    assert failed(client, replace(good, mtu=65535, bridge="br-two", peer_session_id=9)) == errno.EINVAL
    assert helper.host.ip("link show pw0") == before
    assert client.request(Verb.LIST)[1] == [list(astuple(replace(good, plane=Plane.USERSPACE)))]


def test_what_others_made_is_not_touched(helper: Helper, client: HelperClient, handle: int) -> None:
    helper.host.ip("tuntap add pw-theirs mode tap")
    helper.host.ip("link add pw-veth type veth peer name pw-peer")
    theirs = ("pw-theirs", "pw-veth", "outer")

    def shown() -> list[object]:
        # Not all of them: Linux takes up to a second to call the bridge down that an earlier test's interface left.
        return [helper.links(), *(helper.host.ip(f"link show {name}") for name in theirs)]

    try:
        before = shown()
        for name in theirs:
            assert refused(client, param(handle, name)) is Reason.NOT_OWNED
            with pytest.raises(RefusedError, match="NOT_FOUND"):
                client.delete_pwe(name, 101)
        assert shown() == before
    finally:
        helper.host.ip("link del pw-theirs")
        helper.host.ip("link del pw-veth")


def test_refusals_have_their_reasons(client: HelperClient, handle: int, plane: Plane) -> None:
    six, _, control = client.open_listener(listener("2001:db8::1", plane=plane))
    control.close()
    raw, _, control = client.open_listener(replace(over_ip(), plane=plane))
    control.close()
    (other,) = {Plane.KERNEL, Plane.USERSPACE} - {plane}
    client.set_pwe(param(handle))
    for wanted, reason in (
        (param(handle, "eth0"), Reason.POLICY),
        (param(handle, peer_address=address("198.51.100.1")), Reason.POLICY),
        (param(handle, local_address=address("198.51.100.1")), Reason.POLICY),
        (param(handle, bridge="virbr0"), Reason.POLICY),
        (param(handle, "pw1"), Reason.IN_USE),
        (param(handle, plane=other), Reason.PLANE),
        (param(99), Reason.NOT_FOUND),
        (param(six), Reason.MALFORMED),
        (param(raw), Reason.MALFORMED),
        (param(handle, peer_port=0), Reason.MALFORMED),
        (param(handle, local_address=address("192.0.2.5")), Reason.MALFORMED),
    ):
        assert refused(client, wanted) is reason, wanted
    assert [each[1] for each in client.request(Verb.LIST)[1]] == ["pw0"]


def test_there_are_no_more_than_the_policy_allows(client: HelperClient, handle: int) -> None:
    for number in range(4):
        client.set_pwe(param(handle, f"pw{number}", local_session_id=1 + number))
    assert refused(client, param(handle, "pw4", local_session_id=9)) is Reason.POLICY
    client.set_pwe(param(handle, "pw0", local_session_id=9))
    client.delete_pwe("pw3", 4)
    client.set_pwe(param(handle, "pw4", local_session_id=4))


def test_a_batch_answers_one_by_one(helper: Helper, client: HelperClient, handle: int) -> None:
    wanted = [
        param(handle, "pw0"),
        param(handle, "eth0"),
        param(handle, "pw1"),
        param(handle, "pw2", local_session_id=3),
    ]
    answers = client.request(Verb.SET_PWE_PARAM, [astuple(each) for each in wanted])
    assert [status for status, _ in answers] == [0, 1, 1, 0]
    assert [value for _, value in answers][1:3] == [Reason.POLICY, Reason.IN_USE]
    stats = client.request(Verb.STATS, [])
    assert [each[0] for each in stats] == ["pw0", "pw2"]
    assert all(len(each) == 10 for each in stats)
    assert client.request(Verb.STATS, ["pw2", "lo"])[0][0] == "pw2"
    assert client.request(Verb.DELETE_PWE, [["pw0", 101], ["pw1", 101], ["pw2", 3]]) == [
        [0, None], [1, Reason.NOT_FOUND], [0, None],
    ]  # fmt: skip
    assert not {each for each in helper.links() if each.startswith("pw")}


def test_listeners_are_shared_refused_and_closed(client: HelperClient, plane: Plane) -> None:
    automatic = client.planes[0] is plane
    handle, flavour, control = client.open_listener(listener(plane=Plane.AUTO if automatic else plane))
    same, _, again = client.open_listener(listener(plane=plane))
    assert (same, flavour) == (handle, Flavour.UDP)
    assert control.getsockname() == again.getsockname() == ("192.0.2.1", 1701)
    for wanted, reason in (
        (listener("198.51.100.1"), Reason.POLICY),
        (listener(port=1800), Reason.POLICY),
        (listener(port=0), Reason.MALFORMED),
        (replace(over_ip(), port=1701), Reason.MALFORMED),
        *((listener(plane=each), Reason.PLANE) for each in {Plane.KERNEL} - set(client.planes)),
    ):
        with pytest.raises(RefusedError) as no:
            client.open_listener(wanted)
        assert no.value.reason is reason
    with pytest.raises(FailedError) as error:
        client.open_listener(listener("192.0.2.200"))
    assert error.value.errno == errno.EADDRNOTAVAIL
    client.set_pwe(param(handle))
    with pytest.raises(RefusedError, match="IN_USE"):
        client.request(Verb.CLOSE_LISTENER, handle)
    client.delete_pwe("pw0", 101)
    client.request(Verb.CLOSE_LISTENER, handle)
    with pytest.raises(RefusedError, match="NOT_FOUND"):
        client.request(Verb.CLOSE_LISTENER, handle)
    control.close()
    again.close()
    client.read_tunnels()  # and closes the socket of the kernel's tunnel, which has the same address
    reopened, _, control = client.open_listener(listener(plane=plane))
    assert reopened != handle
    control.close()


def test_control_messages_arrive_at_the_clients_socket(helper: Helper, client: HelperClient, plane: Plane) -> None:
    _, _, control = client.open_listener(listener(plane=plane))
    message = bytes.fromhex("c803000c000000000000000000")
    with helper.host.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(message, ("192.0.2.1", 1701))
    control.settimeout(5)
    assert control.recv(64) == message
    control.close()


def test_up_and_down_are_told_unless_asked_for(helper: Helper, client: HelperClient, handle: int) -> None:
    client.set_pwe(param(handle))
    client.set_pwe(param(handle, up=False))
    client.set_pwe(param(handle))
    with helper.client(greet=False) as stranger:
        helper.host.ip("link set pw0 down")
        assert client.event() == [EventKind.LINK, "pw0", False]
        helper.host.ip("link set pw0 up")
        assert client.event() == [EventKind.LINK, "pw0", True]
        assert stranger.receive(0) is None
        assert stranger.events == []
    helper.host.ip("link set pw0 mtu 1200")
    client.request(Verb.LIST)
    assert client.events == []


def test_a_removed_interface_is_told_and_forgotten(helper: Helper, client: HelperClient, handle: int) -> None:
    client.set_pwe(param(handle))
    remove_interface(helper.host, "pw0")
    assert client.event() == [EventKind.PWE_GONE, "pw0"]
    assert client.request(Verb.LIST)[1] == []
    client.set_pwe(param(handle))


def test_what_a_client_made_outlives_it(helper: Helper, plane: Plane) -> None:
    first = helper.client()
    handle, _, control = first.open_listener(listener(plane=plane))
    made = first.set_pwe(param(handle, local_cookie=b"1234"))
    first.close()
    control.close()
    assert "pw0" in helper.links()
    with helper.client() as second:
        listeners, pseudowires = second.request(Verb.LIST)
        assert listeners == [[*astuple(listener(plane=plane)), handle]]
        assert pseudowires == [list(astuple(param(handle, local_cookie=b"1234", plane=plane)))]
        adopted, _, control = second.open_listener(listener(plane=plane))
        control.close()
        assert adopted == handle
        assert second.set_pwe(param(handle, local_cookie=b"1234")) == made
        second.delete_pwe("pw0", 101)
        second.request(Verb.CLOSE_LISTENER, handle)
    poll(lambda: "pw0" not in helper.links(), "removal")


def test_a_tap_of_others_is_never_joined(helper: Helper) -> None:
    helper.host.ip("tuntap add pw-theirs mode tap")
    try:
        with helper.host.inside(), pytest.raises(FileExistsError):
            userspace._open_tap("pw-theirs")
    finally:
        helper.host.ip("link del pw-theirs")


def test_lost_notifications_are_made_up_for(helper: Helper, client: HelperClient, handle: int, plane: Plane) -> None:
    client.set_pwe(param(handle, "pw0"))
    client.set_pwe(param(handle, "pw1", local_session_id=2))
    removal = "link del pw0"
    if plane is Plane.KERNEL:
        (tunnel,) = {each["tunnel_id"] for each in sessions(helper.host)}
        removal = f"l2tp del session tunnel_id {tunnel} session_id 101"
    helper.process.signal(signal.SIGSTOP)
    try:
        lines = [f"link set br-two mtu {1300 + number % 2}" for number in range(2000)]
        helper.host.run("ip", "-batch", "-", text_input="\n".join([*lines, removal, "link set pw1 down"]))
        assert "pw0" not in helper.links()
    finally:
        helper.process.signal(signal.SIGCONT)
    assert sorted([client.event(), client.event()]) == [[EventKind.PWE_GONE, "pw0"], [EventKind.LINK, "pw1", False]]


def test_a_socket_that_cannot_be_handed_over_is_closed(client: HelperClient) -> None:
    with pytest.raises(FailedError) as error:
        for _ in range(5000):
            client.request(Verb.OPEN_LISTENER, *astuple(listener()))
    assert error.value.errno == errno.EAGAIN
    assert client.request(Verb.LIST) == [[], []]
    client.channel.settimeout(0)
    with pytest.raises(BlockingIOError):
        while True:
            for descriptor in socket.recv_fds(client.channel, 64, 1)[1]:
                os.close(descriptor)
    client.channel.settimeout(5)
    _, _, control = client.open_listener(listener())
    control.close()
