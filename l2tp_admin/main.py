"""The ``l2tp-admin`` command line."""

from __future__ import annotations

from pathlib import Path

import click

<<<<<<< l2tp_admin/main.py
from l2tp_ctl.admin_schema import VERSION, Command, ErrorCode

if TYPE_CHECKING:
    from l2tp_admin.views import Column

DEFAULT_SOCKET = "/run/l2tpd/admin.sock"
DEFAULT_CONTROL = "/run/l2tp-ctl/admin.sock"
DEFAULT_POLICY = "/etc/l2tpd/l2tp-kernel.toml"
DEFAULT_CONFIG = "/etc/l2tpd/l2tpd.toml"

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
}
OTHER_REMEDY = "are l2tp-admin and l2tp-ctl of the same release?"


class Server(NamedTuple):
    """Where ``l2tp-admin serve`` listens and how many seconds it has for an answer."""

    path: Path
    timeout: float


F = TypeVar("F", bound=Callable[..., Any])


def _json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, of the schema in admin-protocol.md.")(
        command
    )
=======
from l2tp_admin.command import Server
from l2tp_admin.command_change import clear, down, reload_command, up
from l2tp_admin.command_live import capture, monitor, top
from l2tp_admin.command_local import DEFAULT_SOCKET, check_config, completion, serve
from l2tp_admin.command_log import explain, show_log
from l2tp_admin.command_show import show
>>>>>>> /tmp/work/h11.new


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


<<<<<<< l2tp_admin/main.py
@cli.group()
def show() -> None:
    """Show tunnels and sessions.

    A terminal gets a table.  A pipe, or more than 500 lines, gets plain columns, with "-" for what is empty and times
    in seconds.
    """


@show.command("tunnels")
@_json_option
@click.pass_obj
def show_tunnels(server: Server, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Show every tunnel in a line of its own."""
    result = _ask(server, Command.SHOW_TUNNELS)
    if as_json:
        _print_json(result)
    else:
        from l2tp_admin.views import TUNNELS

        _print_table(TUNNELS, result["tunnels"])


@show.command("sessions")
@click.option("--tunnel", metavar="NAME", help="Only the sessions of this tunnel.")
@_json_option
@click.pass_obj
def show_sessions(server: Server, tunnel: str | None, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Show every session in a line of its own."""
    result = _ask(server, Command.SHOW_SESSIONS, **({} if tunnel is None else {"tunnel": tunnel}))
    if as_json:
        _print_json(result)
    else:
        from l2tp_admin.views import SESSIONS

        _print_table(SESSIONS, result["sessions"])


@show.command("tunnel")
@click.argument("name")
@_json_option
@click.pass_obj
def show_tunnel(server: Server, name: str, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Show one tunnel on one screen: whether it is up, and if not why."""
    result = _ask(server, Command.SHOW_TUNNEL, name=name)
    if as_json:
        _print_json(result)
    elif sys.stdout.isatty():
        from l2tp_admin import screen

        screen.tunnel(result["tunnel"], result["sessions"])
    else:
        from l2tp_admin import plain

        _write(plain.tunnel(result["tunnel"], result["sessions"]))


@show.command("log")
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines as they come.")
@click.option("--tunnel", metavar="NAME", help="Only lines about this tunnel.")
@click.option(
    "--level", type=click.Choice(["error", "warn", "notice", "info", "debug"]), help="Only this level and those before."
)
@_json_option
@click.pass_obj
def show_log(server: Server, follow: bool, tunnel: str | None, level: str | None, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Show the latest lines of the log, as far as l2tp-ctl keeps them in memory.

    With --follow, --json prints one object a line.
    """
    args = {name: value for name, value in (("tunnel", tunnel), ("level", level)) if value is not None}
    if as_json and not follow:
        _print_json(_ask(server, Command.SHOW_LOG, **args))
        return
    from l2tp_admin import log_lines

    put = _print_json_line if as_json else log_lines.show
    if not follow:
        for line in _ask(server, Command.SHOW_LOG, **args)["lines"]:
            put(line)
        return
    answers = _follow(server, Command.FOLLOW_LOG, **args)
    for line in next(answers)["lines"]:
        put(line)
    for line in answers:
        put(line)


@cli.command()
@click.argument("message", metavar="MESSAGE|ID", nargs=-1, required=True)
@_json_option
def explain(message: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001 - click's
    """Explain a line of the log: what it means and what to do about it, in the locale's language.

    MESSAGE is a line as it was logged, ID is an entry of the log catalogue, like HOSTNAME_MISMATCH.
    """
    from l2tp_admin import explain as explaining

    entry = explaining.find(" ".join(message))
    if entry is None:
        _fail("no line of l2tpd reads like this", "give the whole line, or its id", REFUSED)
    language = explaining.language()
    meaning, remedy = explaining.text(entry, language)
    level, template = entry.level.name.lower(), explaining.template(entry)
    if as_json:
        _print_json(
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
        _write(f"{entry.name} ({level})\n{template}\n\n{meaning}\n\n-> {remedy}\n")


@cli.group()
def clear() -> None:
    """Take tunnels or sessions down; what is configured to come up does so again."""


@clear.command("tunnel")
@click.argument("target", metavar="NAME|ADDRESS|all")
@click.option("--yes", is_flag=True, help="Do not ask before all tunnels are cleared.")
@_json_option
@click.pass_obj
def clear_tunnel(server: Server, target: str, yes: bool, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Take down a tunnel by its name, the tunnels of a peer's ADDRESS, or all."""
    if target == "all" and not yes and sys.stdin.isatty() and not click.confirm("Clear every tunnel?", err=True):
        _fail("nothing was cleared", "answer y, or give --yes", REFUSED)
    _print_cleared(_ask(server, Command.CLEAR_TUNNEL, target=target), as_json=as_json)


@clear.command("session")
@click.argument("target", metavar="NAME|INTERFACE")
@_json_option
@click.pass_obj
def clear_session(server: Server, target: str, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Take down a session by its name or by its interface."""
    _print_cleared(_ask(server, Command.CLEAR_SESSION, target=target), as_json=as_json)


@cli.command()
@click.option(
    "--listen", type=click.Path(path_type=Path), default=DEFAULT_SOCKET, show_default=True, help="Socket to make."
)
@click.option(
    "--control", type=click.Path(path_type=Path), default=DEFAULT_CONTROL, show_default=True, help="Socket of l2tp-ctl."
)
@click.option("--operators", metavar="GROUP", help="Group whose members may give every command.")
@click.option("--viewers", metavar="GROUP", help="Group whose members may only show.")
@click.option("--user", metavar="USER", help="Started as root: become USER.")
def serve(listen: Path, control: Path, operators: str | None, viewers: str | None, user: str | None) -> None:
    """Pass commands on to l2tp-ctl, from those who may give them.

    Root and the user that this runs as may give every command.
    """
    from l2tp_admin import service

    sys.exit(service.serve(listen, control, operators, viewers, user))


@cli.command()
@click.option(
    "--policy", type=click.Path(path_type=Path), default=DEFAULT_POLICY, show_default=True, help="Of l2tp-kernel."
)
@click.option(
    "--config", type=click.Path(path_type=Path), default=DEFAULT_CONFIG, show_default=True, help="Of l2tp-ctl."
)
@click.option(
    "--runtime", type=click.Path(path_type=Path), default="/run", show_default=True, help="Directory of all sockets."
)
@click.option("--user", default="l2tp-ctl", show_default=True, help="Whom l2tp-ctl and l2tp-admin become.")
@click.option("--operators", metavar="GROUP", help="As for serve.")
@click.option("--viewers", metavar="GROUP", help="As for serve.")
def run(policy: Path, config: Path, runtime: Path, user: str, operators: str | None, viewers: str | None) -> None:
    """Run l2tp-kernel, l2tp-ctl and l2tp-admin serve in the foreground, as a container needs it.

    Each that ends is started again.  SIGTERM ends all, SIGHUP lets them read their files again.
    """
    from l2tp_admin import run as together

    sys.exit(together.run(together.Settings(policy, config, runtime, user, operators, viewers)))


def _ask(server: Server, command: Command, **args: str) -> dict[str, Any]:
    from l2tp_admin import client

    try:
        return client.ask(server.path, server.timeout, command, **args)
    except client.CommandError as error:
        status = UNREACHABLE if error.code is ErrorCode.UNREACHABLE else REFUSED
        _fail(str(error), REMEDIES.get(error.code, OTHER_REMEDY), status)


def _follow(server: Server, command: Command, **args: str) -> Iterator[dict[str, Any]]:
    """Yield the answer to a command and the events after it, until the user has enough."""
    from l2tp_admin import client

    try:
        yield from client.follow(server.path, server.timeout, command, **args)
    except client.CommandError as error:
        status = UNREACHABLE if error.code is ErrorCode.UNREACHABLE else REFUSED
        _fail(str(error), REMEDIES.get(error.code, OTHER_REMEDY), status)
    except KeyboardInterrupt:
        sys.exit(0)


def _fail(problem: str, remedy: str, status: int) -> NoReturn:
    from l2tp_admin.text import printable

    click.echo(f"l2tp-admin: {printable(problem)}; {remedy}", err=True)
    sys.exit(status)


def _print_table(columns: Sequence[Column], rows: list[dict[str, Any]]) -> None:
    if sys.stdout.isatty() and len(rows) <= MAX_TABLE:
        from l2tp_admin import screen

        screen.table(columns, rows)
    else:
        from l2tp_admin import plain

        _write(plain.table(columns, rows))


def _print_cleared(result: dict[str, Any], *, as_json: bool) -> None:
    from l2tp_admin.text import printable

    if as_json:
        _print_json(result)
    else:
        _write("".join(f"cleared {printable(name)}\n" for name in result["cleared"]))


def _print_json(result: dict[str, Any]) -> None:
    text = json.dumps({"v": VERSION, **result}, indent=2, ensure_ascii=False)
    if not text.replace("\n", "").isprintable():
        # Only a string can hold such a character; JSON has an escape for each.
        text = "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)
    _write_octets(text.encode() + b"\n")


def _print_json_line(one: Mapping[str, Any]) -> None:
    _write_octets(json.dumps(one, separators=(",", ":")).encode() + b"\n")


def _write(text: str) -> None:
    """Write to a pipe in the locale's encoding, with escapes for what that lacks."""
    _write_octets(text.encode(sys.stdout.encoding, "backslashreplace"))


def _write_octets(octets: bytes) -> None:
    sys.stdout.buffer.write(octets)
    sys.stdout.flush()  # here, where click still turns a reader that has gone into an exit status
=======
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
    serve,
):
    cli.add_command(command)
show.add_command(show_log)
>>>>>>> /tmp/work/h11.new


def main() -> None:
    """Run the command line (console script ``l2tp-admin``)."""
    cli(prog_name="l2tp-admin")


if __name__ == "__main__":
    main()
