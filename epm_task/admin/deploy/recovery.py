"""Recovery brings an apply to an end that was begun: it undoes it, or finishes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epm_task.admin.deploy.bundle import Bundle
from epm_task.admin.deploy.errors import RecoveryPending, WriteRefused
from epm_task.admin.deploy.journal import SETTLE, read_journal, remove_journal
from epm_task.admin.errors import AdminError

if TYPE_CHECKING:
    from epm_task.admin.deploy.journal import Journal
    from epm_task.admin.deploy.site import Site


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
