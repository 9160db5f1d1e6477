"""Write the manual pages that say what the programs and their files say themselves: manual.py DIRECTORY.

l2tp-admin(1) comes from the command line's own help, l2tpd.toml(5) and l2tp-kernel.toml(5) from the packaged files with
their remarks, so that neither is ever behind.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from l2tp_admin.main import cli

CONF = Path(__file__).resolve().parent.parent / "conf"
DATE = "2026-11-24"

FILES = {
    "l2tpd.toml": (
        "configuration of l2tp-ctl: its tunnels and sessions",
        """l2tp-ctl(8) reads this file when it starts and when it is told to reload.
It is TOML; below is the packaged file, with a remark for every key.
A remark that begins with a key is the default, or an example.""",
    ),
    "l2tp-kernel.toml": (
        "policy of l2tp-kernel: what it does for l2tp-ctl",
        """l2tp-kernel(8) reads this file when it starts and when it is told to reload, and does nothing beyond it.
The file and its directory must belong to root, and nobody else may write them.
It is TOML; below is the packaged file, with a remark for every key.""",
    ),
}
"""Title and description by file."""


def escaped(text: str) -> str:
    """Protect what roff would take for its own."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def page(name: str, section: int, title: str) -> str:
    """Begin a page."""
    heading = f'.TH {name.upper()} {section} {DATE} l2tpd "l2tpd manual"'
    return f"{heading}\n.SH NAME\n{name} \\- {escaped(title)}\n"


def file_page(name: str) -> str:
    """Show a file in its page."""
    title, description = FILES[name]
    listing = (CONF / name).read_text()
    return (
        page(name, 5, title)
        + f".SH DESCRIPTION\n{escaped(description)}\n.SH THE FILE\n.EX\n{escaped(listing)}.EE\n"
        + ".SH FILES\n.I /etc/l2tpd/" + escaped(name) + "\n"
        + ".SH SEE ALSO\n.BR l2tp\\-ctl (8),\n.BR l2tp\\-kernel (8),\n.BR l2tp\\-admin (1)\n"
    )  # fmt: skip


def paragraphs(text: str) -> str:
    """Paragraphs of a help text; one that click must not wrap stays as it is."""
    written = []
    for paragraph in filter(None, (text or "").split("\n\n")):
        if paragraph.startswith("\b"):
            lines = [line for line in paragraph.removeprefix("\b").splitlines() if line.strip()]
            written.append(".EX\n" + escaped("\n".join(lines)) + "\n.EE\n")
        else:
            written.append(escaped(" ".join(paragraph.split())) + "\n")
    return ".PP\n".join(written)


def options(command: click.Command, context: click.Context) -> Iterator[str]:
    """Explain the options of one command."""
    for parameter in command.get_params(context):
        if parameter.name != "help" and (record := parameter.get_help_record(context)):
            yield f".TP\n.B {escaped(record[0])}\n{escaped(' '.join(record[1].split()))}\n"


def commands(group: click.Group, context: click.Context, words: str = "") -> Iterator[str]:
    """Explain every command of a group and the groups in it."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from commands(command, inner, f"{words}{name} ")
        else:
            usage = " ".join(command.collect_usage_pieces(inner))
            yield f".SS {escaped(words + name)}\n.B l2tp\\-admin {escaped(f'{words}{name} {usage}')}\n.PP\n"
            yield paragraphs(command.help or "")
            yield from options(command, inner)


def admin_page() -> str:
    """Explain the whole command line of l2tp-admin."""
    context = click.Context(cli, info_name="l2tp-admin", terminal_width=1000)
    parts = [
        page("l2tp-admin", 1, "see and control the tunnels and sessions of l2tpd"),
        ".SH SYNOPSIS\n.B l2tp\\-admin\n[OPTIONS] COMMAND [ARGS]...\n.SH DESCRIPTION\n",
        paragraphs(cli.help or ""),
        ".SH OPTIONS\n",
        *options(cli, context),
        ".TP\n.B \\-h, \\-\\-help\nShow the options; after a command those of the command.\n.SH COMMANDS\n",
        *commands(cli, context),
        ".SH SEE ALSO\n.BR l2tpd.toml (5),\n.BR l2tp\\-ctl (8),\n.BR l2tp\\-kernel (8)\n",
    ]
    return "".join(parts)


def main(directory: Path) -> None:
    """Write all of them."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "l2tp-admin.1").write_text(admin_page())
    for name in FILES:
        (directory / f"{name}.5").write_text(file_page(name))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
