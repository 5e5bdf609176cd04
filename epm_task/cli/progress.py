"""Show on one line of a terminal how far loops are, below all else that is written there."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, TextIO
from unicodedata import combining, east_asian_width

from epm_task.contract.progress import Progress
from epm_task.contract.record import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Of a terminal that does not tell.
_USUAL_COLUMNS = 80
#: Loops that are remembered: those of processes that were killed do not end.
_MOST_BARS = 8
#: Of those, the youngest.
_SHOWN_BARS = 3
_LONGEST_BAR = 30
_SHORTEST_BAR = 8
#: Of the text of a loop around another one.
_OUTER_COLUMNS = 16
_MARKS = "█░"
_PLAIN_MARKS = "#-"


class ProgressLine:
    """The last line of a terminal; `write` puts lines above it.

    Attributes:
        lent: Tells whether a debugger has the terminal now: then nothing is drawn.
    """

    def __init__(self, stream: TextIO, *, live: bool = True) -> None:
        self.live = live and stream.isatty() and os.environ.get("TERM") != "dumb"
        self.lent: Callable[[], bool] = lambda: False
        self._stream = stream
        self._bars: dict[tuple[str, int], tuple[str, Progress]] = {}
        self._columns = 0
        self._lock = threading.RLock()
        self._encoding = stream.encoding or "utf-8"
        known = _MARKS.encode(self._encoding, "ignore")
        self._marks = _MARKS if known.decode(self._encoding) == _MARKS else _PLAIN_MARKS

    def write(self, text: str) -> None:
        """Write a text as lines of its own; raises OSError when the reader is gone."""
        with self._lock:
            self._put(f"{self._erased()}{text}\n")

    def record(self, run_id: str, text: str, fields: Mapping[str, Any]) -> bool:
        """Take a record; return whether the line shows it, so that it needs none of its own."""
        progress = Progress.of(fields) if self.live else None
        if progress is None:
            return False
        with self._lock:
            known = self._bars.pop((run_id, progress.id), None)
            if progress.state != "running" or self.lent():
                return False  # what ends a loop is a line
            if known is None and len(self._bars) >= _MOST_BARS:
                del self._bars[next(iter(self._bars))]
            self._bars[run_id, progress.id] = (printable(text), progress)
            self._put(self._erased())
        return True

    def forget(self, run_ids: Sequence[str] | None = None) -> None:
        """Show no loop of these runs any longer, or none at all."""
        with self._lock:
            for key in list(self._bars):
                if run_ids is None or key[0] in run_ids:
                    del self._bars[key]
            self._put(self._erased())

    def _erased(self) -> str:
        columns, self._columns = self._columns, 0
        return f"\r{' ' * columns}\r" if columns and not self.lent() else ""

    def _put(self, text: str) -> None:
        """Write *text* and draw the line again."""
        if self._bars and not self.lent():
            columns = os.get_terminal_size(self._stream.fileno()).columns or _USUAL_COLUMNS
            bars = sorted(self._bars.items(), key=lambda entry: entry[0][1])
            line = line_of([bar for _, bar in bars], columns - 1, self._marks)
            self._columns = columns_of(line)
            text += line.encode(self._encoding, "replace").decode(self._encoding)
        if text:
            self._stream.write(text)
            self._stream.flush()
        if self._columns and self.lent():  # a debugger began in this moment
            self._stream.write(f"\r{' ' * self._columns}\r")
            self._stream.flush()
            self._columns = 0


def line_of(bars: Sequence[tuple[str, Progress]], columns: int, marks: str = _MARKS) -> str:
    """Return one line of at most so many columns: the last bar, before it how far the others are.

    As much of it as there is room for.
    """
    *outer, (text, progress) = bars[-_SHOWN_BARS:]
    around = "".join(f"{_cut(name, _OUTER_COLUMNS)} {facts(each)[0]} · " for name, each in outer)
    label = _cut(text, max(columns // 2, _SHORTEST_BAR))
    for before in (around, ""):
        known = facts(progress)
        while known:
            shown = "  ".join(known)
            room = columns - columns_of(f"{before}{label}  {shown}")
            if progress.total is None and room >= 0:
                return f"{before}{label}  {shown}"
            if progress.total is not None and room > _SHORTEST_BAR:
                bar = _bar(progress, min(room - 1, _LONGEST_BAR), marks)
                return f"{before}{label} {bar}  {shown}"
            known.pop(len(known) // 2)  # how many, then how fast; how long, and how far, last
    least = facts(progress)[0]
    room = columns - len(least) - 1
    return f"{_cut(label, room)} {least}" if room > 0 else _cut(least, columns)


def facts(progress: Progress) -> list[str]:
    """Return what is known, how far it is first."""
    done, total = progress.done, progress.total
    known = [f"{_short(done)} done"] if done or total is not None else []
    if total is not None:
        percent = int(100 * done / total) if total else 100
        known = [f"{percent}%", f"{_short(done)} of {_short(total)}"]
    if progress.rate:
        known.append(f"{_short(progress.rate)}/s")
    if progress.remaining is not None:
        known.append(f"{duration(progress.remaining)} left")
    elif total is None:
        known.append(duration(progress.elapsed))
    return known


def duration(seconds: float) -> str:
    """Return `13 s`, `1:05` or `1:02:05`."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{whole} s"


def _short(number: float) -> str:
    """Return `950`, `12.5k`, `3.02M`."""
    if number < 9999.5:
        return f"{number:.3g}" if number < 999.5 else f"{number:.0f}"
    for sign in "kMGT":
        number /= 1000
        if number < 999.5:
            return f"{number:.3g}{sign}"
    return f"{number / 1000:.3g}P"


def _bar(progress: Progress, columns: int, marks: str) -> str:
    filled = int(columns * progress.done / progress.total) if progress.total else columns
    return marks[0] * filled + marks[1] * (columns - filled)


def columns_of(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for wide characters of East Asia."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _cut(text: str, columns: int) -> str:
    if columns_of(text) <= columns:
        return text
    while text and columns_of(text) >= columns:
        text = text[:-1]
    return f"{text}…" if columns > 0 else ""
