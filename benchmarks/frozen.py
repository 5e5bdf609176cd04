"""What a frozen task costs: size, and start to exit beside its source and a naive frozen twin.

The naive twin is what people get: the four libraries imported at the top, plain `pyinstaller FILE`.
All are run in turn under one agent; compare ratios within one output only.

    python benchmarks/frozen.py --rounds 15
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from epm_task.freeze.freezing import FreezeOptions, freeze
from epm_task.freeze.program import read_programs
from epm_task.testing import Agent

PROGRAMS = Path(__file__).parent / "programs"
#: The goals of docs/packaging.md.
MOST_MEGABYTES = 22.0
SLOWEST_RATIO = 1.15


def main() -> None:
    """Build, run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="runs of each program (15)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        plain, typed = PROGRAMS / "ours.py", PROGRAMS / "ours_typed.py"
        programs = {
            "source": plain,
            "frozen": _frozen(folder / "ours", plain, "pyinstaller"),
            "zipapp": _frozen(folder / "zip", plain, "zipapp"),
            "source, settings": typed,
            "frozen, settings": _frozen(folder / "typed", typed, "pyinstaller"),
            "naive source": PROGRAMS / "naive.py",
            "naive frozen": _naive(folder / "naive"),
        }
        seconds = _run_all(programs, rounds)
        _print(programs, seconds)


def _frozen(output: Path, file: Path, backend: str) -> Path:
    (program,) = read_programs(file)
    kind = "zipapp" if backend == "zipapp" else "pyinstaller"
    return freeze(program, FreezeOptions(output, kind, sys.executable)).executable


def _naive(work: Path) -> Path:
    words = ["--noconfirm", "--log-level=ERROR", "--distpath", str(work), "--workpath"]
    words += [str(work / "build"), "--specpath", str(work), str(PROGRAMS / "naive.py")]
    subprocess.run([sys.executable, "-m", "PyInstaller", *words], check=True)
    return work / "naive" / ("naive.exe" if sys.platform == "win32" else "naive")


def _run_all(programs: dict[str, Path], rounds: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    with Agent() as agent:
        for number in range(rounds + 1):
            for name, program in programs.items():
                run = agent.run(program)
                if run.exit_code:
                    sys.exit(f"{name} ended with {run.exit_code}: {run.stderr.decode()}")
                if number:  # the first run fills the caches
                    seconds[name].append(run.seconds)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _print(programs: dict[str, Path], seconds: dict[str, float]) -> None:
    print(f"{'program':<18} {'MB':>6} {'ms':>6} {'/ its source':>13}")
    sources = {"frozen": "source", "zipapp": "source", "frozen, settings": "source, settings"}
    sources["naive frozen"] = "naive source"
    for name, program in programs.items():
        folder = program.parent
        size = sum(one.lstat().st_size for one in folder.rglob("*") if one.is_file()) / 1e6
        source = sources.get(name)
        ratio = f"{seconds[name] / seconds[source]:.2f}" if source else ""
        shown = f"{size:.1f}" if source else ""
        print(f"{name:<18} {shown:>6} {seconds[name] * 1000:>6.0f} {ratio:>13}")
        if name == "frozen":
            ratio_good = seconds[name] / seconds["source"] <= SLOWEST_RATIO
            verdict = "met" if size <= MOST_MEGABYTES and ratio_good else "missed"
    print(f"goal of frozen: {MOST_MEGABYTES:.0f} MB, {SLOWEST_RATIO} times its source: {verdict}")


if __name__ == "__main__":
    main()
