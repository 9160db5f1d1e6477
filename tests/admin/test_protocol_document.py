"""What docs/admin-protocol.md says is so: its example runs, its tables are the contract."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from l2tp_admin.limits import Limits
from l2tp_ctl.admin_schema import (
    ARGUMENTS,
    MAX_ANSWER,
    MAX_ARGUMENT,
    MAX_REQUEST,
    READ_ONLY,
    Captured,
    Change,
    Command,
    ErrorCode,
    LogLine,
    Peer,
    Reloaded,
    Session,
    Statistics,
    Tunnel,
    Version,
)
from tests.admin.daemons import REPOSITORY, running

TEXT = (REPOSITORY / "docs" / "admin-protocol.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    section = re.split(r"^#+ ", TEXT.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = [number for number, row in enumerate(table) if set("".join(row)) == {"-"}]
    return [row for number, row in enumerate(table) if number not in rules and number + 1 not in rules]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_example_runs_with_the_standard_library_alone() -> None:
    [example] = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    with running() as (daemons, _, _):
        ran = subprocess.run(
            [sys.executable, "-I", "-S", "-c", example],
            env={**os.environ, "L2TP_ADMIN_SOCKET": str(daemons.admin), "PYTHONUTF8": "1"},
            capture_output=True,
            check=False,
        )
    assert ran.stderr == b""
    assert ran.stdout.splitlines()[0] == b"osaka is not up: no answer to SCCRQ"


def test_every_command_is_there_with_its_arguments_and_role() -> None:
    commands = {names(row[0])[0]: row for row in rows("Requests") if names(row[0])[0] in Command.__members__.values()}
    assert set(commands) == set(Command)
    for command in Command:
        row = commands[command]
        assert {name for name in names(row[1]) if name != "all"} == set(ARGUMENTS[command])
        assert ("(optional)" in row[1]) is (False in ARGUMENTS[command].values())
        assert row[3] == ("viewer" if command in READ_ONLY else "operator")


def test_every_error_code_is_there() -> None:
    assert {names(row[0])[0] for row in rows("Answers")} == set(ErrorCode)


@pytest.mark.parametrize(
    ("heading", "shape"),
    [
        ("Tunnel", Tunnel),
        ("Session", Session),
        ("Change", Change),
        ("Peer", Peer),
        ("Statistics", Statistics),
        ("Version", Version),
        ("Reloaded", Reloaded),
        ("Captured", Captured),
        ("LogLine", LogLine),
    ],
)
def test_every_member_is_there(heading: str, shape: type) -> None:
    assert {name for row in rows(heading) for name in names(row[0])} == set(shape.__annotations__)


def test_every_limit_is_the_one_that_holds() -> None:
    limits = Limits()
    wait = limits.clients_per_uid / limits.requests_per_second
    assert [row[1] for row in rows("Limits")] == [
        f"{limits.clients}",
        f"{limits.clients_per_uid}",
        f"{limits.request:,} octets",
        f"{limits.requests_per_second:g} per second, {limits.burst} at once",
        "1",
        f"{limits.streams}",
        f"{limits.stall:g} s",
        f"{limits.buffered // 2**20} MiB",
        f"{limits.answer_time:g} s",
    ]
    assert f"at most {wait:g} s" in TEXT
    assert f"{MAX_REQUEST:,} octets" in TEXT
    assert f"{MAX_ANSWER:,}." in TEXT
    assert f"1 to {MAX_ARGUMENT} characters" in TEXT
