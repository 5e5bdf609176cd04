"""Put a bundle in place step by step; undo it when a step fails, also after a crash."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from epm_task.admin.client import apply_job, live_verdict, same_document
from epm_task.admin.deploy.bundle import Bundle
from epm_task.admin.deploy.journal import STEPS, Journal, read_journal
from epm_task.admin.deploy.places import remove_document
from epm_task.admin.deploy.program import running_in
from epm_task.admin.errors import (
    AdminError,
    JobRefused,
    NotTidied,
    RecoveryPending,
    RolledBack,
    RunFailed,
    UndoPending,
    WriteRefused,
    WrongUse,
)
from epm_task.admin.follow import Follower, LogRecords
from epm_task.contract.names import allowed_systems, os_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from epm_task.admin.client import AdminClient
    from epm_task.admin.deploy.deploy_root import DeployRoot
    from epm_task.admin.deploy.journal import Step
    from epm_task.admin.deploy.plan import Plan
    from epm_task.admin.deploy.versions import Version, VersionStore
    from epm_task.contract.run_history import EndedRun


class Target(NamedTuple):
    """The agent to deploy to: its folder, its API, and who is told each step in one line.

    *tell* is told, too, how many steps are done, of how many, and of what.
    """

    root: DeployRoot
    admin: AdminClient
    say: Callable[[str], None]
    tell: Callable[[int, int, str], None] = lambda _done, _total, _text: None


class Deployed(NamedTuple):
    """The version of a bundle that is in place now, None when nothing was to do, and the former."""

    name: str
    number: int | None
    before: int | None = None


_LEAVE_OUT: Final = "leave out --trigger"


class Trial(NamedTuple):
    """How long a first run of each job may take, and who is shown its records."""

    seconds: float
    show: Callable[[dict[str, Any]], None]

    def check(self, bundle: Bundle) -> None:
        """Refuse before anything is changed when a job could not be run.

        Raises:
            WrongUse: A job is disabled, or its osFilter excludes this system.
        """
        for job_id, document in bundle.jobs.items():
            if document.get("enabled", True) is False:
                raise WrongUse(f"job {job_id} is disabled, so it cannot run", fix=_LEAVE_OUT)
            if os_name() not in allowed_systems(document):
                raise WrongUse(f"the osFilter of job {job_id} excludes {os_name()}", fix=_LEAVE_OUT)

    def run(self, target: Target, bundle: Bundle) -> None:
        """Run each job once and wait for its end.

        Raises:
            RunFailed: A run ended with another code than 0, or its end was not seen.
            AdminError: The agent refuses to start one, or cannot be asked.
            OSError: The history of runs cannot be read.
        """
        agent = target.root.agent
        for job_id in bundle.jobs:
            target.say(f"{job_id}: run it and wait for its end")
            records = LogRecords(agent.all_logs(), job_id)
            with closing(Follower(records, agent.run_history, self.show)) as follower:
                started = target.admin.trigger_job(job_id, {})
                ended = follower.follow(job_id, started.run_id, self.seconds)
            if ended is None:
                raise RunFailed(
                    f"the end of the run of {job_id} was not seen in {self.seconds:g} s",
                    f"{agent.run_history} tells of none",
                    "give more --timeout, or leave out --trigger with an agent that writes no such "
                    "file",
                )
            if ended.exit_code or ended.skipped:
                for line in ended.last_words():
                    target.say(line)
                raise _failure(job_id, ended)
            target.say(f"{job_id}: ended in {ended.seconds:.2f} s with exit code 0")


def _failure(job_id: str, ended: EndedRun) -> RunFailed:
    if ended.skipped:
        what = f"the run of {job_id} was skipped by the agent"
        return RunFailed(what, ended.skipped, _LEAVE_OUT)
    what = f"the run of {job_id} ended with exit code {ended.end}"
    return RunFailed(what, ended.problem, "read its records above, and correct the task")


def apply_plan(
    target: Target, plan: Plan, *, trial: Trial | None = None, keep: int = 3
) -> Deployed:
    """Do what the plan says, and keep some versions beside the current one; the root is held.

    Raises:
        AdminError: It was not done; either nothing was changed, or it was undone. When undoing
            failed too, it is an `UndoPending`.
    """
    name = plan.bundle.name
    if not plan.changes:
        return Deployed(name, None)
    if trial:
        trial.check(plan.bundle)
    _tell_of_runs(target, plan)
    store = target.root.store(name)
    try:
        before = _keep_present(store, plan.present)
        known = store.find(plan.bundle)
    except OSError as error:
        raise WriteRefused(error, target.root.folder) from error
    journal = Journal(
        name,
        before.number if before else None,
        known.number if known else store.next_number(),
        known is None,
        keep,
        *plan.gone,
    )
    try:
        _take_steps(target, journal, plan.bundle, trial)
    except BaseException as error:  # noqa: BLE001  # Ctrl-C is undone too; it is raised again
        _give_up(target, journal, error)
    try:
        settle(target, journal)
    except (AdminError, OSError) as error:
        raise NotTidied(name, journal.after, error) from error
    target.tell(len(STEPS), len(STEPS), f"deploying {name}")
    target.say(f"{name}: version {journal.after} is in place")
    return Deployed(name, journal.after, journal.before)


def _tell_of_runs(target: Target, plan: Plan) -> None:
    for change in plan.changes:
        if change.kind == "program" and change.action != "add":
            for pid in running_in(target.root.place(change.name)):
                target.say(
                    f"note: process {pid} runs {change.name} now; what it has not loaded yet it "
                    "will find in the new version"
                )


def _keep_present(store: VersionStore, present: Bundle) -> Version | None:
    """Return the version that is in place; it is kept now unless it was kept before."""
    programs = {name: program.tidied() for name, program in present.programs.items()}
    if not programs and not present.jobs:
        return None
    bundle = present._replace(programs=programs)
    return store.find(bundle) or store.save(bundle, store.next_number(), "found")


def _take_steps(target: Target, journal: Journal, bundle: Bundle, trial: Trial | None) -> None:
    """Take the steps in the order that works; each is noted in the journal before it begins."""

    def begin(step: Step, what: str) -> None:
        """Note a step in the journal, and tell of it."""
        journal.begin(step, target.root.journal)
        target.say(f"{journal.name}: {what}")
        target.tell(STEPS.index(step), len(STEPS), f"deploying {journal.name}")

    store = target.root.store(journal.name)
    begin("save", f"version {journal.after} is to come")
    version = (
        store.save(bundle, journal.after, "deployed") if journal.fresh else store.get(journal.after)
    )
    begin("stage", "copy the programs beside their places, and verify them")
    for program in version.bundle.programs.values():
        target.root.stage(program)
    begin("swap", "swap the programs")
    target.root.put_programs(version.bundle)
    begin("validate", "ask the agent for its verdict")
    for document in version.bundle.jobs.values():
        verdict = live_verdict(target.admin, document)
        if not verdict.valid:
            raise JobRefused(f"job {document['id']}", verdict.errors)
    begin("register", "register the jobs")
    _put_jobs(target, version.bundle)
    if trial:
        begin("trigger", "try the jobs")
        trial.run(target, version.bundle)
    begin("settle", "tidy up")


def _put_jobs(target: Target, bundle: Bundle) -> None:
    for document in bundle.jobs.values():
        for warning in apply_job(target.admin, document).warnings:
            target.say(f"warning of the agent: {warning}")


def _remove_jobs(target: Target, bundle: Bundle, job_ids: Iterable[str]) -> None:
    """Delete jobs of the bundle, unless somebody has changed them since."""
    for job_id in job_ids:
        present = target.admin.find_job(job_id)
        if present is not None and same_document(present, bundle.jobs[job_id]):
            target.admin.delete_job(job_id)


def _give_up(target: Target, journal: Journal, error: BaseException) -> None:
    """Undo what was done, and raise what says so."""
    cause = WriteRefused(error, target.root.folder) if isinstance(error, OSError) else error
    try:
        as_before = undo(target, journal)
    except (AdminError, OSError) as why:
        raise UndoPending(cause, why) from error
    if not journal.in_place:
        raise cause from error
    raise RolledBack(cause, as_before) from error


def recover(target: Target) -> str:
    """Undo or finish what the journal tells of; return what was done, empty when there was nothing.

    Raises:
        AdminError: That is not possible now; the journal stays.
    """
    journal = read_journal(target.root.journal)
    if journal is None:
        return ""
    name, step = journal.name, journal.step
    try:
        if journal.accepted:
            settle(target, journal)
            return f"an apply of {name} had been accepted and then interrupted; it is finished now"
        as_before = undo(target, journal)
    except OSError as error:
        raise WriteRefused(error, target.root.folder) from error
    except AdminError as error:
        raise RecoveryPending(name, step, error) from error
    return f"an apply of {name} was interrupted in its step {step!r} and is undone: {as_before}"


def undo(target: Target, journal: Journal) -> str:
    """Put back what was in place before, and return what that is, for people.

    It can be repeated: what is as before already is left alone.

    Raises:
        AdminError: The agent cannot be asked, or the old version is damaged.
        OSError: The operating system refuses.
    """
    store = target.root.store(journal.name)
    if journal.in_place and journal.after in store.numbers():  # else it was undone to its end
        nothing = Bundle(journal.name, {}, {})
        before = nothing if journal.before is None else store.get(journal.before).bundle
        after = store.get(journal.after).bundle
        target.root.put_programs(before)
        if journal.registered:
            _put_jobs(target, before)
            _remove_jobs(target, after, sorted(after.jobs.keys() - before.jobs.keys()))
        target.root.remove_programs(after, sorted(after.programs.keys() - before.programs.keys()))
    target.root.clear_staging()
    if journal.fresh:
        store.remove(journal.after)
    remove_document(target.root.journal)
    if journal.before is None:
        return f"nothing of {journal.name} is in place as before"
    return f"version {journal.before} of {journal.name} is in place as before"


def settle(target: Target, journal: Journal) -> None:
    """Finish an apply that was accepted: remove what nobody needs, and point to the new version.

    Raises:
        AdminError: The agent cannot be asked.
        OSError: The operating system refuses.
    """
    store = target.root.store(journal.name)
    if journal.before in store.numbers() and (journal.gone_jobs or journal.gone_programs):
        before = store.get(journal.before).bundle
        _remove_jobs(target, before, journal.gone_jobs)
        target.root.remove_programs(before, journal.gone_programs)
    same = journal.before == journal.after  # when only rights were put right
    store.point_to(journal.after, store.previous if same else journal.before)
    store.prune(journal.keep)
    target.root.clear_staging()
    remove_document(target.root.journal)
