"""Commands that change something: only operators may give them."""

from __future__ import annotations

import sys

import click

from l2tp_admin.command import REFUSED, Server, ask, fail, json_option, names_of, print_json, print_names, write
from l2tp_ctl.admin_schema import Command


@click.group()
def clear() -> None:
    """Take tunnels or sessions down; what is configured to come up does so again."""


@clear.command("tunnel")
@click.argument("target", metavar="NAME|ADDRESS|all", shell_complete=names_of("tunnels"))
@click.option("--yes", is_flag=True, help="Do not ask before all tunnels are cleared.")
@json_option
@click.pass_obj
def clear_tunnel(server: Server, target: str, yes: bool, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Take down a tunnel by its name, the tunnels of a peer's ADDRESS, or all."""
    if target == "all" and not yes and sys.stdin.isatty() and not click.confirm("Clear every tunnel?", err=True):
        fail("nothing was cleared", "answer y, or give --yes", REFUSED)
    result = ask(server, Command.CLEAR_TUNNEL, target=target)
    print_names("cleared", result["cleared"], result, as_json=as_json)


@clear.command("session")
@click.argument("target", metavar="NAME|INTERFACE", shell_complete=names_of("sessions"))
@json_option
@click.pass_obj
def clear_session(server: Server, target: str, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Take down a session by its name or by its interface."""
    result = ask(server, Command.CLEAR_SESSION, target=target)
    print_names("cleared", result["cleared"], result, as_json=as_json)


@click.command()
@click.argument("name", shell_complete=names_of("tunnels"))
@json_option
@click.pass_obj
def up(server: Server, name: str, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Let a tunnel that was put down come up again."""
    result = ask(server, Command.UP, name=name)
    print_names("up", result["changed"], result, as_json=as_json)


@click.command()
@click.argument("name", shell_complete=names_of("tunnels"))
@json_option
@click.pass_obj
def down(server: Server, name: str, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Put a tunnel down until it is told to come up, or l2tp-ctl is started again."""
    result = ask(server, Command.DOWN, name=name)
    print_names("down", result["changed"], result, as_json=as_json)


@click.command("reload")
@json_option
@click.pass_obj
def reload_command(server: Server, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Have l2tp-ctl read its configuration again.  A file with mistakes changes nothing."""
    result = ask(server, Command.RELOAD)
    if as_json:
        print_json(result)
        return
    from l2tp_admin.text import printable

    kinds = ("added", "changed", "removed")
    lines = [f"{kind} {printable(name)}\n" for kind in kinds for name in result[kind]]
    write("".join(lines) or "nothing has changed\n")
    for key in result["needs_restart"]:
        click.echo(f"l2tp-admin: {printable(key)} takes effect when l2tp-ctl is started again", err=True)
