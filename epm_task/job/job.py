"""Describe a job of one or more tasks in code, and make its job document.

A file that holds a `Job` needs this package when it runs. Keep jobs of several tasks in a file of
their own, and a frozen task stays free of it.
"""

from __future__ import annotations

from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.client_id import check_job_id
from epm_task.contract.names import OS_NAMES, os_name
from epm_task.contract.topic import KEEPER_LOGGER
from epm_task.errors import DefinitionError, EpmTaskError, InvocationError
from epm_task.runtime.declaration import check_declaration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from epm_task.contract.names import OsName
    from epm_task.contract.topic import Topic
    from epm_task.runtime.declaration import Declaration
    from epm_task.runtime.task import Task

_SCHEDULES: Final = ("every_minutes", "cron", "run_at")


class Job:
    """The job that the agent shall run, in code: `Job(id="nightly", tasks=[scan, report])`.

    What is not given comes from the first task's `@task(…)`; topics come from all of them.

    Args:
        tasks: Run in this order; each name once.
        id: Id of the job document, and its file name.
        name: Name for people.
        continue_on_failure: Whether the tasks after a failed one run nevertheless.
        description: One line, and so on: the others are those of `@task(…)`.

    Attributes:
        tasks: The tasks.
        declaration: The facts of the job.
        continue_on_failure: As given.

    Raises:
        DefinitionError: The facts cannot work together; the message says why.
    """

    def __init__(  # noqa: PLR0913  # keywords only, each with a default
        self,
        *,
        tasks: Sequence[Task[..., Any]],
        id: str | None = None,  # noqa: A002  # the document's word
        name: str | None = None,
        description: str | None = None,
        every_minutes: float | None = None,
        cron: str | None = None,
        run_at: str | None = None,
        events: Sequence[str] | None = None,
        priority: int | None = None,
        os_filter: Sequence[OsName] | None = None,
        event_topic: Topic[Any] | None = None,
        continue_on_failure: bool = False,
    ) -> None:
        """Check the facts."""
        self.tasks: Final = tuple(tasks)
        self.continue_on_failure: Final = continue_on_failure
        given: dict[str, Any] = {
            "job_id": id,
            "job_name": name,
            "description": description,
            "every_minutes": every_minutes,
            "cron": cron,
            "run_at": run_at,
            "events": None if events is None else tuple(events),
            "priority": priority,
            "os_filter": None if os_filter is None else tuple(os_filter),
            "event_topic": event_topic,
        }
        self.declaration: Final = self._declared(
            {key: value for key, value in given.items() if value is not None}
        )

    @property
    def id(self) -> str:
        """Id of the job document."""
        return self.declaration.job_id

    @property
    def publications(self) -> list[str]:
        """The topics on which the job's processes publish, KeeperLogger first."""
        own = [topic for task in self.tasks for topic in task.declaration.own_publications]
        return list(dict.fromkeys((KEEPER_LOGGER, *own, *self.declaration.own_publications)))

    @property
    def subscriptions(self) -> list[str]:
        """The topics that the job's processes may subscribe to."""
        topics = [topic.name for task in self.tasks for topic in task.declaration.subscribes]
        return list(dict.fromkeys(topics))

    def document(
        self, *, systems: Sequence[OsName] = (), agent_root: str | None = None
    ) -> dict[str, Any]:
        """Return the job document, in the order in which people read it.

        Args:
            systems: The systems on which the job runs; empty means what the code says.
            agent_root: Folder of the agent; every task then gets its `executablePath` below it.

        Raises:
            NoCommonPath: No path fits all the systems.
        """
        from epm_task.job.step import ArgumentLines, step_of  # noqa: PLC0415  # no task needs it

        declared, lines = self.declaration, ArgumentLines()
        allowed = tuple(systems) or declared.os_filter
        folder, extension = _programs(agent_root, allowed or (os_name(),))
        carry_on = self.continue_on_failure
        steps = [
            step_of(task, lines, folder, extension, continue_on_failure=carry_on)
            for task in self.tasks
        ]
        document: dict[str, Any] = {"id": self.id, "name": declared.job_name}
        if declared.description:
            document["description"] = declared.description
        document |= {"enabled": True, "priority": declared.priority, **_starts(declared)}
        if allowed:
            document["osFilter"] = {name: name in allowed for name in OS_NAMES}
        document["mqttTopics"] = {
            "allowedPublications": self.publications,
            "allowedSubscriptions": self.subscriptions,
        }
        if declared.event_topic is not None:
            document["eventTopic"] = declared.event_topic.name
        return {**document, "parameters": lines.parameters, "tasks": steps}

    def _declared(self, given: dict[str, Any]) -> Declaration:
        if not self.tasks:
            raise DefinitionError("Job(tasks=[]): a job has at least one task", fix="add one")
        names = [task.name for task in self.tasks]
        if double := next((name for name in names if names.count(name) > 1), None):
            raise DefinitionError(
                f"Job(tasks=…): the task {double} is there twice", fix="remove one"
            )
        if given.keys() & set(_SCHEDULES):
            given = {**dict.fromkeys(_SCHEDULES), **given}
        declaration = self.tasks[0].declaration._replace(**given)
        try:
            check_job_id(declaration.job_id)
            check_declaration(declaration)
        except (InvocationError, ValueError) as error:
            why = getattr(error, "what", str(error))
            fix = getattr(error, "fix", "correct what is given to Job")
            raise DefinitionError(f"Job(id={declaration.job_id!r})", why, fix) from None
        return declaration


class NoCommonPath(EpmTaskError, ValueError):
    """The programs of a job have no path that fits all the systems."""


def _programs(agent_root: str | None, systems: Sequence[OsName]) -> tuple[PurePath | None, str]:
    """Return the folder `Jobs/bin` and the extension of a program."""
    if agent_root is None:
        return None, ""
    windows = "windows" in systems
    if windows and len(systems) > 1:
        what = "no executablePath fits Windows and another system"
        raise NoCommonPath(what, fix="choose systems of one kind with --os")
    root = PureWindowsPath(agent_root) if windows else PurePosixPath(agent_root)
    if not root.is_absolute():
        what = f"the agent's folder {root} is not absolute on {' and '.join(systems)}"
        raise NoCommonPath(what, fix="give --os and --agent-root that fit together")
    return root / "Jobs" / "bin", ".exe" if windows else ""


def _starts(declared: Declaration) -> dict[str, Any]:
    kinds = {
        "intervalMinutes": declared.every_minutes,
        "cronExpression": declared.cron,
        "runAt": declared.run_at,
    }
    schedule = {kind: value for kind, value in kinds.items() if value is not None}
    found: dict[str, Any] = {"schedule": schedule} if schedule else {}
    if declared.events:
        found["events"] = [{"eventType": event} for event in declared.events]
    return found
