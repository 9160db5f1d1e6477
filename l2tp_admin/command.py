"""What all commands of the command line share: asking the server, and printing what it said.

What a command alone needs is imported by that command, so that it starts fast.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

import click

from l2tp_ctl.admin_schema import VERSION, Command, ErrorCode

if TYPE_CHECKING:
    from l2tp_admin.client import CommandError
    from l2tp_admin.views import Column

MAX_TABLE = 500
"""Rows of the longest table that is drawn; more would take rich a second and a person a page too many."""

REFUSED, UNREACHABLE = 1, 3
"""Exit statuses beside 0 (done) and 2 (usage)."""

REMEDIES = {
    ErrorCode.UNREACHABLE: "is it running? see: systemctl status l2tp-admin l2tp-ctl",
    ErrorCode.DENIED: "run this as root, or as a member of the groups given to l2tp-admin serve",
    ErrorCode.NOT_FOUND: "l2tp-admin show tunnels and show sessions list what there is",
    ErrorCode.BUSY: "try again in a moment",
    ErrorCode.BAD_ARGUMENTS: "see l2tp-admin --help",
    ErrorCode.BAD_CONFIGURATION: "correct the file and reload again",
    ErrorCode.INTERNAL: "its log tells more: journalctl -u l2tp-ctl",
}
OTHER_REMEDY = "are l2tp-admin and l2tp-ctl of the same release?"


class Server(NamedTuple):
    """Where ``l2tp-admin serve`` listens and how many seconds it has for an answer."""

    path: Path
    timeout: float


F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Give a command ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, of the schema in admin-protocol.md.")(
        command
    )


def watch_option(command: F) -> F:
    """Give a command ``--watch``."""
    seconds = click.FloatRange(min=0.1, max=3600)
    return click.option("--watch", type=seconds, metavar="SECONDS", help="Show it again and again, until Ctrl-C.")(
        command
    )


def names_of(what: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return what completes a word with the names of the ``tunnels`` or ``sessions`` that there are now."""

    def complete(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
        from l2tp_admin import client

        command = {"tunnels": Command.SHOW_TUNNELS, "sessions": Command.SHOW_SESSIONS}[what]
        try:
            result = client.ask(Path(context.find_root().params["path"]), 2.0, command)
        except client.CommandError:
            return []
        return [row["name"] for row in result[what] if row["name"].startswith(begun)]

    return complete


def ask(server: Server, command: Command, **args: str) -> dict[str, Any]:
    """Return the result; what goes wrong is told, and ends the program."""
    from l2tp_admin import client

    try:
        return client.ask(server.path, server.timeout, command, **args)
    except client.CommandError as error:
        refuse(error)


def follow(server: Server, command: Command, **args: str) -> Iterator[dict[str, Any]]:
    """Yield the result and then the events; Ctrl-C ends it, and what goes wrong ends the program."""
    from l2tp_admin import client

    try:
        yield from client.follow(server.path, server.timeout, command, **args)
    except client.CommandError as error:
        refuse(error)
    except KeyboardInterrupt:
        return


def refuse(error: CommandError) -> NoReturn:
    """Tell what the server refused and end the program."""
    from l2tp_admin.text import printable

    for line in error.details:
        click.echo(printable(line), err=True)
    fail(
        str(error),
        REMEDIES.get(error.code, OTHER_REMEDY),
        UNREACHABLE if error.code is ErrorCode.UNREACHABLE else REFUSED,
    )


def fail(problem: str, remedy: str, status: int) -> NoReturn:
    """Tell a problem and what to do about it in one line, and end the program."""
    from l2tp_admin.text import printable

    click.echo(f"l2tp-admin: {printable(problem)}; {remedy}", err=True)
    sys.exit(status)


def again(seconds: float | None, show: Callable[[], None]) -> None:
    """Call ``show``, and then again every ``seconds`` until Ctrl-C, on a terminal each time in the same place."""
    if seconds is None:
        show()
        return
    import time

    try:
        while True:
            if sys.stdout.isatty():
                click.clear()
            show()
            if not sys.stdout.isatty():
                write("\n")
            time.sleep(seconds)
    except KeyboardInterrupt:
        return


def print_table(columns: Sequence[Column], rows: list[dict[str, Any]]) -> None:
    """Print a table for a terminal, or columns for a pipe."""
    if sys.stdout.isatty() and len(rows) <= MAX_TABLE:
        from l2tp_admin import screen

        screen.table(columns, rows)
    else:
        from l2tp_admin import plain

        write(plain.table(columns, rows))


def print_names(done: str, names: list[str], result: dict[str, Any], *, as_json: bool) -> None:
    """Print what was done to each of ``names``, or the result as JSON."""
    from l2tp_admin.text import printable

    if as_json:
        print_json(result)
    else:
        write("".join(f"{done} {printable(name)}\n" for name in names))


def print_json(result: dict[str, Any], *, lines: bool = False) -> None:
    """Print a result as JSON: indented, or with ``lines`` on one line."""
    from l2tp_admin.indented import indented

    told = {"v": VERSION, **result}
    text = json.dumps(told, separators=(",", ":"), ensure_ascii=False) if lines else indented(told)
    if not text.replace("\n", "").isprintable():
        # Only a string can hold such a character; JSON has an escape for each.
        text = "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)
    write_octets(text.encode() + b"\n")


def write(text: str) -> None:
    """Write to a pipe in the locale's encoding, with escapes for what that lacks."""
    write_octets(text.encode(sys.stdout.encoding, "backslashreplace"))


def write_octets(octets: bytes) -> None:
    """Write octets as they are."""
    sys.stdout.buffer.write(octets)
    sys.stdout.flush()  # here, where click still turns a reader that has gone into an exit status
