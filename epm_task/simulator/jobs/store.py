"""Store the job documents of the folder `Jobs/`, one file for each.

A document is kept as it came: unknown fields, their order and their values stay. The caller must
not change what it is given; it puts a new document instead.
"""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, Any

from epm_task.contract.client_id import check_job_id
from epm_task.contract.json_text import write_json
from epm_task.errors import BadJobId, EpmTaskError
from epm_task.files import documents, remove_durably, remove_leftovers, write_atomically
from epm_task.runtime.start_up import collector_paused
from epm_task.simulator.start_error import UnusableFile, read_object

if TYPE_CHECKING:
    from pathlib import Path

Job = dict[str, Any]


class UnknownJob(EpmTaskError, KeyError):
    """No job has this id."""

    __str__ = EpmTaskError.__str__

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id!r} is not known", fix="add the job, or correct the id")


class IdsOfOneFile(EpmTaskError, ValueError):
    """Two ids that differ by case only, where the system keeps one file for both."""

    __str__ = EpmTaskError.__str__

    def __init__(self, job_id: str, other: str) -> None:
        super().__init__(
            f"job {job_id!r} has the file of the job {other!r}",
            "this system does not tell names apart by the case of their letters",
            "choose another id",
        )


class JobStore:
    """The jobs in the folder `Jobs/`; may be used from any thread.

    Attributes:
        problems: The files that the last `reload` could not use; their jobs are not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = RLock()
        self._jobs: dict[str, Job] = {}
        self.problems: list[UnusableFile] = []
        remove_leftovers(folder)
        self.reload()

    def all(self) -> list[Job]:
        """Return the documents of all jobs, in the order of their ids."""
        with self._lock:
            return [self._jobs[job_id] for job_id in sorted(self._jobs)]

    def get(self, job_id: str) -> Job:
        """Return one document.

        Raises:
            UnknownJob: The agent has no such job.
        """
        with self._lock:
            if job_id not in self._jobs:
                raise UnknownJob(job_id)
            return self._jobs[job_id]

    def __contains__(self, job_id: str) -> bool:
        with self._lock:
            return job_id in self._jobs

    def put(self, job: Job) -> bool:
        """Write a document; when this returns, it survives a kill. Return whether the job is new.

        Raises:
            BadJobId: Its id cannot be a file name.
            IdsOfOneFile: Its file would be that of another job.
            OSError: The file could not be written; nothing has changed.
        """
        job_id = check_job_id(str(job.get("id", "")))
        with self._lock:
            self._check_file(job_id)
            write_atomically(self._path(job_id), write_json(job))
            new = job_id not in self._jobs
            self._jobs[job_id] = job
            return new

    def delete(self, job_id: str) -> None:
        """Delete one job with its file; the binary stays.

        Raises:
            UnknownJob: The agent has no such job.
            OSError: The file could not be deleted; nothing has changed.
        """
        with self._lock:
            self.get(job_id)
            path = self._path(job_id)
            if path.exists():
                remove_durably(path)
            del self._jobs[job_id]

    def reload(self) -> list[UnusableFile]:
        """Read the folder anew, and return the files that cannot be used.

        A broken file is left as it is, and does not keep the other jobs from loading.
        """
        jobs: dict[str, Job] = {}
        problems: list[UnusableFile] = []
        with self._lock, collector_paused():
            for path in documents(self._folder):
                try:
                    jobs[path.stem] = _read(path)
                except UnusableFile as error:
                    problems.append(error)
            self._jobs, self.problems = jobs, problems
        return problems

    def _check_file(self, job_id: str) -> None:
        path = self._path(job_id)
        if job_id in self._jobs or not path.exists():
            return
        for other in self._jobs:
            file = self._path(other)
            if other.casefold() == job_id.casefold() and file.exists() and path.samefile(file):
                raise IdsOfOneFile(job_id, other)

    def _path(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.json"


def _read(path: Path) -> Job:
    job, name, why = read_object(path), path.stem, ""
    if job.get("id") != name:
        why = f"the id is {job.get('id')!r} and must equal the file name, {name!r}"
    try:
        check_job_id(name)
    except BadJobId as error:
        why = why or str(error)
    if why:
        data = path.read_bytes() if path.exists() else b""
        raise UnusableFile(path, why, line=data.partition(b'"id"')[0].count(b"\n") + 1)
    return job
