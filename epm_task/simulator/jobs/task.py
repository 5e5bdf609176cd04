"""Start the process of one task, register it, and watch it to its end."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from epm_task.contract.argument_line import ArgumentsError
from epm_task.contract.cannot_start import (
    NOT_EXECUTABLE,
    CannotStart,
    explain_end,
    explain_failed_start,
    missing_program,
)
from epm_task.contract.json_text import BadJson, read_object
from epm_task.contract.layout import (
    ALLOWED_EXECUTABLES_KEY,
    allowed_executables,
    find_program,
    is_listed,
    program_name,
)
from epm_task.contract.names import (
    JOB_ID_VARIABLE,
    JOB_NAME_VARIABLE,
    LONGEST_SECONDS,
    NON_ADMIN_TYPES,
    SERVICE,
    execution_type_of,
)
from epm_task.contract.run_history import StartFailure, tail_text
from epm_task.contract.tokens import substitute, unknown_tokens
from epm_task.errors import sentence
from epm_task.runtime import debugger
from epm_task.runtime.outcome import parse_result
from epm_task.simulator.faults.effects import disturb
from epm_task.simulator.jobs.command import command_line
from epm_task.simulator.jobs.run import TaskRun
from epm_task.simulator.processes.process import Capture, TaskProcess
from epm_task.simulator.processes.registry import Launch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from epm_task.contract.layout import AgentRoot
    from epm_task.simulator.faults.faults import Faults
    from epm_task.simulator.jobs.run import LiveRun
    from epm_task.simulator.processes.registry import ProcessRegistry
    from epm_task.simulator.trace import Action, Trace

#: Between SIGTERM and SIGKILL; the agent's own grace is not public.
GRACE_SECONDS: Final = 5.0

#: Of a job that has none; our declaration's, as the vendor's is not public.
_PRIORITY: Final = 5

_WINDOWS: Final = sys.platform == "win32"


class Turns:
    """Lets tasks start one by one: the highest priority first, then who came first.

    Nobody waits for the end of another task: a turn lasts as long as a start. There is one in each
    round of the loop, so that the tasks before it are served meanwhile.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = itertools.count()

    async def mine(self, priority: int) -> None:
        """Wait for one's turn."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._waiting, (-priority, next(self._arrivals), turn))
        if len(self._waiting) == 1:
            # Not at once, as the others of the same minute may come in this round.
            loop.call_soon(self._next)
        await turn

    def _next(self) -> None:
        *_, turn = heapq.heappop(self._waiting)
        if not turn.cancelled():
            turn.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)


class TaskSurroundings(NamedTuple):
    """What the tasks of every run have in common."""

    root: AgentRoot  #: Layout of the agent; its root is the tasks' working directory.
    registry: ProcessRegistry  #: Where the processes are registered.
    trace: Trace  #: Where decisions are noted.
    environ: Mapping[str, str]  #: Environment of the agent, without `KEEPER_*`.
    grace_seconds: float  #: Between SIGTERM and SIGKILL.
    faults: Faults  #: What happens to the processes on purpose.
    turns: Turns  #: Whose turn it is to start one.


class TaskRunner:
    """Run the tasks of one run of *job*, one at a time."""

    def __init__(
        self, surroundings: TaskSurroundings, job: Mapping[str, Any], live: LiveRun
    ) -> None:
        self._all = surroundings
        self._job = job
        self._job_id = str(job.get("id", ""))
        self._live = live
        self._run_id = live.run.run_id

    async def run(self, task: Mapping[str, Any], values: Mapping[str, str]) -> TaskRun:
        """Run one task with the text of each token; a failed start is an exit code too."""
        started = time.monotonic()
        outcome = TaskRun(str(task.get("id", "")))
        out = Capture(partial(self._live.line, "stdout"))
        err = Capture(partial(self._live.line, "stderr"))
        env = self._environment()
        try:
            program = find_program(task, self._all.root.jobs_bin, env.get("PATH"))
            if program is None:
                raise missing_program(task, self._all.root.jobs_bin)
            process = await self._start(program, task, values, env, (out, err))
        except (CannotStart, ArgumentsError, OSError, ValueError) as error:
            outcome.exit_code = getattr(error, "exit_code", NOT_EXECUTABLE)
            what = f"task {outcome.task_id} could not be started"
            self._note("not_started", what, reason=str(error))
            self._fail(outcome, error)
            return outcome
        outcome.pid = process.pid
        try:
            await self._watch(process, task, outcome)
        finally:
            process.abandon()
            self._all.registry.remove(self._run_id)
        outcome.seconds = time.monotonic() - started
        outcome.stdout, outcome.stdout_dropped = out.data, out.dropped
        outcome.stderr, outcome.stderr_dropped = err.data, err.dropped
        outcome.result = None if out.dropped else parse_result(out.data)
        if outcome.exit_code:
            outcome.stderr_tail = tail_text(err.tail, cut=err.tail_is_cut)
            if fault := explain_end(outcome.exit_code, program, env.get("PATH")):
                self._fail(outcome, fault)
        self._note_end(outcome)
        return outcome

    def _fail(self, outcome: TaskRun, error: Exception) -> None:
        """Keep why a program could not be started; the first reason is that of the run, too."""
        outcome.start_error = cause = StartFailure.of(error)
        run = self._live.run
        run.problem = run.problem or sentence(cause.what, cause.why, cause.fix)

    async def _start(
        self,
        program: Path,
        task: Mapping[str, Any],
        values: Mapping[str, str],
        env: Mapping[str, str],
        captures: tuple[Capture, Capture],
    ) -> TaskProcess:
        arguments = substitute(str(task.get("arguments") or ""), values, windows=_WINDOWS)
        self._note_oddities(task, values)
        argv = command_line(program, str(task.get("scriptType") or "Auto"), arguments)
        cwd = self._live.request.cwd or self._all.root.path
        priority = self._job.get("priority")
        await self._all.turns.mine(priority if type(priority) is int else _PRIORITY)
        try:
            process = await TaskProcess.start(
                argv, env=env, cwd=cwd, captures=captures, run_id=self._run_id
            )
        except OSError as error:
            path = env.get("PATH")
            raise explain_failed_start(error, program, argv, cwd=cwd, search_path=path) from error
        if self._is_admitted(task):
            self._register(process)
        self._live.started(process)
        return process

    def _is_admitted(self, task: Mapping[str, Any]) -> bool:
        """Return whether the process may be registered; a file without a list admits all."""
        if execution_type_of(task) not in NON_ADMIN_TYPES:
            return True
        try:
            allowed = allowed_executables(read_object(self._all.root.appsettings))
        except BadJson:
            return True
        name = program_name(task)
        if allowed is None or is_listed(name, allowed):
            return True
        place = f"{ALLOWED_EXECUTABLES_KEY} of appsettings.json"
        self._note(
            "refused",
            "a user's process was not registered",
            reason=f"{name} is not in {place}",
            denied=True,
            fix=f'add "{name}" to {place}',
        )
        return False

    def _register(self, process: TaskProcess) -> None:
        topics = self._job.get("mqttTopics") or {}
        launch = Launch(
            process.pid,
            process.birth,
            self._run_id,
            self._job_id,
            frozenset(topics.get("allowedPublications") or ()),
            frozenset(topics.get("allowedSubscriptions") or ()),
        )
        delay = self._all.faults.registration_delay(self._live.request.registration_delay)
        self._all.registry.add(launch, delay_seconds=delay)
        what = f"started process {process.pid}"
        self._note("process_started", what, pid=process.pid, registration_delay=str(delay))

    async def _watch(self, process: TaskProcess, task: Mapping[str, Any], outcome: TaskRun) -> None:
        seconds = task.get("timeoutSeconds")
        lose = partial(self._all.registry.lose, self._run_id)
        timers = disturb(process, self._all.faults, lose, self._note)
        try:
            async with asyncio.timeout(min(seconds, LONGEST_SECONDS) if seconds else None):
                await process.exited()
        except TimeoutError:
            if debugger.begun(self._live.request.env):
                await process.exited()  # in a person's own time
            else:
                outcome.timed_out = True
                what = f"task {outcome.task_id} ran longer than its {seconds} s; it is ended"
                self._note("timed_out", what)
                await process.end(self._all.grace_seconds)
        finally:
            for timer in timers:
                timer.cancel()
        await self._end_leftovers(process, outcome)
        await process.close()
        outcome.exit_code = await process.exited()

    async def _end_leftovers(self, process: TaskProcess, outcome: TaskRun) -> None:
        if left := await process.members():
            outcome.left_behind = len(left)
            pids = ", ".join(str(other.pid) for other in left)
            self._note(
                "left_behind",
                f"task {outcome.task_id} left processes behind: {pids}; they are ended",
                reason="a task does its work and exits; what runs on is a plugin, another pattern",
            )
            await process.end(self._all.grace_seconds)

    def _environment(self) -> dict[str, str]:
        env = {**self._all.environ, **self._live.request.env}
        topics = self._job.get("mqttTopics") or {}
        # The vendor injects both only when there is an entry: without one no client id is needed.
        if topics.get("allowedPublications") or topics.get("allowedSubscriptions"):
            env[JOB_ID_VARIABLE] = self._job_id
            env[JOB_NAME_VARIABLE] = str(self._job.get("name") or self._job_id)
        return env

    def _note_oddities(self, task: Mapping[str, Any], values: Mapping[str, str]) -> None:
        if left := unknown_tokens(str(task.get("arguments") or ""), values, windows=_WINDOWS):
            names = ", ".join(f"{{{name}}}" for name in left)
            what = f"task {task.get('id')}: no value for {names}; it stays as it is"
            self._note("assumed", what)
        kind = execution_type_of(task)
        if kind != SERVICE:
            self._note(
                "assumed",
                f"task {task.get('id')} asks for ExecutionType {kind}",
                reason="this agent runs every task as its own user",
            )

    def _note_end(self, outcome: TaskRun) -> None:
        dropped = outcome.stdout_dropped + outcome.stderr_dropped
        self._note(
            "process_ended",
            f"task {outcome.task_id} ended with exit code {outcome.exit_code}",
            reason=f"{dropped} bytes of output were beyond the cap and dropped" if dropped else "",
            exit_code=outcome.exit_code,
            pid=outcome.pid,
        )

    def _note(self, action: Action, what: str, *, reason: str = "", **facts: Any) -> None:
        self._all.trace.add(
            "job",
            action,
            f"job {self._job_id}: {what}",
            reason=reason,
            job_id=self._job_id,
            run_id=self._run_id,
            **facts,
        )
