"""The agent's jobs, seen from a test: stored documents that are triggered and waited for."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from epm_task.simulator.agent import Agent
    from epm_task.simulator.finished_run import Run
    from epm_task.simulator.job_run import JobRun
    from epm_task.simulator.local_agent import LocalAgent


class InvalidJob(ValueError):
    """The full validator refused a job document; the text lists what is wrong."""


class AgentJobs:
    """The jobs of one embedded agent.

    Args:
        agent: Runs them.
        local: Holds them.
    """

    def __init__(self, agent: Agent, local: LocalAgent) -> None:
        """Remember the agent."""
        self._agent = agent
        self._local = local

    def add(self, document: Mapping[str, Any]) -> None:
        """Store a job document, or replace the one with its id, as `POST /api/Jobs` does.

        Raises:
            InvalidJob: The full validator refuses it.
        """
        verdict = self._local.validate(dict(document))
        if not verdict.valid:
            raise InvalidJob("; ".join(verdict.errors))
        self._local.jobs.put(dict(document))

    def get(self, job_id: str) -> dict[str, Any]:
        """Return a stored document.

        Raises:
            UnknownJob: There is no such job.
        """
        return self._local.jobs.get(job_id)

    def delete(self, job_id: str) -> None:
        """Delete a stored document.

        Raises:
            UnknownJob: There is no such job.
        """
        self._local.jobs.delete(job_id)

    def clear(self) -> None:
        """Delete all stored documents, and the programs in `Jobs/bin`."""
        for job_id in self.ids():
            self.delete(job_id)
        for program in self._local.root.jobs_bin.iterdir():
            if program.is_dir() and not program.is_symlink():
                shutil.rmtree(program)
            else:
                program.unlink()

    def ids(self) -> list[str]:
        """Return the ids of all stored jobs, sorted."""
        return [str(job["id"]) for job in self._local.jobs.all()]

    def trigger(self, job_id: str, **context: object) -> Run:
        """Run a stored job with an event context, and wait for its end.

        Raises:
            UnknownJob: There is no such job.
        """
        return self._agent.run_job(self.get(job_id), trigger="trigger", context=context)

    def ended(self, job_id: str | None = None) -> list[JobRun]:
        """Return the last runs that have ended, of one job or of all, the oldest first."""
        runs = self._agent.call_in_loop(lambda: list(self._local.watch.ended))
        return [run for run in runs if job_id in {None, run.job_id}]

    def wait(self, timeout: float = 30.0) -> None:
        """Wait until no run goes on, such as after `agent.clock.advance(…)`.

        Raises:
            TimeoutError: One still goes on after *timeout* seconds.
        """
        deadline = time.monotonic() + timeout
        while not self._agent.call_in_loop(lambda: self._local.watch.idle):
            if time.monotonic() >= deadline:
                raise TimeoutError(f"a run still goes on after {timeout} s")
            time.sleep(0.005)
