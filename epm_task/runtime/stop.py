"""Stop a run before its handler returns: by a signal, or by the task's own deadline.

First `ctx.stopping` is set. A handler that has looked at it gets two seconds to return; any other
is interrupted at once by `Stopped`, raised in the main thread like KeyboardInterrupt. A handler
that is still running later is ended with exit code 125. Together with the flush this stays below
five seconds, the grace that agents of this kind usually give.

A stop interrupts the handler by raising in the main thread, at any line of Python. In the middle of
a record that would leave half a line, or a lock that nobody releases. While a shield is up, the
interruption waits; it comes again 50 ms later.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from epm_task.errors import SystemExhausted
from epm_task.exit_code import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


#: For a handler that looks at `ctx.stopping`.
COOPERATION_SECONDS: Final = 2.0
#: For `finally` blocks, after the interruption.
UNWINDING_SECONDS: Final = 1.5
#: A handler that never lets go of the interpreter is ended by faulthandler, in C, after the rest.
_LAST_RESORT_SECONDS: Final = 2.0

_SIGNALS: Final[dict[int, ExitCode]] = {
    number: code
    for name, code in (
        ("SIGINT", ExitCode.SIGINT),
        ("SIGTERM", ExitCode.SIGTERM),
        ("SIGBREAK", ExitCode.SIGBREAK),
    )
    if (number := getattr(signal, name, None)) is not None
}
#: How soon an interruption that met a shield is tried again.
_AGAIN_SECONDS: Final = 0.05
#: Wakes the watch without a reason; no signal has this number.
_NO_SIGNAL: Final = 0


class Stopped(BaseException):
    """Raised in the main thread to interrupt the handler; `except Exception` lets it pass."""


class Stop:
    """Watches for signals and for the deadline; only the main thread can make it.

    Attributes:
        exit_code: Why the run is being stopped; None while it is not.
        on_deadline: Called with the stacks of all threads when the deadline has passed.
        on_forced: Called when the handler would not stop; it ends the process.
        flush_seconds: What the flush at the end may take.
        delay_seconds: What the run has waited for its turn; it counts for no deadline.
        debugged: Whether a debugger has begun: no deadline, and Ctrl-C is the debugger's.
    """

    debugged = False

    def __init__(self) -> None:
        """Install the signal handlers and start the watch."""
        self.exit_code: ExitCode | None = None
        self.flush_seconds: float = 0.0
        self.delay_seconds: float = 0.0
        self.on_deadline: Callable[[str], object] = lambda _stacks: None
        self.on_forced: Callable[[], object] = lambda: os._exit(ExitCode.FORCED)
        self._started: Final = time.monotonic()
        self._deadline: float | None = None
        self._stopping: Final = threading.Event()
        self._over: Final = threading.Event()
        self._obeyed = False
        self._raise_now = False
        self._interruptible = False
        self._interrupt: Callable[[], object] = _interrupt_main_thread
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)
        for number in _SIGNALS:
            if not self._is_debuggers(number):
                signal.signal(number, self._on_signal)
        # Written by the C handler, so that the watch sees a signal that Python cannot serve yet.
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        if sys.platform == "win32":
            from epm_task.runtime import console_events  # noqa: PLC0415  # it loads ctypes

            console_events.take_console_events()
        in_forked_children(_restore_signals)  # a child's signal would stop its parent
        start_thread(self._watch, "epm-task-stop")

    @property
    def stopping(self) -> threading.Event:
        """The event that a handler may wait for; asking for it is a promise to obey it."""
        self._obeyed = True
        return self._stopping

    @property
    def grace_seconds(self) -> float:
        """Seconds that the handler has from the request to its forced end."""
        return UNWINDING_SECONDS + (COOPERATION_SECONDS if self._obeyed else 0.0)

    def set_deadline(self, seconds: float, flush_seconds: float) -> None:
        """Stop the run *seconds* after the start; flushing may then take *flush_seconds*."""
        if self.debugged:
            return
        seconds += self.delay_seconds
        self._deadline = self._started + seconds
        last_resort = COOPERATION_SECONDS + UNWINDING_SECONDS + flush_seconds + _LAST_RESORT_SECONDS
        faulthandler.dump_traceback_later(seconds + last_resort, exit=True, file=sys.stderr)
        self._wake(_NO_SIGNAL)

    @staticmethod
    def debug() -> None:
        """Let no deadline end this process from now on, and give Ctrl-C to a debugger."""
        Stop.debugged = True
        faulthandler.cancel_dump_traceback_later()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def remaining(self) -> float:
        """Return the seconds left until the deadline; infinity without one."""
        if self._deadline is None or self.debugged:
            return float("inf")
        return max(self._deadline - time.monotonic(), 0.0)

    def over(self) -> None:
        """End the watch: the handler has returned, and what follows is bounded by itself."""
        self._over.set()
        self._end_within(self.flush_seconds, ExitCode.IOERR)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a stop interrupt this block; elsewhere it is only noted, so that nothing is torn.

        Raises:
            Stopped: Once, at any moment of the block; at its start if the stop came before.
        """
        self._interruptible = True
        try:
            self._raise_if_due()
            yield
        finally:
            self._interruptible = False

    @contextmanager
    def interrupting_with(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Interrupt by calling *interrupt* from another thread, while this block runs."""
        before, self._interrupt = self._interrupt, interrupt
        try:
            yield
        finally:
            self._interrupt = before

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._raise_if_due()
        self._wake(number)  # once more: an event loop may have taken the wake-up descriptor

    def _raise_if_due(self) -> None:
        if not (self._raise_now and self._interruptible):
            return
        if self._interrupt is not _interrupt_main_thread:  # an event loop's task is cancelled
            return
        if SHIELD.up:
            SHIELD.waiting = self._raise_if_due
            return
        self._raise_now = False
        raise Stopped

    def _wake(self, number: int) -> None:
        try:
            self._wake_writer.send(bytes([number]))
        except BlockingIOError:
            return  # it is full of wake-ups already

    def _watch(self) -> None:
        self.exit_code = self._await_request()
        self._end_within(
            COOPERATION_SECONDS + UNWINDING_SECONDS + self.flush_seconds, ExitCode.FORCED
        )
        if self.exit_code is ExitCode.DEADLINE:
            self.on_deadline(thread_stacks())  # first: a handler that obeys ends the process
        self._stopping.set()
        if self._obeyed and self._over.wait(COOPERATION_SECONDS):
            return
        self._raise_now = True
        self._interrupt()
        until = time.monotonic() + UNWINDING_SECONDS
        while not self._over.wait(_AGAIN_SECONDS):
            if time.monotonic() >= until:
                self.on_forced()
                return
            if self._raise_now and self._interrupt is _interrupt_main_thread:
                self._interrupt()  # the first one met a shield

    def _end_within(self, seconds: float, code: ExitCode) -> None:
        """Let nothing last longer on Windows, where a write blocks until its reader takes it."""
        if os.name == "posix":
            return

        def end() -> None:
            time.sleep(seconds + _LAST_RESORT_SECONDS)
            os._exit(code)

        with suppress(SystemExhausted):
            start_thread(end, "epm-task-last-resort")

    def _await_request(self) -> ExitCode:
        while True:
            left = self.remaining()
            if left == 0:
                return ExitCode.DEADLINE
            self._wake_reader.settimeout(None if left == float("inf") else left)
            try:
                number = self._wake_reader.recv(1)[0]
            except TimeoutError:
                continue
            if number in _SIGNALS and not self._is_debuggers(number):
                return _SIGNALS[number]

    def _is_debuggers(self, number: int) -> bool:
        return self.debugged and number == signal.SIGINT


def start_thread(run: Callable[[], object], name: str) -> threading.Thread:
    """Return a daemon thread that has started.

    Raises:
        SystemExhausted: The system has no room for another one.
    """
    thread = threading.Thread(target=run, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise SystemExhausted(str(error)) from error
    return thread


def in_forked_children(call: Callable[[], object]) -> None:
    """Let each child that a fork makes of this process *call* first; Windows has none."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call)


def thread_stacks() -> str:
    """Return where every thread of the process is, without locals."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = [
        f"{names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()  # noqa: SLF001  # the documented way
        if not names.get(ident, "").startswith("epm-task-")
    ]
    return "\n".join(parts)


def _interrupt_main_thread() -> None:
    if sys.platform == "win32":
        from epm_task.runtime import console_events  # noqa: PLC0415  # as above

        number = signal.SIGTERM if Stop.debugged else signal.SIGINT
        console_events.interrupt_main_thread(number)
    else:
        main = threading.main_thread().ident
        signal.pthread_kill(main or 0, signal.SIGTERM)  # it also ends a system call


def _restore_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)


class Shield:
    """Is up while the main thread is inside; other threads pass through it.

    Attributes:
        waiting: What raises the interruption that met it, None for none.
    """

    __slots__ = ("_depth", "_main", "waiting")

    def __init__(self) -> None:
        self._main = threading.main_thread().ident
        self._depth = 0
        self.waiting: Callable[[], object] | None = None

    def let_through(self) -> None:
        """Raise what waits, outside of the shield: a loop may be inside nearly all the time."""
        if threading.get_ident() == self._main and not self._depth:
            waiting, self.waiting = self.waiting, None
            if waiting is not None:
                waiting()

    @property
    def up(self) -> bool:
        """Whether the main thread is inside."""
        return self._depth > 0

    def __enter__(self) -> None:
        if threading.get_ident() == self._main:
            self._depth += 1

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() == self._main:
            self._depth -= 1


#: The one of this process: signals belong to the process, too.
SHIELD = Shield()
