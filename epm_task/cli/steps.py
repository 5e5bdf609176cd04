"""Tell the steps of a verb on stderr as they begin, and how far those are that take long.

On a terminal that is one line, drawn again each second; elsewhere a line of text for it, once in a
second at most. `freeze`, `verify` and `deploy` tell theirs like this, as a task its progress.
"""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from epm_task.cli.output import colorful
from epm_task.cli.progress import ProgressLine, facts
from epm_task.contract.progress import Progress
from epm_task.contract.record import MESSAGE, PROPERTIES, RUN_ID, printable, view
from epm_task.runtime.progress import ProgressLog

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS = 1.0


class Steps:
    """The steps of one verb, while the block runs.

    Not *live*, it draws nothing: a program that asks for a PIN may have the terminal.
    """

    #: Of the records that its progress would be.
    minimum = 0

    def __init__(self, *, live: bool = True) -> None:
        self._line = ProgressLine(sys.stderr, live=live)
        self._log = ProgressLog(self)
        self._last: tuple[float, float | None, str] | None = None
        self._lock = threading.RLock()  # what was told last must not be drawn after the next
        self._over = threading.Event()
        self._redraw = threading.Thread(target=self._draw_each_second, daemon=True)

    def __enter__(self) -> Self:
        if self._line.live:
            self._redraw.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._line.live:
            self._redraw.join()
        self._line.forget()

    def say(self, text: str) -> None:
        """Tell a step, or a summary; what could not be counted is over."""
        with self._lock:
            if self._last and self._last[1] is None:
                self._last = None
                self._line.forget()
            self._line.write(printable(text))

    def progress(self, done: float, total: float | None, text: str) -> None:
        """Tell how far a step is; it is over when *done* is *total*, or when another one begins."""
        with self._lock:
            if self._last and self._last[2] != text:
                self._line.forget()
            self._last = None if done == total else (done, total, text)
            self._log.progress(done, total, text)

    def record(self, record: Mapping[str, Any]) -> None:
        """Show a record of a task that is run."""
        fields = record.get(PROPERTIES)
        told = str(record.get(RUN_ID)), str(record.get(MESSAGE))
        if not (isinstance(fields, dict) and self._line.record(*told, fields)):
            self._line.write(view(record, color=colorful(sys.stderr)))

    def info(self, message: object, /, **fields: Any) -> None:
        """Take what would be a record of a task."""
        progress, text = Progress.of(fields), str(message)
        if progress and not self._line.record("", text, fields):
            if progress.state == "done":
                self._line.forget([""])
            elif not self._line.live:
                self.say(f"{text}: {', '.join(facts(progress))}")

    def _draw_each_second(self) -> None:
        while not self._over.wait(_SECONDS):
            # When the reader is gone, whoever says something will find out.
            with self._lock, suppress(OSError):
                if self._last:
                    self._log.progress(*self._last)
