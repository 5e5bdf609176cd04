"""A journal is the note of what is under way, so that a crash can be finished or undone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from epm_task.admin.deploy.errors import NoVersion
from epm_task.contract.json_text import read_object
from epm_task.files import remove_durably, write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: From this step on the new version is accepted, and only tidying is left.
SETTLE: Final = "settle"
_VERSION: Final = 1


class Journal(NamedTuple):
    """What is under way.

    Attributes:
        name: The bundle.
        before: Number of the version that was in place; None when nothing was.
        after: Number of the version that is to be in place.
        fresh: Whether `after` was kept for this very apply, and goes away when it fails.
        keep: How many versions are kept beside the current one.
        gone_programs: What `before` has, and is removed at the end.
        gone_jobs: The same.
        step: `save`, `stage`, `swap`, `validate`, `register`, `trigger` or `settle`; it was begun.
    """

    name: str
    before: int | None
    after: int
    fresh: bool
    keep: int
    gone_programs: Sequence[str]
    gone_jobs: Sequence[str]
    step: str = "save"

    @property
    def in_place(self) -> bool:
        """Whether something in `Jobs` or at the agent may have been changed."""
        return self.step not in {"save", "stage"}

    @property
    def registered(self) -> bool:
        """Whether the agent may have been told to change a job."""
        return self.step in {"register", "trigger", SETTLE}

    def begin(self, step: str, path: Path) -> Journal:
        """Note that a step begins; the note survives a kill at any instant.

        Raises:
            OSError: It cannot be written; the note of the step before is still there.
        """
        begun = self._replace(step=step)
        note = {"journal": _VERSION, **begun._asdict()}
        write_atomically(path, f"{json.dumps(note, indent=2)}\n".encode())
        return begun


def read_journal(path: Path) -> Journal | None:
    """Return what is noted, None when nothing is under way.

    Raises:
        NoVersion: The file is there, and is no note of this package.
    """
    if not path.exists():
        return None
    try:
        return _journal(read_object(path))
    except (ValueError, TypeError) as error:
        raise NoVersion(
            f"{path} cannot be read ({error}); compare `epm-task deploy status` and `plan` with "
            "what is in place, then remove it"
        ) from None


def _journal(note: dict[str, Any]) -> Journal:
    if note.pop("journal", None) != _VERSION:
        raise ValueError("it is of another version of epm-task")
    return Journal(**note)


def remove_journal(path: Path) -> None:
    """Note that nothing is under way any more.

    Raises:
        OSError: The file cannot be removed.
    """
    remove_durably(path)
