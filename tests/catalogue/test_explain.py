"""``l2tp-admin explain``: every line is recognised, without any server, in the locale's language."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from l2tp_admin.explain import KNOWN, Known, find, language, template
from l2tp_ctl.catalogue import Entry, Field
from l2tp_ctl.catalogue_texts import LANGUAGES, texts
from tests.admin.daemons import ENVIRONMENT, command
from tests.catalogue.reference import REFERENCE

VALUES: dict[str, Field] = {
    "tunnel_id": 4711,
    "session_id": 815,
    "tun_name": "east",
    "tag": "tunnel.east.retry",
    "func": "receive",
    "msg_type": "SCCRQ",
    "IPaddress": "192.0.2.2",
    "where": "/etc/l2tpd/l2tpd.toml: tunnel.east.retry",
    "id": 7,
    "interface": "pw0",
    "sender": "client uid 0 pid 4711",
    "file": "/etc/l2tpd/l2tp-kernel.toml",
    "mistake": "/etc/l2tpd/l2tp-kernel.toml: clients: must be a list",
}
BEFORE = (
    "",
    "<4>",
    "Nov 24 19:42:01 router l2tp-ctl[123]: ",
    "2026-11-24 19:42:01.250 warn   ",
    "19:42:01.250123 warn   ",
)


class AnyField(dict[str, Field]):
    def __missing__(self, name: str) -> Field:
        return "a text"


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("entry", KNOWN.values(), ids=KNOWN)
def test_a_line_is_recognised_wherever_it_was_copied_from(entry: Known, before: str) -> None:
    values = VALUES | ({"tag": "retry"} if entry is Entry.CONFIG_PARAM else {})
    line = entry.template.format_map(AnyField(values))
    assert find(before + line) is entry
    assert find(f" {before}{line}\n") is entry


@pytest.mark.parametrize("entry", KNOWN.values(), ids=KNOWN)
def test_an_id_is_recognised(entry: Known) -> None:
    assert find(entry.name) is find(entry.name.lower().replace("_", "-")) is entry
    assert find(json.dumps({"time": "now", "id": entry.name, "message": "x"})) is entry


@pytest.mark.parametrize("row", REFERENCE.values(), ids=lambda row: row.line)
def test_a_message_as_the_reference_prints_it(row: tuple[str, str]) -> None:
    assert {entry: line for entry, line in REFERENCE.items() if entry is find(row[1])} == {find(row[1]): row}


@pytest.mark.parametrize("words", ["", "hello world", "sshd[1]: error: maximum", "{", "[1]", '{"id": 3}', "a: b"])
def test_what_is_no_line_of_ours(words: str) -> None:
    assert find(words) is None


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "en"),
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "ja"}, "ja"),
        ({"LANG": "ja.UTF-8"}, "ja"),
        ({"LANG": "ja_JP.UTF-8", "LC_MESSAGES": "C"}, "en"),
        ({"LANG": "C", "LC_ALL": "ja_JP.UTF-8", "LC_MESSAGES": "de_DE"}, "ja"),
        ({"LANG": "jam_JM"}, "en"),
    ],
)
def test_language(variables: dict[str, str], expected: str) -> None:
    assert language(variables) == expected


def run(*words: str, locale: str = "C.UTF-8") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **ENVIRONMENT, "LC_ALL": locale, "PYTHONUTF8": "1"}
    done = command("--socket", "/nonexistent", "explain", *words, python=sys.executable)
    return subprocess.run(done, capture_output=True, text=True, encoding="utf-8", check=False, env=environment)


@pytest.mark.parametrize(("locale", "chosen"), [("C.UTF-8", "en"), ("ja_JP.UTF-8", "ja")])
def test_the_command_answers_without_a_server(locale: str, chosen: str) -> None:
    done = run("[12]", "hostname", "mismatch", "in", "SCCRP", locale=locale)
    meaning, remedy = texts(chosen)["HOSTNAME_MISMATCH"]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "HOSTNAME_MISMATCH (warn)",
        "[<tunnel_id>] hostname mismatch in <msg_type>",
        "",
        meaning,
        "",
        f"-> {remedy}",
    ]


def test_the_command_as_json() -> None:
    told = json.loads(run("--json", "select error: x").stdout)
    assert told.keys() == {"v", "id", "level", "template", "language", "meaning", "remedy"}
    assert (told["id"], told["level"], told["template"]) == ("SELECT_ERROR", "error", "select error: <error>")


def test_the_command_knows_what_it_does_not_know() -> None:
    done = run("hello", "world")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "l2tp-admin: no line of l2tpd reads like this; give the whole line, or its id\n"


def test_templates_are_shown_as_the_reference_prints_them() -> None:
    shown = {entry: template(entry) for entry in REFERENCE}
    unlike = {entry.name for entry, row in REFERENCE.items() if shown[entry] != row.line}
    # The reference has a field twice, or one in two forms.
    assert unlike == {"TIE_BREAK_CHECK", "TUNNEL_CREATE_SUCCEEDED"}
    assert len(LANGUAGES) == 2
