"""Decoding: every type, range and length of the contract, and nothing but the one documented answer to garbage."""

from __future__ import annotations

from dataclasses import astuple, fields, replace
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2tp_kernel import schema, wire
from l2tp_kernel.schema import Encapsulation, Listener, Plane, PweParam, Reason, Status, Verb
from l2tp_kernel.wire import Refused
from tests.kernel.helper import address, listener, param

FIRST = param(1)


def decode(verb: object, *arguments: object) -> wire.Request:
    sequence, rest = wire.unpack(msgpack.packb([7, verb, *arguments]))
    assert sequence == 7
    return wire.decode(rest)


def assert_malformed(verb: object, *arguments: object) -> str:
    with pytest.raises(Refused) as refused:
        decode(verb, *arguments)
    assert refused.value.reason is Reason.MALFORMED
    return str(refused.value)


def with_field(name: str, value: object) -> list[object]:
    values: list[object] = list(astuple(FIRST))
    values[[each.name for each in fields(PweParam)].index(name)] = value
    return values


def test_every_verb_decodes_to_its_exact_values() -> None:
    assert decode(Verb.HELLO, 1, bytes(16)) == wire.Hello(1, bytes(16))
    opened = decode(Verb.OPEN_LISTENER, *astuple(listener()))
    assert opened == listener()
    assert isinstance(opened, Listener)
    assert type(opened.plane) is Plane
    assert type(opened.encapsulation) is Encapsulation
    other = replace(FIRST, local_cookie=bytes(8), peer_cookie=bytes(4), bridge="br0", up=False, mtu=68)
    assert decode(Verb.SET_PWE_PARAM, [astuple(FIRST), astuple(other)]) == wire.SetPweParam((FIRST, other))
    assert decode(Verb.DELETE_PWE, [["pw0", 1]]) == wire.DeletePwe((wire.Deletion("pw0", 1),))
    assert decode(Verb.LIST) == wire.List()
    assert decode(Verb.STATS, ["pw0", "pw1"]) == wire.Stats(("pw0", "pw1"))
    assert decode(Verb.CLOSE_LISTENER, 3) == wire.CloseListener(3)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("plane", [0, 2], [-1, 3, True, "1", None]),
        ("interface", ["pw0", "l2tp-a.b_c", "a" * 15], ["", "a" * 16, "pw%d", "a/b", "a:1", ".", "a\n", "ä", b""]),
        ("listener", [0, 2**32 - 1], [-1, 2**32, 1.0]),
        ("local_address", [bytes(4), bytes(16)], [b"", bytes(5), "\0\0\0\0", address("::ffff:192.0.2.1")]),
        ("peer_address", [address("192.0.2.1"), address("fe80::1")],
         [bytes(4), bytes(16), address("224.0.0.1"), address("ff02::1"), b"\xff" * 4, address("::ffff:192.0.2.1")]),
        ("peer_port", [0, 65535], [-1, 65536, False]),
        ("local_connection_id", [0, 2**32 - 1], [-1, 2**32]),
        ("peer_connection_id", [0, 2**32 - 1], [-1, 2**32]),
        ("local_session_id", [1, 2**32 - 1], [0, 2**32, True]),
        ("peer_session_id", [1, 2**32 - 1], [0, 2**32, True]),
        ("local_cookie", [b"", bytes(4), bytes(8)], [bytes(1), bytes(5), bytes(9), "", None]),
        ("peer_cookie", [b"", bytes(4), bytes(8)], [bytes(3), bytes(7), bytes(16)]),
        ("receive_sublayer", [0, 1], [2, -1, False]),
        ("send_sublayer", [0, 1], [2, -1, True]),
        ("receive_sequencing", [0, 2], [3, -1]),
        ("send_sequencing", [0, 2], [3, -1]),
        ("mtu", [0, 68, 65535], [1, 67, 65536, -1, True]),
        ("bridge", ["", "br0"], ["a" * 16, "br/0", None, 0]),
        ("up", [True, False], [0, 1, None]),
    ],
)  # fmt: skip
def test_each_field_has_its_type_range_and_length(name: str, good: list[object], bad: list[object]) -> None:
    for value in good:
        request = decode(Verb.SET_PWE_PARAM, [with_field(name, value)])
        assert isinstance(request, wire.SetPweParam)
        assert getattr(request.params[0], name) == value
    for value in bad:
        assert f"{name}: not " in assert_malformed(Verb.SET_PWE_PARAM, [with_field(name, value)])


def test_the_fields_tested_are_all_fields() -> None:
    cases = next(m for m in test_each_field_has_its_type_range_and_length.pytestmark if m.name == "parametrize")  # type: ignore[attr-defined]  # pytest puts it there
    assert [name for name, *_ in cases.args[1]] == [each.name for each in fields(PweParam)]


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        (0, []), (8, []), (True, []), ("LIST", []), (None, []),
        (Verb.HELLO, []), (Verb.HELLO, [1]), (Verb.HELLO, [1, bytes(15)]), (Verb.HELLO, [1, bytes(16), 0]),
        (Verb.OPEN_LISTENER, [0, 2, bytes(4), 1701]), (Verb.OPEN_LISTENER, [list(astuple(listener()))]),
        (Verb.SET_PWE_PARAM, []), (Verb.SET_PWE_PARAM, [list(astuple(FIRST))]), (Verb.SET_PWE_PARAM, [[[]]]),
        (Verb.SET_PWE_PARAM, [[[*astuple(FIRST), 0]]]), (Verb.SET_PWE_PARAM, [b""]),
        (Verb.DELETE_PWE, [[["pw0"]]]), (Verb.DELETE_PWE, [["pw0", 1]]), (Verb.LIST, [0]),
        (Verb.STATS, []), (Verb.STATS, ["pw0"]), (Verb.STATS, [[1]]), (Verb.CLOSE_LISTENER, ["1"]),
    ],
)  # fmt: skip
def test_other_arguments_are_malformed(verb: object, arguments: list[Any]) -> None:
    assert_malformed(verb, *arguments)


def test_a_batch_has_its_limit() -> None:
    one = ["pw0", 1]
    request = decode(Verb.DELETE_PWE, [one] * schema.MAX_BATCH)
    assert isinstance(request, wire.DeletePwe)
    assert len(request.deletions) == schema.MAX_BATCH
    assert wire.unpack(msgpack.packb([1, Verb.DELETE_PWE, [one] * (schema.MAX_BATCH + 1)])) == (0, ())


def test_secrets_stay_out_of_a_refusal() -> None:
    assert "secret" not in assert_malformed(Verb.SET_PWE_PARAM, [with_field("local_cookie", b"secret")])
    assert "secret" not in assert_malformed(Verb.HELLO, 1, b"secret")


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"\xc1", b"\x93\x01", b"\x01", b"\x90", b"\x91\x00", msgpack.packb([0, 5]), msgpack.packb([True, 5]),
        msgpack.packb([-1, 5]), msgpack.packb(["1", 5]), msgpack.packb({1: 5}), msgpack.packb([1, 5, {"a": 1}]),
        msgpack.packb([1, 5]) + b"\x00", b"\x93\x01\x05\xa2\xff\xff", b"\x91" * schema.MAX_REQUEST,
        msgpack.packb([1, 5, msgpack.ExtType(5, b"x")]), msgpack.packb([1, 5, "a" * 17]),
        msgpack.packb([1, 5, bytes(17)]), msgpack.packb([1, 5, list(range(257))]),
        b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff",
    ],
)  # fmt: skip
def test_a_frame_without_a_number_shows_none(frame: bytes) -> None:
    assert wire.unpack(frame) == (0, ())
    with pytest.raises(Refused) as refused:
        wire.decode(())
    assert refused.value.reason is Reason.MALFORMED


def test_a_number_alone_is_malformed_and_used_up() -> None:
    sequence, rest = wire.unpack(msgpack.packb([5]))
    assert sequence == 5
    with pytest.raises(Refused):
        wire.decode(rest)


def test_the_log_names_verbs() -> None:
    assert wire.name((Verb.STATS.value, ())) == "STATS"
    assert wire.name((99,)) == "request"
    assert wire.name(()) == "request"


def test_an_answer_is_what_the_contract_says() -> None:
    assert msgpack.unpackb(wire.encode(3, Status.REFUSED, Reason.POLICY)) == [3, 1, 5]


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
    | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=30,
)  # fmt: skip


def decodes_or_refuses(frame: bytes) -> None:
    sequence, rest = wire.unpack(frame)
    assert sequence >= 0
    wire.name(rest)
    try:
        request = wire.decode(rest)
    except Refused as refused:
        assert refused.reason is Reason.MALFORMED
    else:
        assert sequence > 0
        assert isinstance(request, wire.Request)


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=300))
def test_octets_decode_or_are_refused(frame: bytes) -> None:
    decodes_or_refuses(frame)


@settings(deadline=None)  # the machine may be busy
@given(anything)
def test_values_decode_or_are_refused(value: object) -> None:
    decodes_or_refuses(msgpack.packb(value))


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 8), st.lists(anything, max_size=5))
def test_arguments_decode_or_are_refused(verb: int, arguments: list[object]) -> None:
    decodes_or_refuses(msgpack.packb([1, verb, *arguments]))


@settings(deadline=None)  # the machine may be busy
@given(st.data())
def test_a_good_request_with_a_change_decodes_or_is_refused(data: st.DataObject) -> None:
    values: list[object] = list(astuple(FIRST))
    values[data.draw(st.integers(0, len(values) - 1))] = data.draw(anything)
    decodes_or_refuses(msgpack.packb([1, Verb.SET_PWE_PARAM, [values]]))
    frame = bytearray(msgpack.packb([1, Verb.SET_PWE_PARAM, [astuple(FIRST)]]))
    frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    decodes_or_refuses(bytes(frame))
