"""Add up the tests of several pytest runs, and fail on a skip that nobody expected.

    ci_results.py EXPECTED-SKIPS REPORT.xml...

Prints "PASSED FAILED SKIPPED"; unexpected skips go to standard error, and make the status 1.  A line of the expected
skips is a pattern for the test, a pattern for the reason, and why that is no loss, separated by " | ".

TIER.again.xml is about tests of TIER.xml that failed and were tried once more: what they say then counts, and those
that pass are named on standard error.
"""

from __future__ import annotations

import sys
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree

AGAIN = ".again.xml"


def main(expected: Path, reports: list[Path]) -> int:
    rules = [line.split(" | ") for line in expected.read_text().splitlines() if line and not line.startswith("#")]
    outcomes: dict[tuple[str, str], str] = {}
    complaints = []
    for report in sorted(reports, key=lambda path: path.name.endswith(AGAIN)):
        tier = report.name.removesuffix(AGAIN).removesuffix(".xml")
        for case in ElementTree.parse(report).iter("testcase"):
            name = f"{case.get('classname')}.{case.get('name')}"
            skipped = case.find("skipped")
            failed = case.find("failure") is not None or case.find("error") is not None
            outcome = "failed" if failed else "passed" if skipped is None else "skipped"
            if outcomes.get((tier, name)) == "failed" and outcome == "passed":
                print(f"passed only when tried again: {tier}: {name}", file=sys.stderr)
            outcomes[tier, name] = outcome
            reason = "" if skipped is None else skipped.get("message", "")
            expected_skip = any(fnmatchcase(name, test) and fnmatchcase(reason, why) for test, why, _ in rules)
            if skipped is not None and not expected_skip:
                complaints.append(f"unexpected skip: {tier}: {name}: {reason}")
    counts = Counter(outcomes.values())
    print(counts["passed"], counts["failed"], counts["skipped"])
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
