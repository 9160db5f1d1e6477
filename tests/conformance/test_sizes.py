"""What is told of octets that do not fit: the length that is wrong, for the log's ``len`` (RFC 3931, section 7.1)."""

from __future__ import annotations

import pytest

from l2tp_ctl.core.errors import ProtocolError
from tests.core.octets import avp, packet, read

GOOD = avp(0, "0006")


@pytest.mark.parametrize(
    ("data", "size", "detail"),
    [
        (packet(GOOD, bytes(5)), 5, "5 octets left at 20"),
        (packet(GOOD, b"\x80"), 1, "1 octets left at 20"),
        (packet(GOOD, bytes.fromhex("8005 0000 0007")), 5, "length 5 at 20"),
        (packet(GOOD, bytes.fromhex("bc05 0000 0007")), 5, "length 5 at 20"),
        (packet(GOOD, bytes.fromhex("800d 0000 0007") + b"host"), 13, "length 13 at 20"),
        (packet(GOOD)[:2] + b"\x00\x0b" + packet(GOOD)[4:], 11, "Length 11 in a datagram of 20 octets"),
        (packet(GOOD)[:2] + b"\x00\x15" + packet(GOOD)[4:], 21, "Length 21 in a datagram of 20 octets"),
        (packet(GOOD)[:7], 0, "7 octets"),
    ],
)
def test_the_length_that_is_wrong_is_told(data: bytes, size: int, detail: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        read(data)
    assert (caught.value.size, caught.value.detail) == (size, detail)
