"""Message Digests against known answers that Wireshark accepts."""

from __future__ import annotations

from typing import Any

import pytest

from l2tp_ctl.core.codec import encode
from l2tp_ctl.core.digest import DigestType, Signer, digests, nonce, shared_key, verify
from l2tp_ctl.core.message import Message, MessageType

from .octets import avp, packet, read, split, vector

KAT = vector("digest_kat.json")
KEY = shared_key(KAT["secret"].encode())
EMPTY_KEY = shared_key(b"")
OTHER_KEY = shared_key(b"other")
A = bytes.fromhex(KAT["nonce_A"])
B = bytes.fromhex(KAT["nonce_B"])
CASES = [(flow, case) for flow, cases in KAT["flows"].items() for case in cases]
IDS = [f"{flow}-{case['type']}" for flow, case in CASES]
HELLO = Message(type=MessageType.HELLO)


def signer_of(flow: str, case: dict[str, Any]) -> Signer:
    digest_type = DigestType.SHA1 if flow == "sha1" else DigestType.MD5
    if flow == "integrity_only_md5":
        return Signer(digest_type, EMPTY_KEY, b"")
    nonces = b"" if case["type"] == "SCCRQ" else A + B if case["dir"] == "A>B" else B + A
    return Signer(digest_type, KEY, nonces)


def signed(*signers: Signer, message: Message = HELLO) -> bytes:
    return encode(message, connection_id=1, ns=0, nr=0, signers=signers)


def verified(data: bytes, *keys: bytes, nonces: bytes = b"", types: tuple[DigestType, ...] = tuple(DigestType)) -> Any:
    header, avps = split(data)
    return verify(data, header, avps, keys, nonces, types)


def test_keys() -> None:
    assert KEY.hex() == KAT["shared_key"]
    assert EMPTY_KEY.hex() == KAT["empty_secret_shared_key"] == "7b6085fbf45933670abcb07a27fcea5e"


@pytest.mark.parametrize(("flow", "case"), CASES, ids=IDS)
def test_known_answers_are_accepted(flow: str, case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    signer = signer_of(flow, case)
    assert verified(data, OTHER_KEY, signer.key, nonces=signer.nonces) is signer.type
    assert verified(data, OTHER_KEY, nonces=signer.nonces) is None
    assert verified(data, signer.key, nonces=signer.nonces + b"\0") is None


@pytest.mark.parametrize(("flow", "case"), CASES, ids=IDS)
def test_known_answers_are_reproduced_octet_for_octet(flow: str, case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    header, _ = split(data)
    message = read(data)
    again = encode(
        message, connection_id=header.connection_id, ns=header.ns, nr=header.nr, signers=[signer_of(flow, case)]
    )
    assert again.hex() == case["hex"]


def test_every_octet_is_covered() -> None:
    data = bytes.fromhex(KAT["flows"]["sha1"][4]["hex"])
    header, avps = split(data)
    value = range(27, 47)  # of the digest itself, which is read from the AVP and counts as zeros in the message
    for position in range(len(data)):
        changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        if position in value:
            assert verified(changed, KEY, nonces=A + B) is None
        else:
            assert verify(changed, header, avps, [KEY], A + B) is None, position
    assert verify(data, header, avps, [KEY], A + B) is DigestType.SHA1


def test_octets_beyond_length_are_not_covered() -> None:
    assert verified(signed(Signer(DigestType.MD5, KEY, b"")) + b"trailer", KEY) is DigestType.MD5


def test_no_digest() -> None:
    header, avps = split(signed())
    assert digests(avps) == ()
    assert verify(signed(), header, avps, [KEY], b"") is None


def test_two_digests_either_of_which_suffices() -> None:
    data = signed(Signer(DigestType.MD5, KEY, A), Signer(DigestType.SHA1, OTHER_KEY, A))
    assert digests(split(data)[1]) == (0, 1)
    assert verified(data, KEY, nonces=A) is DigestType.MD5
    assert verified(data, OTHER_KEY, nonces=A) is DigestType.SHA1
    assert verified(data, EMPTY_KEY, nonces=A) is None


def test_only_the_types_asked_for_count() -> None:
    data = signed(Signer(DigestType.MD5, KEY, A), Signer(DigestType.SHA1, KEY, A))
    assert verified(data, KEY, nonces=A, types=(DigestType.SHA1,)) is DigestType.SHA1
    assert verified(data, KEY, nonces=A, types=(DigestType.MD5,)) is DigestType.MD5
    assert verified(data, KEY, nonces=A, types=()) is None


def test_a_third_digest_is_none() -> None:
    wrong = Signer(DigestType.MD5, OTHER_KEY, b"")
    data = signed(wrong, wrong, Signer(DigestType.MD5, KEY, b""))
    assert digests(split(data)[1]) == (0, 0)
    assert verified(data, KEY) is None


def test_a_digest_stands_directly_after_the_message_type() -> None:
    away = packet(avp(0, "0006"), avp(7, "61"), avp(59, "00" * 17))
    assert digests(split(away)[1]) == ()


def test_an_unknown_digest_type_is_told_and_never_fits() -> None:
    data = packet(avp(0, "0006"), avp(59, "07" + "00" * 16))
    assert digests(split(data)[1]) == (7,)
    assert verified(data, KEY) is None


@pytest.mark.parametrize("value", ["", "00", "0011", "00" * 16, "00" * 18, "01" + "00" * 16])
def test_a_digest_of_the_wrong_length_never_fits(value: str) -> None:
    data = packet(avp(0, "0006"), avp(59, value), avp(7, "61"))
    assert digests(split(data)[1]) == ((int(value[:2], 16),) if value else ())
    assert verified(data, KEY, EMPTY_KEY) is None


def test_an_empty_digest_hides_the_one_behind_it() -> None:
    assert digests(split(packet(avp(0, "0006"), avp(59), avp(59, "07")))[1]) == ()


@pytest.mark.parametrize("digest", [avp(59, "00" * 17, flags=0xC000), avp(59, "00" * 17, vendor=9)])
def test_a_hidden_or_foreign_digest_is_none(digest: bytes) -> None:
    assert digests(split(packet(avp(0, "0006"), digest))[1]) == ()


def test_nonce() -> None:
    assert nonce(split(packet(avp(0, "0001"), avp(7, "61")))[1]) is None
    assert nonce(split(packet(avp(0, "0001"), avp(73, "a1a2"), avp(73, "b1")))[1]) == b"\xa1\xa2"
    assert nonce(split(packet(avp(0, "0001"), avp(73)))[1]) == b""
    assert nonce(split(packet(avp(0, "0001"), avp(73, "a1", flags=0xC000), avp(73, "a2", vendor=9)))[1]) is None


def test_a_signers_secrets_stay_out_of_its_repr() -> None:
    text = repr(Signer(DigestType.MD5, b"KEY", b"NONCES"))
    assert "KEY" not in text
    assert "NONCES" not in text
