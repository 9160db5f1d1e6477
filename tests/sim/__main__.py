"""Play many seeds: ``python -m tests.sim --seeds 1000``; replay one: ``python -m tests.sim --seed 7 --trace``."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.sim.scenario import Outcome, play, torment


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds to play (default 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seed", type=int, help="play this seed alone")
    parser.add_argument("--loss", type=float, default=0.3, help="share of datagrams lost (default 0.3)")
    parser.add_argument(
        "--torment",
        action="store_true",
        help="restarts, partitions, operators, a change of the password and lost helpers as well",
    )
    parser.add_argument("--trace", action="store_true", help="print all that happened")
    options = parser.parse_args()
    seeds = [options.seed] if options.seed is not None else range(options.first, options.first + options.seeds)
    seconds: list[float] = []
    failures = 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        outcomes = pool.map(
            partial(_play, loss=options.loss, tormented=options.torment, trace=options.trace), seeds, chunksize=16
        )
        for outcome in outcomes:
            seconds.append(outcome.seconds)
            if outcome.trace:
                print("\n".join(outcome.trace))
            if outcome.failure:
                failures += 1
                print(f"seed {outcome.seed}: {outcome.failure} after {outcome.seconds:.1f} virtual seconds")
    median = statistics.median(seconds)
    print(f"{len(seconds)} seeds: both ends up after {median:.1f} s median, {max(seconds):.1f} s at most")
    print(f"{len(seconds) - failures} passed, {failures} failed")
    return 1 if failures else 0


def _play(seed: int, *, loss: float, tormented: bool, trace: bool) -> Outcome:
    outcome = torment(seed, operators=True) if tormented else play(seed, loss=loss)
    return outcome if trace else Outcome(outcome.seed, outcome.failure, outcome.seconds, [])


if __name__ == "__main__":
    sys.exit(main())
