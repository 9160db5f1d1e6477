"""Interfaces go into bridges that appear after them, disappear, come back, and change their names."""

from __future__ import annotations

import errno
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from l2tp_kernel.schema import Reason, Verb
from tests.kernel.helper import POLICY, Helper, listener, param, running
from tests.support.helper_client import FailedError, HelperClient, RefusedError
from tests.support.netns import poll, veth_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from l2tp_kernel.schema import PweParam

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helper]:
    with veth_pair("bridge") as (left, _), running(left, tmp_path_factory.mktemp("bridge")) as started:
        yield started


@pytest.fixture
def helper(serving: Helper) -> Iterator[Helper]:
    """The helper, with no bridge before and after."""
    yield serving
    for name in {each for each in serving.links() if each.startswith("br-")}:
        serving.host.ip(f"link del {name}")


@pytest.fixture
def client(helper: Helper) -> Iterator[HelperClient]:
    with helper.client() as connected:
        yield connected
        connected.request(Verb.DELETE_PWE, [[each[1], each[8]] for each in connected.request(Verb.LIST)[1]])


@pytest.fixture
def wanted(client: HelperClient) -> PweParam:
    handle, _, control = client.open_listener(listener())
    control.close()
    return param(handle, bridge="br-lan")


def bridge(helper: Helper, name: str) -> None:
    helper.host.ip(f"link add {name} type bridge")


def master(helper: Helper, interface: str = "pw0") -> str:
    """Name of the bridge that an interface is in, empty for none."""
    words = helper.host.ip(f"link show {interface}").split()
    return words[words.index("master") + 1] if "master" in words else ""


def joined(helper: Helper, name: str, interface: str = "pw0") -> None:
    poll(lambda: master(helper, interface) == name, f"{interface} in {name or 'no bridge'}")


def settle(client: HelperClient) -> None:
    """Wait until the helper has dealt with all that had happened: the second answer is of a later turn of its loop."""
    client.request(Verb.LIST)
    client.request(Verb.LIST)


def said(helper: Helper, line: str) -> int:
    return helper.process.text().count(line)


def test_without_its_bridge_it_comes_up_and_waits(helper: Helper, client: HelperClient, wanted: PweParam) -> None:
    waits, put = "pw0: waits for the bridge br-lan", "pw0: put into the bridge br-lan"
    before = said(helper, waits), said(helper, put)
    _, _, index = client.set_pwe(wanted)
    assert client.set_pwe(wanted)[2] == index
    assert said(helper, waits) == before[0] + 1
    assert "UP" in helper.host.ip("link show pw0")
    client.set_pwe(replace(wanted, interface="pw1", local_session_id=2))
    bridge(helper, "br-lan")
    joined(helper, "br-lan")
    joined(helper, "br-lan", "pw1")
    client.set_pwe(wanted)
    settle(client)
    assert said(helper, put) == before[1] + 1
    assert said(helper, waits) == before[0] + 1


def test_a_bridge_that_is_made_again_has_it_again(helper: Helper, client: HelperClient, wanted: PweParam) -> None:
    bridge(helper, "br-lan")
    client.set_pwe(wanted)
    assert master(helper) == "br-lan"
    for _ in range(3):
        before = said(helper, "pw0: waits for the bridge br-lan")
        helper.host.ip("link del br-lan")
        poll(lambda before=before: said(helper, "pw0: waits for the bridge br-lan") == before + 1, "it waits")  # type: ignore[misc]  # a default argument binds the loop's value
        bridge(helper, "br-lan")
        joined(helper, "br-lan")
    # At once, so that the helper may hear of both together.
    helper.host.run("ip", "-batch", "-", text_input="link del br-lan\nlink add br-lan type bridge\n")
    joined(helper, "br-lan")


def test_names_count_when_bridges_are_renamed(helper: Helper, client: HelperClient, wanted: PweParam) -> None:
    bridge(helper, "br-one")
    client.set_pwe(wanted)
    helper.host.ip("link set br-one name br-lan")
    joined(helper, "br-lan")
    helper.host.ip("link set br-lan name br-old")
    client.set_pwe(wanted)
    settle(client)
    assert master(helper) == "br-old", "it is left alone where it is"
    bridge(helper, "br-lan")
    joined(helper, "br-lan")


def test_what_an_operator_does_with_it_stays(helper: Helper, client: HelperClient, wanted: PweParam) -> None:
    bridge(helper, "br-lan")
    client.set_pwe(wanted)
    helper.host.ip("link set pw0 nomaster")
    helper.host.ip("link set br-lan up")
    helper.host.ip("link set br-lan mtu 1300")
    settle(client)
    assert master(helper) == ""
    client.set_pwe(wanted)
    assert master(helper) == "br-lan", "until it is set again"


def test_a_choice_that_changes_leaves_the_bridge_before(helper: Helper, client: HelperClient, wanted: PweParam) -> None:
    bridge(helper, "br-lan")
    client.set_pwe(wanted)
    client.set_pwe(replace(wanted, bridge="br-two"))
    assert master(helper) == ""
    bridge(helper, "br-two")
    joined(helper, "br-two")
    client.set_pwe(replace(wanted, bridge=""))
    assert master(helper) == ""
    helper.host.ip("link set br-two name br-not")
    settle(client)
    assert master(helper) == ""


def test_something_else_of_that_name_is_an_error_or_told(
    helper: Helper, client: HelperClient, wanted: PweParam
) -> None:
    with pytest.raises(FailedError) as failed:
        client.set_pwe(replace(wanted, bridge="outer"))
    assert failed.value.errno == errno.EOPNOTSUPP
    assert "pw0" not in helper.links()
    client.set_pwe(wanted)
    helper.host.ip("link add br-lan type veth peer name br-peer")
    helper.process.wait_for_log("pw0: not put into br-lan: [Errno 95] br-lan is no bridge")
    helper.host.ip("link set br-lan up")
    settle(client)
    assert said(helper, "pw0: not put into br-lan") == 1
    helper.host.ip("link del br-lan")
    bridge(helper, "br-lan")
    joined(helper, "br-lan")


def test_linux_has_the_last_word(helper: Helper, client: HelperClient, wanted: PweParam) -> None:
    """What carries macvlan interfaces cannot be in a bridge."""
    client.set_pwe(wanted)
    helper.host.ip("link add link pw0 name br-macvlan type macvlan")
    bridge(helper, "br-lan")
    helper.process.wait_for_log("pw0: not put into br-lan: [Errno 16]")
    assert [each[1] for each in client.request(Verb.LIST)[1]] == ["pw0"]


def test_the_policy_decides_when_the_bridge_appears(helper: Helper, client: HelperClient, wanted: PweParam) -> None:
    with pytest.raises(RefusedError) as refused:
        client.set_pwe(replace(wanted, bridge="virbr0"))
    assert refused.value.reason is Reason.POLICY
    client.set_pwe(wanted)
    again = helper.process.text().count("read again")
    helper.policy.write_text(POLICY.replace('"br-*"', '"br-two"'))
    try:
        helper.process.signal(signal.SIGHUP)
        helper.process.wait_until(lambda: said(helper, "read again") == again + 1, "the policy is read")
        bridge(helper, "br-lan")
        helper.process.wait_for_log("pw0: not put into br-lan: br-lan is not in [bridges] names")
        assert master(helper) == ""
    finally:
        helper.policy.write_text(POLICY)
        helper.process.signal(signal.SIGHUP)
        helper.process.wait_until(lambda: said(helper, "read again") == again + 2, "the policy is read")
    client.set_pwe(wanted)
    assert master(helper) == "br-lan"


def test_a_bridge_among_lost_messages_is_found(helper: Helper, client: HelperClient, wanted: PweParam) -> None:
    client.set_pwe(wanted)
    bridge(helper, "br-two")
    helper.process.signal(signal.SIGSTOP)
    try:
        lines = [f"link set br-two mtu {1300 + number % 2}" for number in range(2000)]
        helper.host.run("ip", "-batch", "-", text_input="\n".join([*lines, "link add br-lan type bridge"]))
    finally:
        helper.process.signal(signal.SIGCONT)
    joined(helper, "br-lan")
    before = said(helper, "pw0: waits for the bridge br-lan")
    helper.process.signal(signal.SIGSTOP)
    try:
        helper.host.run("ip", "-batch", "-", text_input="\n".join([*lines, "link del br-lan"]))
    finally:
        helper.process.signal(signal.SIGCONT)
    poll(lambda: said(helper, "pw0: waits for the bridge br-lan") == before + 1, "it waits again")
