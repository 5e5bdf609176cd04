"""Hold what is examined, and what a check has found."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from epm_task.admin.client import AdminClient
from epm_task.admin.credential import Credential

if TYPE_CHECKING:
    from epm_task.admin.answers import Document
    from epm_task.admin.settings import AdminSettings
    from epm_task.contract.layout import AgentRoot


class State(StrEnum):
    """How a finding is meant."""

    #: As it must be.
    OK = "ok"
    #: The cause of a failure; the command ends with exit code 1.
    FAULT = "fault"
    #: Not a fault, but worth knowing.
    NOTE = "note"
    #: Cannot be known from outside, or with what was given.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has seen: why that is, and what to do, may be empty."""

    check: str
    state: State
    what: str
    why: str = ""
    fix: str = ""


def ok(check: str, what: str) -> Finding:
    """Return a finding that all is as it must be."""
    return Finding(check, State.OK, what)


def fault(check: str, what: str, why: str = "", *, fix: str) -> Finding:
    """Return the finding of a cause."""
    return Finding(check, State.FAULT, what, why, fix)


def note(check: str, what: str, why: str = "", *, fix: str = "") -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(check, State.NOTE, what, why, fix)


def unknown(check: str, what: str, why: str = "", *, fix: str = "") -> Finding:
    """Return the finding that something cannot be known; its fix says what would help."""
    return Finding(check, State.UNKNOWN, what, why, fix)


@dataclass(slots=True)
class Setup:
    """What is examined: one agent, and the job in question; what is not known or given is None.

    The code makes *built*; the agent, or its folder, has *document*. `appsettings.json` may decide
    the base URL. With *listening* somebody holds the port who may be the agent.
    """

    settings: AdminSettings
    root: AgentRoot | None = None
    job_id: str | None = None
    built: Document | None = None
    plugins: tuple[str, ...] = ()
    broker: tuple[str, int] | None = None
    base_url: str = field(init=False)
    listening: bool = field(init=False, default=False)
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
