"""The real `epm-task`, run as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psutil
from peers.patience import PATIENCE
from peers.task_process import send_signal
from peers.wine import WINE

if sys.platform == "win32":
    import _winapi
    import msvcrt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

EXAMPLES = Path(__file__).parents[2] / "examples"
HELLO = EXAMPLES / "hello.py"

#: Each process of a command inherits it, so that those left behind can be found.
MARK = "EPM_TEST_MARK"

SLEEPER = '''
import subprocess, sys
from epm_task import TaskContext, task

@task
def sleeper(ctx: TaskContext):
    """Start a child and sleep until it is told to stop."""
    subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    ctx.log.info("asleep")
    ctx.stopping.wait(60)

if __name__ == "__main__":
    sleeper.main()
'''

#: How a task ends that the command has asked to stop, and that it has killed.
ASKED, KILLED = "exit 143 (SIGTERM)", "signal 9"
if os.name == "nt":
    ASKED, KILLED = "exit 137" if WINE else "exit 149 (SIGBREAK)", "exit 137"

#: A program that ignores whoever asks it to stop.
STUBBORN = """
import os, signal, time
signal.signal(getattr(signal, "SIGBREAK", signal.SIGTERM), signal.SIG_IGN)
os.write(2, b"stubborn\\n")
time.sleep(60)
"""


@dataclass(frozen=True)
class Ended:
    """What a command left: exit code, stdout, and the lines of stderr."""

    code: int
    out: str
    err: list[str]


class Running:
    """A command that goes on, with a temporary folder of its own."""

    def __init__(self, process: subprocess.Popen[bytes], scratch: Path, mark: str) -> None:
        """Remember the process, its TMPDIR and its mark."""
        self.process = process
        self.scratch = scratch
        self.mark = mark

    def signal(self, number: int) -> None:
        """Send it a signal."""
        send_signal(self.process, number)

    def end(self) -> Ended:
        """Wait for the end."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return Ended(self.process.returncode, out.decode(), err.decode().splitlines())

    def read_until(self, word: str) -> list[str]:
        """Read stderr up to the line that holds the word; return all that was read."""
        stderr: IO[bytes] = self.process.stderr  # type: ignore[assignment]
        lines: list[str] = []
        end = threading.Timer(PATIENCE, self.process.kill)
        end.start()
        try:
            while line := stderr.readline().decode():
                lines.append(line)
                if word in line:
                    return lines
        finally:
            end.cancel()
        raise AssertionError(f"{word!r} never came: {lines}")

    def leftovers(self) -> list[object]:
        """Return files in TMPDIR, and processes that still run."""
        wait_until(lambda: not _marked(self.mark))
        return [*self.scratch.iterdir(), *_marked(self.mark)]


@contextmanager
def running(*words: object, scratch: Path, **more: Any) -> Iterator[Running]:
    """Start the command, with TMPDIR below *scratch*; it is killed at the end, if need be."""
    temporary = scratch / f"tmp-{uuid.uuid4().hex[:8]}"
    temporary.mkdir()
    mark = uuid.uuid4().hex
    env = {**environment(more.pop("env", None)), MARK: mark}
    env |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    with _started(line(*words), env=env, stdout=subprocess.PIPE, **more) as process:
        try:
            yield Running(process, temporary, mark)
        finally:
            process.kill()
            kill_marked(mark)


def _started(command: list[str], **more: Any) -> subprocess.Popen[bytes]:
    """Start a command whose stderr takes much before anybody reads it: on Windows it is 4 KiB."""
    size = 1 << 20
    if sys.platform == "win32":
        ours, theirs = (msvcrt.open_osfhandle(end, 0) for end in _winapi.CreatePipe(None, size))
        process = subprocess.Popen(command, stderr=theirs, **more)
        os.close(theirs)
        process.stderr = os.fdopen(ours, "rb")
        return process
    return subprocess.Popen(command, stderr=subprocess.PIPE, pipesize=size, **more)


def epm_task(*words: object, env: Mapping[str, str] | None = None, **more: Any) -> Ended:
    """Run the command to its end."""
    done = subprocess.run(
        line(*words),
        env=environment(env),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        **more,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode().splitlines())


def line(*words: object) -> list[str]:
    """Return the command line."""
    return [sys.executable, "-m", "epm_task.cli", *map(str, words)]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without what decides on colour."""
    kept = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}
    return {**kept, **(more or {})}


def wait_until(condition: Callable[[], object]) -> None:
    """Return when the condition holds, or when it is not worth waiting for any longer."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def task_file(folder: Path, text: str, name: str = "my_task.py") -> Path:
    """Write a file and return its path."""
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def shell_script(folder: Path, posix: str, windows: str) -> Path:
    """Write a program for the shell of this system and return its path."""
    if os.name == "posix":
        path = task_file(folder, f"#!/bin/sh\n{posix}\n", "script.sh")
        path.chmod(0o755)
        return path
    return task_file(folder, f"@echo off\n{windows}\n", "script.cmd")


def kill_marked(mark: str) -> None:
    """Kill what was started with this mark in its environment and still runs."""
    for left in _marked(mark):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            left.kill()


def _marked(mark: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _has(process, mark)]


def _has(process: psutil.Process, mark: str) -> bool:
    try:
        return bool(process.status() != "zombie" and process.environ().get(MARK) == mark)
    except (psutil.Error, OSError):  # Wine lets nobody look into its own
        return False
