"""One run, from argv to exit code: each step in its turn, then whatever ended it as an outcome."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import traceback
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NoReturn

from epm_task.errors import DeadlineExceeded, HandlerUnresponsive, SystemExhausted, TaskError
from epm_task.exit_code import ExitCode
from epm_task.runtime.agent.client import AgentClient
from epm_task.runtime.agent.tls import client_context
from epm_task.runtime.context import TaskContext
from epm_task.runtime.invocation import check_surroundings, read_invocation
from epm_task.runtime.log.pipe import RunLog
from epm_task.runtime.outcome import Outcome, author_failure
from epm_task.runtime.start_up import collector_paused
from epm_task.runtime.stop import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from epm_task.runtime.declaration import Declaration
    from epm_task.runtime.handler import Handler
    from epm_task.runtime.invocation import Invocation
    from epm_task.runtime.stop import Stop
    from epm_task.runtime.streams import StandardStreams

#: How often the wait for the handler's threads looks whether a stop has come.
_GLANCE_SECONDS: Final = 0.05


def run(
    handler: Handler,
    declaration: Declaration,
    argv: Sequence[str],
    streams: StandardStreams,
    stop: Stop,
) -> Outcome:
    """Run a task once and return how it ended; whatever happens becomes an outcome."""
    run_log, began = None, False
    try:
        with stop.interruptible(), ExitStack() as opened:
            with collector_paused():
                invocation = read_invocation(handler.parameters, argv, os.environ)
                base_url = check_surroundings(invocation, handler.file, argv)
                run_log = RunLog(declaration, invocation, streams)
                stop.delay_seconds = _delay(declaration, invocation)
                _arm(stop, declaration, invocation, run_log, lambda: began)
                if stop.delay_seconds:
                    _admission().wait_for_turn(stop.delay_seconds, run_log.log)
                tls = client_context(invocation.ca_file)
                agent = opened.enter_context(AgentClient(base_url, tls))
                registration = agent.register(invocation.registration_timeout)
                settings = handler.read_settings(agent, registration)
                run_log.connect(registration, settings, tls)
                if declaration.overlap != "allow":
                    job_id = invocation.job_id or declaration.job_id
                    lock = _admission().only_run(declaration, handler.name, job_id, run_log.log)
                    opened.enter_context(lock)
                context = TaskContext(
                    declaration, invocation, run_log, agent, stop, task=handler.name
                )
            began = True
            result = handler.call(context, settings, invocation.arguments, stop)
            outcome = Outcome.of_result(result)
            if (state := vars(context).get("state")) is not None:  # the handler has used it
                state.save()
            run_log.returned()
    except BaseException as error:  # noqa: BLE001  # the one ladder; errors carry their exit code
        outcome = ending(error, run_log, began=began)
    return finish(outcome, run_log, stop)


def _admission() -> ModuleType:
    from epm_task.runtime import admission  # noqa: PLC0415  # few tasks need it

    return admission


def _delay(declaration: Declaration, invocation: Invocation) -> float:
    if declaration.spread_minutes is None:
        return 0.0
    delay: float = _admission().delay_of(declaration, invocation)
    return delay


def _arm(
    stop: Stop,
    declaration: Declaration,
    invocation: Invocation,
    run_log: RunLog,
    began: Callable[[], bool],
) -> None:
    """Tell *stop* when the task's time is over, and what to do then; *began* is the handler's."""
    stop.flush_seconds = run_log.flush_seconds
    stop.on_deadline = run_log.deadline_reached
    stop.on_forced = lambda: _force(stop, run_log, began=began())
    deadline = invocation.deadline
    if deadline is None:
        deadline = declaration.own_deadline_seconds
    if deadline is not None:
        stop.set_deadline(deadline, invocation.flush_timeout)


def ending(error: BaseException, run_log: RunLog | None, *, began: bool) -> Outcome:
    """Return the outcome that *error* means; a crash is recorded with its traceback first.

    Before the handler *began*, a descriptor that cannot be had is not the author's fault.
    """
    raised, error = error, author_failure(error)
    if (bdb := sys.modules.get("bdb")) and isinstance(error, bdb.BdbQuit):
        from epm_task.runtime.debugger import NoDebugger  # noqa: PLC0415  # people only

        raised = error = NoDebugger.left()
    exhausted = SystemExhausted.of(error)
    if exhausted is not None and (isinstance(error, TaskError) or not began):
        return Outcome.of_error(exhausted)
    if isinstance(error, Stopped):
        return Outcome()  # `finish` knows why the run was stopped
    if isinstance(error, TaskError | SystemExit | KeyboardInterrupt):
        if run_log is not None and began:
            run_log.failed(raised)
    elif run_log is not None:
        run_log.crashed(raised)
    else:
        traceback.print_exception(error)
    return Outcome.of_exception(error)


def finish(outcome: Outcome, run_log: RunLog | None, stop: Stop) -> Outcome:
    """Return the final outcome after exit functions have run and all records are accounted for."""
    if stop.exit_code is None and run_log is not None:
        _finish_threads(run_log, stop)
    _end_children()
    atexit._run_exitfuncs()  # noqa: SLF001  # os._exit follows, which would skip them
    stop.over()
    if stop.exit_code is not None:
        outcome = _stopped(stop.exit_code)
    return run_log.close(outcome) if run_log is not None else outcome


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


def _stopped(code: ExitCode) -> Outcome:
    if code is ExitCode.DEADLINE:
        return Outcome.of_error(DeadlineExceeded())
    return Outcome.of_signal(code)


def _force(stop: Stop, run_log: RunLog, *, began: bool) -> NoReturn:
    code = stop.exit_code or ExitCode.FORCED
    outcome = _stopped(code)  # Windows does not interrupt our own waits before the handler
    if began:
        outcome = Outcome.of_error(HandlerUnresponsive(code.meaning, stop.grace_seconds))
    _end_children()
    os._exit(run_log.close_by_force(outcome))


def _end_children() -> None:
    if (child := sys.modules.get("epm_task.runtime.child")) is not None:
        child.end_all()
