"""An earlier version is one that can be put in place again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epm_task.admin.deploy.errors import NoVersion

if TYPE_CHECKING:
    from epm_task.admin.deploy.versions import Shelf, Version
    from epm_task.admin.deploy.workshop import Workshop


def shelf_of(workshop: Workshop, job_id: str | None) -> Shelf:
    """Return the versions of the bundle to which a job belongs now.

    Args:
        workshop: Where versions are kept.
        job_id: The job; None when there is one bundle only.

    Raises:
        NoVersion: The job was never deployed from here, or it has to be named.
    """
    shelves = [shelf for shelf in workshop.shelves() if shelf.current is not None]
    if job_id is None and len(shelves) == 1:
        return shelves[0]
    for shelf in shelves:
        if job_id is not None and job_id in shelf.names(shelf.current or 0)[1]:
            return shelf
    known = ", ".join(shelf.name for shelf in shelves)
    if not known:
        raise NoVersion(f"nothing was deployed to {workshop.root.path} with `epm-task deploy` yet")
    if job_id is None:
        raise NoVersion(f"there are versions of several jobs; name one of: {known}")
    raise NoVersion(f"job {job_id} was not deployed with `epm-task deploy`; there are: {known}")


def earlier_version(shelf: Shelf, number: int | None) -> Version:
    """Return the version of this number; without one, that before the current one.

    Raises:
        NoVersion: There is none.
    """
    wanted = shelf.previous if number is None else number
    if wanted is None:
        raise NoVersion(
            f"{shelf.name} has no version before number {shelf.current}, so there is nothing to go "
            "back to; `epm-task deploy status` lists the versions"
        )
    return shelf.get(wanted)
