"""A case is what the doctor examines, and what the checks have learned about it so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from epm_task.admin.client import AdminClient
from epm_task.admin.credential import Credential
from epm_task.admin.doctor.finding import Finding

if TYPE_CHECKING:
    from epm_task.admin.agent_root import AgentRoot
    from epm_task.admin.answers import Document
    from epm_task.admin.settings import AdminSettings


@dataclass(slots=True)
class Case:
    """One agent, and the job in question.

    Attributes:
        settings: Where the agent is said to be, and who asks.
        root: The agent's folder; None when it is not known.
        job_id: The job in question; None for the agent alone.
        built: The document that the code makes; None when no code was given.
        plugins: Plugins whose settings the code asks for.
        broker: The broker's address; None when it was not given.
        base_url: Where the agent is looked for; `appsettings.json` may decide.
        listening: Whether somebody who may be the agent holds its port.
        answers: Whether the agent has answered.
        document: The job's document, as the agent or its folder has it.
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
        """Begin where the settings say."""
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
        if not certified:
            credential = Credential(ca=credential.ca)
        return AdminClient(self.base_url, credential)


#: A check looks at a case, and tells what it sees.
Check: TypeAlias = Callable[[Case], Iterator[Finding]]
