"""Add up the tests of several pytest runs, and fail on a skip that nobody expected.

    ci_results.py EXPECTED-SKIPS REPORT.xml...

Prints "PASSED FAILED SKIPPED"; unexpected skips go to standard error, and make the status 1.  A line of the expected
skips is a pattern for the test, a pattern for the reason, and why that is no loss, separated by " | ".
"""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree


def main(expected: Path, reports: list[Path]) -> int:
    rules = [line.split(" | ") for line in expected.read_text().splitlines() if line and not line.startswith("#")]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    unexpected = []
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):
            skipped = case.find("skipped")
            failed = case.find("failure") is not None or case.find("error") is not None
            counts["failed" if failed else "passed" if skipped is None else "skipped"] += 1
            if skipped is not None:
                name, reason = f"{case.get('classname')}.{case.get('name')}", skipped.get("message", "")
                if not any(fnmatchcase(name, test) and fnmatchcase(reason, why) for test, why, _ in rules):
                    unexpected.append(f"{report.stem}: {name}: {reason}")
    print(*counts.values())
    for line in unexpected:
        print(f"unexpected skip: {line}", file=sys.stderr)
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
