"""A deployment puts one bundle in place step by step, or undoes what it has done."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from epm_task.admin.deploy.errors import NotTidied, RolledBack, UndoPending, WriteRefused
from epm_task.admin.deploy.journal import SETTLE, Journal
from epm_task.admin.deploy.recovery import settle, undo
from epm_task.admin.deploy.running import running_in
from epm_task.admin.errors import AdminError, JobRefused
from epm_task.admin.live import live_verdict

if TYPE_CHECKING:
    from epm_task.admin.deploy.bundle import Bundle
    from epm_task.admin.deploy.plan import Plan
    from epm_task.admin.deploy.site import Site
    from epm_task.admin.deploy.trial import Trial
    from epm_task.admin.deploy.versions import Shelf, Version


class Deployed(NamedTuple):
    """What was done for one bundle.

    Attributes:
        name: The bundle.
        number: The version that is in place now; None when nothing was to do.
        before: The version that was in place; None when nothing was.
    """

    name: str
    number: int | None
    before: int | None = None


class Deployment:
    """Puts bundles in place at one agent; its workshop is held meanwhile.

    Args:
        site: The agent.
        trial: How the new jobs are tried; None tries none.
        keep: How many versions are kept beside the current one.
    """

    def __init__(self, site: Site, *, trial: Trial | None = None, keep: int = 3) -> None:
        self._site = site
        self._trial = trial
        self._keep = keep

    def apply(self, plan: Plan) -> Deployed:
        """Do what the plan says; without a change nothing is done.

        Raises:
            AdminError: It was not done; either nothing was changed, or it was undone. When undoing
                failed too, it is an `UndoPending`.
        """
        name = plan.bundle.name
        if not plan.changes:
            return Deployed(name, None)
        if self._trial:
            self._trial.check(plan.bundle)
        self._warn_of_runs(plan)
        shelf = self._site.workshop.shelf(name)
        try:
            before = _remembered(shelf, plan.present)
            known = shelf.find(plan.bundle)
        except OSError as error:
            raise WriteRefused(error, self._site.workshop.folder) from error
        journal = Journal(
            name,
            before.number if before else None,
            known.number if known else shelf.next_number(),
            known is None,
            self._keep,
            *plan.gone,
        )
        _Steps(self._site, self._trial, journal).take(plan.bundle)
        return Deployed(name, journal.after, journal.before)

    def _warn_of_runs(self, plan: Plan) -> None:
        for change in plan.changes:
            if change.kind == "program" and change.action != "add":
                for pid in running_in(self._site.workshop.place(change.name)):
                    self._site.say(
                        f"note: process {pid} runs {change.name} now; what it has not loaded yet "
                        "it will find in the new version"
                    )


class _Steps:
    """The steps of one bundle, in the order that works."""

    def __init__(self, site: Site, trial: Trial | None, journal: Journal) -> None:
        self._site = site
        self._trial = trial
        self._journal = journal
        self._shelf = site.workshop.shelf(journal.name)

    def take(self, bundle: Bundle) -> None:
        try:
            self._take(bundle)
        except BaseException as error:  # noqa: BLE001  # Ctrl-C is undone too; it is raised again
            self._give_up(error)
        try:
            settle(self._site, self._journal)
        except (AdminError, OSError) as error:
            raise NotTidied(self._journal.name, self._journal.after, error) from error
        self._site.say(f"{self._journal.name}: version {self._journal.after} is in place")

    def _take(self, bundle: Bundle) -> None:
        site = self._site
        version = self._kept(bundle)
        self._begin("stage", "copy the programs beside their places, and verify them")
        for program in version.bundle.programs.values():
            site.workshop.stage(program)
        self._begin("swap", "swap the programs")
        site.put_programs(version.bundle)
        self._begin("validate", "ask the agent for its verdict")
        for document in version.bundle.jobs.values():
            verdict = live_verdict(site.admin, document)
            if not verdict.valid:
                raise JobRefused(f"job {document['id']}", verdict.errors)
        self._begin("register", "register the jobs")
        site.put_jobs(version.bundle)
        if self._trial:
            self._begin("trigger", "try the jobs")
            self._trial.run(site, version.bundle)
        self._begin(SETTLE, "tidy up")

    def _kept(self, bundle: Bundle) -> Version:
        self._begin("save", f"version {self._journal.after} is to come")
        if not self._journal.fresh:
            return self._shelf.get(self._journal.after)
        return self._shelf.save(bundle, self._journal.after, "deployed")

    def _begin(self, step: str, words: str) -> None:
        self._journal = self._journal.begin(step, self._site.workshop.journal)
        self._site.say(f"{self._journal.name}: {words}")

    def _give_up(self, error: BaseException) -> None:
        cause: BaseException = error
        if isinstance(error, OSError):
            cause = WriteRefused(error, self._site.workshop.folder)
        try:
            as_before = undo(self._site, self._journal)
        except (AdminError, OSError) as why:
            raise UndoPending(cause, why) from error
        if not self._journal.in_place:
            raise cause from error
        raise RolledBack(cause, as_before) from error


def _remembered(shelf: Shelf, present: Bundle) -> Version | None:
    """Return the version that is in place; it is kept now unless it was kept before."""
    programs = {name: program.tidied() for name, program in present.programs.items()}
    if not programs and not present.jobs:
        return None
    bundle = present._replace(programs=programs)
    return shelf.find(bundle) or shelf.save(bundle, shelf.next_number(), "found")
