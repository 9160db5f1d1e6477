"""What fits the configuration: Host Name, Router ID, Remote End ID, and the parameters of a call."""

from __future__ import annotations

import pytest

from l2tp_ctl.catalogue import Entry
from l2tp_ctl.core.acceptance import cookie_warning, find_session, refuse_call, refuse_connection
from l2tp_ctl.core.message import Message, MessageType
from l2tp_ctl.core.settings import PseudowireType
from tests.core.bench import session, tunnel


def icrq(**fields: object) -> Message:
    return Message(type=MessageType.ICRQ, **fields)  # type: ignore[arg-type]  # each is one of Message's fields


@pytest.mark.parametrize(
    ("configured", "sent", "entry"),
    [
        ((None, None), (b"any", 5), None),
        ((None, None), (None, None), None),
        ((b"far", None), (b"far", 5), None),
        ((b"far", None), (b"Far", 5), Entry.HOSTNAME_MISMATCH),
        ((b"far", None), (b"far.example", 5), Entry.HOSTNAME_MISMATCH),
        ((b"far", None), (None, 5), Entry.HOSTNAME_MISMATCH),
        ((b"", None), (b"far", 5), Entry.HOSTNAME_MISMATCH),
        ((None, 5), (b"far", 5), None),
        ((None, 5), (b"far", 6), Entry.ROUTER_ID_MISMATCH),
        ((None, 0), (b"far", None), Entry.ROUTER_ID_MISMATCH),
        ((b"near", 5), (b"far", 6), Entry.HOSTNAME_MISMATCH),
    ],
)
def test_host_name_and_router_id_match_exactly(
    configured: tuple[bytes | None, int | None], sent: tuple[bytes | None, int | None], entry: Entry | None
) -> None:
    settings = tunnel(peer_host_name=configured[0], peer_router_id=configured[1])
    refusal = refuse_connection(settings, Message(type=MessageType.SCCRQ, host_name=sent[0], router_id=sent[1]))
    assert (refusal and refusal.entry) == entry
    if refusal is not None:
        assert refusal.result.code == 4


@pytest.mark.parametrize(
    ("fields", "code", "error"),
    [
        ({}, 0, None),
        ({"pseudowire_type": 5}, 0, None),
        ({"pseudowire_type": 4}, 14, None),
        ({"pseudowire_type": 7}, 14, None),
        ({"sublayer": 0}, 0, None),
        ({"sublayer": 1}, 0, None),
        ({"sublayer": 2}, 2, 3),
        ({"sequencing": 2}, 0, None),
        ({"sequencing": 3}, 2, 3),
        ({"interface_mtu": 1400}, 0, None),
        ({"interface_mtu": 1399}, 23, None),
        ({"interface_mtu": 0}, 23, None),
    ],
)
def test_a_calls_parameters(fields: dict[str, int], code: int, error: int | None) -> None:
    result = refuse_call(session(mtu=1400), icrq(**fields))
    assert (result.code if result else 0) == code
    assert (result.error if result else None) == error


def test_vlan_pseudowires_are_configured_as_such() -> None:
    settings = session(pseudowire_type=PseudowireType.ETHERNET_VLAN)
    assert refuse_call(settings, icrq(pseudowire_type=4)) is None
    refusal = refuse_call(settings, icrq(pseudowire_type=5))
    assert refusal is not None
    assert refusal.code == 14


def test_without_an_mtu_of_ours_any_of_the_peers_will_do() -> None:
    assert refuse_call(session(), icrq(interface_mtu=1234)) is None


@pytest.mark.parametrize(
    ("length", "cookie", "entry"),
    [
        (0, None, None),
        (0, b"", None),
        (0, b"1234", Entry.COOKIE_IS_OFF_BUT_FOUND),
        (4, None, Entry.COOKIE_NOT_FOUND),
        (4, b"", Entry.COOKIE_NOT_FOUND),
        (8, b"1234", None),
    ],
)
def test_cookie_settings_that_differ_are_told(length: int, cookie: bytes | None, entry: Entry | None) -> None:
    assert cookie_warning(length, icrq(cookie=cookie)) == entry


@pytest.mark.parametrize(
    ("configured", "sent", "same"),
    [
        (b"site", b"site", True),
        (b"site", b"Site", False),
        (b"site", None, False),
        (b"100", b"100", True),
        (b"100", b"\0\0\0\x64", True),
        (b"\0\0\0\x64", b"100", True),
        (b"100", b"\0\x64", False),
        (b"100", b"0100", False),
        (b"4294967295", b"\xff\xff\xff\xff", True),
        (b"4294967296", b"\0\0\0\0", False),
        (b"-1", b"\xff\xff\xff\xff", False),
        (b"", b"\0\0\0\0", False),
        (b"9" * 1000, b"\0\0\0\0", False),
        (b"1234", b"\0\0\x04\xd2", True),
        (b"1234", b"1234", True),
    ],
)
def test_remote_end_ids_as_text_and_as_four_octets(configured: bytes, sent: bytes | None, same: bool) -> None:  # noqa: FBT001 - a column
    settings = session(remote_end_id=configured)
    found = find_session([session("other"), settings], icrq(remote_end_id=sent))
    assert (found is settings) == same


def test_the_exact_remote_end_id_goes_before_the_equal_number() -> None:
    number, octets = session("a", remote_end_id=b"100"), session("b", remote_end_id=b"\0\0\0\x64")
    assert find_session([number, octets], icrq(remote_end_id=b"\0\0\0\x64")) is octets
    assert find_session([octets, number], icrq(remote_end_id=b"100")) is number
