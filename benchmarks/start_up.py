"""What a whole run costs: the task beside a stdlib floor and a naive twin, run by run in turn.

A run is interpreter start, imports, settings over HTTPS, MQTT over TLS, 10 records at QoS 1, all
acknowledged, exit. Compare ratios within one output only; the machine's noise moves all of them.

    python benchmarks/start_up.py --rounds 20
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from pathlib import Path

from epm_task.testing import Agent

PROGRAMS = Path(__file__).parent / "programs"
VARIANTS = {
    "floor": "stdlib floor",
    "naive": "naive twin, four libraries",
    "ours": "epm_task, no settings model",
    "ours_typed": "epm_task, settings model",
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="runs of each variant (15)")
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    facts: dict[str, tuple[int, int]] = {}
    with Agent() as agent:
        for number in range(rounds):
            for name in VARIANTS:
                show = {"BENCHMARK_FACTS": "1"} if number == 0 else {}
                run = agent.run(PROGRAMS / f"{name}.py", env=show)
                if run.exit_code:
                    sys.exit(f"{name} ended with {run.exit_code}: {run.stderr.decode()}")
                if number == 0:
                    facts[name] = _facts(run.stderr)
                else:
                    seconds[name].append(run.seconds)
    floor, naive = (statistics.median(seconds[name]) for name in ("floor", "naive"))
    print(f"{'variant':<28} {'ms':>6} {'/ floor':>8} {'/ naive':>8} {'RSS MB':>7} {'modules':>8}")
    for name, title in VARIANTS.items():
        median = statistics.median(seconds[name])
        megabytes, modules = facts[name]
        print(
            f"{title:<28} {median * 1000:>6.0f} {median / floor:>8.2f} {median / naive:>8.2f} "
            f"{megabytes:>7} {modules:>8}"
        )


def _facts(stderr: bytes) -> tuple[int, int]:
    found = re.search(rb"rss_mb=(\d+) modules=(\d+)", stderr)
    if found is None:
        sys.exit(f"no facts in {stderr.decode()!r}")
    return int(found[1]), int(found[2])


if __name__ == "__main__":
    main()
