"""Which AVPs each message must, should and may have: the RFC's lists, written down AVP by AVP."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from l2tp_ctl.core.attributes import ATTRIBUTES
from l2tp_ctl.core.avp import RawAvp
from l2tp_ctl.core.message import Message, MessageType
from l2tp_ctl.core.presence import PRESENCE, Fault, fault, missing, unexpected
from l2tp_ctl.core.results import GeneralError

from .octets import avp, packet, read
from .strategies import messages

COLUMNS = (
    "SCCRQ SCCRP SCCCN StopCCN HELLO OCRQ OCRP OCCN ICRQ ICRP ICCN CDN WEN SLI ACK"
)  # fmt: skip
ROWS = """
Result Code                           - - - e -  - - -  - - -  e - -  -
Host Name                             M M - - -  - - -  - - -  - - -  -
Router ID                             e e - - -  - - -  - - -  - - -  -
Assigned Control Connection ID        M M - o -  - - -  - - -  - - -  -
Pseudowire Capabilities List          M M - - -  - - -  - - -  - - -  -
Control Message Authentication Nonce  o o - - -  - - -  - - -  - - -  -
Vendor Name                           o o - - -  - - -  - - -  - - -  -
Receive Window Size                   o o - - -  - - -  - - -  - - -  -
Preferred Language                    o o - - -  - - -  - - -  - - -  -
ECN Capability                        o o - - -  - - -  - - -  - - -  -
Tie Breaker                           o - - - -  o - -  o - -  - - -  -
Random Vector                         o o o o o  o o o  o o o  o o o  o
Local Session ID                      - - - - -  M M M  M M M  e M M  -
Remote Session ID                     - - - - -  e M M  e M M  e M M  -
Serial Number                         - - - - -  e - -  e - -  - - -  -
Pseudowire Type                       - - - - -  e o -  e o -  - - -  -
Remote End ID                         - - - - -  M - -  M - -  - - -  -
Circuit Status                        - - - - -  e e o  e e o  - - o  -
Assigned Cookie                       - - - - -  o o -  o o -  - - -  -
L2-Specific Sublayer                  - - - - -  o o o  o o o  - - -  -
Data Sequencing                       - - - - -  o o o  o o o  - - -  -
Tx Connect Speed                      - - - - -  o o o  o o o  - - -  -
Rx Connect Speed                      - - - - -  o o o  o o o  - - -  -
Physical Channel ID                   - - - - -  o o -  o o -  - - -  -
Circuit Errors                        - - - - -  - - -  - - -  - e -  -
Attachment Group Identifier           - - - - -  o - -  o - -  - - -  -
Local End ID                          - - - - -  o - -  o - -  - - -  -
Interface Maximum Transmission Unit   - - - - -  o o -  o o -  - - -  -
"""
VALUES: dict[str, Any] = {
    "Result Code": "0001", "Host Name": "61", "Router ID": "0a000001", "Assigned Control Connection ID": "00000001",
    "Pseudowire Capabilities List": "0005", "Control Message Authentication Nonce": "61", "Vendor Name": "61",
    "Receive Window Size": "0004", "Preferred Language": "61", "ECN Capability": "", "Tie Breaker": "00" * 8,
    "Random Vector": "61", "Local Session ID": "00000001", "Remote Session ID": "00000000", "Serial Number": "00000001",
    "Pseudowire Type": "0005", "Remote End ID": "61", "Circuit Status": "0003", "Assigned Cookie": "00000000",
    "L2-Specific Sublayer": "0000", "Data Sequencing": "0000", "Tx Connect Speed": "00" * 8,
    "Rx Connect Speed": "00" * 8,
    "Physical Channel ID": "00000000", "Circuit Errors": "00" * 26, "Attachment Group Identifier": "61",
    "Local End ID": "61", "Interface Maximum Transmission Unit": "05dc",
}  # fmt: skip
TYPES = {attribute.name: attribute.type for attribute in ATTRIBUTES if attribute.vendor == 0}
FINAL = {"StopCCN", "CDN", "ACK"}


def _cells() -> list[tuple[str, str, str]]:
    cells = []
    for row in ROWS.strip().splitlines():
        name, marks = row.split("  ", 1)
        cells += [(column, name, mark) for column, mark in zip(COLUMNS.split(), marks.split(), strict=True)]
    return cells


CELLS = _cells()


def with_avps(column: str, names: list[str]) -> Message:
    """Return a message of the type that has exactly the AVPs named."""
    number = next(one for one in MessageType if one.text == column)
    return read(packet(avp(0, f"{number:04x}"), *(avp(TYPES[name], VALUES[name]) for name in names)))


def names_of(column: str, marks: str) -> list[str]:
    return [name for other, name, mark in CELLS if other == column and mark in marks]


def test_the_matrix_is_whole() -> None:
    assert {column for column, _, _ in CELLS} == {one.text for one in MessageType}
    assert {name for _, name, _ in CELLS} == set(TYPES)
    assert set(PRESENCE) == set(MessageType)


@pytest.mark.parametrize("column", COLUMNS.split())
def test_what_is_demanded_is_missed(column: str) -> None:
    assert set(missing(with_avps(column, []))) == set(names_of(column, "Me"))
    assert missing(with_avps(column, names_of(column, "Me"))) == ()


@pytest.mark.parametrize("column", COLUMNS.split())
def test_what_has_no_place_is_told(column: str) -> None:
    assert set(unexpected(with_avps(column, list(TYPES)))) == set(names_of(column, "-"))
    assert unexpected(with_avps(column, names_of(column, "Meo"))) == ()


@pytest.mark.parametrize("column", COLUMNS.split())
def test_a_message_with_no_more_than_is_mandatory_is_used(column: str) -> None:
    assert fault(with_avps(column, names_of(column, "M"))) is None
    assert fault(with_avps(column, list(TYPES))) is None


@pytest.mark.parametrize(("column", "name"), [(column, name) for column, name, mark in CELLS if mark == "M"])
def test_a_missing_mandatory_avp_is_a_fault(column: str, name: str) -> None:
    others = [other for other in TYPES if other != name]
    assert fault(with_avps(column, others)) == Fault(GeneralError.VENDOR, f"{name} AVP is missing")


@given(messages())
def test_what_the_table_allows_is_neither_unexpected_nor_a_fault(message: Message) -> None:
    assert unexpected(message) == ()
    assert fault(message) is None


@given(messages(complete=True))
def test_a_complete_message_lacks_nothing(message: Message) -> None:
    assert missing(message) == ()


@pytest.mark.parametrize("column", COLUMNS.split())
def test_the_m_bit_of_an_unknown_avp_decides(column: str) -> None:
    names = names_of(column, "M")
    number = next(one for one in MessageType if one.text == column)
    usual = [avp(TYPES[name], VALUES[name]) for name in names]
    for unknown, text in [
        ((250, "01", 0, 0x8000), "unknown AVP, vendor 0 type 250"),
        ((7, "01", 52845, 0x8000), "unknown AVP, vendor 52845 type 7"),
        ((60, "0a", 0, 0x8000), "Router ID AVP cannot be read"),
        ((61, "0a", 0, 0xC000), "Assigned Control Connection ID AVP cannot be read"),
    ]:
        kind, value, vendor, flags = unknown
        ignored = avp(251, flags=0)
        message = read(packet(avp(0, f"{number:04x}"), *usual, ignored, avp(kind, value, vendor=vendor, flags=flags)))
        expected = None if column in FINAL else Fault(GeneralError.UNKNOWN_AVP, text)
        assert fault(message) == expected
        harmless = read(packet(avp(0, f"{number:04x}"), *usual, avp(kind, value, vendor=vendor, flags=flags & ~0x8000)))
        assert fault(harmless) is None


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("SCCRQ", "Assigned Control Connection ID"),
        ("SCCRP", "Assigned Control Connection ID"),
        ("ICRQ", "Local Session ID"),
        ("ICRP", "Local Session ID"),
        ("OCRQ", "Local Session ID"),
        ("OCRP", "Local Session ID"),
    ],
)
def test_an_identifier_of_0_is_a_fault(column: str, name: str) -> None:
    number = next(one for one in MessageType if one.text == column)
    others = [avp(TYPES[other], VALUES[other]) for other in names_of(column, "M") if other != name]
    message = read(packet(avp(0, f"{number:04x}"), *others, avp(TYPES[name], "00000000")))
    assert fault(message) == Fault(GeneralError.VALUE, f"{name} is 0")


@pytest.mark.parametrize("column", ["CDN", "SLI", "WEN", "ICCN", "StopCCN"])
def test_elsewhere_an_identifier_of_0_is_let_through(column: str) -> None:
    number = next(one for one in MessageType if one.text == column)
    message = read(
        packet(avp(0, f"{number:04x}"), avp(61, "00000000"), avp(63, "00000000"), avp(64, "00000001"), avp(1, "0003"))
    )
    assert fault(message) is None


def test_an_unknown_message_type_counts_by_its_m_bit() -> None:
    unknown = Message(type=99)
    assert fault(unknown) == Fault(GeneralError.UNKNOWN_AVP, "unknown Message Type 99")
    assert fault(Message(type=99, message_type_mandatory=False)) is None
    assert missing(unknown) == unexpected(unknown) == ()


def test_an_avp_that_is_sent_along_is_no_business_of_the_table() -> None:
    extra = RawAvp(mandatory=True, hidden=False, reserved=0, vendor=1, type=1, value=b"")
    assert fault(Message(type=MessageType.HELLO, extra=(extra,))) is None
