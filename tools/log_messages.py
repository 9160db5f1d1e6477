"""Write docs/log-messages.md and docs/log-messages.ja.md from the catalogue, its texts and the tests that provoke it.

With ``--check`` nothing is written: the exit status is 1 if a document is not up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # also where this checkout is not the one that is installed

from l2tp_admin.explain import Known, level, template  # noqa: E402
from l2tp_ctl.catalogue import Entry  # noqa: E402
from l2tp_ctl.catalogue_texts import Text, texts  # noqa: E402
from l2tp_kernel.catalogue import Line  # noqa: E402
from tests.catalogue.provokers import provokers  # noqa: E402
from tests.catalogue.reference import REFERENCE, ROWS  # noqa: E402

HEADS = {
    "en": """\
# Log messages

<!-- Made by `make docs` from l2tp_ctl/catalogue.py, l2tp_ctl/catalogue.toml and the tests. -->

Every line that `l2tp-ctl`, `l2tp-admin serve` and `l2tp-kernel` log is one of these. `<name>` is a field. What stands
here is also what `l2tp-admin explain` says: `l2tp-admin explain '[7] hostname mismatch in SCCRQ'`.

Of l2tp-ctl and l2tp-admin the journal has the id of a line as `L2TP_ID`, and beside it `L2TP_TUNNEL`, `L2TP_SESSION`
and `L2TP_FIELD_` with the name of each field: `journalctl L2TP_ID=TUNNEL_DOWN`, `journalctl L2TP_TUNNEL=east`. With
`--log-format json` a line of l2tp-ctl is an object with `id`, `tunnel`, `session` and `fields`. l2tp-ctl keeps the
latest lines in memory: `l2tp-admin show log`.

## The log reference

The messages of the SEIL routers' l2tpd, word for word: their spelling is kept because people's filters match it. What
a stranger or a faulty peer could repeat at will is logged once a minute for each peer. Where the reference does
otherwise than RFC 3931, the RFC is the default and the reference a choice: `reserved-bits = "discard"` drops messages
with reserved bits, `digest = "md5"` takes HMAC-MD5 alone.

{count} of {all}, each with the test that provokes it.

""",
    "ja": """\
# ログメッセージ

<!-- l2tp_ctl/catalogue.py、l2tp_ctl/catalogue.tomlとテストから`make docs`で生成される。 -->

`l2tp-ctl`、`l2tp-admin serve`、`l2tp-kernel`が出力するログの行は、すべて次のいずれかである。
`<name>`は値が入る項目を表す。
`l2tp-admin explain`でも同じ説明を表示できる: `l2tp-admin explain '[7] hostname mismatch in SCCRQ'`

l2tp-ctlとl2tp-adminの行のIDは、ジャーナルの`L2TP_ID`に入る。`L2TP_TUNNEL`、`L2TP_SESSION`と、項目ごとの`L2TP_FIELD_`で始まる値もある:
`journalctl L2TP_ID=TUNNEL_DOWN`、`journalctl L2TP_TUNNEL=east`
`--log-format json`ではl2tp-ctlの各行が`id`、`tunnel`、`session`、`fields`を持つオブジェクトになる。
l2tp-ctlは最新の行をメモリに保持する: `l2tp-admin show log`

## ログリファレンス

SEILルータのl2tpdのメッセージを、綴りも含めてそのまま出力する。第三者や不具合のある対向機器が繰り返し起こせるものは、
対向機器ごとに毎分一度だけ記録する。
リファレンスとRFC 3931の動作が異なるところはRFCを既定とし、リファレンスの動作も選べる。
`reserved-bits = "discard"`は予約ビットのあるメッセージを破棄し、`digest = "md5"`はHMAC-MD5だけを受け入れる。

{all}件中{count}件に、実際に発生させるテストがある。

""",
}
OWN = {"en": "## Our own\n\n", "ja": "## 独自のメッセージ\n\n"}
KERNEL = {"en": "## l2tp-kernel's\n\n", "ja": "## l2tp-kernelのメッセージ\n\n"}
LABELS = {"en": ("level", "What to do", "Provoked by"), "ja": ("レベル", "対処", "テスト")}
FILES = {"en": "log-messages.md", "ja": "log-messages.ja.md"}


def document(language: str) -> str:
    """Return one document's text."""
    told, tests = texts(language), provokers()
    reference = [entry for entry in Entry if entry in REFERENCE]
    parts = [HEADS[language].format(count=sum(entry.name in tests for entry in reference), all=len(ROWS))]
    parts += [section(entry, told[entry.name], tests.get(entry.name, []), LABELS[language]) for entry in reference]
    parts.append(OWN[language])
    own = [entry for entry in Entry if entry not in REFERENCE]
    parts += [section(entry, told[entry.name], tests.get(entry.name, []), LABELS[language]) for entry in own]
    parts.append(KERNEL[language])
    parts += [section(line, told[line.name], [], LABELS[language]) for line in Line]
    return "".join(parts).rstrip("\n") + "\n"


def section(entry: Known, text: Text, tests: list[str], labels: tuple[str, str, str]) -> str:
    """Return what one document says of one entry."""
    at_level, remedy, provoked = labels
    lines = [
        f"### {entry.name}",
        f"```\n{template(entry)}\n```",
        f"{at_level}: **{level(entry)}**",
        text.meaning,
        f"*{remedy}*: {text.remedy}",
    ]
    if tests:
        lines.append(f"*{provoked}*: " + ", ".join(f"`{name}`" for name in tests))
    return "\n\n".join(lines) + "\n\n"


def main() -> int:
    check = "--check" in sys.argv[1:]
    stale = []
    for language, name in FILES.items():
        path, text = ROOT / "docs" / name, document(language)
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, "utf-8")
    if stale:
        print(f"docs: {', '.join(stale)} {'not up to date' if check else 'written'}")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())
