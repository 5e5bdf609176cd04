"""A live verdict is what a running agent's validator says about a job document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epm_task.admin.answers import Verdict
from epm_task.admin.errors import JobRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from epm_task.admin.client import AdminClient


def live_verdicts(admin: AdminClient, documents: Iterable[Mapping[str, object]]) -> list[Verdict]:
    """Return the verdict on each document, in order; nothing is stored.

    Raises:
        AdminError: The agent cannot be asked.
    """
    return [live_verdict(admin, document) for document in documents]


def live_verdict(admin: AdminClient, document: Mapping[str, object]) -> Verdict:
    """Return the verdict on one document; a refusal to read it at all is one too.

    Raises:
        AdminError: The agent cannot be asked.
    """
    try:
        return admin.validate_job(document)
    except JobRefused as error:
        return Verdict(valid=False, errors=error.errors, job_id=str(document.get("id", "")))
