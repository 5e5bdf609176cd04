"""Show people what a verb has to say: a run while it goes on, tables, questions, and failures."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections import Counter
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TextIO

import typer

from epm_task.cli.progress import ProgressLine
from epm_task.contract.program_text import program_text
from epm_task.contract.record import Record, printable, view
from epm_task.errors import EpmTaskError
from epm_task.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from epm_task.simulator.jobs.run import Publication
    from epm_task.simulator.trace import TraceEvent

#: What people and scripts know from other tools: 1 the answer is no, 2 the question was wrong.
FAILED = 1
WRONG_USE = 2
#: What comes as often as others, or a task, have it.
_MANY = frozenset({"refused", "closed", "not_written"})
#: A line across a wide terminal would only be long.
_RULE_COLUMNS = 80
#: Of each kind.
_REFUSALS_PER_SECOND = 10


class Failure(EpmTaskError):
    """A verb cannot go on; exit code 1 when the answer is no, 2 when the command was wrong."""

    def __init__(
        self, what: str, why: str | None = "", fix: str = "", *, exit_code: int = WRONG_USE
    ) -> None:
        super().__init__(what, why or "", fix)
        self.exit_code = exit_code


class LiveView:
    """Shows a run on stderr: records, other lines, denials; with *verbose* every decision."""

    def __init__(
        self, stream: TextIO | None = None, *, quiet: bool = False, verbose: bool = False
    ) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._verbose = verbose
        self._color = colorful(self._stream)
        self.unread = False  #: Whether the reader is gone.
        #: Shows how far the loops of a task are, on a terminal.
        self.progress = ProgressLine(self._stream)
        self._shown: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._settled = time.monotonic()

    def record(self, record: Record) -> None:
        """Show a record: time, level, message, fields; on a terminal, progress in one line."""
        shown = self._quiet
        with suppress(OSError):  # `_write` finds out, too
            shown |= self.progress.record(record.run_id, record.message, record.properties)
        if not shown:
            self._write(view(record._asdict(), color=self._color))

    def message(self, message: Publication) -> None:
        """Show what the task published on a topic of its own."""
        payload = message.cut() or json.dumps(message.payload)
        self._write(f"published on {printable(message.topic)}  {payload}")

    def line(self, stream: str, line: bytes) -> None:
        """Show a line of the task's stderr that is not a record."""
        if stream == "stderr" and Record.from_line(line) is None:
            self._write(harmless(line))

    def event(self, event: TraceEvent) -> None:
        """Show a decision of the agent, when all of them are wanted; of many refusals the first.

        That a file is not written is always shown.
        """
        wanted = self._verbose or event.action == "not_written"
        if wanted and event.kind != "record" and self._is_worth_a_line(event):
            self._write(self._dim(f"agent: {printable(str(event))}"))

    def settle(self, *, after: float = 0.0) -> None:
        """Tell how many lines were left out since the last time; call it once in a second.

        Nothing is done before *after* seconds have gone by since then.
        """
        if time.monotonic() - self._settled < after:
            return
        for kind, count in self._left_out.items():
            self._write(self._dim(f"agent: and {count} more ({kind})"))
        self._shown.clear()
        self._left_out.clear()
        self._settled = time.monotonic()

    def _is_worth_a_line(self, event: TraceEvent) -> bool:
        # Any process of the machine may ask, and be refused, as often as it likes.
        often = event.denied or failed(event) or event.action in _MANY
        return not often or self._has_room(f"{event.kind} {event.action}", _REFUSALS_PER_SECOND)

    def _has_room(self, kind: str, most: int) -> bool:
        """Return whether there were fewer lines of a kind than *most* in this second; count it."""
        self.settle(after=1)
        room = self._shown[kind] < most
        (self._shown if room else self._left_out)[kind] += 1
        return room

    def say(self, text: str) -> None:
        """Show a line of our own."""
        self._write(text)

    def rule(self, text: str) -> None:
        """Show where something else begins: the time, as records have it, and a text."""
        line = f"-- {time.strftime('%H:%M:%S', time.gmtime())} {printable(text)} "
        if self._stream.isatty():
            columns = os.get_terminal_size(self._stream.fileno()).columns
            line = line.ljust(min(columns, _RULE_COLUMNS), "-")
        self._write(self._dim(line.rstrip()))

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
            self.progress.write(text)
        except OSError:  # the reader is gone, as after `2>&1 | head`; the run goes on
            self._quiet = self.unread = True


def failed(event: TraceEvent) -> bool:
    """Return whether a decision is an answer that tells of an error."""
    status = event.facts.get("status")
    return isinstance(status, int) and status >= HTTPStatus.BAD_REQUEST


def harmless(line: bytes) -> str:
    """Return a line of a program's output without its end, and fit for a terminal."""
    text = program_text(line).rstrip("\r\n")
    return "\t".join(map(printable, text.split("\t")))


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return heads and rows as lines; control characters cannot reach the terminal."""
    texts = [[printable(str(cell)) for cell in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    )


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return `1 record` or `2 records`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def colorful(stream: TextIO) -> bool:
    """Return whether *stream* is a terminal whose user has not set NO_COLOR (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def confirmed(question: str, *, yes: bool) -> bool:
    """Return whether the person at the terminal, or `--yes`, agrees.

    Raises:
        Failure: Nobody can be asked.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise Failure(f"nobody can be asked: {question}", "stdin is not a terminal", "give --yes")
    return typer.confirm(question, err=True)


def show_json(answer: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout, in one line."""
    typer.echo(json.dumps(answer, default=str))


def write(data: bytes) -> None:
    """Write bytes to stdout as they are, whatever the terminal's encoding."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


#: As many links as Linux follows.
_LONGEST_CHAIN = 40


def write_file(file: Path, data: bytes) -> None:
    """Write a job document or a policy, whole or not at all; an existing file keeps its mode.

    A link of this user's own, or of root, stays one: the file that it leads to is written.
    """
    for _ in range(_LONGEST_CHAIN):
        if not file.is_symlink() or file.lstat().st_uid not in {0, getattr(os, "geteuid", int)()}:
            break  # the link of another user could lead to any file: it is replaced
        file = file.parent / file.readlink()
    # They hold no secrets, and people and programs of other accounts read them.
    mode = stat.S_IMODE(file.stat().st_mode) if file.exists() else 0o644
    write_atomically(file, data, mode=mode)


def say(text: str) -> None:
    """Tell a step or a summary on stderr; control characters cannot reach the terminal."""
    typer.echo(printable(text), err=True)
