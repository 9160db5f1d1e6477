"""The contract with l2tp-resolver: what is said is what is read, and any octets give a value or its one error."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tp_ctl.resolver_schema import (
    MAX_ADDRESSES,
    MAX_ANSWER,
    MAX_NAME,
    MAX_QUESTION,
    Answer,
    ContractError,
    Families,
    Question,
    Status,
    decode_answer,
    decode_question,
    is_name,
)

NUMBERS = st.integers(0, 2**32 - 1)
LABEL = "[a-z]([a-z0-9-]{0,20}[a-z0-9])?"
NAMES = st.from_regex(rf"({LABEL}\.){{0,5}}{LABEL}\.?", fullmatch=True)
QUESTIONS = st.builds(Question, NUMBERS, st.sampled_from([*Families, Families(3)]), NAMES)
ADDRESSES = st.lists(st.ip_addresses(), min_size=1, max_size=MAX_ADDRESSES)
ANSWERS = st.builds(Answer, NUMBERS, st.just(Status.OK), ADDRESSES.map(tuple)) | st.builds(
    Answer, NUMBERS, st.sampled_from([*Status][1:]), st.just(())
)
A, SIX = IPv4Address("192.0.2.2"), IPv6Address("2001:db8::2")


@given(QUESTIONS)
def test_a_question_arrives_as_it_was_asked(question: Question) -> None:
    assert decode_question(question.encode()) == question


@given(ANSWERS)
def test_an_answer_arrives_as_it_was_given(answer: Answer) -> None:
    assert decode_answer(answer.encode()) == answer


def test_the_octets_are_those_of_the_contract() -> None:
    assert Question(7, Families.IPV6, "gw").encode() == b"\0\0\0\7\2gw"
    answer = Answer(1 << 24, Status.OK, (A, SIX))
    assert answer.encode() == b"\1\0\0\0\0" + b"\4\xc0\0\2\2" + b"\6" + SIX.packed
    assert Answer(0, Status.BUSY).encode() == b"\0\0\0\0\5"


def test_the_largest_fit() -> None:
    name = ".".join(["a" * 63] * 3 + ["a" * 61])
    assert len(name) == MAX_NAME
    assert len(Question(0, Families(3), name).encode()) == MAX_QUESTION
    assert len(Answer(0, Status.OK, (SIX,) * MAX_ADDRESSES).encode()) == MAX_ANSWER


@given(st.binary(max_size=2 * MAX_ANSWER))
def test_from_any_octets_comes_a_value_or_the_one_error(octets: bytes) -> None:
    for decode in (decode_question, decode_answer):
        try:
            decoded = decode(octets)
        except ContractError:
            continue
        assert decoded.encode() == octets


@pytest.mark.parametrize(
    "octets",
    [
        b"", b"\0\0\0\0", b"\0\0\0\0\0gw", b"\0\0\0\0\4gw", b"\0\0\0\0\3", b"\0\0\0\0\3gw example",
        b"\0\0\0\0\3192.0.2", b"\0\0\0\0\3g\xffw", b"\0\0\0\0\3" + b"a." * 127,
    ],
)  # fmt: skip
def test_what_is_no_question(octets: bytes) -> None:
    with pytest.raises(ContractError):
        decode_question(octets)


HEAD = b"\0\0\0\1\0"


@pytest.mark.parametrize(
    "octets",
    [
        HEAD,  # no address
        HEAD[:4] + b"\6",  # a status that is not there
        HEAD[:4] + b"\1" + b"\4\xc0\0\2\2",  # no such name, and yet an address
        HEAD + b"\4\xc0\0\2",
        HEAD + b"\6" + bytes(15),
        HEAD + b"\5" + bytes(16),
        HEAD + b"\4\xc0\0\2\2\4",
        HEAD + b"\4\xc0\0\2\2" * (MAX_ANSWER // 5),  # longer than any answer
    ],
)
def test_what_is_no_answer(octets: bytes) -> None:
    with pytest.raises(ContractError):
        decode_answer(octets)


def test_a_name_of_many_dots_costs_no_time() -> None:
    assert not is_name("a." * 200_000 + "!")
    assert not is_name("a-" * 200_000)
