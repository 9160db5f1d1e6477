"""Every AVP's octets, M bit and H bit, written down a second time by hand."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from l2tp_ctl.core.attributes import ATTRIBUTES, BY_TYPE, IGNORED
from l2tp_ctl.core.codec import encode
from l2tp_ctl.core.hiding import hide, hiding_key
from l2tp_ctl.core.message import CircuitErrors, Message, MessageType, Result

from .octets import avp, packet, read, split

GOLDEN: list[tuple[str, Any, str]] = [
    ("result", Result(6), "8008 0000 0001 0006"),
    ("result", Result(2, 8), "800a 0000 0001 0002 0008"),
    ("result", Result(2, 8, "no ½"), "800f 0000 0001 0002 0008 6e6f20c2bd"),
    ("result", Result(4, text="no"), "800c 0000 0001 0004 0000 6e6f"),
    ("tie_breaker", bytes(range(8)), "800e 0000 0005 0001020304050607"),
    ("host_name", b"lcce", "800a 0000 0007 6c636365"),
    ("host_name", b"", "8006 0000 0007"),
    ("vendor_name", b"acme", "000a 0000 0008 61636d65"),
    ("receive_window", 1024, "8008 0000 000a 0400"),
    ("serial_number", 0x01020304, "000a 0000 000f 01020304"),
    ("physical_channel", 0xFFFFFFFF, "000a 0000 0019 ffffffff"),
    ("circuit_errors", CircuitErrors(1, 2, 3, 4),
     "0020 0000 0022 0000 00000000 00000000 00000001 00000002 00000003 00000004"),
    ("random_vector", b"\xaa\xbb", "8008 0000 0024 aabb"),
    ("router_id", 0x0A000001, "800a 0000 003c 0a000001"),
    ("assigned_connection_id", 0x11223344, "800a 0000 003d 11223344"),
    ("pseudowire_capabilities", (5, 4), "800a 0000 003e 0005 0004"),
    ("pseudowire_capabilities", (), "8006 0000 003e"),
    ("local_session_id", 1, "800a 0000 003f 00000001"),
    ("remote_session_id", 0, "800a 0000 0040 00000000"),
    ("cookie", b"", "8006 0000 0041"),
    ("cookie", b"\xde\xad\xbe\xef", "800a 0000 0041 deadbeef"),
    ("cookie", b"\xde\xad\xbe\xef\xca\xfe\xba\xbe", "800e 0000 0041 deadbeefcafebabe"),
    ("remote_end_id", b"vpn1", "800a 0000 0042 76706e31"),
    ("pseudowire_type", 5, "8008 0000 0044 0005"),
    ("sublayer", 1, "8008 0000 0045 0001"),
    ("sequencing", 2, "8008 0000 0046 0002"),
    ("circuit_status", 3, "8008 0000 0047 0003"),
    ("preferred_language", b"en", "0008 0000 0048 656e"),
    ("nonce", b"\x10\x11", "8008 0000 0049 1011"),
    ("tx_speed", 10**10, "000e 0000 004a 00000002540be400"),
    ("rx_speed", 1, "000e 0000 004b 0000000000000001"),
    ("attachment_group_id", b"\x01", "0007 0000 0059 01"),
    ("local_end_id", b"\x02", "0007 0000 005a 02"),
    ("interface_mtu", 1460, "0008 0000 005b 05b4"),
    ("ecn_capable", True, "0006 0000 0067"),
]  # fmt: skip

NOT_HIDDEN = {
    "result", "tie_breaker", "host_name", "receive_window", "random_vector", "router_id", "nonce",
}  # fmt: skip
"""RFC 3931 has "MUST NOT be hidden" or "H bit MUST be 0" of these alone."""

CISCO = [
    ("assigned_connection_id", 0x11223344, "800a 0009 0001 11223344"),
    ("pseudowire_capabilities", (5, 4), "800a 0009 0002 0005 0004"),
    ("local_session_id", 1, "800a 0009 0003 00000001"),
    ("remote_session_id", 2, "800a 0009 0004 00000002"),
    ("pseudowire_type", 5, "8008 0009 0007 0005"),
    ("interface_mtu", 1460, "8008 0009 000e 05b4"),
]
CISCO_RECEIVED_ONLY = [
    ("cookie", b"\xde\xad\xbe\xef", "800a 0009 0005 deadbeef"),
    ("remote_end_id", b"vpn1", "800a 0009 0006 76706e31"),
    ("circuit_status", 3, "8008 0009 0008 0003"),
    ("tie_breaker", bytes(8), "800e 0009 0009 0000000000000000"),
]
IDS = [f"{name}-{number}" for number, (name, _, _) in enumerate(GOLDEN)]
LENGTHS = {
    1: {2, *range(4, 41)}, 5: {8}, 7: range(41), 8: range(41), 10: {2}, 15: {4}, 25: {4}, 34: {18, 26}, 36: range(41),
    60: {4}, 61: {4}, 62: range(0, 41, 2), 63: {4}, 64: {4}, 65: {0, 4, 8}, 66: range(41), 68: {2}, 69: {2}, 70: {2},
    71: {2}, 72: range(41), 73: range(41), 74: {8}, 75: {8}, 89: range(41), 90: range(41), 91: {2}, 103: {0},
}  # fmt: skip
"""The lengths of up to 40 octets that a value of each type may have."""


def body(message: Message, **options: Any) -> str:
    """Return what follows the Message Type, in hexadecimal."""
    return encode(message, connection_id=0, ns=0, nr=0, **options)[20:].hex()


def message(name: str, value: Any, **more: Any) -> Message:
    return Message(type=MessageType.HELLO, **{name: value}, **more)


@pytest.mark.parametrize(("name", "value", "octets"), GOLDEN, ids=IDS)
def test_octets_of_every_avp(name: str, value: Any, octets: str) -> None:
    octets = octets.replace(" ", "")
    assert body(message(name, value)) == octets
    received = read(packet(avp(0, "0006"), bytes.fromhex(octets)))
    assert body(received) == octets
    assert getattr(received, name) == value or value == Result(4, text="no")
    assert not received.unrecognised


def test_every_field_of_a_message_is_proven() -> None:
    names = {field.name for field in fields(Message)}
    names -= {"type", "message_type_mandatory", "extra", "unrecognised", "cisco"}
    assert {name for name, _, _ in GOLDEN} == names
    assert {attribute.field for attribute in ATTRIBUTES} == names


@pytest.mark.parametrize(("name", "value", "octets"), GOLDEN, ids=IDS)
def test_the_m_bit_of_a_known_avp_does_not_matter(name: str, value: Any, octets: str) -> None:
    data = bytearray.fromhex(octets)
    data[0] ^= 0x80
    received = read(packet(avp(0, "0006"), bytes(data)))
    assert received == read(packet(avp(0, "0006"), bytes.fromhex(octets)))
    assert getattr(received, name) is not None


@pytest.mark.parametrize(("name", "value", "octets"), GOLDEN, ids=IDS)
def test_what_may_be_hidden_is(name: str, value: Any, octets: str) -> None:
    key = hiding_key(b"secret")
    fields: dict[str, Any] = {"random_vector": bytes(16)} | {name: value}
    plain = Message(type=MessageType.HELLO, **fields)
    data = encode(plain, connection_id=0, ns=0, nr=0, hide_key=key)
    number = int(octets.split()[2], 16)
    (found,) = (one for one in split(data)[1] if one.type == number)
    assert found.hidden == (name not in NOT_HIDDEN)
    assert found.mandatory == octets.startswith("8")
    assert getattr(read(data, [key]), name) == getattr(read(packet(avp(0, "0006"), bytes.fromhex(octets))), name)


def test_an_ecn_capability_that_is_off_is_not_sent() -> None:
    assert body(message("ecn_capable", value=False)) == ""


def test_circuit_errors_as_rfc_3931_draws_them() -> None:
    short = avp(34, "0000 00000001 00000002 00000003 00000004", flags=0)
    assert read(packet(avp(0, "000f"), short)).circuit_errors == CircuitErrors(1, 2, 3, 4)


def test_softethers_result_code() -> None:
    stop = read(packet(avp(0, "0004"), avp(1, "00 00 06 00 00 00 00 00")))
    assert stop.result == Result(0, 0x0600, "")


def test_a_text_that_is_not_utf_8_is_read_as_far_as_it_goes() -> None:
    assert read(packet(avp(0, "0004"), avp(1, "0002 0006 61ff62"))).result == Result(
        2, 6, "a\N{REPLACEMENT CHARACTER}b"
    )


@pytest.mark.parametrize(("name", "value", "octets"), CISCO + CISCO_RECEIVED_ONLY)
def test_ciscos_own_avps_are_read(name: str, value: Any, octets: str) -> None:
    received = read(packet(avp(0, "0006"), bytes.fromhex(octets)))
    assert getattr(received, name) == value
    assert received.cisco
    assert not received.unrecognised


@pytest.mark.parametrize(("name", "value", "octets"), CISCO)
def test_ciscos_own_avps_are_sent_beside_the_others(name: str, value: Any, octets: str) -> None:
    plain = body(message(name, value))
    assert body(message(name, value, cisco=True)) == plain + octets.replace(" ", "")


@pytest.mark.parametrize(("name", "value", "octets"), CISCO_RECEIVED_ONLY)
def test_the_rest_of_ciscos_avps_is_not_sent(name: str, value: Any, octets: str) -> None:
    assert body(message(name, value, cisco=True)) == body(message(name, value))


@pytest.mark.parametrize(("name", "value", "octets"), CISCO + CISCO_RECEIVED_ONLY)
def test_ciscos_own_avps_are_hidden_as_the_others_are(name: str, value: Any, octets: str) -> None:
    key, vector = hiding_key(b"secret"), bytes(16)
    _, _, number, *octets_of_value = octets.split()
    hidden = hide(int(number, 16), bytes.fromhex("".join(octets_of_value)), key, vector)
    received = read(
        packet(avp(0, "0006"), avp(36, vector.hex()), avp(int(number, 16), hidden.hex(), vendor=9, flags=0xC000)), [key]
    )
    if name in NOT_HIDDEN:
        assert len(received.unrecognised) == 1
    else:
        assert getattr(received, name) == value


@pytest.mark.parametrize("number", LENGTHS)
def test_a_value_of_the_wrong_length_is_unrecognised(number: int) -> None:
    for length in range(41):
        for flags in (0x8000, 0):
            received = read(packet(avp(0, "0006"), avp(number, "00" * length, flags=flags)))
            if length in LENGTHS[number]:
                assert not received.unrecognised, length
            else:
                (found,) = received.unrecognised
                assert (found.type, len(found.value), found.mandatory) == (number, length, bool(flags))
                assert received == Message(type=MessageType.HELLO, unrecognised=(found,))


def test_every_length_is_proven() -> None:
    assert set(LENGTHS) == {attribute.type for attribute in ATTRIBUTES if attribute.vendor == 0}


IGNORED_IETF = [
    0, 2, 3, 4, 6, 9, 11, 12, 13, 14, 16, 17, 18, 19, 21, 22, 23, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 37, 38, 39,
    56, 57, 59,
]  # fmt: skip


@pytest.mark.parametrize(
    ("vendor", "number"), [(0, n) for n in IGNORED_IETF] + [(9, n) for n in (0, 10, 12, 13, 110, 111)]
)
@pytest.mark.parametrize("value", ["", "00000001"])
def test_ignored_avps_are_ignored_whatever_they_hold(vendor: int, number: int, value: str) -> None:
    for flags in (0x8000, 0x0000, 0xC000):
        received = read(packet(avp(0, "0006"), avp(number, value, vendor=vendor, flags=flags)))
        assert received == Message(type=MessageType.HELLO, cisco=vendor == 9)


def test_nothing_else_is_ignored() -> None:
    assert set(IGNORED) == {(0, n) for n in IGNORED_IETF} | {(9, n) for n in (0, 10, 12, 13, 110, 111)}
    assert not set(IGNORED) & set(BY_TYPE)
    assert len(BY_TYPE) == len(ATTRIBUTES)
