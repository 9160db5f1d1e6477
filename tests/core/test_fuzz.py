"""Any octets whatsoever: one typed error or a message, and nothing else."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from l2tp_ctl.core.avp import encode_avp, split_avps
from l2tp_ctl.core.codec import encode, interpret
from l2tp_ctl.core.digest import DigestType, Signer, digests, nonce, shared_key, verify
from l2tp_ctl.core.errors import ProtocolError
from l2tp_ctl.core.header import parse_header
from l2tp_ctl.core.hiding import hiding_key
from l2tp_ctl.core.message import Message, MessageType
from l2tp_ctl.core.presence import fault, missing, unexpected

from .octets import LIMIT, packet
from .strategies import messages
from .test_avp import RAW_AVPS

SECRET = b"secret"
HIDE_KEYS = (hiding_key(b"other"), hiding_key(SECRET))
KEYS = (shared_key(b"other"), shared_key(SECRET))


def digest_once(data: bytes) -> Message | None:
    """Take one datagram all the way that a received one goes; None where it is dropped."""
    try:
        header = parse_header(data)
        avps = split_avps(data, header, LIMIT)
    except ProtocolError as error:
        assert str(error).startswith(error.drop.value)
        return None
    verified = verify(data, header, avps, KEYS, nonce(avps) or b"")
    assert verified is None or verified in digests(avps)
    try:
        message = interpret(avps, HIDE_KEYS)
    except ProtocolError:
        return None
    assert len(message.unrecognised) < max(len(avps), 1)
    if isinstance(message.type, MessageType):
        fault(message)
        assert not set(missing(message)) & set(unexpected(message))
        again = encode(message, connection_id=header.connection_id, ns=header.ns, nr=header.nr)
        assert interpret(split_avps(again, parse_header(again), LIMIT)).type is message.type
    return message


@settings(max_examples=1000)
@given(st.binary(max_size=200))
def test_random_octets(data: bytes) -> None:
    digest_once(data)


@settings(max_examples=1000)
@given(st.binary(max_size=300))
def test_random_octets_behind_a_good_header(body: bytes) -> None:
    digest_once(packet(body))
    digest_once(packet(bytes.fromhex("8008000000000001"), body))


@settings(max_examples=500)
@given(st.lists(RAW_AVPS, max_size=12), st.sampled_from(MessageType))
def test_random_avps(avps: list[object], message_type: MessageType) -> None:
    first = bytes.fromhex("800800000000") + message_type.to_bytes(2, "big")
    assert digest_once(packet(first, *(encode_avp(avp) for avp in avps))) is not None  # type: ignore[arg-type]


KNOWN_AVPS = st.tuples(
    st.sampled_from([0x8000, 0, 0xC000, 0x4000, 0x8400]),
    st.sampled_from([0, 0, 0, 9, 52845]),
    st.integers(0, 111),
    st.binary(max_size=30),
).map(
    lambda avp: (
        (avp[0] | 6 + len(avp[3])).to_bytes(2, "big") + avp[1].to_bytes(2, "big") + avp[2].to_bytes(2, "big") + avp[3]
    )
)


@settings(max_examples=1000)
@given(st.lists(KNOWN_AVPS, max_size=12), st.sampled_from(MessageType))
def test_random_values_of_known_avps(avps: list[bytes], message_type: MessageType) -> None:
    first = bytes.fromhex("800800000000") + message_type.to_bytes(2, "big")
    message = digest_once(packet(first, *avps))
    assert message is not None
    assert message.type is message_type


@settings(max_examples=1000)
@given(messages(complete=True), st.data())
def test_mutated_messages(message: Message, data: st.DataObject) -> None:
    signers = (Signer(DigestType.MD5, KEYS[1], b""), Signer(DigestType.SHA1, KEYS[1], b""))
    good = encode(message, connection_id=1, ns=0, nr=0, signers=signers, hide_key=HIDE_KEYS[1])
    assert digest_once(good) is not None
    octets = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(octets) - 1))
        match data.draw(st.sampled_from(["set", "flip", "cut", "insert"])):
            case "set":
                octets[position] = data.draw(st.integers(0, 255))
            case "flip":
                octets[position] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del octets[position : position + data.draw(st.integers(0, 8))]
            case _:
                octets[position:position] = data.draw(st.binary(max_size=8))
        if not octets:
            break
    digest_once(bytes(octets))
    if len(octets) > 3:
        octets[2:4] = len(octets).to_bytes(2, "big")  # and with a Length that fits, so that the AVPs are reached
        digest_once(bytes(octets))


def test_a_message_full_of_hidden_avps() -> None:
    """As many octets as the Length can say, deciphered with every key in vain."""
    first = bytes.fromhex("8008000000000001") + bytes.fromhex("800800000024aabb")
    hidden = bytes.fromhex("c1ff00000042") + bytes(505)
    message = digest_once(packet(first, *[hidden] * 128))
    assert message is not None
    assert len(message.unrecognised) == 128
