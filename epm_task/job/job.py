"""A job is one or more tasks with what starts them; the job document is made from it.

A file that holds a `Job` needs this package when it runs. Keep jobs of several tasks in a file of
their own, and a frozen task stays free of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from epm_task.contract.client_id import check_job_id
from epm_task.contract.topic import KEEPER_LOGGER
from epm_task.errors import DefinitionError, InvocationError
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
        description: One line.
        every_minutes: Interval in minutes.
        cron: Cron expression of five fields.
        run_at: Moment of a single run, ISO 8601.
        events: Event types that start the job.
        priority: 1 to 10.
        os_filter: The systems on which the job runs; empty stands for all.
        event_topic: The job's `eventTopic`.
        continue_on_failure: Whether the tasks after a failed one run nevertheless.

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
        every_minutes: int | None = None,
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
        """Return the job document; the arguments are those of `epm_task.job.build.build`."""
        from epm_task.job.build import build  # noqa: PLC0415  # a running task does not need it

        return build(self, systems=systems, agent_root=agent_root)

    def _declared(self, given: dict[str, Any]) -> Declaration:
        if not self.tasks:
            raise DefinitionError("Job(tasks=[]): a job has at least one task; add one to the list")
        names = [task.name for task in self.tasks]
        if double := next((name for name in names if names.count(name) > 1), None):
            raise DefinitionError(f"Job(tasks=…): the task {double} stands twice; remove one")
        if any(name in given for name in _SCHEDULES):
            given = {**dict.fromkeys(_SCHEDULES), **given}
        declaration = self.tasks[0].declaration._replace(**given)
        try:
            check_job_id(declaration.job_id)
            check_declaration(declaration)
        except (InvocationError, ValueError) as error:
            raise DefinitionError(f"Job(id={declaration.job_id!r}): {error}") from None
        return declaration
