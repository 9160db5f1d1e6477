"""docs/rfc3931.md, made from the requirements: ``text()`` is its whole content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.conformance.requirements.avps import CHAPTER_5
from tests.conformance.requirements.companions import RFC_4667, RFC_4719, RFC_5641, RFC_9601
from tests.conformance.requirements.messages import CHAPTERS_6_TO_9
from tests.conformance.requirements.model import Requirement, node
from tests.conformance.requirements.operation import CHAPTERS_3_AND_4

CHAPTERS: dict[str, tuple[Requirement, ...]] = {
    "RFC 3931, chapters 3 and 4: operation": CHAPTERS_3_AND_4,
    "RFC 3931, chapter 5: AVPs": CHAPTER_5,
    "RFC 3931, chapters 6 to 9 and appendices": CHAPTERS_6_TO_9,
    "RFC 4719: Ethernet": RFC_4719,
    "RFC 5641: circuit status": RFC_5641,
    "RFC 4667: L2VPN": RFC_4667,
    "RFC 9601: ECN": RFC_9601,
}

_OPENING = """\
# Conformance to RFC 3931

What RFC 3931 and its companions for Ethernet demand of an LCCE, in our words, and the tests that prove it. `make docs`
writes this file from `tests/conformance/requirements`; a test fails where it is not current, where a test that it names
does not exist, and where something is demanded and neither proven nor out of reach.

"Outside" is what does not concern an Ethernet LCCE, or this program; "not done" is what a SHOULD asks for in vain.
"""


def all_requirements() -> Iterator[Requirement]:
    for chapter in CHAPTERS.values():
        yield from chapter


def text() -> str:
    """Return the document."""
    return "\n".join([_OPENING, *_summary(), *(line for name in CHAPTERS for line in _chapter(name))]) + "\n"


def _summary() -> Iterator[str]:
    yield "| | MUST, MUST NOT | SHOULD, SHOULD NOT |"
    yield "|---|---|---|"
    for word, chosen in (
        ("proven", [one for one in all_requirements() if one.tests]),
        ("outside", [one for one in all_requirements() if one.outside]),
        ("not done", [one for one in all_requirements() if one.undone]),
    ):
        binding = sum(one.level.binding for one in chosen)
        yield f"| {word} | {binding} | {len(chosen) - binding} |"
    yield ""


def _chapter(name: str) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    yield "| section | level | what | proof |"
    yield "|---|---|---|---|"
    for one in CHAPTERS[name]:
        yield f"| {one.section} | {one.level.value} | {one.statement} | {_proof(one)} |"
    yield ""


def _proof(requirement: Requirement) -> str:
    parts = [_linked(requirement.tests)] if requirement.tests else []
    parts += [f"Outside: {requirement.outside}"] * bool(requirement.outside)
    parts += [f"Not done: {requirement.undone}"] * bool(requirement.undone)
    parts += [f"({requirement.remark})"] * bool(requirement.remark)
    return "; ".join(parts)


def _linked(tests: Sequence[str]) -> str:
    shown = []
    for test in tests:
        file, function = node(test)
        shown.append(f"[{function.removeprefix('test_').replace('_', ' ')}](../tests/{file})")
    return ", ".join(shown)
