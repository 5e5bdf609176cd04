"""How fast records are acknowledged at QoS 1: `ctx.log` beside a naive twin, run by run in turn.

The time of a run with one record is taken off, so that start-up does not count.

    python benchmarks/throughput.py --records 20000 --rounds 3
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from epm_task.testing import Agent

PROGRAMS = Path(__file__).parent / "programs"
VARIANTS = {"naive": "naive twin", "ours": "epm_task, ctx.log"}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=20_000, help="records per run (20000)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each variant (3)")
    options = parser.parse_args()
    rates: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with Agent() as agent:
        for number in range(options.rounds):
            for name in VARIANTS:
                idle = _seconds(agent, name, 1)
                rates[name].append(
                    options.records / (_seconds(agent, name, options.records) - idle)
                )
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    naive = statistics.median(rates["naive"])
    print(f"{'variant':<20} {'records/s':>10} {'x naive':>8}")
    for name, title in VARIANTS.items():
        rate = statistics.median(rates[name])
        print(f"{title:<20} {rate:>10.0f} {rate / naive:>8.2f}")


def _seconds(agent: Agent, name: str, records: int) -> float:
    run = agent.run(
        PROGRAMS / f"{name}.py",
        arguments=["--flush-timeout=60"],
        env={"BENCHMARK_RECORDS": str(records)},
        timeout=300,
    )
    if run.exit_code or run.acknowledged < records:
        sys.exit(f"{name}: exit {run.exit_code}, {run.acknowledged} of {records} acknowledged")
    return run.seconds


if __name__ == "__main__":
    main()
