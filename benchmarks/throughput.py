"""How fast records are acknowledged at QoS 1: `ctx.log` beside a naive twin, run by run in turn.

The time of a run with one record is taken off, so that start-up does not count. Then what progress
costs for each item, beside a loop that does nothing.

    python benchmarks/throughput.py --records 20000 --rounds 3
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from epm_task.testing import Agent, make_context

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAMS = Path(__file__).parent / "programs"
VARIANTS = {"naive": "naive twin", "ours": "epm_task, ctx.log"}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=20_000, help="records per run (20000)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each variant (3)")
    parser.add_argument("--items", type=int, default=2_000_000, help="items per loop (2000000)")
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
    costs = _costs(options.items, options.rounds)
    print(f"{'progress':<20} {'ns/item':>10} {'x bare':>8}")
    for title, cost in costs.items():
        print(f"{title:<20} {cost:>10.0f} {cost / costs['bare loop']:>8.2f}")


def _costs(items: int, rounds: int) -> dict[str, float]:
    """Return the nanoseconds that an item takes in loops of each kind, in the fastest round."""
    ctx = make_context()

    def bare() -> None:
        for _ in range(items):
            pass

    def tracked() -> None:
        for _ in ctx.track(range(items), "scanning"):
            pass

    def told() -> None:
        for item in range(items):
            ctx.progress(item, items, "scanning")

    def seconds(loop: Callable[[], None]) -> float:
        began = time.perf_counter()
        loop()
        return time.perf_counter() - began

    loops = {"bare loop": bare, "ctx.track": tracked, "ctx.progress": told}
    return {
        title: min(seconds(loop) for _ in range(rounds)) / items * 1e9
        for title, loop in loops.items()
    }


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
