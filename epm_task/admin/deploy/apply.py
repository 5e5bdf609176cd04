"""A deployment puts one bundle in place step by step, or undoes what it has done."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from epm_task.admin.client import live_verdict
from epm_task.admin.deploy.bundle import Bundle
from epm_task.admin.deploy.errors import (
    NotTidied,
    RecoveryPending,
    RolledBack,
    UndoPending,
    WriteRefused,
)
from epm_task.admin.deploy.journal import SETTLE, Journal, read_journal, remove_journal
from epm_task.admin.deploy.program import running_in
from epm_task.admin.errors import AdminError, JobRefused

if TYPE_CHECKING:
    from epm_task.admin.deploy.plan import Plan
    from epm_task.admin.deploy.target import Site
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


def recover(site: Site) -> str:
    """Undo or finish what the journal tells of; return what was done, empty when there was nothing.

    Raises:
        AdminError: That is not possible now; the journal stays.
    """
    journal = read_journal(site.workshop.journal)
    if journal is None:
        return ""
    name, step = journal.name, journal.step
    try:
        if step == SETTLE:
            settle(site, journal)
            return f"an apply of {name} had been accepted and then interrupted; it is finished now"
        as_before = undo(site, journal)
    except OSError as error:
        raise WriteRefused(error, site.workshop.folder) from error
    except AdminError as error:
        raise RecoveryPending(name, step, error) from error
    return f"an apply of {name} was interrupted in its step {step!r} and is undone: {as_before}"


def undo(site: Site, journal: Journal) -> str:
    """Put back what was in place before, and return what that is, in words.

    It can be repeated: what is as before already is left alone.

    Raises:
        AdminError: The agent cannot be asked, or the old version is damaged.
        OSError: The operating system refuses.
    """
    shelf = site.workshop.shelf(journal.name)
    if journal.in_place and journal.after in shelf.numbers():  # else it was undone to its end
        before = shelf.get(journal.before).bundle if journal.before is not None else None
        _put_back(site, before or _nothing(journal.name), shelf.get(journal.after).bundle, journal)
    site.workshop.clear_staging()
    if journal.fresh:
        shelf.remove(journal.after)
    remove_journal(site.workshop.journal)
    if journal.before is None:
        return f"nothing of {journal.name} is in place, as before"
    return f"version {journal.before} of {journal.name} is in place, as before"


def _put_back(site: Site, before: Bundle, after: Bundle, journal: Journal) -> None:
    site.put_programs(before)
    if journal.registered:
        site.put_jobs(before)
        site.remove_jobs(after, sorted(after.jobs.keys() - before.jobs.keys()))
    site.remove_programs(after, sorted(after.programs.keys() - before.programs.keys()))


def _nothing(name: str) -> Bundle:
    return Bundle(name, {}, {})


def settle(site: Site, journal: Journal) -> None:
    """Finish an apply that was accepted: remove what nobody needs, and point to the new version.

    Raises:
        AdminError: The agent cannot be asked.
        OSError: The operating system refuses.
    """
    shelf = site.workshop.shelf(journal.name)
    if journal.before in shelf.numbers() and (journal.gone_jobs or journal.gone_programs):
        before = shelf.get(journal.before).bundle
        site.remove_jobs(before, journal.gone_jobs)
        site.remove_programs(before, journal.gone_programs)
    same = journal.before == journal.after  # when only rights were put right
    shelf.point_to(journal.after, shelf.previous if same else journal.before)
    shelf.prune(journal.keep)
    site.workshop.clear_staging()
    remove_journal(site.workshop.journal)
