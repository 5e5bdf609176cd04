"""Say how many tests of a report passed and were skipped, by reason: skipped.py PERCENT REPORT ...

Args:
    PERCENT: What may be skipped at most; above it, or without any test, the exit code is 1.
    REPORT: What `pytest --junitxml` wrote, of each share of the tests.
"""

from __future__ import annotations

import sys
from collections import Counter
from xml.etree import ElementTree as ET


def main(percent: str, *reports: str) -> int:
    """Print the account; return the exit code."""
    cases = [case for report in reports for case in ET.parse(report).getroot().iter("testcase")]
    ends = Counter(_end(case) for case in cases)
    reasons = Counter(str(found.get("message")) for case in cases for found in case.iter("skipped"))
    for reason, count in sorted(reasons.items(), key=lambda one: -one[1]):
        print(f"{count:5} {reason}")
    share = 100 * ends["skipped"] / max(len(cases), 1)
    print(f"{len(cases)} tests:", ", ".join(f"{count} {end}" for end, count in ends.most_common()))
    print(f"skipped: {share:.1f} %, of at most {percent} %")
    return int(not cases or share > float(percent))


def _end(case: ET.Element) -> str:
    ends = ("failure", "error", "skipped")
    return next((end for end in ends if case.find(end) is not None), "passed")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
