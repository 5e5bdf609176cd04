"""Run each new job once; its exit code decides whether the new version stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from epm_task.admin.deploy.errors import RunFailed
from epm_task.admin.errors import WrongUse
from epm_task.admin.records import LogRecords
from epm_task.admin.run_history import Follower, RunHistory
from epm_task.contract.names import allowed_systems, os_name
from epm_task.exit_code import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.admin.deploy.bundle import Bundle
    from epm_task.admin.deploy.target import Target
    from epm_task.contract.run_history import EndedRun


_LEAVE_OUT: Final = "leave out --trigger"


class Trial(NamedTuple):
    """How runs are tried.

    Attributes:
        seconds: Longest time for each run.
        show: Called with each record of it.
    """

    seconds: float
    show: Callable[[dict[str, Any]], None]

    def check(self, bundle: Bundle) -> None:
        """Refuse before anything is changed when a job could not be run.

        Raises:
            WrongUse: A job is disabled, or its osFilter excludes this system.
        """
        for job_id, document in bundle.jobs.items():
            if document.get("enabled", True) is False:
                raise WrongUse(f"job {job_id} is disabled, so it cannot run", fix=_LEAVE_OUT)
            if os_name() not in allowed_systems(document):
                raise WrongUse(f"the osFilter of job {job_id} excludes {os_name()}", fix=_LEAVE_OUT)

    def run(self, target: Target, bundle: Bundle) -> None:
        """Run each job once and wait for its end.

        Raises:
            RunFailed: A run ended with another code than 0, or its end was not seen.
            AdminError: The agent refuses to start one, or cannot be asked.
            OSError: The history of runs cannot be read.
        """
        for job_id in bundle.jobs:
            target.say(f"{job_id}: run it and wait for its end")
            ended = self._follow(target, job_id)
            if ended is None:
                raise RunFailed(
                    f"the end of the run of {job_id} was not seen in {self.seconds:g} s",
                    f"{target.root.agent.run_history} tells of none",
                    "give more --timeout, or leave out --trigger with an agent that writes no such "
                    "file",
                )
            if ended.exit_code or ended.skipped:
                raise _failure(job_id, ended)
            target.say(f"{job_id}: ended in {ended.seconds:.2f} s with exit code 0")

    def _follow(self, target: Target, job_id: str) -> EndedRun | None:
        root = target.root.agent
        records = LogRecords(root.keeper_logger, job_id)
        follower = Follower(records, RunHistory(root.run_history), self.show)
        try:
            started = target.admin.trigger_job(job_id, {})
            return follower.follow(job_id, started.run_id, self.seconds)
        finally:
            follower.close()


def _failure(job_id: str, ended: EndedRun) -> RunFailed:
    if ended.skipped:
        what = f"the run of {job_id} was skipped by the agent"
        return RunFailed(what, ended.skipped, _LEAVE_OUT)
    late = ", ended by the agent at its time-out" if ended.timed_out else ""
    code = f"{ended.exit_code} ({describe(ended.exit_code)})"
    what = f"the run of {job_id} ended with exit code {code}{late}"
    return RunFailed(what, ended.problem, "read its records above, and correct the task")
