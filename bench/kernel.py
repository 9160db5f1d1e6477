"""How fast sessions of Linux's own L2TP come up: ``python -m bench.kernel [ROUNDS [COUNT...]]`` (root on Debian).

Every contestant of :mod:`bench.contestants` makes the sessions once a round, each time in another order and in a guest
of its own, freshly booted: what an earlier one has left makes a kernel slower for the next.  Medians and ratios to the
burst are of one run.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys

from bench.contestants import CONTESTANTS

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
    """Print medians, and ratios to the burst."""
    guest("tcp")
    rounds, *counts = [int(each) for each in sys.argv[1:]] or [ROUNDS]
    counts = counts or list(COUNTS)
    seconds: dict[tuple[str, int], list[float]] = {}
    order = list(CONTESTANTS)
    for _ in range(rounds):
        for name in order:
            for count, took in re.findall(r": (\d+) sessions in (\S+) s", guest(name, *map(str, counts))):
                seconds.setdefault((name, int(count)), []).append(float(took))
        order.append(order.pop(0))
    for count in counts:
        print(f"\n| {count:,} sessions, {rounds} rounds | seconds, median (range) | sessions/s | of the burst |")
        print("|---|---|---|---|")
        burst = statistics.median(seconds["burst", count])
        for name in CONTESTANTS:
            values = seconds[name, count]
            median = statistics.median(values)
            spread = f"{median:.2f} ({min(values):.2f} to {max(values):.2f})"
            print(f"| {name} | {spread} | {count / median:.0f} | {burst / median:.2f} |")


if __name__ == "__main__":
    main()
