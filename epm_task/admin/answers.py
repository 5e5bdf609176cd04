"""Read what the agent says about jobs into typed data.

The vendor documents `jobs`, `count`, `message`, `errors`, `valid`, `warnings` and `jobId`. Every
other key is read when it is there, and nothing fails when it is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from epm_task.contract.json_text import BadJson

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A job document: plain JSON, all fields as they came, in their order.
Document: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class JobList:
    """All jobs of the agent."""

    jobs: tuple[Document, ...]
    count: int
    message: str

    @classmethod
    def read(cls, found: Document) -> JobList:
        """Return the list; BadJson when there is none."""
        jobs = found.get("jobs")
        if not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
            raise BadJson("it holds no array of jobs")
        count = found.get("count")
        return cls(tuple(jobs), count if type(count) is int else len(jobs), text(found, "message"))


@dataclass(frozen=True, slots=True)
class Done:
    """The agent has stored or deleted a job; it may have warned of what it took."""

    job_id: str
    message: str
    warnings: tuple[str, ...] = ()

    @classmethod
    def read(cls, job_id: str, found: Document) -> Done:
        """Return what the answer about *job_id* tells."""
        return cls(text(found, "jobId") or job_id, text(found, "message"), texts(found, "warnings"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the agent's validator says about a document; *job_id* is empty when it read none."""

    valid: bool
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    job_id: str = ""

    @classmethod
    def read(cls, found: Document) -> Verdict:
        """Return the verdict; BadJson when `valid` is missing."""
        valid = found.get("valid")
        if not isinstance(valid, bool):
            raise BadJson("it does not say whether the job is valid")
        return cls(valid, texts(found, "errors"), texts(found, "warnings"), text(found, "jobId"))


@dataclass(frozen=True, slots=True)
class Started:
    """The agent has started a run, and does not wait for its end; it may tell no *run_id*."""

    job_id: str
    run_id: str
    message: str

    @classmethod
    def read(cls, job_id: str, found: Document) -> Started:
        """Return what the answer about *job_id* tells."""
        return cls(text(found, "jobId") or job_id, text(found, "runId"), text(found, "message"))


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The agent has read `Jobs/` again; *errors* name the files that it could not use.

    Its count of jobs is None when it does not tell.
    """

    count: int | None
    errors: tuple[str, ...]
    message: str

    @classmethod
    def read(cls, found: Document) -> Reloaded:
        """Return what the answer tells."""
        count = found.get("count")
        return cls(
            count if type(count) is int else None, texts(found, "errors"), text(found, "message")
        )


@dataclass(frozen=True, slots=True)
class Presence:
    """What the agent tells anyone, under keys that are not documented; empty when it tells none."""

    status: str
    version: str
    document: Document

    @classmethod
    def read(cls, found: Document) -> Presence:
        """Return what the answer tells."""
        return cls(text(found, "status"), text(found, "version"), found)


def text(found: Mapping[str, Any], key: str) -> str:
    """Return one text of an answer; empty when it is missing or is not text."""
    value = found.get(key)
    return value if isinstance(value, str) else ""


def texts(found: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return an array of an answer as texts; an object becomes `key value, key value`."""
    values = found.get(key)
    if values is None:
        return ()
    return tuple(_as_text(value) for value in (values if isinstance(values, list) else [values]))


def _as_text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_as_text(each)}" for key, each in value.items())
    return str(value)
