"""Commands that need no server: ``serve`` itself, ``resolve``, ``run``, ``check-config`` and ``completion``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from l2tp_admin.command import REFUSED, fail, json_option, print_json, write

DEFAULT_SOCKET = "/run/l2tpd/admin.sock"
DEFAULT_CONTROL = "/run/l2tp-ctl/admin.sock"
DEFAULT_RESOLVER = "/run/l2tp-resolver/resolver.sock"
DEFAULT_POLICY = "/etc/l2tpd/l2tp-kernel.toml"
DEFAULT_CONFIG = "/etc/l2tpd/l2tpd.toml"


@click.command()
@click.option(
    "--listen", type=click.Path(path_type=Path), default=DEFAULT_SOCKET, show_default=True, help="Socket to make."
)
@click.option(
    "--control", type=click.Path(path_type=Path), default=DEFAULT_CONTROL, show_default=True, help="Socket of l2tp-ctl."
)
@click.option("--operators", metavar="GROUP", help="Group whose members may give every command.")
@click.option("--viewers", metavar="GROUP", help="Group whose members may only show.")
@click.option("--user", metavar="USER", help="Started as root: become USER.")
@click.option(
    "--metrics", metavar="HOST:PORT", help="Tell Prometheus at http://HOST:PORT/metrics, e.g. 127.0.0.1:9120."
)
def serve(
    listen: Path, control: Path, operators: str | None, viewers: str | None, user: str | None, metrics: str | None
) -> None:
    """Pass commands on to l2tp-ctl, from those who may give them.

    Root and the user that this runs as may give every command.
    """
    from l2tp_admin import service

    sys.exit(service.serve(listen, control, operators, viewers, user, metrics))


@click.command()
@click.option(
    "--listen", type=click.Path(path_type=Path), default=DEFAULT_RESOLVER, show_default=True, help="Socket to make."
)
@click.option("--group", metavar="GROUP", help="Group whose members may ask, that of l2tp-ctl; without it USER may.")
@click.option("--user", metavar="USER", help="Started as root: become USER.")
def resolve(listen: Path, group: str | None, user: str | None) -> None:
    """Look up host names for l2tp-ctl, which has no network of its own.

    It is needed where a tunnel has a host name as its peer-address.  The system is asked, in the order of
    nsswitch.conf(5); no privilege is needed.
    """
    from l2tp_admin import resolver

    sys.exit(resolver.resolve(listen, group, user))


@click.command()
@click.option(
    "--policy", type=click.Path(path_type=Path), default=DEFAULT_POLICY, show_default=True, help="Of l2tp-kernel."
)
@click.option(
    "--config", type=click.Path(path_type=Path), default=DEFAULT_CONFIG, show_default=True, help="Of l2tp-ctl."
)
@click.option(
    "--runtime", type=click.Path(path_type=Path), default="/run", show_default=True, help="Directory of all sockets."
)
@click.option("--user", default="l2tp-ctl", show_default=True, help="Whom all but l2tp-kernel become.")
@click.option("--operators", metavar="GROUP", help="As for serve.")
@click.option("--viewers", metavar="GROUP", help="As for serve.")
def run(policy: Path, config: Path, runtime: Path, user: str, operators: str | None, viewers: str | None) -> None:
    """Run l2tp-kernel, l2tp-admin resolve, l2tp-ctl and l2tp-admin serve in the foreground, as a container needs it.

    Each that ends is started again.  SIGTERM ends all, SIGHUP lets them read their files again.
    """
    from l2tp_admin import run as together

    sys.exit(together.run(together.Settings(policy, config, runtime, user, operators, viewers)))


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path), default=DEFAULT_CONFIG)
@json_option
def check_config(file: Path, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Check a configuration FILE of l2tp-ctl and the password files that it names, and start nothing."""
    from l2tp_admin.check import check

    try:
        mistakes = check(file)
    except OSError as error:
        fail(f"l2tp-ctl: {error.strerror}", "is it installed?", REFUSED)
    if as_json:
        print_json({"file": str(file), "mistakes": mistakes})
    else:
        write("".join(f"{line}\n" for line in mistakes) or f"{file}: no mistakes\n")
    if mistakes:
        sys.exit(REFUSED)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    r"""Print what makes a SHELL complete commands, options and the names of tunnels and sessions.

    \b
    bash:  l2tp-admin completion bash > /etc/bash_completion.d/l2tp-admin
    zsh:   l2tp-admin completion zsh > /usr/local/share/zsh/site-functions/_l2tp-admin
    fish:  l2tp-admin completion fish > /etc/fish/completions/l2tp-admin.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has all three
    script = kind(context.find_root().command, {}, "l2tp-admin", "_L2TP_ADMIN_COMPLETE")
    write(script.source_template % script.source_vars() + "\n")
