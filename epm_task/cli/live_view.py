"""A live view shows a run on stderr while it goes on: its records, its other lines, its denials."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

from epm_task.cli.terminal import colorful
from epm_task.runtime.record_view import printable, view
from epm_task.simulator.log_record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from epm_task.simulator.trace import TraceEvent


class LiveView:
    """Writes what people want to see of a run.

    Args:
        stream: Where to write; stderr by default.
        quiet: Write nothing.
        verbose: Show every decision of the agent.
    """

    def __init__(
        self, stream: TextIO | None = None, *, quiet: bool = False, verbose: bool = False
    ) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._verbose = verbose
        self._color = colorful(self._stream)

    def record(self, record: Record) -> None:
        """Show a record: time, level, message, fields."""
        self._write(view(asdict(record), color=self._color))

    def line(self, stream: str, line: bytes) -> None:
        """Show a line of the task's stderr that is no record."""
        if stream == "stderr" and Record.from_line(line) is None:
            self._write(harmless(line))

    def event(self, event: TraceEvent) -> None:
        """Show a decision of the agent, when all of them are wanted."""
        if self._verbose and event.kind != "record":
            self._write(self._dim(f"agent: {printable(str(event))}"))

    def say(self, text: str) -> None:
        """Show a line of our own."""
        self._write(text)

    def denials(self, events: Iterable[TraceEvent]) -> None:
        """Show what the agent refused, of which the task may know nothing; like ones once."""
        for text, times in Counter(str(event) for event in events).items():
            count = f" ({times} times)" if times > 1 else ""
            self._write(self._dim(f"denied, unseen by the task: {printable(text)}{count}"))

    def _dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self._color else text

    def _write(self, text: str) -> None:
        if self._quiet:
            return
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except OSError:  # the reader is gone, as after `2>&1 | head`; the run goes on
            self._quiet = True


def harmless(line: bytes) -> str:
    """Return a line of a program's output without its end, and fit for a terminal."""
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    return "\t".join(printable(part) for part in text.split("\t"))
