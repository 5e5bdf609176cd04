"""Change the package in one place after another, and see whether a test notices.

`mutate.py controls` removes each control of `controls.toml`; `mutate.py generic` changes a seeded
sample of what the functions of `epm_task/runtime` do. It works in a copy of this repository, and
ends with 1 when a control, or more than 8 % of the sample, survives. It needs POSIX.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
import tomllib
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mutants import mutants_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
RUNTIME: Final = ROOT / "epm_task/runtime"
#: The share of the sample that tests must notice, in percent.
GOAL: Final = 92
#: What the tests of one change may take, by the clock and of the processor: a thread may spin.
_MOST_SECONDS: Final = 600
#: pytest's exit code when every test was left out.
_NOTHING_LEFT: Final = 5
_PYTEST: Final = (
    *("-m", "pytest", "-o", "addopts=", "--import-mode=importlib"),
    *("-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"),
)


class Change(NamedTuple):
    """One change of one file, and the tests of which one must fail."""

    file: str
    name: str
    source: str
    was: str
    now: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        """Return the change as lines that were, and lines that are."""
        was, now = (text.replace("\n", "\n    ") for text in (self.was, self.now))
        return f"  {self.file} {self.name}\n  - {was}\n  + {now}"


def controls() -> list[Change]:
    """Return the removal of each control in `controls.toml`.

    Raises:
        ValueError: The text of one is not in its file, or is there twice.
    """
    changes = []
    for entry in tomllib.loads((HERE / "controls.toml").read_text("utf-8"))["control"]:
        source = (ROOT / entry["file"]).read_text("utf-8")
        was, now = entry["was"], entry.get("now", "")
        if source.count(was) != 1:
            raise ValueError(f"{entry['name']}: the text must be once in {entry['file']}")
        changed = source.replace(was, now)
        if entry["file"].endswith(".py"):
            compile(changed, entry["name"], "exec")
        tests = tuple(entry["tests"])
        changes.append(Change(entry["file"], entry["name"], changed, was, now, tests))
    return changes


def sample(modules: Iterable[str], count: int, seed: int) -> list[Change]:
    """Return *count* mutants of each module, or all that it has, without the equivalent ones."""
    plan = tomllib.loads((HERE / "generic.toml").read_text("utf-8"))
    listed = plan["equivalent"]
    alike = {(e["file"], e["was"], e["now"]) for e in listed if "was" in e}
    never = {(e["file"], name) for e in listed for name in e.get("functions", ())}
    changes = []
    for module in modules:
        mutants = [
            mutant
            for mutant in mutants_of((RUNTIME / module).read_text("utf-8"))
            if (module, mutant.was, mutant.now) not in alike
            and (module, mutant.function) not in never
        ]
        folder, _, name = module.rpartition("/")
        files = [f"{folder}/test_{name}".lstrip("/"), *plan["tests"].get(module, ())]
        tests = tuple(f"tests/runtime/{f}" for f in files if (ROOT / "tests/runtime" / f).exists())
        chosen = random.Random(f"{seed} {module}").sample(mutants, min(count, len(mutants)))
        path = f"epm_task/runtime/{module}"
        changes += [Change(path, m.function, m.source, m.was, m.now, tests) for m in chosen]
    return changes


class Copy:
    """A copy of the repository, and an environment for it; one change at a time is tested there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "repository"
        # An environment, as some tests set PYTHONPATH and others ignore it.
        venv.create(folder / "venv", symlinks=True)
        self._python = str(folder / "venv/bin/python")
        packages = next(folder.glob("venv/lib/*/site-packages"))
        paths = f"{self._folder}\n{sysconfig.get_path('purelib')}\n"
        (packages / "copy.pth").write_text(paths, "utf-8")
        command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        for name in filter(None, listed.decode().split("\0")):
            if (ROOT / name).is_file():
                (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self._folder / name, follow_symlinks=False)
        # A change that makes a test wait for ever costs 20 s, not a minute.
        (self._folder / "tests/peers/patience.py").write_text("PATIENCE, BUSY = 20.0, 8.0\n")
        self._moment = int(time.time())
        self._sound: set[str] = set()
        self._unsound: set[str] = set()

    def outcome(self, change: Change) -> str:
        """Return the test that notices the change, "" when none does.

        It must pass without the change; one that does not, on a busy machine, is left out.
        """
        original = (self._folder / change.file).read_text("utf-8")
        while True:
            try:
                self._write(change.file, change.source)
                failed = self._test(
                    *change.tests, *(f"--deselect={test}" for test in self._unsound)
                )
            finally:
                self._write(change.file, original)
            if "::" not in failed or failed in self._sound:
                return failed
            sound = not (self._test(failed) and self._test(failed))
            (self._sound if sound else self._unsound).add(failed)

    def _test(self, *tests: str) -> str:
        """Run *tests*; return the one that failed, or what else went wrong, "" when they passed."""
        import resource

        limit = (_MOST_SECONDS, _MOST_SECONDS)
        process = subprocess.Popen(
            [self._python, *_PYTEST, *tests],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, limit),  # noqa: PLW1509
        )
        try:
            output = process.communicate(timeout=_MOST_SECONDS)[0]
        except subprocess.TimeoutExpired:
            return "no end in time"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        if process.returncode in {0, _NOTHING_LEFT}:
            return ""
        failed = re.search(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", output, re.MULTILINE)
        return failed[1] if failed else f"the end of pytest with {process.returncode}"

    def _write(self, file: str, source: str) -> None:
        path = self._folder / file
        path.write_text(source, "utf-8")
        self._moment += 1  # Python compiles a source anew when its time, in seconds, has changed
        os.utime(path, (self._moment, self._moment))


def outcomes(changes: Sequence[Change], workers: int) -> list[tuple[Change, str]]:
    """Test each change; print and return the test that noticed it, "" when none did."""
    copies: SimpleQueue[Copy] = SimpleQueue()

    def work(change: Change) -> tuple[Change, str]:
        copy = copies.get()
        try:
            test = copy.outcome(change)
        finally:
            copies.put(copy)
        print(f"{test or 'SURVIVED'}\n{change}", flush=True)
        return change, test

    with tempfile.TemporaryDirectory(prefix="epm-task-mutation-") as folder:
        for number in range(workers):
            copies.put(Copy(Path(folder, str(number))))
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(work, changes))


def report(found: Sequence[tuple[Change, str]]) -> float:
    """Print the survivors and the figures; return the share that tests noticed, in percent."""
    print(*(f"survived:\n{change}" for change, how in found if not how), sep="\n")
    for file in [*dict.fromkeys(change.file for change, _ in found), ""]:
        killed = [bool(how) for change, how in found if file in {change.file, ""}]
        print(f"{sum(killed):4} of {len(killed):3} killed  {file or 'in all'}")
    return 100 * sum(bool(how) for _, how in found) / max(len(found), 1)


def main() -> int:
    """Run the tool; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["controls", "generic"])
    parser.add_argument(
        "--only", nargs="+", default=[""], help="names that hold one of these texts"
    )
    parser.add_argument("--per-module", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    given: Any = parser.parse_args()

    def chosen(name: str) -> bool:
        return any(text in name for text in given.only)

    if given.kind == "controls":
        share = report(outcomes([c for c in controls() if chosen(c.name + c.file)], given.workers))
        return int(share < 100)
    modules = sorted(file.relative_to(RUNTIME).as_posix() for file in RUNTIME.rglob("*.py"))
    changes = sample(filter(chosen, modules), given.per_module, given.seed)
    return int(report(outcomes(changes, given.workers)) < GOAL)


if __name__ == "__main__":
    raise SystemExit(main())
