"""``l2tp-admin show log`` and ``explain``: what l2tp-ctl logged, and what a line of it means."""

from __future__ import annotations

from functools import partial

import click

from l2tp_admin.command import REFUSED, Server, ask, fail, follow, json_option, names_of, print_json, write
from l2tp_ctl.admin_schema import Command


@click.command("log")
@click.option("--follow", "-f", "following", is_flag=True, help="Go on with new lines as they come.")
@click.option("--tunnel", metavar="NAME", shell_complete=names_of("tunnels"), help="Only lines about this tunnel.")
@click.option(
    "--level", type=click.Choice(["error", "warn", "notice", "info", "debug"]), help="Only this level and those before."
)
@json_option
@click.pass_obj
def show_log(server: Server, following: bool, tunnel: str | None, level: str | None, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Show the latest lines of the log, as far as l2tp-ctl keeps them in memory.

    With --follow, --json prints one object a line.
    """
    args = {name: value for name, value in (("tunnel", tunnel), ("level", level)) if value is not None}
    if as_json and not following:
        print_json(ask(server, Command.SHOW_LOG, **args))
        return
    from l2tp_admin import log_lines

    put = partial(print_json, lines=True) if as_json else log_lines.show
    if not following:
        for line in ask(server, Command.SHOW_LOG, **args)["lines"]:
            put(line)
        return
    answers = follow(server, Command.FOLLOW_LOG, **args)
    for line in next(answers)["lines"]:
        put(line)
    for line in answers:
        put(line)


@click.command()
@click.argument("message", metavar="MESSAGE|ID", nargs=-1, required=True)
@json_option
def explain(message: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001 - click's
    """Explain a line of the log: what it means and what to do about it, in the locale's language.

    MESSAGE is a line as it was logged, ID is an entry of the log catalogue, like HOSTNAME_MISMATCH.
    """
    from l2tp_admin import explain as explaining

    entry = explaining.find(" ".join(message))
    if entry is None:
        fail("no line of l2tpd reads like this", "give the whole line, or its id", REFUSED)
    language = explaining.language()
    meaning, remedy = explaining.text(entry, language)
    level, template = explaining.level(entry), explaining.template(entry)
    if as_json:
        print_json(
            {
                "id": entry.name,
                "level": level,
                "template": template,
                "language": language,
                "meaning": meaning,
                "remedy": remedy,
            }
        )
    else:
        write(f"{entry.name} ({level})\n{template}\n\n{meaning}\n\n-> {remedy}\n")
