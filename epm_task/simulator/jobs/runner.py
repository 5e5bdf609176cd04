"""Carry out a job: its tasks in order, each as a process.

The vendor names the option `SkipWhenPluginSettingFalse` and not its form. Ours: the text
`Plugin:key`, the text `key` for the system-wide settings, or `{"plugin": …, "setting": …}`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.names import (
    SERVICE,
    SYSTEM_PLUGIN,
    allowed_systems,
    execution_type_of,
    os_name,
)
from epm_task.contract.tokens import parameter_meant, path_tokens, unused_values
from epm_task.simulator.jobs.command import ParameterProblem, run_values
from epm_task.simulator.jobs.run import TaskRun
from epm_task.simulator.jobs.task import TaskRunner, TaskSurroundings
from epm_task.simulator.settings import UnknownKey, UnknownPlugin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from epm_task.simulator.jobs.history import RunHistory
    from epm_task.simulator.jobs.run import LiveRun, Run
    from epm_task.simulator.jobs.store import JobStore
    from epm_task.simulator.settings import SettingsStore
    from epm_task.simulator.trace import Action


#: Two jobs that name each other as the alternative must not go round for ever.
_MOST_ALTERNATIVES: Final = 5
#: Of a context, that are told to have no use.
_MOST_NAMES: Final = 5
#: Between two looks at what still runs when everything is to end.
_ROUND_SECONDS: Final = 0.02

_NOT_RUN: Final = "the remaining tasks are not run"


class JobRunner:
    """Run jobs, several at a time.

    *jobs* holds those that `alternateJobId` names; *conditions* says what the `condition` of a job
    is taken for, by job id: without an entry it is met.
    """

    def __init__(  # noqa: PLR0913 - keywords only, one for each part of the agent
        self,
        surroundings: TaskSurroundings,
        *,
        base_url: str,
        settings: SettingsStore,
        jobs: JobStore,
        history: RunHistory,
        conditions: Mapping[str, bool],
    ) -> None:
        self._all = surroundings
        self._base_url = base_url
        self._settings = settings
        self._jobs = jobs
        self._history = history
        self._conditions = conditions
        self._paths = path_tokens(surroundings.root)
        self._unawaited: set[asyncio.Task[Run]] = set()
        self._abandoned: list[LiveRun] = []
        self._stopping = False

    async def run(self, live: LiveRun) -> Run:
        """Carry out a run to its end."""
        run, started = live.run, time.monotonic()
        self._history.begin(live)
        self._note(run, "run_started", f"run {run.run_id} starts, trigger {run.trigger}")
        try:
            await self._carry_out(live)
        except ParameterProblem as problem:
            run.problem = str(problem)
            self._note(run, "failed", "nothing more was run", reason=run.problem)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # A file that was dropped into Jobs/ has passed no validator.
            run.problem = f"the job document is malformed: {error}"
            self._note(run, "failed", "nothing more was run", reason=run.problem)
        except BaseException:
            self._history.forget(live)
            self._abandoned.append(live)
            raise
        run.seconds = time.monotonic() - started
        await self._history.end(live)
        return run

    def start(self, live: LiveRun) -> str:
        """Start a run that nobody waits for; return its id."""
        task = asyncio.get_running_loop().create_task(self.run(live))
        self._unawaited.add(task)
        task.add_done_callback(self._unawaited.discard)
        return live.run.run_id

    async def stop(self) -> None:
        """End every process (ask, grace, kill), and start no further task."""
        self._stopping = True
        await self.end_all()

    async def end_all(self) -> None:
        """End every process (ask, grace, kill), and wait until no run goes on.

        A process that is just being started is seen, and ended, in the next round.
        """
        while runs := [*self._history.live, *self._abandoned]:
            self._abandoned.clear()
            grace = self._all.grace_seconds
            await asyncio.gather(*(live.process.end(grace) for live in runs if live.process))
            await asyncio.sleep(_ROUND_SECONDS)
        await asyncio.gather(*self._unawaited, return_exceptions=True)

    async def _carry_out(self, live: LiveRun) -> None:
        run, context = live.run, dict(live.request.context)
        job = self._choose(live.job, run)
        if job is None:
            return
        self._note_unused(run, job, context)
        runner = TaskRunner(self._all, job, live)
        for task in job.get("tasks") or []:
            if self._stopping:
                self._note(run, "stopped", _NOT_RUN, reason="the agent stops")
                return
            outcome = await self._run_task(runner, job, task, context)
            run.tasks.append(outcome)
            self._merge(run, task, outcome, context)
            if outcome.exit_code and not task.get("continueOnFailure"):
                if task is not job["tasks"][-1]:
                    self._note(run, "stopped", _NOT_RUN, reason="continueOnFailure is false")
                return

    async def _run_task(
        self,
        runner: TaskRunner,
        job: Mapping[str, Any],
        task: Mapping[str, Any],
        context: Mapping[str, object],
    ) -> TaskRun:
        if reason := skip_reason(task, self._settings):
            what = f"task {task.get('id')} is skipped"
            self._all.trace.add("job", "skipped", what, reason=reason)
            return TaskRun(str(task.get("id", "")), skipped=reason)
        values = run_values(
            job,
            context,
            paths=self._paths,
            base_url=self._base_url,
            windows=sys.platform == "win32",
        )
        return await runner.run(task, values)

    def _choose(self, job: Mapping[str, Any], run: Run) -> Mapping[str, Any] | None:
        """Return the job to run: this one, its alternative, or None; `run` says why."""
        for _ in range(_MOST_ALTERNATIVES):
            run.job_id = str(job.get("id", ""))
            system = os_name()
            if system not in allowed_systems(job):
                run.skipped = f"osFilter excludes {system}"
            elif self._condition_holds(job, run):
                return job
            elif (other := str(job.get("alternateJobId") or "")) in self._jobs:
                self._note(run, "redirected", f"{other} runs instead", reason="condition not met")
                job = self._jobs.get(other)
                continue
            else:
                run.skipped = "its condition is not met, and no alternateJobId names a job"
            break
        else:
            run.skipped = "the jobs named by alternateJobId go round in a circle"
        self._note(run, "skipped", "skipped", reason=run.skipped)
        return None

    def _condition_holds(self, job: Mapping[str, Any], run: Run) -> bool:
        if not job.get("condition"):
            return True
        holds = self._conditions.get(run.job_id)
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
        self, run: Run, task: Mapping[str, Any], outcome: TaskRun, context: dict[str, object]
    ) -> None:
        if not task.get("MergeStdoutJsonIntoContext"):
            return
        kind = execution_type_of(task)
        if kind == SERVICE and outcome.result is not None:
            context.update(outcome.result)
            return
        if outcome.exit_code or outcome.skipped:  # nobody expects a result
            return
        why = "its stdout is not exactly one JSON object"
        if kind != SERVICE:
            why = f"MergeStdoutJsonIntoContext needs ExecutionType {SERVICE}, not {kind}"
        self._all.trace.add(
            "job",
            "merge_refused",
            f"job {run.job_id}: the result of task {outcome.task_id} is not merged",
            reason=why,
            job_id=run.job_id,
            run_id=run.run_id,
            exit_code=outcome.exit_code,
        )

    def _note_unused(self, run: Run, job: Mapping[str, Any], context: Mapping[str, object]) -> None:
        unused = unused_values(job, context, windows=sys.platform == "win32")
        if unused:
            what = f"nothing takes {', '.join(unused[:_MOST_NAMES])} of its context"
            self._note(run, "unused", what, reason=parameter_meant(job, unused[0]))

    def _note(self, run: Run, action: Action, what: str, *, reason: str = "") -> None:
        what = f"job {run.job_id}: {what}"
        self._all.trace.add(
            "job", action, what, reason=reason, job_id=run.job_id, run_id=run.run_id
        )


def agent_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment that tasks inherit: *environ*, or our own, without `KEEPER_*`."""
    inherited = os.environ if environ is None else environ
    return {
        name: value for name, value in inherited.items() if not name.upper().startswith("KEEPER_")
    }


_FALSE: Final = frozenset({"false", "0", "no", "off"})


def skip_reason(task: Mapping[str, Any], settings: SettingsStore) -> str:
    """Return why *task* is skipped, or an empty text; an absent setting skips nothing."""
    named = task.get("SkipWhenPluginSettingFalse") or task.get("skipWhenPluginSettingFalse")
    if not named:
        return ""
    plugin, key = _place(named)
    try:
        value = settings.value(plugin, key)
    except (UnknownPlugin, UnknownKey):
        return ""
    false = value.strip().casefold() in _FALSE
    return f"SkipWhenPluginSettingFalse: {key} of {plugin} is false" if false else ""


def _place(named: object) -> tuple[str, str]:
    if isinstance(named, dict):
        plugin = named.get("plugin") or named.get("pluginName") or SYSTEM_PLUGIN
        return str(plugin), str(named.get("setting") or named.get("settingName") or "")
    plugin, colon, key = str(named).partition(":")
    return (plugin, key) if colon else (SYSTEM_PLUGIN, plugin)
