"""A job runner carries out a job: its tasks in order, each as a process.

The vendor names the option `SkipWhenPluginSettingFalse` and not its form. Ours: the text
`Plugin:key`, the text `key` for the system-wide settings, or `{"plugin": …, "setting": …}`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.names import (
    SERVICE,
    SYSTEM_PLUGIN,
    allowed_systems,
    execution_type_of,
    os_name,
)
from epm_task.simulator.jobs.run import JobRun, TaskRun
from epm_task.simulator.jobs.task import RunOptions, TaskRunner, TaskSurroundings
from epm_task.simulator.jobs.values import ParameterProblem, path_tokens, run_values

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from epm_task.simulator.processes.process import TaskProcess
    from epm_task.simulator.trace import Action


#: Two jobs that name each other as the alternative must not go round for ever.
_MOST_ALTERNATIVES: Final = 5


class JobRunner:
    """Run jobs, several at a time.

    Args:
        surroundings: What the tasks of every run have in common.
        base_url: Returns the base URL of the local HTTPS API.
        settings: Returns the merged settings of a plugin, or None when it is unknown.
        find_job: Returns the job document with an id, or None.
        on_end: Awaited with each run that has ended.

    Attributes:
        conditions: What the `condition` of a job is taken for, by job id; else it is met.
    """

    def __init__(
        self,
        surroundings: TaskSurroundings,
        *,
        base_url: Callable[[], str],
        settings: Callable[[str], Mapping[str, str] | None] = lambda _: None,
        find_job: Callable[[str], Mapping[str, Any] | None] = lambda _: None,
        on_end: Callable[[JobRun], Awaitable[None]] | None = None,
    ) -> None:
        """Start with no run."""
        self._all = surroundings
        self._base_url = base_url
        self._settings = settings
        self._find_job = find_job
        self.conditions: dict[str, bool] = {}
        self._on_end = on_end
        self._paths = path_tokens(surroundings.root)
        self._processes: set[TaskProcess] = set()
        self._runs: set[asyncio.Task[JobRun]] = set()
        self._stopping = False

    async def run(
        self,
        job: Mapping[str, Any],
        *,
        trigger: str,
        context: Mapping[str, object] | None = None,
        run_id: str | None = None,
        options: RunOptions | None = None,
    ) -> JobRun:
        """Run *job* to its end.

        Args:
            job: The job document.
            trigger: What makes it run.
            context: Event context; its fields are tokens.
            run_id: Id of the run; made when None.
            options: What the starter of the run asks for.
        """
        started = time.monotonic()
        run = JobRun(run_id or uuid.uuid4().hex, str(job.get("id", "")), trigger)
        self._note(run, "run_started", f"run {run.run_id} starts, trigger {trigger}")
        try:
            await self._carry_out(job, run, dict(context or {}), options or RunOptions())
        except ParameterProblem as problem:
            run.problem = str(problem)
            self._note(run, "failed", "nothing more was run", reason=run.problem)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # A file that was dropped into Jobs/ has passed no validator.
            run.problem = f"the job document is malformed: {error}"
            self._note(run, "failed", "nothing more was run", reason=run.problem)
        run.seconds = time.monotonic() - started
        if self._on_end is not None:
            await self._on_end(run)
        return run

    def start_run(
        self,
        job: Mapping[str, Any],
        *,
        trigger: str,
        context: Mapping[str, object] | None = None,
        run_id: str | None = None,
        options: RunOptions | None = None,
    ) -> str:
        """Start a run that nobody waits for; return its id."""
        run_id = run_id or uuid.uuid4().hex
        coroutine = self.run(job, trigger=trigger, context=context, run_id=run_id, options=options)
        task = asyncio.get_running_loop().create_task(coroutine)
        self._runs.add(task)
        task.add_done_callback(self._runs.discard)
        return run_id

    async def stop(self) -> None:
        """End every process (ask, grace, kill), and start no further task."""
        self._stopping = True
        await self.end_all()

    async def end_all(self) -> None:
        """End every process (ask, grace, kill), and wait for the runs that nobody waits for."""
        grace = self._all.grace_seconds
        await asyncio.gather(*(process.end(grace) for process in tuple(self._processes)))
        await asyncio.gather(*self._runs, return_exceptions=True)

    async def _carry_out(
        self, job: Mapping[str, Any], run: JobRun, context: dict[str, object], options: RunOptions
    ) -> None:
        chosen = self._choose(job, run)
        if chosen is None:
            return
        runner = TaskRunner(self._all, chosen, run.run_id, self._tracked(options))
        for task in chosen.get("tasks") or []:
            if self._stopping:
                self._note(
                    run, "stopped", "the remaining tasks are not run", reason="the agent stops"
                )
                return
            outcome = await self._run_task(runner, chosen, task, context)
            run.tasks.append(outcome)
            self._merge(run, task, outcome, context)
            if outcome.exit_code and not task.get("continueOnFailure"):
                if task is not chosen["tasks"][-1]:
                    reason = "continueOnFailure is false"
                    self._note(run, "stopped", "the remaining tasks are not run", reason=reason)
                return

    async def _run_task(
        self,
        runner: TaskRunner,
        job: Mapping[str, Any],
        task: Mapping[str, Any],
        context: Mapping[str, object],
    ) -> TaskRun:
        if reason := skip_reason(task, self._settings):
            self._all.trace.add(
                "job", "skipped", f"task {task.get('id')} is skipped", reason=reason
            )
            return TaskRun(str(task.get("id", "")), skipped=reason)
        values = run_values(
            job,
            context,
            paths=self._paths,
            base_url=self._base_url(),
            windows=sys.platform == "win32",
        )
        return await runner.run(task, values)

    def _choose(self, job: Mapping[str, Any], run: JobRun) -> Mapping[str, Any] | None:
        """Return the job to run: this one, its alternative, or None; `run` says why."""
        for _ in range(_MOST_ALTERNATIVES):
            run.job_id = str(job.get("id", ""))
            system = os_name()
            if system not in allowed_systems(job):
                run.skipped = f"osFilter excludes {system}"
            elif self._condition_holds(job, run):
                return job
            elif alternative := self._find_job(str(job.get("alternateJobId") or "")):
                instead = f"{alternative.get('id')} runs instead"
                self._note(run, "redirected", instead, reason="condition not met")
                job = alternative
                continue
            else:
                run.skipped = "its condition is not met, and no alternateJobId names a job"
            break
        else:
            run.skipped = "the jobs named by alternateJobId go round in a circle"
        self._note(run, "skipped", "skipped", reason=run.skipped)
        return None

    def _condition_holds(self, job: Mapping[str, Any], run: JobRun) -> bool:
        if not job.get("condition"):
            return True
        holds = self.conditions.get(run.job_id)
        if holds is None:
            self._note(
                run,
                "assumed",
                "condition not evaluated, taken as met",
                reason="its language is not public; "
                f"--condition {run.job_id}=false tests the other branch",
            )
        return holds is not False

    def _merge(
        self, run: JobRun, task: Mapping[str, Any], outcome: TaskRun, context: dict[str, object]
    ) -> None:
        if not task.get("MergeStdoutJsonIntoContext"):
            return
        kind = execution_type_of(task)
        if kind == "Service" and outcome.result is not None:
            context.update(outcome.result)
            return
        why = "its stdout is not exactly one JSON object"
        if kind != SERVICE:
            why = f"MergeStdoutJsonIntoContext needs ExecutionType Service, not {kind}"
        what = f"the result of task {outcome.task_id} is not merged"
        self._note(run, "merge_refused", what, reason=why)

    def _tracked(self, options: RunOptions) -> RunOptions:
        """Return *options* that also tell this runner which processes live."""

        def on_start(process: TaskProcess) -> None:
            self._processes = {other for other in self._processes if other.exit_code is None}
            self._processes.add(process)
            if options.on_start:
                options.on_start(process)

        return replace(options, on_start=on_start)

    def _note(self, run: JobRun, action: Action, what: str, *, reason: str = "") -> None:
        what = f"job {run.job_id}: {what}"
        self._all.trace.add(
            "job", action, what, reason=reason, job_id=run.job_id, run_id=run.run_id
        )


def agent_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment that tasks inherit: the agent's own, without `KEEPER_*`."""
    return {
        name: value for name, value in environ.items() if not name.upper().startswith("KEEPER_")
    }


_FALSE: Final = frozenset({"false", "0", "no", "off"})


def skip_reason(
    task: Mapping[str, Any], settings: Callable[[str], Mapping[str, str] | None]
) -> str:
    """Return why *task* is skipped, or an empty text; a setting that does not exist skips nothing.

    Args:
        task: The task as it stands in the job document.
        settings: Returns the merged settings of a plugin, or None when it is unknown.
    """
    named = task.get("SkipWhenPluginSettingFalse") or task.get("skipWhenPluginSettingFalse")
    if not named:
        return ""
    plugin, key = _place(named)
    value = (settings(plugin) or {}).get(key)
    if value is None or value.strip().casefold() not in _FALSE:
        return ""
    return f"SkipWhenPluginSettingFalse: {key} of {plugin} is false"


def _place(named: object) -> tuple[str, str]:
    if isinstance(named, dict):
        plugin = named.get("plugin") or named.get("pluginName") or SYSTEM_PLUGIN
        return str(plugin), str(named.get("setting") or named.get("settingName") or "")
    plugin, colon, key = str(named).partition(":")
    return (plugin, key) if colon else (SYSTEM_PLUGIN, plugin)
