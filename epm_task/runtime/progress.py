"""Record how far a loop is: once in a second while it goes on, and at its end.

To look at the clock for every item would cost more than many items do, where the system has no
quick clock. So a loop of many items only counts them; a thread tells it when to look again.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Final, TypeVar, cast

from epm_task.contract.levels import INFORMATION
from epm_task.contract.progress import Progress, count
from epm_task.errors import SystemExhausted
from epm_task.runtime.log.encoder import safe_text
from epm_task.runtime.stop import SHIELD, in_forked_children, start_thread

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterable,
        AsyncIterator,
        Generator,
        Iterable,
        Iterator,
    )
    from typing import Any, Protocol

    from epm_task.contract.progress import State

    class RecordsTaker(Protocol):
        """As `Log`: takes records of the level Information, when that is not below *minimum*."""

        minimum: int

        def info(self, message: object, /, **fields: Any) -> None:
            """Take one."""


Item = TypeVar("Item")
#: A loop that is left before its end: by `break`, an exception, or a stop.
_LEFT: Final[State] = "stopped"

#: At least so long between two records of a loop that goes on.
_SECONDS: Final = 1.0
#: So often a loop looks at the clock by itself; later it is told when.
_LOOKS: Final = 1000
_TICK_SECONDS: Final = 0.25
_NEVER: Final = sys.maxsize
#: Loops with one text that are recorded in a second: one inside of another may be short.
_SHORT_LOOPS: Final = 10
#: Texts that are remembered, so that one which is always new costs no memory.
_TEXTS: Final = 100
#: What the last second weighs in the rate: one that was slow must not double the time that remains.
_WEIGHT: Final = 0.3


class ProgressLog:
    """The loops of one context; what is to be said of them goes to *log*."""

    def __init__(self, log: RecordsTaker) -> None:
        self.log: Final = log
        self.numbers: Final = itertools.count(1)
        self._texts: dict[str, _Loop] = {}
        self._quiet_since = 0.0
        self._ends: dict[str, deque[float]] = {}
        self.renew_lock()
        _LOGS.add(self)

    def renew_lock(self) -> None:
        """Make a lock that nobody holds: a forked child does not have the thread that did."""
        self._lock = threading.RLock()

    def track(
        self, items: Iterable[Item] | AsyncIterable[Item], text: str, total: float | None
    ) -> Generator[Item, None, None] | AsyncGenerator[Item, None]:
        """Return the items one by one, and record how many are done."""
        loop = _Loop(self, text)
        loop.total = _length(items) if total is None else total
        if hasattr(items, "__aiter__") and not hasattr(items, "__iter__"):
            return _track_async(items.__aiter__(), loop)
        return _track(iter(cast("Iterable[Item]", items)), loop)

    def progress(self, done: float, total: float | None, text: str) -> None:
        """Record how far the loop *text* is."""
        try:
            ended = total is not None and done >= total
            loop = self._texts.get(text)
        except TypeError:  # no number, or nothing like a text; a log call does not raise either
            text, ended = safe_text(text), False
            loop = self._texts.get(text)
        if loop is None or (loop.ended and not ended):
            loop = self._begin(text, done)
        loop.calls += 1
        if ended or loop.calls >= loop.look_at:
            with SHIELD, self._lock:  # the last record comes last, whichever thread writes it
                loop.total = total
                if ended:
                    loop.end(done, "done")
                elif loop.look(done):
                    self._quiet_since = time.monotonic()

    def _begin(self, text: str, done: float) -> _Loop:
        with SHIELD, self._lock:
            old = self._texts.pop(text, None)
            if old is None and len(self._texts) >= _TEXTS:
                old = self._texts.pop(next(iter(self._texts)))
            if old is not None:
                _TICKER.forget(old)
            now = time.monotonic()
            if all(each.ended for each in self._texts.values()):
                self._quiet_since = now
            loop = self._texts[text] = _Loop(self, text, done)
            # A text that is always new would never be there for a second.
            loop.due = self._quiet_since + _SECONDS
            return loop

    def has_room(self, text: str, now: float) -> bool:
        """Tell whether one more short loop *text* may be recorded."""
        if text not in self._ends and len(self._ends) >= _TEXTS:
            self._ends.clear()
        ends = self._ends.setdefault(text, deque(maxlen=_SHORT_LOOPS))
        if len(ends) == _SHORT_LOOPS and now - ends[0] < _SECONDS:
            return False
        ends.append(now)
        return True


class _Loop:
    """One loop: when it looks at the clock again, and what its last record said."""

    __slots__ = (
        *("calls", "due", "ended", "look_at", "recorded", "total"),
        *("_at", "_began", "_done", "_first", "_log", "_looks", "_number", "_rate", "_text"),
    )

    def __init__(self, log: ProgressLog, text: str, done: float = 0) -> None:
        now = time.monotonic()
        self._log = log
        self._text = safe_text(text)
        self._number = next(log.numbers)
        self._first = self._done = count(done) or 0
        self._began = self._at = now
        self._rate: float | None = None
        self._looks = 0
        self.calls = 0
        self.due = now + _SECONDS
        self.look_at = 0 if log.log.minimum <= INFORMATION else _NEVER
        self.total: float | None = None
        self.ended = self.recorded = False

    def look(self, done: float) -> bool:
        """Record that it goes on, if it is time; return whether it was."""
        now = time.monotonic()
        self._looks += 1
        if self._looks >= _LOOKS:
            self._count_only()
        if now < self.due:
            return False
        self.due = now + _SECONDS
        done, seconds = self._number_of(done), now - self._at
        if seconds > 0 and done > self._done:  # else the next item has taken this time, too
            recent = (done - self._done) / seconds
            before = recent if self._rate is None else self._rate
            self._rate = before + _WEIGHT * (recent - before)
            self._done, self._at = done, now
        self.recorded = True
        self._write(done, now, "running", self._rate)
        return True

    def look_always(self) -> None:
        """Look at the clock for each item again: nobody tells when to do so."""
        self.look_at = self._looks = 0

    def end(self, done: float, state: State) -> None:
        """Record its end, once."""
        if self.ended:
            return
        self.ended = True
        _TICKER.forget(self)
        now = time.monotonic()
        if self.recorded or self._log.has_room(self._text, now):
            done, seconds = self._number_of(done), now - self._began
            rate = (done - self._first) / seconds if seconds > 0 and done > self._first else None
            self._write(done, now, state, rate)

    def _count_only(self) -> None:
        self.look_at = _NEVER
        try:
            _TICKER.tell(self)
        except SystemExhausted:
            self.look_always()

    def _number_of(self, done: float) -> float:
        known = count(done)
        return self._done if known is None else known

    def _write(self, done: float, now: float, state: State, rate: float | None) -> None:
        total, remaining = count(self.total), None
        if total is not None and total < done:
            total = None  # whoever gave it was wrong
        if total is not None and rate and state == "running":
            remaining = (total - done) / rate
        elapsed = now - self._began
        progress = Progress(self._number, done, elapsed, state, total, rate, remaining)
        self._log.log.info(self._text, **progress.fields())


def _length(items: object) -> int | None:
    try:
        return len(items)  # type: ignore[arg-type]  # that is the question
    except Exception:  # noqa: BLE001  # the author's own may do anything
        return None


def _track(items: Iterator[Item], loop: _Loop) -> Generator[Item, None, None]:
    done, state = 0, _LEFT
    try:
        for item in items:
            yield item
            done += 1
            if done >= loop.look_at:
                loop.look(done)
        state = "done"
    finally:
        loop.end(done, state)


async def _track_async(items: AsyncIterator[Item], loop: _Loop) -> AsyncGenerator[Item, None]:
    done, state = 0, _LEFT
    try:
        async for item in items:
            yield item
            done += 1
            if done >= loop.look_at:
                loop.look(done)
        state = "done"
    finally:
        loop.end(done, state)


class _Ticker:
    """Tells loops of many items four times a second to look at the clock, in a thread."""

    def __init__(self) -> None:
        self.become_child()

    def become_child(self) -> None:
        """Begin without loops, and without a thread."""
        self.loops: set[_Loop] = set()
        self._lock = threading.RLock()  # a loop that is collected meanwhile is forgotten
        self._runs = False

    def tell(self, loop: _Loop) -> None:
        """Tell this one, too; raise SystemExhausted when no thread can be started."""
        with SHIELD, self._lock:
            self.loops.add(loop)
            if not self._runs:
                start_thread(self._run, "epm-task-progress")
                self._runs = True

    def forget(self, loop: _Loop) -> None:
        """Tell this one no longer."""
        with SHIELD, self._lock:
            self.loops.discard(loop)

    def _run(self) -> None:
        while True:
            time.sleep(_TICK_SECONDS)
            with self._lock:
                for loop in tuple(self.loops):
                    loop.look_at = 0
                self._runs = bool(self.loops)
                if not self._runs:
                    return


_TICKER: Final = _Ticker()
_LOGS: Final = weakref.WeakSet[ProgressLog]()


def _become_child() -> None:
    for loop in _TICKER.loops:
        loop.look_always()
    _TICKER.become_child()
    for log in _LOGS:
        log.renew_lock()


in_forked_children(_become_child)
