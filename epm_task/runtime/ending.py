"""An ending turns whatever stopped a handler into an outcome, with every record accounted for."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

from epm_task.errors import DeadlineExceeded, HandlerUnresponsive, TaskError
from epm_task.exit_code import ExitCode
from epm_task.runtime.outcome import Outcome
from epm_task.runtime.stop import Stopped

if TYPE_CHECKING:
    from epm_task.runtime.declaration import Declaration
    from epm_task.runtime.invocation import Invocation
    from epm_task.runtime.log.pipe import RunLog
    from epm_task.runtime.stop import Stop

#: Time for text without a line end to reach stderr; a reader takes it in microseconds.
_STREAM_SECONDS: Final = 0.2
#: How often the wait for the handler's threads looks whether a stop has come.
_GLANCE_SECONDS: Final = 0.05


def arm(stop: Stop, declaration: Declaration, invocation: Invocation, run_log: RunLog) -> None:
    """Tell *stop* when the task's time is over, and what to do then."""
    stop.on_deadline = run_log.deadline_reached
    stop.on_forced = lambda: _force(stop, run_log)
    deadline = invocation.deadline
    if deadline is None:
        deadline = declaration.own_deadline_seconds
    if deadline is not None:
        stop.set_deadline(deadline, invocation.flush_timeout)


def ending(error: BaseException, run_log: RunLog | None) -> Outcome:
    """Return the outcome that *error* means; a crash is recorded with its traceback first."""
    if isinstance(error, TaskError):
        return Outcome.of_error(error)
    if isinstance(error, SystemExit):
        return Outcome.of_exit(error.code)
    if isinstance(error, KeyboardInterrupt):
        return Outcome.of_signal(ExitCode.SIGINT)
    if isinstance(error, Stopped):
        return Outcome()  # `finish` knows why the run was stopped
    if run_log is not None:
        run_log.crashed(error)
    else:
        traceback.print_exception(error)
    return Outcome.of_crash(error)


def finish(outcome: Outcome, run_log: RunLog | None, stop: Stop) -> Outcome:
    """Return the final outcome after exit functions have run and all records are accounted for."""
    if stop.exit_code is None and run_log is not None:
        _finish_threads(run_log, stop)
    atexit._run_exitfuncs()  # noqa: SLF001  # os._exit follows, which would skip them
    stop.over()
    if stop.exit_code is ExitCode.DEADLINE:
        outcome = Outcome.of_error(DeadlineExceeded())
    elif stop.exit_code is not None:
        outcome = Outcome.of_signal(stop.exit_code)
    return run_log.close(outcome) if run_log is not None else outcome


def leave(exit_code: int) -> NoReturn:
    """End the process now: no thread can keep it, and nothing is left to flush."""
    # What `print` holds back may have no reader, and the handler may hold the stream's lock.
    flushing = threading.Thread(target=_flush_streams, daemon=True)
    flushing.start()
    flushing.join(_STREAM_SECONDS)
    os._exit(exit_code)


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is None:  # a program without a console, on Windows
            continue
        with suppress(OSError, ValueError):  # closed, by its reader or by the handler
            stream.flush()


def _finish_threads(run_log: RunLog, stop: Stop) -> None:
    # Python would wait for these without end; the agent would kill the process in the end.
    until = time.monotonic() + run_log.flush_seconds
    running = [
        thread
        for thread in threading.enumerate()
        if not thread.daemon and thread is not threading.main_thread()
    ]
    if running:
        threading.Thread(target=_dismiss_workers, daemon=True).start()
    for thread in running:
        while thread.is_alive() and stop.exit_code is None and time.monotonic() < until:
            thread.join(_GLANCE_SECONDS)
    left = [thread.name for thread in running if thread.is_alive()]
    if left:
        run_log.log.warning("threads_left_running", names=left, waited=run_log.flush_seconds)


def _dismiss_workers() -> None:
    # Python's own first step before it waits for threads: executors tell their workers to end.
    for dismiss in reversed(getattr(threading, "_threading_atexits", [])):
        dismiss()


def _force(stop: Stop, run_log: RunLog) -> NoReturn:
    code = stop.exit_code or ExitCode.FORCED
    error = HandlerUnresponsive(code.meaning, stop.grace_seconds)
    run_log.close_by_force(Outcome.of_error(error))
    leave(error.exit_code)
