"""The half of tests.kernel.fuzz that atheris does: ``HOST PID DIRECTORY LOG SECONDS`` of a running helper."""

from __future__ import annotations

import contextlib
import io
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import atheris
except ImportError:
    print("fuzz: no atheris for this machine, so that half is left out")
    sys.exit(0)

with atheris.instrument_imports(include=["l2tp_kernel"]):
    from tests.kernel import fuzz

from hypothesis import given, settings

from tests.support.netns import Namespace

if TYPE_CHECKING:
    from tests.kernel.fuzz import Step

LENGTH = 4000
"""Octets of the longest case, from which hypothesis draws."""
SEEDS = 20


def main() -> None:
    """Change cases that reach new branches, until the time is over."""
    host, pid, directory, log, seconds = sys.argv[1:]
    aim = fuzz.Target(Namespace(host), int(pid), Path(directory), Path(log))

    @settings(database=None)
    @given(case=fuzz.cases)
    def attack(case: tuple[bool, list[Step]]) -> None:
        greet, steps = case
        with contextlib.redirect_stderr(io.StringIO()):
            fuzz.explore(steps)
        aim.attack(greet=greet, steps=steps)

    corpus = fuzz.CRASHES / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number in range(SEEDS):
        (corpus / f"seed-{number}").write_bytes(random.Random(number).randbytes(LENGTH // 2))  # no secret
    options = [f"-max_total_time={seconds}", f"-max_len={LENGTH}", "-len_control=0", "-verbosity=0"]
    one_input = attack.hypothesis.fuzz_one_input  # type: ignore[attr-defined]  # hypothesis puts it there
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={fuzz.CRASHES}/", str(corpus)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
