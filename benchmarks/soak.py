"""Soak the runtime: many runs, each with random faults, and an account of each of their records.

All of a run is drawn from the seed and its number, so that it can be repeated alone. POSIX only.

    python benchmarks/soak.py --runs 300 --seed 1 --parallel 2
    python benchmarks/soak.py --seed 1 --only 17
    python benchmarks/soak.py --runs 300 --without pauses,forks --json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

if os.name != "posix":
    print("the soak needs the signals, pipes and limits of POSIX; run it there")
    sys.exit(0)
sys.path.insert(1, str(Path(__file__).parents[1] / "tests"))  # the scripted peers

from peers.mosquitto import OBSERVER, PROGRAM
from soaking.one_run import Lag, Report, carry_out
from soaking.scenario import KINDS, Scenario, draw

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The machine keeps up while no sleeping thread is later than this, in seconds.
QUICK_SECONDS = 0.05
#: The lines of the summary that count something: first records, then faults.
COUNTS = (
    *("accepted", "acknowledged", "on stderr", "duplicates", "lost to a hard kill"),
    *("lost and said so (74)", "records unaccounted for", "unaccounted", "identity", "torn"),
    *("hang", "orphans", "files", "exit code", "traceback", "soak"),
)


def main() -> None:
    """Soak; print the summary; exit 1 when something is wrong."""
    options = _options()
    without = frozenset(filter(None, options.without.split(",")))
    if unknown := without - {*KINDS}:
        sys.exit(f"--without knows {', '.join(KINDS)}, not {', '.join(sorted(unknown))}")
    if not (PROGRAM and OBSERVER):
        print("mosquitto or mosquitto_sub is not installed: left out", file=sys.stderr)
        without |= {"mosquitto"}
    numbers = [options.only] if options.only is not None else list(range(1, options.runs + 1))
    began = time.monotonic()
    reports = []
    for report in _reports(numbers, options, without):
        reports.append(report)
        if report.faults:
            _tell(report, options.without)
        if len(reports) % 25 == 0 or options.only is not None:
            seconds = time.monotonic() - began
            print(f"{len(reports)} of {len(numbers)} runs, {seconds:.0f} s", file=sys.stderr)
    summary = _summary(reports, options.seed, time.monotonic() - began)
    if options.json:
        print(json.dumps(summary))
    else:
        for name, value in summary.items():
            print(f"{name:28} {value}")
    sys.exit(1 if summary["faults"] else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100, help="how many (100)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random (1)")
    parser.add_argument("--only", type=int, metavar="RUN", help="repeat this run alone")
    parser.add_argument("--parallel", type=int, default=2, help="runs at once (2)")
    parser.add_argument("--without", default="", metavar="KINDS", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--keep-going", action="store_true", help="do not end at the first fault")
    parser.add_argument(
        "--allowance",
        type=float,
        default=20.0,
        help="seconds a busy machine may add to an end (20)",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    return parser.parse_args()


def _reports(
    numbers: list[int], options: argparse.Namespace, without: frozenset[str]
) -> Iterator[Report]:
    """Yield the reports as the runs end; after a fault start no more, unless told otherwise."""
    lag = Lag()
    with ThreadPoolExecutor(options.parallel) as pool:
        scenarios = [draw(options.seed, number, without) for number in numbers]
        futures = [pool.submit(_report, scenario, lag, options.allowance) for scenario in scenarios]
        for future in as_completed(futures):
            if future.cancelled():
                continue
            report = future.result()
            yield report
            if report.faults and not options.keep_going:
                for waiting in futures:
                    waiting.cancel()


def _report(scenario: Scenario, lag: Lag, allowance: float) -> Report:
    """Carry out a run; one that the soak itself cannot carry out is a fault as well."""
    try:
        return carry_out(scenario, lag, allowance)
    except Exception as error:  # noqa: BLE001  # the runs after it shall be carried out
        return Report(scenario, [f"soak: {type(error).__name__}: {error}"], Counter(soak=1))


def _tell(report: Report, without: str) -> None:
    """Say what happened in a run, and how to repeat it."""
    scenario = report.scenario
    left_out = f" --without {without}" if without else ""
    print(f"FAULT in seed {scenario.seed} run {scenario.number}: {scenario}", file=sys.stderr)
    for fault in report.faults:
        print(f"    {fault}", file=sys.stderr)
    repeat = f"benchmarks/soak.py --seed {scenario.seed} --only {scenario.number}{left_out}"
    print(f"    repeat it: python {repeat}", file=sys.stderr, flush=True)


def _summary(reports: list[Report], seed: int, seconds: float) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    for report in reports:
        counts.update(report.counts)
    quick = [report for report in reports if report.lag <= QUICK_SECONDS]
    codes = Counter(code for report in reports for code in report.exit_codes)
    faults = [
        {"run": report.scenario.number, "what": report.faults, "scenario": str(report.scenario)}
        for report in sorted(reports, key=lambda report: report.scenario.number)
        if report.faults
    ]
    return {
        "seed": seed,
        "runs": len(reports),
        "seconds": round(seconds, 1),
        **{name: counts[name] for name in COUNTS},
        "worst exit": _worst(reports),
        "worst exit, machine kept up": _worst(quick),
        "exit codes": dict(sorted(codes.items())),
        "faults": faults,
    }


def _worst(reports: list[Report]) -> str:
    """Return the worst exit delay beyond the flush time-out, and its run."""
    delays = [(report.delay, report) for report in reports if report.delay is not None]
    if not delays:
        return "not measured"
    delay, report = max(delays, key=lambda pair: pair[0])
    lag = f"the machine was {report.lag:.2f} s late"
    return f"flush {delay:+.2f} s in run {report.scenario.number}, {lag}"


if __name__ == "__main__":
    main()
