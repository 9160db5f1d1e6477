from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tp_ctl.admin_framing import (
    BodyError,
    Decoder,
    FramingError,
    HeaderLengthError,
    encode,
    encode_success,
    json_text,
    parse,
    split_success,
)
from l2tp_ctl.admin_schema import MAX_ID, success

LIMIT = 65536

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
bodies = st.dictionaries(st.text(), values, max_size=5)


def framed(text: bytes) -> bytes:
    return len(text).to_bytes(4, "big") + text


@given(st.lists(bodies, max_size=4))
def test_what_is_encoded_is_decoded_again_octet_by_octet(sent: list[dict[str, Any]]) -> None:
    decoder = Decoder(LIMIT)
    stream = b"".join(map(encode, sent))
    received = [body for octet in stream for body in decoder.feed(bytes([octet]))]
    assert received == sent
    assert decoder.pending == 0


@given(st.lists(bodies, max_size=4), st.lists(st.integers(0, 200), max_size=8))
def test_where_the_stream_is_cut_does_not_matter(sent: list[dict[str, Any]], cuts: list[int]) -> None:
    decoder = Decoder(LIMIT)
    stream = b"".join(map(encode, sent))
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(edges)]
    assert [body for piece in pieces for body in decoder.feed(piece)] == sent


@given(st.binary(max_size=400))
def test_any_octets_give_bodies_or_the_one_error(octets: bytes) -> None:
    decoder = Decoder(100)
    try:
        decoder.feed(octets)
    except FramingError:
        assert decoder.pending == 0
        with pytest.raises(FramingError):
            decoder.feed(b"")
    else:
        assert decoder.pending < 4 + 100


@given(st.text(max_size=60) | st.sampled_from(["{}", '{"a":', "[1]", "1", '"x"', "null"]))
def test_any_text_as_a_body_gives_an_object_or_the_one_error(text: str) -> None:
    octets = text.encode("utf-8", "surrogatepass")
    if not octets:
        return
    try:
        expected = json.loads(octets.decode())
    except (UnicodeDecodeError, ValueError):
        expected = None
    if isinstance(expected, dict):
        assert Decoder(LIMIT).feed(framed(octets)) == [expected]
    else:
        with pytest.raises(BodyError):
            Decoder(LIMIT).feed(framed(octets))


@pytest.mark.parametrize("length", [0, LIMIT + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_a_length_of_zero_or_over_the_limit_is_refused_before_its_body(length: int) -> None:
    decoder = Decoder(LIMIT)
    header = length.to_bytes(4, "big")
    assert decoder.feed(header[:3]) == []
    with pytest.raises(HeaderLengthError, match=str(length)):
        decoder.feed(header[3:])


def test_the_limit_itself_is_allowed() -> None:
    text = b'{"a":"' + b"x" * (LIMIT - 8) + b'"}'
    assert len(text) == LIMIT
    assert Decoder(LIMIT).feed(framed(text)) == [{"a": "x" * (LIMIT - 8)}]


@pytest.mark.parametrize(
    "text",
    [
        b"\xff{}",
        b'{"a":"\xed\xa0\x80"}',
        b"{",
        b"{}{}",
        b"\xef\xbb\xbf{}",
        b"[]",
        b'"x"',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":"\\ud800"}',
        b'{"\\udc00":1}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":' * 10000 + b"1" + b"}" * 10000,
        b'{"a":' + b"[" * 30000 + b"]" * 30000 + b"}",
    ],
    ids=lambda text: repr(text[:24]),
)
def test_a_body_that_is_no_object_of_text_is_refused(text: bytes) -> None:
    with pytest.raises(BodyError) as caught:
        Decoder(2 * LIMIT).feed(framed(text))
    assert "\n" not in str(caught.value)


def test_escaped_text_is_taken_where_it_is_whole() -> None:
    assert Decoder(LIMIT).feed(framed(b'{"a":"\\ud83d\\ude00\\u6771"}')) == [{"a": "\U0001f600\u6771"}]


def test_every_octet_after_a_bad_frame_is_refused() -> None:
    decoder = Decoder(LIMIT)
    with pytest.raises(HeaderLengthError):
        decoder.feed(b"\0\0\0\0")
    with pytest.raises(HeaderLengthError):
        decoder.feed(encode({"a": 1}))


@pytest.mark.parametrize("body", [{"a": float("nan")}, {"a": "\ud800"}])
def test_what_json_cannot_say_is_not_encoded(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        encode(body)


# ---- Results that are only passed on.


@given(st.integers(0, MAX_ID), bodies)
def test_a_result_that_is_text_already_makes_the_same_frame(request_id: int, result: dict[str, Any]) -> None:
    frame = encode_success(request_id, json_text(result))
    assert frame == encode(success(request_id, result))
    [body] = Decoder(2**20).cut(frame)
    assert split_success(body) == (request_id, json_text(result))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"v":1,"id":7,"ok":true,"result":{}',
        b'{"v":1,"id":7,"ok":true,"result":[]}}',
        b'{"v":1,"id":,"ok":true,"result":{}}',
        b'{"v":1,"id":-7,"ok":true,"result":{}}',
        b'{"v":1,"id":7.5,"ok":true,"result":{}}',
        b'{"v":2,"id":7,"ok":true,"result":{}}',
        b'{"id":7,"v":1,"ok":true,"result":{}}',
        b'{"v":1,"id":7,"ok":false,"result":{}}',
        b'{"v":1,"id":7,"ok":false,"error":{"message":""ok":true,"result":{}"}}',
        b'{"v":1,"id":7,"event":{"ok":true,"result":{}}}',
        b'{"v":1, "id":7,"ok":true,"result":{}}',
        b'{"v":1,"id":00000000000000000000000000000000007,"ok":true,"result":{}}',
    ],
)
def test_any_other_body_has_to_be_read(body: bytes) -> None:
    assert split_success(body) is None


@given(st.binary(max_size=60), st.binary(max_size=20))
def test_no_octets_make_the_splitting_fail(octets: bytes, end: bytes) -> None:
    for body in (octets, b'{"v":1,"id":' + octets, b'{"v":1,"id":7,"ok":true,"result":' + octets + end):
        found = split_success(body)
        assert found is None or encode_success(*found)[4:] == body


def test_bodies_that_are_cut_out_are_read_later() -> None:
    decoder = Decoder(LIMIT)
    sent: list[dict[str, Any]] = [{"v": 1}, {"v": 1, "id": 7, "ok": True, "result": {"a": "}}"}}]
    stream = b"".join(map(encode, sent)) + framed(b"no JSON")
    bodies = decoder.cut(stream)
    assert [parse(body) for body in bodies[:2]] == sent
    with pytest.raises(BodyError):
        parse(bodies[2])
