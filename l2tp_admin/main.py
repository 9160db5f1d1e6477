"""The ``l2tp-admin`` command line."""

from __future__ import annotations

from pathlib import Path

import click

from l2tp_admin.command import Server
from l2tp_admin.command_change import clear, down, reload_command, up
from l2tp_admin.command_live import capture, monitor, top
from l2tp_admin.command_local import DEFAULT_SOCKET, check_config, completion, resolve, run, serve
from l2tp_admin.command_log import explain, show_log
from l2tp_admin.command_show import show


def _print_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    if not wanted:
        return
    from importlib import metadata

    click.echo(f"l2tp-admin {metadata.version('l2tpd')}")
    context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--socket",
    "path",
    type=click.Path(path_type=Path),
    envvar="L2TP_ADMIN_SOCKET",
    default=DEFAULT_SOCKET,
    show_default=True,
    show_envvar=True,
    help="Socket of l2tp-admin serve.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True, max=3600),
    default=10.0,
    show_default=True,
    help="Seconds to wait for the answer.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
@click.pass_context
def cli(context: click.Context, path: Path, timeout: float) -> None:
    """See and control the tunnels and sessions of a running l2tpd.

    Exit status: 0 done, 1 refused or not found, 2 wrong usage, 3 unreachable.
    """
    context.obj = Server(path, timeout)


for command in (
    show,
    clear,
    up,
    down,
    reload_command,
    monitor,
    capture,
    top,
    explain,
    check_config,
    completion,
    resolve,
    run,
    serve,
):
    cli.add_command(command)
show.add_command(show_log)


def main() -> None:
    """Run the command line (console script ``l2tp-admin``)."""
    cli(prog_name="l2tp-admin")


if __name__ == "__main__":
    main()
