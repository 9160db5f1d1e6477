"""How fast sessions of Linux's own L2TP come up: ``python -m bench.kernel [ROUNDS [COUNT...]]`` (root on Debian).

Each round is a guest of its own, freshly booted, in which all of :mod:`bench.contestants` take turns.  Printed are
medians of the rounds, and of the ratios to the burst of the same round.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys

ROUNDS = 3
COUNTS = (1000, 5000)


def guest(*words: str) -> str:
    """Give what a guest says that does this; subprocess.CalledProcessError, with what it said shown, if it fails."""
    command = [sys.executable, "-m", "tests.guest.boot", "--module", "bench.contestants", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    said = "\n".join(line for line in done.stdout.splitlines() if not line.startswith("guest: "))
    print(said, flush=True)
    done.check_returncode()
    return said


def main() -> None:
    """Print medians."""
    guest()
    rounds, *counts = [int(each) for each in sys.argv[1:]] or [ROUNDS]
    seconds: dict[int, dict[str, list[float]]] = {}
    for _ in range(rounds):
        said = guest(*map(str, counts or COUNTS))
        for name, count, took in re.findall(r"^(.+): (\d+) sessions in (\S+) s$", said, re.MULTILINE):
            seconds.setdefault(int(count), {}).setdefault(name, []).append(float(took))
    for count, contestants in seconds.items():
        print(f"\n| {count:,} sessions, {rounds} rounds | seconds, median (range) | sessions/s | of the burst |")
        print("|---|---|---|---|")
        for name, values in contestants.items():
            median = statistics.median(values)
            ratio = statistics.median(burst / each for burst, each in zip(contestants["burst"], values, strict=True))
            spread = f"{median:.2f} ({min(values):.2f} to {max(values):.2f})"
            print(f"| {name} | {spread} | {count / median:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
