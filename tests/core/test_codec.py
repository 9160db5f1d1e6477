"""Messages to octets and back."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given

from l2tp_ctl.core.avp import RawAvp
from l2tp_ctl.core.codec import encode, encode_zlb, interpret
from l2tp_ctl.core.digest import DigestType, Signer, digests, shared_key
from l2tp_ctl.core.errors import Drop, ProtocolError
from l2tp_ctl.core.header import is_zlb, parse_header
from l2tp_ctl.core.hiding import hide, hiding_key
from l2tp_ctl.core.message import Message, MessageType, Result
from l2tp_ctl.core.presence import fault

from .octets import avp, packet, read, split
from .strategies import messages

KEY = hiding_key(b"secret")
OTHER_KEY = hiding_key(b"another")
VECTOR = bytes(range(16))


def octets(message: Message, **options: bytes) -> bytes:
    return encode(message, connection_id=1, ns=2, nr=3, **options)  # type: ignore[arg-type]  # hide_key alone


@given(messages())
def test_round_trip(message: Message) -> None:
    data = octets(message)
    assert read(data) == message
    assert octets(read(data)) == data
    assert parse_header(data).length == len(data)


@given(messages(complete=True))
def test_round_trip_hidden(message: Message) -> None:
    data = octets(message, hide_key=KEY)
    assert read(data, [KEY]) == message
    assert octets(read(data, [KEY]), hide_key=KEY) == data


def test_round_trip_of_ciscos_dialect() -> None:
    dialect = Message(type=MessageType.ICRQ, local_session_id=1, pseudowire_type=5, cisco=True)
    assert read(octets(dialect)) == dialect


@given(messages())
def test_digests_stand_directly_after_the_message_type_in_the_signers_order(message: Message) -> None:
    key = shared_key(b"secret")
    signers = (Signer(DigestType.SHA1, key, b"n"), Signer(DigestType.MD5, key, b"n"))
    data = encode(message, connection_id=1, ns=2, nr=3, signers=signers)
    assert digests(split(data)[1]) == (1, 0)
    assert read(data) == message


def test_header_fields_go_where_they_belong() -> None:
    header = parse_header(encode(Message(type=MessageType.HELLO), connection_id=0x11223344, ns=5, nr=6))
    assert (header.version, header.length, header.connection_id, header.ns, header.nr) == (3, 20, 0x11223344, 5, 6)


def test_zlb() -> None:
    data = encode_zlb(0x11223344, 7, 8)
    header = parse_header(data)
    assert data.hex() == "c803000c1122334400070008"
    assert is_zlb(header)
    assert read(data) == Message(type=MessageType.ACK)


def test_extra_avps_come_last_and_as_they_are() -> None:
    extra = RawAvp(mandatory=False, hidden=False, reserved=0, vendor=52845, type=1, value=b"x")
    known = RawAvp(mandatory=False, hidden=False, reserved=0, vendor=0, type=8, value=b"y")
    data = octets(Message(type=MessageType.HELLO, random_vector=VECTOR, extra=(extra, known)), hide_key=KEY)
    assert data.endswith(avp(1, "78", vendor=52845, flags=0) + avp(8, "79", flags=0))


def test_ciscos_opening_avps_are_sent() -> None:
    opening = (avp(2, "0100") + avp(3, "00000000") + avp(10, "0001", vendor=9)).hex()
    for message_type in (MessageType.SCCRQ, MessageType.SCCRP):
        assert octets(Message(type=message_type, cisco=True)).hex()[40:] == opening
    assert octets(Message(type=MessageType.ICRQ, cisco=True)).hex()[40:] == ""


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="AVP 0/7 of 1018 octets"):
        octets(Message(type=MessageType.SCCRQ, host_name=bytes(1018)))
    with pytest.raises(struct.error):
        octets(Message(type=MessageType.SCCRQ, router_id=1 << 32))
    with pytest.raises(ValueError, match="Random Vector"):
        octets(Message(type=MessageType.SCCRQ), hide_key=KEY)


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (avp(7, "61"), Drop.FIRST_AVP),
        (avp(7, "0006", vendor=52845), Drop.FIRST_AVP),
        (avp(0, "06", vendor=52845), Drop.MESSAGE_TYPE),
        (avp(1, "0001", vendor=9), Drop.FIRST_AVP),
        (avp(0, ""), Drop.MESSAGE_TYPE),
        (avp(0, "06"), Drop.MESSAGE_TYPE),
        (avp(0, "000006"), Drop.MESSAGE_TYPE),
        (avp(0, "0006", flags=0xC000), Drop.MESSAGE_TYPE),
    ],
)
def test_a_message_without_a_readable_type_is_dropped(first: bytes, drop: Drop) -> None:
    with pytest.raises(ProtocolError) as caught:
        read(packet(first, avp(0, "0006")))
    assert caught.value.drop is drop


@pytest.mark.parametrize("number", [0, 5, 13, 17, 29, 0xFFFF])
@pytest.mark.parametrize("mandatory", [True, False])
def test_an_unknown_type_says_nothing_else(number: int, mandatory: bool) -> None:  # noqa: FBT001 - a parameter
    first = avp(0, f"{number:04x}", flags=0x8000 if mandatory else 0)
    assert read(packet(first, avp(7, "61"), avp(999))) == Message(type=number, message_type_mandatory=mandatory)


@pytest.mark.parametrize("value", ["", "0014", "00000000"])
def test_ciscos_own_acknowledgement(value: str) -> None:
    assert read(packet(avp(0, value, vendor=9))) == Message(type=MessageType.ACK, cisco=True)


def test_the_first_of_a_repeated_avp_counts() -> None:
    received = read(
        packet(avp(0, "0001"), avp(7, "61"), avp(7, "62"), avp(61, "00000001"), avp(1, "00000002", vendor=9))
    )
    assert (received.host_name, received.assigned_connection_id, received.cisco) == (b"a", 1, True)


def test_a_malformed_avp_does_not_hide_a_good_one() -> None:
    received = read(packet(avp(0, "0001"), avp(60, "0a"), avp(60, "0a000001")))
    assert received.router_id == 0x0A000001
    assert [one.type for one in received.unrecognised] == [60]


def test_unknown_avps_are_kept_in_order() -> None:
    received = read(
        packet(avp(0, "0006"), avp(250, "01"), avp(6, "02", vendor=52845, flags=0), avp(1, "03", vendor=65535))
    )
    assert [(one.vendor, one.type, one.mandatory, one.value) for one in received.unrecognised] == [
        (0, 250, True, b"\1"),
        (52845, 6, False, b"\2"),
        (65535, 1, True, b"\3"),
    ]


def test_extended_vendor_id() -> None:
    extended = avp(58, "00012345 0107 aabb", flags=0)
    zero = avp(58, "00000000 0007 61")  # no way round: RFC 3931's own AVPs are not read out of it
    empty = avp(58, "00012345 0008", flags=0)
    received = read(packet(avp(0, "0006"), extended, zero, empty))
    assert [(one.vendor, one.type, one.value) for one in received.unrecognised] == [
        (0x12345, 0x0107, b"\xaa\xbb"),
        (0, 7, b"a"),
        (0x12345, 8, b""),
    ]
    assert received.host_name is None


@pytest.mark.parametrize("broken", [avp(58, "0001234500"), avp(58), avp(58, "000123450007", flags=0x4000)])
def test_extended_vendor_id_that_cannot_be_read(broken: bytes) -> None:
    (found,) = read(packet(avp(0, "0006"), broken), [KEY]).unrecognised
    assert (found.vendor, found.type) == (0, 58)


def hidden(number: int, value: bytes, key: bytes = KEY, vector: bytes = VECTOR) -> bytes:
    return avp(number, hide(number, value, key, vector).hex(), flags=0xC000)


def test_hidden_avps_are_revealed_with_whichever_key_fits() -> None:
    data = packet(avp(0, "000a"), avp(36, VECTOR.hex()), hidden(65, b"cookie64"), hidden(66, b"end", OTHER_KEY))
    received = read(data, [OTHER_KEY, KEY])
    assert (received.cookie, received.remote_end_id, received.random_vector) == (b"cookie64", b"end", VECTOR)
    assert not received.unrecognised


def test_the_nearest_random_vector_before_a_hidden_avp_counts() -> None:
    data = packet(
        avp(0, "000a"),
        avp(36, VECTOR.hex()),
        hidden(65, b"cook"),
        avp(36, VECTOR[::-1].hex()),
        hidden(66, b"end", vector=VECTOR[::-1]),
    )
    received = read(data, [KEY])
    assert (received.cookie, received.remote_end_id, received.random_vector) == (b"cook", b"end", VECTOR)


@pytest.mark.parametrize("keys", [[], [OTHER_KEY]])
def test_what_cannot_be_revealed_is_unrecognised(keys: list[bytes]) -> None:
    received = read(packet(avp(0, "000a"), avp(36, VECTOR.hex()), hidden(65, b"cookie64")), keys)
    assert received.cookie is None
    assert [one.type for one in received.unrecognised] == [65]


def test_hidden_without_a_random_vector_before_it_is_unrecognised() -> None:
    received = read(packet(avp(0, "000a"), hidden(65, b"cookie64"), avp(36, VECTOR.hex())), [KEY])
    assert [one.type for one in received.unrecognised] == [65]


def test_hidden_where_that_is_not_allowed_is_unrecognised() -> None:
    received = read(packet(avp(0, "0001"), avp(36, VECTOR.hex()), hidden(7, b"name")), [KEY])
    assert received.host_name is None
    assert [one.type for one in received.unrecognised] == [7]


def test_a_revealed_value_that_is_malformed_is_unrecognised() -> None:
    received = read(packet(avp(0, "000a"), avp(36, VECTOR.hex()), hidden(65, b"12345")), [KEY])
    assert [one.type for one in received.unrecognised] == [65]


def test_a_cisco_routers_sccrq() -> None:
    """AVP for AVP what IOS opens with: RFC 2661's with the M bit, empty values, and its own beside the standard's."""
    data = packet(
        avp(0, "0001"), avp(2, "0100"), avp(3, "00000000"), avp(5, "0123456789abcdef", flags=0),
        avp(6, "1130", flags=0),
        avp(7, b"router1".hex()), avp(8, b"Cisco Systems, Inc.".hex(), flags=0), avp(10, "0400"), avp(56, flags=0),
        avp(57, flags=0), avp(60, "c0000201", flags=0), avp(61, "a1b2c3d4", flags=0),
        avp(62, "000500040006000700010003000a0009000b", flags=0), avp(1, "a1b2c3d4", vendor=9),
        avp(2, "000500040006000700010003000a0009000b", vendor=9), avp(10, "0001", vendor=9),
        avp(110, vendor=9, flags=0), avp(111, vendor=9, flags=0),
    )  # fmt: skip
    message = read(data)
    assert message == Message(
        type=MessageType.SCCRQ,
        tie_breaker=bytes.fromhex("0123456789abcdef"),
        host_name=b"router1",
        vendor_name=b"Cisco Systems, Inc.",
        receive_window=1024,
        router_id=0xC0000201,
        assigned_connection_id=0xA1B2C3D4,
        pseudowire_capabilities=(5, 4, 6, 7, 1, 3, 10, 9, 11),
        cisco=True,
    )
    assert fault(message) is None


def test_an_old_cisco_router_sends_its_own_avps_alone() -> None:
    data = packet(
        avp(0, "000a"), avp(3, "00000001", vendor=9), avp(4, "00000000", vendor=9), avp(7, "0005", vendor=9),
        avp(6, b"100".hex(), vendor=9), avp(5, "deadbeef", vendor=9), avp(9, "00" * 8, vendor=9),
        avp(8, "0003", vendor=9),
    )  # fmt: skip
    message = read(data)
    assert message == Message(
        type=MessageType.ICRQ,
        local_session_id=1,
        remote_session_id=0,
        pseudowire_type=5,
        remote_end_id=b"100",
        cookie=bytes.fromhex("deadbeef"),
        tie_breaker=bytes(8),
        circuit_status=3,
        cisco=True,
    )
    assert fault(message) is None


def test_junipers_iccn_with_avps_of_l2tpv2() -> None:
    data = packet(
        avp(0, "000c"), avp(63, "00000001"), avp(64, "00000002"),
        avp(19, "00000001", flags=0), avp(24, "05f5e100", flags=0),
    )  # fmt: skip
    assert read(data) == Message(type=MessageType.ICCN, local_session_id=1, remote_session_id=2)


def test_a_path_mtu_probing_hello_is_a_hello() -> None:
    message = read(packet(avp(0, "0006"), *[avp(6, "00" * 250, vendor=52845, flags=0)] * 5))
    assert message.type is MessageType.HELLO
    assert len(message.unrecognised) == 5
    assert fault(message) is None


def test_a_cookie_stays_out_of_the_repr() -> None:
    assert "deadbeef" not in repr(Message(type=MessageType.ICRQ, cookie=b"deadbeef", result=Result(1)))


def test_interpret_takes_avps_from_anywhere() -> None:
    assert interpret(()) == Message(type=MessageType.ACK)
