"""Hold what is examined, and what a check has found."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from epm_task.admin.client import AdminClient
from epm_task.admin.credential import Credential
from epm_task.contract.json_text import read_object

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.admin.answers import Document
    from epm_task.admin.settings import AdminSettings
    from epm_task.contract.layout import AgentRoot


class State(StrEnum):
    """How a finding is meant; what was not seen is never `ok`."""

    #: Seen, and as it must be.
    OK = "ok"
    #: Seen, and no cause of a failure by itself.
    WARNING = "warning"
    #: Seen, and the cause of a failure.
    PROBLEM = "problem"
    #: Not seen: not visible from outside, closed to this user, or not given.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has seen: why that is, and what to do, may be empty."""

    check: str
    state: State
    what: str
    why: str = ""
    fix: str = ""


def ok(check: str, what: str, why: str = "", *, fix: str = "") -> Finding:
    """Return a finding that all is as it must be; its fix is for who wants it otherwise."""
    return Finding(check, State.OK, what, why, fix)


def problem(check: str, what: str, why: str = "", *, fix: str) -> Finding:
    """Return the finding of a cause."""
    return Finding(check, State.PROBLEM, what, why, fix)


def warning(check: str, what: str, why: str = "", *, fix: str = "") -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(check, State.WARNING, what, why, fix)


def unknown(check: str, what: str, why: str = "", *, fix: str = "") -> Finding:
    """Return the finding that something cannot be known; its fix says what would help."""
    return Finding(check, State.UNKNOWN, what, why, fix)


def is_there(path: Path) -> bool:
    """Return whether there is something at *path*; `Path.exists` may say no when it cannot see.

    Raises:
        OSError: This user may not look there.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError as error:
        # EINVAL: Windows has no such names.
        if error.errno in {errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}:
            return False
        raise
    return True


def read_there(path: Path) -> Document | None:
    """Return the JSON object in a file, None when the file is absent.

    Raises:
        BadJson: It holds no JSON object, or must not be read.
        OSError: This user may not read it.
    """
    if not is_there(path):
        return None
    if path.is_file():
        path.open("rb").close()
    return read_object(path)


@dataclass(slots=True)
class Setup:
    """What is examined: one agent, and the job in question; what is not known or given is None.

    The code makes *built*; the agent, or its folder, has *document*. `appsettings.json` may decide
    the base URL. With *listening* somebody holds the port who may be the agent, and *pid* is that
    process, if this user may see it.
    """

    settings: AdminSettings
    root: AgentRoot | None = None
    job_id: str | None = None
    built: Document | None = None
    plugins: tuple[str, ...] = ()
    broker: tuple[str, int] | None = None
    base_url: str = field(init=False)
    listening: bool = field(init=False, default=False)
    pid: int | None = field(init=False, default=None)
    answers: bool = field(init=False, default=False)
    document: Document | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.base_url = self.settings.base_url

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """The tasks of the document; empty while it is not known."""
        tasks = (self.document or {}).get("tasks")
        return [task for task in tasks if isinstance(task, dict)] if isinstance(tasks, list) else []

    def client(self, *, certified: bool) -> AdminClient:
        """Return a client of the agent, with or without the client certificate.

        Raises:
            AdminError: The credential cannot be used.
        """
        credential = self.settings.credential
        return AdminClient(self.base_url, credential if certified else Credential(ca=credential.ca))
