"""Applying a document makes the agent have exactly this job, and says what that took."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from epm_task.admin.errors import UnknownJob

if TYPE_CHECKING:
    from collections.abc import Mapping

    from epm_task.admin.client import AdminClient

Change: TypeAlias = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done for one document.

    Attributes:
        job_id: The job.
        change: What became of it.
        warnings: What the agent took, and doubts.
    """

    job_id: str
    change: Change
    warnings: tuple[str, ...] = ()


def apply_job(admin: AdminClient, document: Mapping[str, Any], *, dry_run: bool = False) -> Applied:
    """Create or replace the job, unless the agent has the same document already.

    Args:
        admin: The agent's client.
        document: The job; its `id` names it.
        dry_run: Only say what would be done.

    Raises:
        AdminError: The agent refuses the document, or cannot be asked.
    """
    job_id = str(document.get("id", ""))
    change = planned_change(admin, document)
    if change == "unchanged" or dry_run:
        return Applied(job_id, change)
    return Applied(job_id, change, admin.save_job(document).warnings)


def planned_change(admin: AdminClient, document: Mapping[str, Any]) -> Change:
    """Return what applying the document would do.

    Raises:
        AdminError: The agent cannot be asked.
    """
    try:
        present = admin.get_job(str(document.get("id", "")))
    except UnknownJob:
        return "created"
    return "unchanged" if same_document(present, document) else "updated"


def same_document(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two documents are the same JSON; the order of the fields does not count."""
    # As text, because Python takes True for 1 and 1.0 for 1.
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
