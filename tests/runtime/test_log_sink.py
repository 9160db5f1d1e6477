"""Log lines: what they look like, and that nobody else can shape them."""

from __future__ import annotations

import io
import json
import os
import re

import pytest

from l2tp_ctl.catalogue import Entry, Level
from l2tp_ctl.runtime.log_sink import MAX_FIELD, LogSink


def line(entry: Entry, style: str = "text", level: Level = Level.DEBUG, **fields: str | int) -> str:
    stream = io.StringIO()
    LogSink(stream, level, style).write(entry, fields, "east", "office")
    return stream.getvalue()


def test_a_line_begins_with_its_priority() -> None:
    assert line(Entry.RECEIVED_SIGNAL, signo=15) == "<6>Received 15 signal\n"


@pytest.mark.parametrize("level", Level)
def test_less_important_lines_are_left_out(level: Level) -> None:
    one_of_each = {entry.level: entry for entry in Entry if "{" not in entry.template}
    assert one_of_each.keys() == set(Level)
    written = {entry for entry in one_of_each.values() if line(entry, level=level)}
    assert {entry.level for entry in written} == {each for each in Level if each <= level}


def test_json_has_every_field_apart() -> None:
    told = json.loads(line(Entry.HOSTNAME_MISMATCH, "json", tunnel_id=7, msg_type="SCCRQ"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", told.pop("time"))
    assert told == {
        "level": "warn",
        "id": "HOSTNAME_MISMATCH",
        "message": "[7] hostname mismatch in SCCRQ",
        "tunnel": "east",
        "session": "office",
        "fields": {"tunnel_id": 7, "msg_type": "SCCRQ"},
    }


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_field_can_break_no_line(style: str) -> None:
    evil = "x\n<0>forged\r\x1b[2J\u202e\x00"
    written = line(Entry.HELPER_LOST, style, error=evil)
    assert written.count("\n") == 1
    assert written[:-1].isprintable()
    assert r"x\n<0>forged\r\x1b[2J\u202e\x00" in (written if style == "text" else json.loads(written)["message"])


def test_a_field_can_fill_no_disk() -> None:
    assert len(line(Entry.HELPER_LOST, error="x" * 100_000)) < MAX_FIELD + 100


def test_letters_of_every_script_stay() -> None:
    assert "トンネル" in line(Entry.HELPER_LOST, error="トンネル")
    assert "トンネル" in line(Entry.HELPER_LOST, "json", error="トンネル")


def test_a_terminal_gets_the_time() -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as stream:
        LogSink(stream, Level.INFO).write(Entry.L2TPD_EXIT, {})
    written = os.read(ours, 1000).decode()
    os.close(ours)
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{6} info   l2tpd exit\.\r\n", written)
