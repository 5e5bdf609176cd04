"""What the command line costs: each command beside `python -c "import typer"`, run by run in turn.

`--old PYTHON` names an interpreter that has another version of this package: each command is run
with that one, too, in turn. All run with their bytecode in a cache, as installed packages do. Look
at the ratios; what a busy machine disturbs least are those of processor time. It needs POSIX.

    python benchmarks/command_line.py --rounds 15
    python benchmarks/command_line.py --old /path/to/venv/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

import psutil

from epm_task.testing import Agent

PROGRAMS = Path(__file__).parent / "programs"
HELLO = Path(__file__).parents[1] / "examples" / "hello.py"
TYPER = "import typer"


class Cost(NamedTuple):
    """Seconds on the clock, and of the processor, with all children."""

    wall: float
    cpu: float


class Command(NamedTuple):
    """Words after `python`, and the text in the output that ends the measurement, if any."""

    words: tuple[str, ...]
    until: str = ""
    environment: tuple[tuple[str, str], ...] = ()


Rounds = dict[str, list[list[Cost]]]


def main() -> None:
    """Print the table, a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="runs of each command (9)")
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs of the large agent (10000)")
    parser.add_argument("--old", metavar="PYTHON", help="one with another version of this package")
    options = parser.parse_args()
    pythons = [sys.executable, *([options.old] if options.old else [])]
    with tempfile.TemporaryDirectory() as folder, Agent() as agent:
        work = Path(folder)
        commands = _commands(work, options.jobs)
        rounds: Rounds = {name: [] for name in commands}
        own = []
        for _ in range(options.rounds + 1):  # the first one fills the caches
            for name, command in commands.items():
                rounds[name].append([_measured(each, command, work) for each in pythons])
            own.append(_own_run(agent))
    _print({name: costs[1:] for name, costs in rounds.items()}, own[1:])


def epm_task(*words: str, until: str = "", **environment: str) -> Command:
    """Return a command of this package."""
    # Older versions have no `epm_task.__main__`.
    return Command(("-m", "epm_task.cli", *words), until, tuple(environment.items()))


def _commands(work: Path, jobs: int) -> dict[str, Command]:
    asked = {"_EPM_TASK_COMPLETE": "complete_bash", "COMP_WORDS": "epm-task ver", "COMP_CWORD": "1"}
    return {
        TYPER: Command(("-c", TYPER)),
        "--version": epm_task("--version"),
        "--help": epm_task("--help"),
        "completion": epm_task(**asked),
        "run hello": epm_task("run", str(HELLO)),
        "first record": epm_task(
            "run", str(PROGRAMS / "ours.py"), until="record", BENCHMARK_RECORDS="1"
        ),
        "agent ready": _agent(work / "empty", 0),
        f"agent ready, {jobs // 2} jobs": _agent(work / "half", jobs // 2),
        f"agent ready, {jobs} jobs": _agent(work / "many", jobs),
    }


def _agent(root: Path, jobs: int) -> Command:
    folder = root / "Jobs"
    folder.mkdir(parents=True)
    root.chmod(0o700)
    for number in range(jobs):
        job = {
            "id": f"job-{number}",
            "name": f"Job {number}",
            "schedule": {"intervalMinutes": 60},
            "parameters": [{"name": f"p{each}", "type": "string"} for each in range(20)],
            "tasks": [{"id": "main", "command": "true", "arguments": "--root {root}"}],
            "mqttTopics": {"allowedPublications": ["KeeperLogger"]},
        }
        (folder / f"job-{number}.json").write_text(json.dumps(job, indent=2))
    return epm_task("agent", "--root", str(root), "--https-port", "0", "--json", until="base_url")


def _measured(python: str, command: Command, work: Path) -> Cost:
    """Run a command until its end, or until the text came, and return what that has cost."""
    environment = {**os.environ, **dict(command.environment)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(work / "bytecode" / python.strip("/"))
    before, started = os.times(), time.perf_counter()
    with subprocess.Popen(
        [python, *command.words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=work,
    ) as process:
        output: IO[bytes] = process.stdout  # type: ignore[assignment]
        said = b""
        for line in output:
            said += line
            if command.until and command.until.encode() in line:
                cost = Cost(time.perf_counter() - started, _so_far(process.pid))
                process.terminate()
                output.read()
                return cost
    wall, after = time.perf_counter() - started, os.times()
    if process.returncode or command.until:
        sys.exit(f"{command.words} ended with {process.returncode}: {said.decode()}")
    used = [getattr(after, f"children_{kind}") for kind in ("user", "system")]
    return Cost(wall, sum(used) - before.children_user - before.children_system)


def _so_far(pid: int) -> float:
    times = []
    with suppress(psutil.NoSuchProcess):  # a task that has just ended
        process = psutil.Process(pid)
        times += [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def _own_run(agent: Agent) -> float:
    """Return the seconds to the first record of the same task under an agent that runs already."""
    came: list[float] = []
    started = time.perf_counter()
    agent.run(
        PROGRAMS / "ours.py",
        env={"BENCHMARK_RECORDS": "1"},
        on_record=lambda _: came.append(time.perf_counter()),
    )
    return came[0] - started


def _print(rounds: Rounds, own: list[float]) -> None:
    titles = f"{'/ typer':>8} {'cpu':>6}", f" {'/ old':>8} {'cpu':>6}"
    old = len(rounds[TYPER][0]) > 1
    print(f"{'command':<34} {'ms':>6} {'cpu ms':>7} {titles[0]}{titles[1] if old else ''}")
    twins = [each[0] for each in rounds[TYPER]]
    for name, costs in rounds.items():
        ours = [each[0] for each in costs]
        line = f"{name:<34} {_median(ours, 0) * 1000:>6.0f} {_median(ours, 1) * 1000:>7.0f}"
        for others in (twins, [each[1] for each in costs] if old else None):
            line += (
                f" {_ratio(ours, others, 0):>8.2f} {_ratio(ours, others, 1):>6.2f}"
                if others
                else ""
            )
        print(line)
    first = [each[0] for each in rounds["first record"]]
    ratio = _ratio(first, [Cost(seconds, 0.0) for seconds in own], 0)
    print(f"{'first record / own run of the task':<34} {ratio:>6.2f}")
    *_, none, half, many = (_median([each[0] for each in costs], 1) for costs in rounds.values())
    jobs = int(list(rounds)[-1].split()[2])
    for title, seconds in (("first", half - none), ("second", many - half)):
        print(f"{f'cpu us for each job, {title} half':<34} {seconds / jobs * 2e6:>6.0f}")


def _median(costs: list[Cost], kind: int) -> float:
    return statistics.median(each[kind] for each in costs)


def _ratio(costs: list[Cost], others: list[Cost], kind: int) -> float:
    """Return the median of the ratios pair by pair; the processor's time counts in 10 ms."""
    pairs = zip(costs, others, strict=True)
    return statistics.median(one[kind] / max(other[kind], 0.01) for one, other in pairs)


if __name__ == "__main__":
    main()
