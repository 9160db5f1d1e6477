"""Write the documents that are made from tests and tables: ``python -m tests.conformance``."""

from __future__ import annotations

from pathlib import Path

from tests.conformance import diagrams, document

DOCS = Path(__file__).parents[2] / "docs"


def main() -> None:
    for name, text in (("rfc3931.md", document.text()), ("state-machines.md", diagrams.text())):
        (DOCS / name).write_text(text)


if __name__ == "__main__":
    main()
