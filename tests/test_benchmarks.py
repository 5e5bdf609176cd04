"""Tests of the benchmarks: each runs with the smallest counts and prints its table."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from peers.task_process import unmeasured

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

#: The smallest counts of each benchmark, and a pattern for each line that it prints.
TABLES: dict[str, tuple[list[str], list[str]]] = {
    "start_up": (
        ["--rounds", "2"],
        [
            r"variant +ms +/ floor +/ naive +RSS MB +modules",
            r"stdlib floor +\d+ +1\.00 +\d\.\d\d +\d+ +\d+",
            r"naive twin, four libraries +\d+ +\d+\.\d\d +1\.00 +\d+ +\d+",
            r"epm_task, no settings model +\d+ +\d+\.\d\d +\d\.\d\d +\d+ +\d+",
            r"epm_task, settings model +\d+ +\d+\.\d\d +\d\.\d\d +\d+ +\d+",
        ],
    ),
    "instructions": (
        ["--budget", "spine"],
        [
            r" *M instructions +÷ floor +program",
            r" +\d+\.\d +\d\.\d\d +spine \(budget \d+\)",
        ]
        if shutil.which("valgrind")
        else [r"valgrind is not installed, .*"],
    ),
    "command_line": (
        ["--rounds", "1", "--jobs", "20", "--old", sys.executable],
        [
            r"command +ms +cpu ms +/ typer +cpu +/ old +cpu",
            r"import typer +\d+ +\d+ +1\.00 +1\.00 +\d+\.\d\d +\d+\.\d\d",
            *(
                rf"{name} +\d+ +\d+( +\d+\.\d\d){{4}}"
                for name in ("--version", "--help", "completion", "run hello", "first record")
            ),
            *(
                rf"agent ready{jobs} +\d+ +\d+( +\d+\.\d\d){{4}}"
                for jobs in ("", ", 10 jobs", ", 20 jobs")
            ),
            r"first record / own run of the task +\d+\.\d\d",
            *(rf"cpu us for each job, {half} half +-?\d+" for half in ("first", "second")),
        ],
    ),
    "throughput": (
        ["--rounds", "1", "--records", "2000", "--items", "5000"],
        [
            r"variant +records/s +x naive",
            r"naive twin +-?\d+ +1\.00",  # so few records take less time than the noise
            r"epm_task, ctx\.log +-?\d+ +-?\d+\.\d\d",
            r"progress +ns/item +x bare",
            r"bare loop +\d+ +1\.00",
            r"ctx\.track +\d+ +\d+\.\d\d",
            r"ctx\.progress +\d+ +\d+\.\d\d",
        ],
    ),
    "simulator": (
        ["--processes", "2", "--runs", "2", "--tasks", "2", "--records", "5", "--messages", "20"],
        [
            r"command to ready agent +\d+\.\d\d s",
            r"PID lookup, 2 processes +\d+ us",
            r"one whole run under a running agent +\d+\.\d\d s",
            r"idle CPU of the agent over 3 s +\d+\.\d{3} s",
            r"2 tasks at once +0 of 10 records lost, \d+ on stderr, 0 runs failed, .* s",
            r"memory over 2 runs +\d+ MB, [+-]\d+\.\d MB in the second half",
            r"messages at QoS 0, one subscriber +\d+/s.*",
            r"messages at QoS 1, one subscriber +\d+/s.*",
            r"messages at QoS 2, one subscriber +\d+/s.*",
        ],
    ),
    "soak": (
        # Left out is what the machine's business can decide, and what takes seconds.
        ["--runs", "6", "--seed", "1", "--without", "pauses,forks,descriptors,api", "--json"],
        [r'\{"seed": 1, "runs": 6, .*"unaccounted": 0, .*"faults": \[\]\}']
        if os.name == "posix"
        else ["the soak needs the signals, pipes and limits of POSIX; run it there"],
    ),
    "frozen": (
        ["--rounds", "1"],
        [
            r"program +MB +ms +/ its source",
            r"source +\d+ *",
            r"frozen +\d+\.\d +\d+ +\d+\.\d\d",
            r"zipapp +\d+\.\d +\d+ +\d+\.\d\d",
            r"source, settings +\d+ *",
            r"frozen, settings +\d+\.\d +\d+ +\d+\.\d\d",
            r"naive source +\d+ *",
            r"naive frozen +\d+\.\d +\d+ +\d+\.\d\d",
            r"goal of frozen: 22 MB, 1\.15 times its source: (met|missed)",
        ],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_table(name: str) -> None:
    """The benchmark ends well; its figures are not judged here."""
    options, patterns = TABLES[name]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), *options],
        env=unmeasured(),  # what coverage adds is not ours
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(patterns), done.stdout
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), line


def test_all_benchmarks_are_run() -> None:
    """Every script has its table in this test."""
    assert {file.stem for file in BENCHMARKS.glob("*.py")} == TABLES.keys()
