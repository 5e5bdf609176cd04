"""A site is one agent as a deployment sees it: its folder together with its API."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from epm_task.admin.apply import apply_job, same_document
from epm_task.admin.deploy.copying import remove_tree
from epm_task.admin.deploy.plan import present_job
from epm_task.admin.deploy.program import read_installed
from epm_task.admin.deploy.swap import put_in_place, take_away

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from epm_task.admin.client import AdminClient
    from epm_task.admin.deploy.bundle import Bundle
    from epm_task.admin.deploy.workshop import Workshop


class Site(NamedTuple):
    """One agent.

    Attributes:
        workshop: Its folder.
        admin: Its API.
        say: Is told each step, in one line.
    """

    workshop: Workshop
    admin: AdminClient
    say: Callable[[str], None]

    def put_programs(self, bundle: Bundle) -> None:
        """Put each program in its place that is not there already.

        Raises:
            AdminError: A program is in use, or was changed.
            OSError: The operating system refuses.
        """
        for command, program in bundle.programs.items():
            place = self.workshop.place(command)
            present = read_installed(place)
            if present is None or present.files != program.files:
                put_in_place(self.workshop.stage(program), place)

    def put_jobs(self, bundle: Bundle) -> None:
        """Make the agent have each job of the bundle.

        Raises:
            AdminError: The agent refuses one, or cannot be asked.
        """
        for document in bundle.jobs.values():
            for warning in apply_job(self.admin, document).warnings:
                self.say(f"warning of the agent: {warning}")

    def remove_jobs(self, bundle: Bundle, job_ids: Iterable[str]) -> None:
        """Delete jobs of the bundle, unless somebody has changed them since.

        Raises:
            AdminError: The agent cannot be asked.
        """
        for job_id in job_ids:
            present = present_job(self.admin, job_id)
            if present is not None and same_document(present, bundle.jobs[job_id]):
                self.admin.delete_job(job_id)

    def remove_programs(self, bundle: Bundle, commands: Iterable[str]) -> None:
        """Take programs of the bundle away, unless somebody has changed them since.

        Raises:
            OSError: The operating system refuses.
        """
        for command in commands:
            place = self.workshop.place(command)
            present = read_installed(place)
            if present and present.tidied().files == bundle.programs[command].files:
                staged = self.workshop.staging / command
                remove_tree(staged)
                take_away(place, staged)
