"""A task process of the soak: readers that pause, and what is left behind after its end."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from programs.ledger import Ledger

if TYPE_CHECKING:
    from soaking.scenario import Scenario

PROGRAM = Path(__file__).parents[1] / "programs" / "soaked.py"
#: 403 for ever must not take fifteen seconds.
REGISTRATION_SECONDS = 2.0
#: How long a child may outlive its parent that was killed.
_ORPHAN_SECONDS = 10.0


class Watched:
    """One process of a run, with all that is known of it once it has ended.

    Attributes:
        who: Which of the processes of one run.
        ledger: When each record was accepted.
        stdout: What it wrote there.
        stderr: What it wrote there.
        ended_at: When it ended, 0 while it runs.
    """

    def __init__(self, scenario: Scenario, who: int, agent: str, folder: Path) -> None:
        """Start the task for the agent at this base URL, with *folder* for all its files."""
        self.who = who
        self._folder = folder
        self._mark = f"{folder}/{who}"
        count = scenario.records * (1 + scenario.forks)
        self.ledger = Ledger(folder / f"ledger-{who}", count)
        self.work = folder / f"work-{who}"
        self.work.mkdir()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("KEEPER_")}
        environment |= {"KEEPER_JOB_ID": "soaked", "KEEPER_JOB_NAME": "Soaked"}
        environment |= {"SOAK_LEDGER": str(folder / f"ledger-{who}"), "SOAK_WHO": str(who)}
        environment |= {"SOAK_MARK": self._mark, "TMPDIR": str(self.work), "HOME": str(self.work)}
        if scenario.descriptors:
            environment["SOAK_NOFILE"] = str(scenario.descriptors)
        if scenario.full_disk:
            environment["SOAK_FSIZE"] = "0"
        options = {"records": scenario.records, "gap": scenario.gap, "size": scenario.size}
        options |= {"answer": scenario.answer, "forks": scenario.forks, "child": scenario.child}
        options |= {"end": scenario.end, "flush-timeout": scenario.flush}
        options |= {"registration-timeout": REGISTRATION_SECONDS, "keeper-api-base": agent}
        self.started_at = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, PROGRAM, *(f"--{name}={value}" for name, value in options.items())],
            env=environment,
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.stdout, self.stderr = bytearray(), bytearray()
        self.ended_at = 0.0
        stdout_pauses = ((0, scenario.stdout_pause),) if scenario.stdout_pause else ()
        self._readers = [
            self._reading("stdout", scenario.pipe_bytes, stdout_pauses),
            self._reading("stderr", scenario.pipe_bytes, scenario.stderr_pauses),
        ]

    @property
    def exit_code(self) -> int:
        """The exit code; -9 for SIGKILL."""
        return int(self._process.returncode)

    def running(self) -> bool:
        """Return whether it runs, and note the moment of its end."""
        if self.ended_at:
            return False
        if self._process.poll() is not None:
            self.ended_at = time.monotonic()
        return not self.ended_at

    def signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        self._process.send_signal(number)

    def left_behind(self) -> tuple[list[int], list[str]]:
        """Return the processes and the files that are left after its end; end the processes."""
        until = time.monotonic() + _ORPHAN_SECONDS
        while (left := self._descendants()) and time.monotonic() < until:
            time.sleep(0.05)
        for pid in left:
            psutil.Process(pid).kill()
        for reader in self._readers:
            reader.join()
        return left, sorted(file.name for file in self.work.iterdir())

    def _descendants(self) -> list[int]:
        # Each inherits the environment; parents are forgotten when they end.
        found = []
        for process in psutil.process_iter(["environ"]):
            environment = process.info["environ"] or {}
            if environment.get("SOAK_MARK") == self._mark and process.pid != self._process.pid:
                found.append(process.pid)
        return found

    def _reading(
        self, name: str, pipe_bytes: int, pauses: tuple[tuple[int, float], ...]
    ) -> threading.Thread:
        stream = getattr(self._process, name)
        if hasattr(fcntl, "F_SETPIPE_SZ"):  # elsewhere pipes have the size that they have
            fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, pipe_bytes)
        into: bytearray = getattr(self, name)

        def read() -> None:
            due = sorted(pauses)
            with stream:
                while True:
                    while due and len(into) >= due[0][0]:
                        time.sleep(due.pop(0)[1])
                    if not (data := os.read(stream.fileno(), 4096)):
                        return
                    into.extend(data)

        reader = threading.Thread(target=read)
        reader.start()
        return reader
