"""What a line of the log means: finds the catalogue's entry for an id or for a whole line, without any server."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from string import Formatter
from typing import TypeAlias

from l2tp_ctl.catalogue import Entry, Level
from l2tp_ctl.catalogue_texts import Text, texts
from l2tp_kernel.catalogue import Line

Known: TypeAlias = Entry | Line
"""What a process of ours logs."""

KNOWN: Mapping[str, Known] = {known.name: known for known in (*Entry, *Line)}
"""All of it by id."""

NAME = r"[A-Za-z0-9._-]{1,15}"
"""An interface's."""

_PREFIX = r"(?:<\d>|.*?\bl2tp[\w-]*(?:\[\d+\])?: |.*?\d +(?:error|warn|notice|info|debug) +)?"
"""What stands before the text: a priority, what syslog and the journal write, what ``show log`` does."""

_SHAPES: Mapping[tuple[Known, str], str] = {
    (Entry.CONFIG_ERROR, "tag"): r"(?:local|listen|daemon|tunnel|template|[a-z-]+\.\S+)",
    (Entry.CONFIG_PARAM, "tun_name"): r"[\w.@:-]+",
    (Entry.CONFIG_PARAM, "tag"): r"[a-z-]+",
    (Entry.CONFIG_REMEDY, "where"): r"/(?!\S*l2tp-kernel)\S+(?:: \S+)?",
    (Line.POLICY_MISTAKE, "mistake"): r"\S*l2tp-kernel\S*: .*?",
    (Line.CLIENT_COMPLAINT, "sender"): r"(?:client uid \d+ pid \d+|unbound identity|descriptors)",
    (Line.POLICY_GOOD, "file"): r"/\S+",
    (Line.INTERFACE_ADOPTED, "interface"): NAME,
    (Line.INTERFACE_REMOVED, "interface"): NAME,
    (Line.CLIENT_CONNECTED, "sender"): r"client uid \d+ pid \d+",
}
"""Fields of lines that have hardly a word of their own; every other field is any text."""


def find(words: str) -> Known | None:
    """Return the entry that ``words`` are the id of, or a line of; None where there is none.

    A line may have what syslog, the journal or ``show log`` write before it, or be one of the JSON log's.
    """
    words = words.strip()
    name = words.upper().replace("-", "_")
    if words.startswith("{"):
        name = _id_of(words)
    if name in KNOWN:
        return KNOWN[name]
    fitting = [known for known in KNOWN.values() if re.fullmatch(_PREFIX + _pattern(known), words)]
    return max(fitting, key=_letters, default=None)


def language(environment: Mapping[str, str] = os.environ) -> str:
    """Return the language of the locale's messages, among those that there are texts in (locale(7))."""
    chosen = next((value for key in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environment.get(key))), "")
    return "ja" if chosen.split("_")[0].split(".")[0] == "ja" else "en"


def level(entry: Known) -> str:
    """Return the name of the level that an entry is logged at."""
    return Level(entry.value[0]).name.lower()


def text(entry: Known, chosen: str) -> Text:
    """Return what an entry means and what to do about it."""
    return texts(chosen)[entry.name]


def template(entry: Known) -> str:
    """Return an entry's line with each field as ``<name>``."""
    parts = Formatter().parse(entry.template)
    return "".join(literal + (f"<{field}>" if field else "") for literal, field, _, _ in parts)


def _id_of(line: str) -> str:
    try:
        told = json.loads(line)
    except ValueError:
        return ""
    return str(told.get("id", "")) if isinstance(told, dict) else ""


def _pattern(entry: Known) -> str:
    pattern = ""
    for literal, field, _, _ in Formatter().parse(entry.template):
        pattern += re.escape(literal)
        if field:
            pattern += rf"(?:<\w+>|{_SHAPES.get((entry, field), '.*?')})"
    return pattern


def _letters(entry: Known) -> int:
    """Return how much of an entry's line is its own, which tells the nearest of several that fit."""
    return sum(len(literal) for literal, _, _, _ in Formatter().parse(entry.template))
