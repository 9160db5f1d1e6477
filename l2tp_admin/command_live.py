"""Commands that go on until Ctrl-C: ``monitor``, ``capture`` and ``top``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from l2tp_admin.command import REFUSED, Server, ask, fail, follow, json_option, print_json, write
from l2tp_ctl.admin_schema import Command


@click.command()
@json_option
@click.pass_obj
def monitor(server: Server, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Show each change of a tunnel's or session's state as it happens.

    With --json each is an object in a line of its own.
    """
    from l2tp_admin.views import change_line

    events = follow(server, Command.MONITOR)
    next(events)
    for event in events:
        if as_json:
            print_json(event, lines=True)
        else:
            write(f"{change_line(event)}\n")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
@click.option("--peer", metavar="ADDRESS", help="Only messages from and to this address.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after so many messages.")
@click.pass_obj
def capture(server: Server, file: Path, peer: str | None, count: int | None) -> None:
    """Write the control messages that l2tp-ctl receives and sends to a pcapng FILE, "-" for standard output.

    Octets are as on the wire, so that a decoder that knows the password can verify their digests.  The password itself
    is never in the FILE.
    """
    from l2tp_admin import pcapng

    events = follow(server, Command.CAPTURE, **({} if peer is None else {"peer": peer}))
    next(events)
    messages = 0
    try:
        with pcapng.create(file) as output:
            output.write(pcapng.header())
            output.flush()
            click.echo("l2tp-admin: capturing until Ctrl-C", err=True)
            for event in events:
                if "lost" in event:
                    click.echo(f"l2tp-admin: {event['lost']} messages are missing here", err=True)
                    continue
                output.write(pcapng.message(event))
                output.flush()
                messages += 1
                if messages == count:
                    break
    except OSError as error:
        fail(f"{file}: {error.strerror}", "give a file that you may write", REFUSED)
    click.echo(f"l2tp-admin: {messages} messages", err=True)


@click.command()
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1, max=3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks.",
)
@click.option("--once", is_flag=True, help="Look twice, print what there was, and end.")
@click.pass_obj
def top(server: Server, interval: float, once: bool) -> None:  # noqa: FBT001 - click's
    """Show tunnels, sessions and their traffic, live, until Ctrl-C."""
    from l2tp_admin import top as live

    if not once and not sys.stdout.isatty():
        fail("top needs a terminal", "give --once, or see: l2tp-admin show sessions --watch 1", REFUSED)

    def look() -> live.Look:
        return live.Look(
            tunnels=ask(server, Command.SHOW_TUNNELS)["tunnels"],
            sessions=ask(server, Command.SHOW_SESSIONS)["sessions"],
            statistics=ask(server, Command.SHOW_STATISTICS),
        )

    live.run(look, interval, once=once)
