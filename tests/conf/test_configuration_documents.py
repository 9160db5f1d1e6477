"""The template and the reference say what the program does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from l2tp_ctl.runtime import config_schema
from l2tp_ctl.runtime.config_file import load
from l2tp_ctl.runtime.config_schema import Key

SECTIONS: Mapping[str, Mapping[str, Key]] = {
    "`[local]`": config_schema.LOCAL,
    "`[listen]`": config_schema.LISTEN,
    "`[daemon]`": config_schema.DAEMON,
    "`[tunnel.NAME]`": config_schema.TUNNEL,
    "`[tunnel.NAME.session.NAME]`": config_schema.SESSION,
    "`[tunnel.NAME]`, static": config_schema.STATIC_TUNNEL,
    "`[tunnel.NAME.session.NAME]`, static": config_schema.STATIC_SESSION,
    "`[template.NAME]`": config_schema.TEMPLATE,
    "`[template.NAME.session.NAME]`": config_schema.TEMPLATE_SESSION,
}
"""By their headings in the reference, in the order of the template."""

SETTING = re.compile(r"#(?=[a-z[])")


def rows(text: str, section: str) -> dict[str, tuple[str, str]]:
    """Values and default of each key in a section's table."""
    (part,) = re.findall(rf"^## {re.escape(section)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return {
        key: (values, default)
        for key, values, default in re.findall(r"^\| `(.*?)` \| (.*?) \| (.*?) \|", part, re.MULTILINE)
    }


def default_text(key: Key) -> str:
    if key.required:
        return "*required*"
    return "*none*" if key.default is None else f"`{json.dumps(key.default)}`"


@pytest.mark.parametrize("section", SECTIONS)
def test_reference_has_every_key(repository: Path, section: str) -> None:
    text = (repository / "docs" / "configuration.md").read_text()
    expected = {name: (key.kind.takes, default_text(key)) for name, key in SECTIONS[section].items()}
    assert rows(text, section) == expected
    assert list(rows(text, section)) == list(expected)


def test_reference_has_no_other_section(repository: Path) -> None:
    text = (repository / "docs" / "configuration.md").read_text()
    assert re.findall(r"^## (`.*)$", text, re.MULTILINE) == list(SECTIONS)


def test_template_loads(repository: Path) -> None:
    assert load(repository / "conf" / "l2tpd.toml").tunnels == ()


def test_template_shows_every_key_with_its_default(repository: Path, tmp_path: Path) -> None:
    lines = [SETTING.sub("", line) for line in (repository / "conf" / "l2tpd.toml").read_text().splitlines()]
    path = tmp_path / "l2tpd.toml"
    path.write_text("\n".join(lines))
    (tmp_path / "passwords").mkdir()
    for name in ("passwords/east", "passwords/east-next"):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text("secret")
    configuration = load(path)
    assert [len(tunnel.sessions) for tunnel in configuration.tunnels] == [1, 1]
    assert len(configuration.templates) == len(configuration.templates[0].tunnel.sessions) == 1
    settings = [line for line in lines if line and not line.startswith("#")]
    shown = iter(settings)
    for keys in SECTIONS.values():
        assert next(shown).startswith("[")
        for name, key in keys.items():
            line = next(shown)
            assert line.startswith(f"{name} = ")
            if key.default is not None:
                assert line == f"{name} = {json.dumps(key.default)}"
    assert list(shown) == []
