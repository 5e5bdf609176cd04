"""Built programs that all tests share: each is built once, whichever process comes first."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from epm_task.files import try_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
#: Any moment will do, when all builds take the same.
EPOCH = 1_700_000_000

SEVERAL = '''
from epm_task import task

@task(job_id="nightly-scan")
def scan():
    """Scan."""
    return {"ran": "scan"}

@task(job_id="nightly-report")
def report(*, title: str):
    """Report."""
    return {"ran": title}

if __name__ == "__main__":
    scan.main()
'''


class BuildFolder:
    """Builds programs in a folder that the processes of one test session share."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        """Find the folder."""
        base = factory.getbasetemp()
        # Each worker of xdist has a folder of its own, below that of the session.
        shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
        self.folder = shared / "builds"
        self.folder.mkdir(exist_ok=True)

    def once(self, name: str, build: Callable[[Path], None]) -> Path:
        """Return the folder *name*, filled by *build* the first time."""
        place = self.folder / name
        with _locked(self.folder / f"{name}.lock"):
            if not (place / "done").exists():
                place.mkdir(exist_ok=True)
                build(place)
                (place / "done").touch()
        return place

    def frozen(self, example: str) -> Path:
        """Return the folder `Jobs` of an example, frozen by the real command."""

        def build(place: Path) -> None:
            run_cli("freeze", EXAMPLES / f"{example}.py", "-o", place)

        return self.once(example, build) / "Jobs"


def executable(place: Path) -> Path:
    """Return the program that PyInstaller built in a folder of its name."""
    return place / (f"{place.name}.exe" if sys.platform == "win32" else place.name)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        while not try_lock(file.fileno()):
            time.sleep(0.1)
        yield


def run_cli(*words: object, **more: str) -> str:
    """Run `epm-task` to its good end, and return its stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "epm_task.cli", *map(str, words)],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), **more},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def task_file(folder: Path, text: str, name: str = "my_task.py") -> Path:
    """Write a task file and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def program(folder: Path, text: str, name: str = "Probe") -> Path:
    """Write a Python program in the agent's layout, and return its folder."""
    place = folder / "Jobs" / "bin" / name
    place.mkdir(parents=True)
    path = place / name
    path.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
    path.chmod(0o755)
    return place
