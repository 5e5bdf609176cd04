"""Note on disk which step of an apply is under way, so that a crash can be finished or undone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from epm_task.admin.deploy.places import read_document, write_document
from epm_task.admin.errors import NoVersion
from epm_task.contract.client_id import JOB_ID_PATTERN
from epm_task.contract.fields import FILE_NAME, check_fields, choice, flag, list_of, text, whole
from epm_task.contract.json_text import BadJson, parse_object

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: In the order in which they are taken.
Step: TypeAlias = Literal["save", "stage", "swap", "validate", "register", "trigger", "settle"]
STEPS: Final[tuple[Step, ...]] = get_args(Step)
#: Of the format; a file of another number is not guessed at.
_VERSION: Final = 1
_FIELDS: Final = {
    "journal": choice(_VERSION),
    "name": text(JOB_ID_PATTERN, "a job id"),
    "before": whole(1).or_null(),
    "after": whole(1),
    "fresh": flag(),
    "keep": whole(),
    "gone_programs": list_of(text(FILE_NAME, "a file name")),
    "gone_jobs": list_of(text(JOB_ID_PATTERN, "a job id")),
    "step": choice(*STEPS),
}


@dataclass(slots=True)
class Journal:
    """What is under way: from version *before*, None when nothing was in place, to *after*.

    A *fresh* version was kept for this very apply, and goes away when it fails. What *before* has
    and *after* has not is removed at the end.
    """

    name: str
    before: int | None
    after: int
    fresh: bool
    keep: int
    gone_programs: Sequence[str]
    gone_jobs: Sequence[str]
    step: Step = "save"

    @property
    def in_place(self) -> bool:
        """Whether something in `Jobs` or at the agent may have been changed."""
        return self.step not in {"save", "stage"}

    @property
    def registered(self) -> bool:
        """Whether the agent may have been told to change a job."""
        return self.step in {"register", "trigger", "settle"}

    @property
    def accepted(self) -> bool:
        """Whether the new version stays, and only tidying is left."""
        return self.step == "settle"

    def begin(self, step: Step, path: Path) -> None:
        """Note in the file *path* that a step begins; the note survives a kill at any instant.

        Raises:
            OSError: It cannot be written; the note of the step before is still there.
        """
        note = {"journal": _VERSION, **asdict(self), "step": step}
        write_document(path, note)
        self.step = step


def read_journal(path: Path) -> Journal | None:
    """Return what is noted, None when nothing is under way.

    Raises:
        NoVersion: The file is there, and this package has not written it.
    """
    try:
        note = parse_object(read_document(path))
        if note.get("journal", _VERSION) == _VERSION:
            check_fields(note, _FIELDS)
            del note["journal"]
            return Journal(**note)
        why = "it is of another version of epm-task"
    except FileNotFoundError:
        return None
    except BadJson as error:
        why = str(error)
    raise NoVersion(
        f"{path} cannot be used",
        why,
        "compare `epm-task deploy status` and `plan` with what is in place, then remove it",
    )
