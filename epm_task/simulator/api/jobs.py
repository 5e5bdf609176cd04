"""Answer the nine endpoints of the Job Management API from the job store.

The vendor documents the paths, `jobs`, `count`, `message`, `errors` and the verdict of `validate`;
the other keys of the answers are ours and stated below.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from epm_task.simulator.api.answers import absent, invalid, read_object
from epm_task.simulator.jobs.store import IdsOfOneFile, UnknownJob
from epm_task.simulator.web.exchange import json_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.simulator.jobs.store import Job, JobStore
    from epm_task.simulator.jobs.validator import Validation
    from epm_task.simulator.trace import Trace
    from epm_task.simulator.web.exchange import Request, Response


class JobsApi(NamedTuple):
    """The endpoints below `/api/Jobs`; *start_run* returns the id of a run that has begun."""

    store: JobStore
    validate: Callable[[Any], Validation]
    start_run: Callable[..., str]
    trace: Trace

    async def read_all(self, _: Request) -> Response:
        """Answer `{"jobs", "count", "message"}`."""
        jobs = self.store.all()
        message = f"{len(jobs)} job{'' if len(jobs) == 1 else 's'}"
        return json_response({"jobs": jobs, "count": len(jobs), "message": message})

    async def read_one(self, request: Request) -> Response:
        """Answer the job document as it came."""
        return json_response(self._job(request))

    async def save(self, request: Request) -> Response:
        """Create or update the job that the body's `id` names; the answer is that of `replace`."""
        return await self._save(await read_object(request))

    async def replace(self, request: Request) -> Response:
        """Update the job that the URL names; the body's `id` does not count.

        The answer is `{"message", "jobId", "warnings"}`.
        """
        job_id = self._job(request)["id"]
        body = await read_object(request)
        # The id keeps its place among the fields when the body has one.
        return await self._save({**({} if "id" in body else {"id": ""}), **body, "id": job_id})

    async def delete(self, request: Request) -> Response:
        """Delete the job; the answer is `{"message", "jobId"}`."""
        job_id = self._job(request)["id"]
        await asyncio.to_thread(self.store.delete, job_id)
        self.trace.add("job", "deleted", f"job {job_id} was deleted by the API", job_id=job_id)
        return json_response({"message": f"Job {job_id} deleted", "jobId": job_id})

    async def check(self, request: Request) -> Response:
        """Answer `{"valid", "errors", "warnings", "jobId"}`, and save nothing."""
        job = await read_object(request)
        found = await asyncio.to_thread(self.validate, job)
        verdict = {"valid": found.valid, "errors": found.errors, "warnings": found.warnings}
        return json_response({**verdict, "jobId": job.get("id")})

    async def reload(self, _: Request) -> Response:
        """Read `Jobs/` anew; the answer is `{"message", "count", "errors"}`.

        Each entry of `errors` is `{"file", "line", "reason"}`.
        """
        problems = await asyncio.to_thread(self.store.reload)
        for problem in problems:
            what = f"{problem.path.name} was not loaded"
            self.trace.add("job", "not_loaded", what, reason=str(problem))
        count = len(self.store.all())
        self.trace.add("job", "loaded", f"{count} jobs were loaded from disk", count=count)
        errors = [{"file": p.path.name, "line": p.line, "reason": p.why} for p in problems]
        return json_response({"message": f"{count} jobs loaded", "count": count, "errors": errors})

    async def trigger(self, request: Request) -> Response:
        """Start a run with the body as event context; the answer is that of `run`."""
        job = self._enabled(request)
        return self._start(job, "trigger", await read_object(request, optional=True))

    async def run(self, request: Request) -> Response:
        """Start a run without context; the answer is `{"message", "jobId", "runId"}`."""
        return self._start(self._enabled(request), "run", {})

    async def _save(self, job: Job) -> Response:
        found = await asyncio.to_thread(self.validate, job)
        if not found.valid:
            raise invalid(found.errors)
        try:
            new = await asyncio.to_thread(self.store.put, job)
        except IdsOfOneFile as error:
            raise invalid([str(error)]) from None
        job_id = job["id"]
        done = "created" if new else "updated"
        self.trace.add("job", "saved", f"job {job_id} was {done} by the API", job_id=job_id)
        message = f"Job {job_id} {done}"
        return json_response({"message": message, "jobId": job_id, "warnings": found.warnings})

    def _start(self, job: Job, trigger: str, context: dict[str, object]) -> Response:
        run_id = self.start_run(job, trigger=trigger, context=context)
        message = f"Job {job['id']} started"
        return json_response({"message": message, "jobId": job["id"], "runId": run_id})

    def _enabled(self, request: Request) -> Job:
        job = self._job(request)
        if job.get("enabled", True) is False:
            raise invalid([f"job {job['id']} is disabled"])
        return job

    def _job(self, request: Request) -> Job:
        job_id = request.names["job_id"]
        try:
            return self.store.get(job_id)
        except UnknownJob as error:
            raise absent(error.what) from error
