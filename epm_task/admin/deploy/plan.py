"""A plan is what deploying one bundle would change; making it only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from epm_task.admin.deploy.bundle import Bundle, commands_of
from epm_task.admin.deploy.change import Change, job_change, program_change
from epm_task.admin.deploy.errors import WriteRefused
from epm_task.admin.deploy.program import read_installed
from epm_task.admin.errors import UnknownJob

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from epm_task.admin.client import AdminClient
    from epm_task.admin.deploy.workshop import Workshop


class Plan(NamedTuple):
    """What is to be done for one bundle.

    Attributes:
        bundle: What is to be in place.
        present: What is in place of that, and of what goes away.
        changes: The difference; empty when there is nothing to do.
    """

    bundle: Bundle
    present: Bundle
    changes: tuple[Change, ...]

    @property
    def gone(self) -> tuple[list[str], list[str]]:
        """The commands and the ids that are removed."""
        programs = self.present.programs.keys() - self.bundle.programs.keys()
        jobs = self.present.jobs.keys() - self.bundle.jobs.keys()
        return sorted(programs), sorted(jobs)


def make_plans(workshop: Workshop, admin: AdminClient, bundles: Sequence[Bundle]) -> list[Plan]:
    """Return a plan for each bundle.

    What the current version of a bundle has, and no bundle has any more, is to be removed.

    Raises:
        AdminError: The agent cannot be asked, or a program's place cannot be read.
    """
    commands = {command for bundle in bundles for command in bundle.programs}
    job_ids = {job_id for bundle in bundles for job_id in bundle.jobs}
    plans = []
    for bundle in bundles:
        stale = _stale(workshop, admin, bundle, commands, job_ids)
        plans.append(_plan(bundle, _present(workshop, admin, bundle, *stale)))
    return plans


def count(plans: Iterable[Plan]) -> dict[str, int]:
    """Return how many programs and jobs are to be added, changed and removed."""
    actions = [change.action for plan in plans for change in plan.changes]
    return {action: actions.count(action) for action in ("add", "change", "remove")}


def _plan(bundle: Bundle, present: Bundle) -> Plan:
    programs = [
        program_change(name, present.programs.get(name), bundle.programs.get(name))
        for name in sorted(bundle.programs.keys() | present.programs.keys())
    ]
    jobs = [
        job_change(job_id, present.jobs.get(job_id), bundle.jobs.get(job_id))
        for job_id in sorted(bundle.jobs.keys() | present.jobs.keys())
    ]
    return Plan(bundle, present, tuple(change for change in (*programs, *jobs) if change))


def _stale(
    workshop: Workshop, admin: AdminClient, bundle: Bundle, commands: set[str], job_ids: set[str]
) -> tuple[set[str], set[str]]:
    """Return the commands and ids that only the current version of the bundle has."""
    shelf = workshop.shelf(bundle.name)
    old_commands, old_ids = shelf.names(shelf.current) if shelf.current else (set(), set())
    stale_commands, stale_ids = old_commands - commands, old_ids - job_ids
    if stale_commands:
        others = [job for job in admin.list_jobs().jobs if job.get("id") not in old_ids | job_ids]
        stale_commands -= {command for job in others for command in commands_of(job)}
    return stale_commands, stale_ids


def _present(
    workshop: Workshop,
    admin: AdminClient,
    bundle: Bundle,
    stale_commands: set[str],
    stale_ids: set[str],
) -> Bundle:
    try:
        programs = {
            command: program
            for command in sorted(bundle.programs.keys() | stale_commands)
            if (program := read_installed(workshop.place(command)))
        }
    except OSError as error:
        raise WriteRefused(error, workshop.root.jobs_bin) from error
    jobs = {
        job_id: document
        for job_id in sorted(bundle.jobs.keys() | stale_ids)
        if (document := present_job(admin, job_id)) is not None
    }
    return Bundle(bundle.name, programs, jobs)


def present_job(admin: AdminClient, job_id: str) -> dict[str, Any] | None:
    """Return the job as the agent has it, None when it has none of this id.

    Raises:
        AdminError: The agent cannot be asked.
    """
    try:
        return admin.get_job(job_id)
    except UnknownJob:
        return None
