"""LIST tells pseudowires as they are: as they were set, but for what others have changed on their interfaces."""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import TYPE_CHECKING

import pytest

from l2tp_kernel.schema import Plane, PweParam, Verb
from tests.kernel.helper import Helper, listener, param, running
from tests.support.netns import poll, veth_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.helper_client import HelperClient

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def helper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helper]:
    with veth_pair("listing") as (left, _), running(left, tmp_path_factory.mktemp("listing")) as started:
        for name in ("br-lan", "br-two"):
            left.ip(f"link add {name} type bridge")
        yield started


@pytest.fixture
def client(helper: Helper) -> Iterator[HelperClient]:
    with helper.client() as connected:
        yield connected
        connected.request(Verb.DELETE_PWE, [[each[1], each[8]] for each in connected.request(Verb.LIST)[1]])


@pytest.fixture
def wanted(client: HelperClient, plane: Plane) -> PweParam:
    """What a test sets first: with an MTU from the path, in no bridge."""
    handle, _, control = client.open_listener(listener(plane=plane))
    control.close()
    return replace(param(handle), plane=plane, local_cookie=b"12345678")


def until_listed(client: HelperClient, *expected: PweParam) -> None:
    rows = [[*astuple(each)] for each in expected]
    poll(lambda: client.request(Verb.LIST)[1] == rows, "what is listed")


def test_an_mtu_that_somebody_has_set(helper: Helper, client: HelperClient, wanted: PweParam) -> None:
    _, computed, _ = client.set_pwe(wanted)
    until_listed(client, wanted)
    helper.host.ip("link set pw0 mtu 1300")
    until_listed(client, replace(wanted, mtu=1300))
    helper.host.ip(f"link set pw0 mtu {computed}")
    until_listed(client, wanted)
    helper.host.ip("link set pw0 mtu 1300")
    until_listed(client, replace(wanted, mtu=1300))
    client.set_pwe(replace(wanted, mtu=1400))
    until_listed(client, replace(wanted, mtu=1400))
    helper.host.ip("link set pw0 mtu 1200")
    until_listed(client, replace(wanted, mtu=1200))


def test_the_administrative_state(helper: Helper, client: HelperClient, wanted: PweParam) -> None:
    client.set_pwe(wanted)
    helper.host.ip("link set pw0 down")
    until_listed(client, replace(wanted, up=False))
    client.set_pwe(replace(wanted, up=False))
    helper.host.ip("link set pw0 up")
    until_listed(client, wanted)


def test_the_bridge(helper: Helper, client: HelperClient, wanted: PweParam) -> None:
    bridged = replace(wanted, bridge="br-lan")
    client.set_pwe(bridged)
    until_listed(client, bridged)
    helper.host.ip("link set pw0 nomaster")
    until_listed(client, wanted)
    helper.host.ip("link set pw0 master br-two")
    until_listed(client, replace(wanted, bridge="br-two"))
    helper.host.ip("link set pw0 master br-lan")
    until_listed(client, bridged)
    helper.host.ip("link del br-lan")
    until_listed(client, wanted)
    helper.host.ip("link add br-lan type bridge")
    until_listed(client, bridged)


def test_a_bridge_that_is_not_there(helper: Helper, client: HelperClient, wanted: PweParam) -> None:
    client.set_pwe(replace(wanted, bridge="br-later"))
    assert client.request(Verb.LIST)[1] == [[*astuple(wanted)]]
    helper.host.ip("link add br-later type bridge")
    until_listed(client, replace(wanted, bridge="br-later"))
    helper.host.ip("link del br-later")


def test_a_bridge_that_an_operator_has_chosen_is_nobodys_wish(
    helper: Helper, client: HelperClient, wanted: PweParam
) -> None:
    client.set_pwe(wanted)
    helper.host.ip("link set pw0 mtu 1280 master br-two")
    until_listed(client, replace(wanted, mtu=1280))
