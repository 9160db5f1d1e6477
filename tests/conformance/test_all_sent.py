"""What holds for every message that an endpoint sends, in every way that it can be told to send."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from l2tp_ctl.core.message import MessageType
from l2tp_ctl.core.settings import Compatibility, DigestPolicy
from tests.conformance.conversation import KINDS, OVER_IP, both_roles
from tests.core.bench import Received, secrets

WAYS: dict[str, dict[str, Any]] = {
    "plain": {"digest": DigestPolicy.NONE},
    "over IP": {"address": OVER_IP},
    "MD5": {"secrets": secrets(b"secret"), "digest": DigestPolicy.MD5},
    "SHA-1, two secrets": {"secrets": secrets(b"new", b"old"), "digest": DigestPolicy.SHA1},
    "hidden": {"secrets": secrets(b"secret"), "hidden": True},
    "Cisco": {"compatibility": Compatibility.CISCO},
    "Cisco, hidden": {"secrets": secrets(b"secret"), "hidden": True, "compatibility": Compatibility.CISCO},
}

MANDATORY = {
    MessageType.SCCRQ: {7, 60, 61, 62},
    MessageType.SCCRP: {7, 60, 61, 62},
    MessageType.SCCCN: set(),
    MessageType.STOPCCN: {1, 61},
    MessageType.HELLO: set(),
    MessageType.ICRQ: {63, 64, 15, 68, 66, 71},
    MessageType.ICRP: {63, 64, 71},
    MessageType.ICCN: {63, 64},
    MessageType.CDN: {1, 63, 64},
    MessageType.SLI: {63, 64},
    MessageType.ACK: set(),
}
"""Beside the Message Type, by RFC 3931, chapter 6."""

OPTIONAL = {
    MessageType.SCCRQ: {73, 5, 8, 10, 72},
    MessageType.SCCRP: {73, 8, 10, 72},
    MessageType.ICRQ: {65, 5, 69, 70, 74, 75, 25, 91},
    MessageType.ICRP: {65, 69, 70, 74, 75, 25, 91},
    MessageType.ICCN: {69, 70, 74, 75, 71},
    MessageType.SLI: {71},
}
"""91 is RFC 4667's Interface MTU; Random Vector and Message Digest may be anywhere."""

NEVER_HIDDEN = {0, 1, 5, 7, 10, 36, 59, 60, 73}
M_CLEAR = {8, 15, 25, 72, 74, 75, 91}
LENGTHS = {
    0: {2}, 5: {8}, 10: {2}, 15: {4}, 36: {16}, 59: {17, 21}, 60: {4}, 61: {4}, 62: {4}, 63: {4}, 64: {4},
    65: {8}, 68: {2}, 69: {2}, 70: {2}, 71: {2}, 73: {16}, 91: {2},
}  # fmt: skip


@cache
def said(way: str) -> tuple[Received, ...]:
    return tuple(both_roles(**WAYS[way]))


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def messages(way: str) -> tuple[Received, ...]:
    return said(way)


def test_every_kind_is_among_them(messages: tuple[Received, ...]) -> None:
    assert {one.type for one in messages} == KINDS


def test_headers(messages: tuple[Received, ...]) -> None:
    """T, L and S set, every other bit clear, Ver 3, Length from the flags word to the end."""
    for one in messages:
        assert one.data[:2] == b"\xc8\x03"
        assert int.from_bytes(one.data[2:4], "big") == len(one.data)


def test_control_connection_ids(messages: tuple[Received, ...]) -> None:
    """The receiver's own, and 0 only before it told one; what we assign is never 0."""
    assert {one.header.connection_id for one in messages if one.type is MessageType.SCCRQ} == {0}
    assert {one.header.connection_id for one in messages if one.type is not MessageType.SCCRQ} == {0x7700}
    assigned = [one.message.assigned_connection_id for one in messages if one.type in (1, 2, 4)]
    assert all(assigned)
    assert len(set(assigned)) == 2, "one control connection in each role"


def test_ns_counts_every_message_but_acknowledgements(messages: tuple[Received, ...]) -> None:
    counted = [one.header.ns for one in messages if one.type is not MessageType.ACK]
    second = counted.index(0, 1)
    assert counted == [*range(second), *range(len(counted) - second)]


def test_the_message_type_is_first_mandatory_and_not_hidden(messages: tuple[Received, ...]) -> None:
    for one in messages:
        if one.avps:
            first = one.avps[0]
            assert (first.vendor, first.type, first.mandatory, first.hidden, len(first.value)) == (0, 0, True, False, 2)


def test_reserved_bits_of_avps_are_clear(messages: tuple[Received, ...]) -> None:
    assert {avp.reserved for one in messages for avp in one.avps} == {0}


def test_the_m_bit_is_as_recommended(messages: tuple[Received, ...]) -> None:
    for one in messages:
        for avp in one.avps:
            if avp.vendor == 0 and avp.type not in (2, 3):  # RFC 2661's, for Cisco
                assert avp.mandatory == (avp.type not in M_CLEAR), avp.type


def test_avps_of_each_message(way: str, messages: tuple[Received, ...]) -> None:
    """All that the RFC demands, nothing that it does not allow, none twice."""
    for one in messages:
        if not one.avps:
            continue
        assert isinstance(one.type, MessageType)
        types = [avp.type for avp in one.avps if avp.vendor == 0 and avp.type not in (0, 36, 59)]
        assert len(types) == len(set(types))
        assert MANDATORY[one.type] <= set(types)
        allowed = MANDATORY[one.type] | OPTIONAL.get(one.type, set())
        if way.startswith("Cisco"):
            allowed |= {2, 3, 68}
        assert set(types) <= allowed, one.type


def test_lengths(messages: tuple[Received, ...]) -> None:
    for one in messages:
        for avp in one.avps:
            if avp.vendor == 0 and not avp.hidden and avp.type in LENGTHS:
                assert len(avp.value) in LENGTHS[avp.type], avp.type


def test_what_must_not_be_hidden_is_not(messages: tuple[Received, ...]) -> None:
    hidden = {avp.type for one in messages for avp in one.avps if avp.vendor == 0 and avp.hidden}
    assert not hidden & NEVER_HIDDEN


def test_hiding_only_where_it_is_told_and_behind_a_random_vector(way: str, messages: tuple[Received, ...]) -> None:
    for one in messages:
        hidden = [at for at, avp in enumerate(one.avps) if avp.hidden]
        if "hidden" not in way:
            assert not hidden
            assert 36 not in one.types
        elif hidden:
            assert one.types.index(36) < hidden[0]
            assert one.types.count(36) == 1
            unequal = {(avp.type, avp.value) for avp in one.avps if avp.hidden}
            assert len({number for number, _ in unequal}) == len(unequal), "one value for each type and Random Vector"
    if "hidden" in way:
        assert {avp.type for one in messages for avp in one.avps if avp.hidden} >= {61, 62, 63, 64, 65, 66, 68, 71, 15}


def test_digests_follow_the_message_type(way: str, messages: tuple[Received, ...]) -> None:
    """FarEnd has verified one of each already."""
    count = len(WAYS[way].get("secrets", ()))
    for one in messages:
        places = [at for at, number in enumerate(one.types) if number == 59]
        assert places == [*range(1, 1 + count)]
        lengths = {0: 17, 1: 21}
        assert all(len(one.avps[at].value) == lengths[one.avps[at].value[0]] for at in places)


def test_a_nonce_in_sccrq_and_sccrp_exactly_with_authentication(way: str, messages: tuple[Received, ...]) -> None:
    expected = {MessageType.SCCRQ, MessageType.SCCRP} if WAYS[way].get("secrets") else set()
    assert {one.type for one in messages if 73 in one.types} == expected


def test_acknowledgements_are_explicit_exactly_with_authentication(way: str, messages: tuple[Received, ...]) -> None:
    alone = [one for one in messages if one.type is MessageType.ACK]
    assert {bool(one.avps) for one in alone} == {bool(WAYS[way].get("secrets"))}


def test_sessions_are_named_by_both_identifiers(messages: tuple[Received, ...]) -> None:
    """Ours is never 0; the peer's is what it told last, and 0 only before that."""
    known = {0x51, 0x52, 0x61, 0x62, 0x97, 0x98, 0x99}
    for one in messages:
        if 63 in one.types:
            assert one.message.local_session_id
            assert one.message.remote_session_id in ({0} if one.type is MessageType.ICRQ else known)


def test_codes_and_words(messages: tuple[Received, ...]) -> None:
    """Every Result Code is one of the RFCs'; what people read is UTF-8, in the default language."""
    results = [one for one in messages if one.message.result is not None]
    assert {one.type for one in results} == {MessageType.CDN, MessageType.STOPCCN}
    for one in results:
        octets = one.octets(1)
        assert int.from_bytes(octets[:2], "big") in ({1} if one.type is MessageType.STOPCCN else {2, 3, 5, 24})
        assert octets[4:].decode("utf-8").isascii()
    for one in messages:
        for text in (one.message.host_name, one.message.vendor_name):
            assert text is None or (text and text.isascii())


def test_serial_numbers_rise(messages: tuple[Received, ...]) -> None:
    numbers = [one.message.serial_number for one in messages if one.type is MessageType.ICRQ]
    assert numbers == sorted(set(numbers), key=lambda number: number or 0)
