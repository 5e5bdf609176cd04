"""The job must be at the agent, enabled, meant for this system, and equal to the code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from epm_task.admin.agent_root import read_json
from epm_task.admin.apply import same_document
from epm_task.admin.doctor.finding import Finding, fault, note, of_error, ok, unknown
from epm_task.admin.errors import AdminError, CredentialRefused, UnknownJob
from epm_task.job.merge import merge
from epm_task.job.os_filter import allowed_systems, os_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.admin.answers import Document
    from epm_task.admin.doctor.case import Case

_NAME: Final = "job"
#: More differences than these do not help to see the first.
_SHOWN: Final = 5


def check_job(case: Case) -> Iterator[Finding]:
    """Find the document at the agent, else in its folder, and look at it."""
    if case.job_id is None:
        return
    found = _ask_agent(case) or _look_into_folder(case)
    if isinstance(found, Finding):
        yield found
        return
    case.document = found
    if found.get("enabled", True) is False:
        yield fault(
            _NAME,
            f"{case.job_id} is disabled: neither schedule nor trigger starts it",
            'set "enabled": true and apply the document',
        )
    elif os_name() not in allowed_systems(found):
        yield note(_NAME, f"the osFilter of {case.job_id} excludes this system, {os_name()}")
    else:
        yield ok(_NAME, f"{case.job_id} is there and enabled")


def check_drift(case: Case) -> Iterator[Finding]:
    """Compare the document with the one that the code makes; what people added is no drift."""
    if case.built is None or case.document is None:
        return
    wanted = merge(case.document, case.built)
    if same_document(wanted, case.document):
        yield ok("drift", "the agent's document says what the code says")
        return
    places = list(differences(case.document, wanted))
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    yield fault(
        "drift",
        f"the agent's document is not what the code makes: {', '.join(places[:_SHOWN])}{more}",
        "epm-task job FILE -o FILE.json, then epm-task jobs apply FILE.json",
    )


def differences(one: Any, other: Any, pointer: str = "") -> Iterator[str]:
    """Yield the JSON pointers at which two values differ, with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            yield from differences(one.get(key), other.get(key), f"{pointer}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{pointer}/{index}")
    elif json.dumps(one) != json.dumps(other):
        yield f"{pointer} is {_short(one)}, in the code {_short(other)}"


def _ask_agent(case: Case) -> Document | Finding | None:
    """Return the document, what is wrong, or None when the folder must tell."""
    if not case.answers or case.settings.credential.certificate is None:
        return None
    try:
        with case.client(certified=True) as client:
            return client.get_job(case.job_id or "")
    except UnknownJob:
        return fault(
            _NAME,
            f"the agent has no job {case.job_id}",
            f"epm-task jobs apply {case.job_id}.json; an id must match exactly",
        )
    except CredentialRefused:  # check_admin_tier has told it
        return None
    except AdminError as error:
        return of_error(_NAME, error)


def _look_into_folder(case: Case) -> Document | Finding:
    if case.root is None:
        return unknown(
            _NAME,
            f"nobody can be asked about {case.job_id}",
            "give a client certificate, or --agent-root",
        )
    file = case.root.jobs / f"{case.job_id}.json"
    if not file.exists():
        return fault(
            _NAME, f"there is no {file}", f"epm-task jobs apply {case.job_id}.json registers it"
        )
    try:
        return read_json(file)
    except ValueError as error:
        return fault(_NAME, f"{file}: {error}", "write it anew: epm-task job FILE -o")


def _short(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
