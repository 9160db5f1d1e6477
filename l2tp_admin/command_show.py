"""``l2tp-admin show``: everything that changes nothing and is answered once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from l2tp_admin.command import (
    Server,
    again,
    ask,
    json_option,
    names_of,
    print_json,
    print_table,
    watch_option,
    write,
)
from l2tp_ctl.admin_schema import Command

if TYPE_CHECKING:
    from l2tp_admin.views import Fact


@click.group()
def show() -> None:
    """Show tunnels, sessions and everything else there is to see.

    A terminal gets a table.  A pipe, or more than 500 lines, gets plain columns, with "-" for what is empty and times
    in seconds.
    """


@show.command("tunnels")
@watch_option
@json_option
@click.pass_obj
def show_tunnels(server: Server, watch: float | None, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Show every tunnel in a line of its own."""

    def once() -> None:
        result = ask(server, Command.SHOW_TUNNELS)
        if as_json:
            print_json(result)
            return
        from l2tp_admin.views import TUNNELS

        _tell_problem(result)
        print_table(TUNNELS, result["tunnels"])

    again(watch, once)


@show.command("sessions")
@click.option("--tunnel", metavar="NAME", shell_complete=names_of("tunnels"), help="Only the sessions of this tunnel.")
@watch_option
@json_option
@click.pass_obj
def show_sessions(
    server: Server,
    tunnel: str | None,
    watch: float | None,
    as_json: bool,  # noqa: FBT001 - click's
) -> None:
    """Show every session in a line of its own."""

    def once() -> None:
        result = ask(server, Command.SHOW_SESSIONS, **({} if tunnel is None else {"tunnel": tunnel}))
        if as_json:
            print_json(result)
            return
        from l2tp_admin.views import SESSIONS

        print_table(SESSIONS, result["sessions"])

    again(watch, once)


@show.command("tunnel")
@click.argument("name", shell_complete=names_of("tunnels"))
@watch_option
@json_option
@click.pass_obj
def show_tunnel(server: Server, name: str, watch: float | None, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Show one tunnel on one screen: whether it is up, and if not why."""

    def once() -> None:
        result = ask(server, Command.SHOW_TUNNEL, name=name)
        if as_json:
            print_json(result)
            return
        _tell_problem(result)
        if sys.stdout.isatty():
            from l2tp_admin import screen

            screen.tunnel(result["tunnel"], result["sessions"], result["differences"])
        else:
            from l2tp_admin import plain

            write(plain.tunnel(result["tunnel"], result["sessions"], result["differences"]))

    again(watch, once)


@show.command("session")
@click.argument("name", shell_complete=names_of("sessions"))
@watch_option
@json_option
@click.pass_obj
def show_session(server: Server, name: str, watch: float | None, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Show one session: whether it is up, and if not why."""

    def once() -> None:
        result = ask(server, Command.SHOW_SESSION, name=name)
        if as_json:
            print_json(result)
            return
        from l2tp_admin import views

        session, differences = result["session"], views.difference_facts(result["differences"])
        _print_facts(views.session_headline(session), [*views.session_facts(session), *differences])

    again(watch, once)


@show.command("peers")
@watch_option
@json_option
@click.pass_obj
def show_peers(server: Server, watch: float | None, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Show every peer address in a line of its own, with what the peer says of itself."""

    def once() -> None:
        result = ask(server, Command.SHOW_PEERS)
        if as_json:
            print_json(result)
            return
        from l2tp_admin.views import PEERS

        print_table(PEERS, result["peers"])

    again(watch, once)


@show.command("statistics")
@watch_option
@json_option
@click.pass_obj
def show_statistics(server: Server, watch: float | None, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Show what was counted since l2tp-ctl began."""

    def once() -> None:
        result = ask(server, Command.SHOW_STATISTICS)
        if as_json:
            print_json(result)
            return
        from l2tp_admin import views

        _tell_problem(result)
        _print_facts("", views.statistics_facts(result))

    again(watch, once)


@show.command("config")
@json_option
@click.pass_obj
def show_config(server: Server, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Show the configuration in force, with defaults and without passwords, in the words of its file."""
    result = ask(server, Command.SHOW_CONFIG)
    if as_json:
        print_json(result)
    else:
        from l2tp_admin.plain import toml

        write(toml(result["config"]))


@show.command("version")
@json_option
@click.pass_obj
def show_version(server: Server, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Show which release runs, and what it can do on this machine."""
    result = ask(server, Command.SHOW_VERSION)
    if as_json:
        print_json(result)
    else:
        from l2tp_admin import views

        _print_facts("", views.version_facts(result))


def _print_facts(headline: str, facts: list[Fact]) -> None:
    if sys.stdout.isatty():
        from l2tp_admin import screen

        screen.facts(headline, facts)
    else:
        from l2tp_admin import plain

        write(plain.facts(headline, facts))


def _tell_problem(result: dict[str, Any]) -> None:
    """Tell on standard error what keeps every tunnel down, if something does."""
    from l2tp_admin.text import printable

    if problem := result.get("problem"):
        click.echo(f"l2tp-admin: {printable(problem)}", err=True)
