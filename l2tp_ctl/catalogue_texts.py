"""What each catalogue entry means and what to do about it; apart from the catalogue, which the core uses."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple

LANGUAGES = ("en", "ja")


class Text(NamedTuple):
    """One entry in one language."""

    meaning: str
    remedy: str


def texts(language: str) -> Mapping[str, Text]:
    """Return the text of every entry, by its id, in one of LANGUAGES."""
    table = tomllib.loads(resources.files("l2tp_ctl").joinpath("catalogue.toml").read_text("utf-8"))
    return {name: Text(*row[language]) for name, row in table.items()}
