"""What a rule looks at: the document, its tasks, its file, and the code behind it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from epm_task.contract.argument_line import ArgumentsError
from epm_task.contract.names import allowed_systems
from epm_task.contract.schedule import LONGEST_MINUTES, kind_problem
from epm_task.contract.tokens import FoundToken, tokens_in
from epm_task.job.json_source import child

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.contract.names import OsName
    from epm_task.job.document import JobDocument
    from epm_task.job.job import Job


class Part(NamedTuple):
    """An object inside the document, with its pointer."""

    pointer: str
    fields: dict[str, Any]

    def text(self, key: str) -> str:
        """Return the field when it is text, else nothing; a wrong type is another rule's matter."""
        value = self.fields.get(key)
        return value if isinstance(value, str) else ""

    def listed(self, key: str) -> list[Any]:
        """Return the field when it is an array, else an empty one."""
        value = self.fields.get(key)
        return value if isinstance(value, list) else []

    def at(self, key: str) -> str:
        """Return the pointer of the field when it is there, else that of the object."""
        return child(self.pointer, key) if key in self.fields else self.pointer


class Subject:
    """One document under inspection. Parts of a wrong type look empty here.

    Attributes:
        document: The document.
        file: Its file; None when it has none.
        job: The job in code that has the same id; None when no code is known.
        neighbours: Ids of the jobs beside it; None when that is not known.
        systems: The systems on which the job runs; those of `osFilter` unless they are given.
        names_systems: Whether that is known, and not just every system for lack of a filter.
    """

    def __init__(
        self,
        document: JobDocument,
        *,
        file: Path | None = None,
        job: Job | None = None,
        neighbours: frozenset[str] | None = None,
        systems: frozenset[OsName] | None = None,
    ) -> None:
        self.document = document
        self.file = file
        self.job = job
        self.neighbours = neighbours
        named = isinstance(document.raw.get("osFilter"), dict)
        self.names_systems: bool = named or systems is not None
        self.systems: frozenset[OsName] = (
            allowed_systems(document.raw) if systems is None else systems
        )

    @property
    def root(self) -> Part:
        """The whole document."""
        return Part("", self.document.raw)

    @cached_property
    def tasks(self) -> list[Part]:
        """The tasks that are objects."""
        return self._objects("tasks")

    @cached_property
    def parameters(self) -> list[Part]:
        """The declared parameters that are objects with a name."""
        return [part for part in self._objects("parameters") if part.text("name")]

    @property
    def mqtt_topics(self) -> Part:
        """The job's `mqttTopics`; empty when there is none."""
        value = self.document.raw.get("mqttTopics")
        return Part("/mqttTopics", value) if isinstance(value, dict) else Part("", {})

    @property
    def allowed_publications(self) -> list[str]:
        """The topics on which the job may publish."""
        listed = self.mqtt_topics.listed("allowedPublications")
        return [topic for topic in listed if isinstance(topic, str)]

    @property
    def windows_only(self) -> bool:
        """Whether the rules of Windows hold for tokens and quotes."""
        return self.systems == {"windows"}

    @property
    def schedule(self) -> dict[str, Any]:
        """The job's `schedule`."""
        value = self.document.raw.get("schedule")
        return value if isinstance(value, dict) else {}

    @property
    def interval_minutes(self) -> float | None:
        """The job's interval; None without one that an agent can read and a person can mean."""
        minutes: Any = self.schedule.get("intervalMinutes")
        usable = not kind_problem("intervalMinutes", minutes) and minutes <= LONGEST_MINUTES
        return minutes if usable else None

    @property
    def events(self) -> list[Any]:
        """The job's `events`."""
        return self.root.listed("events")

    def tokens(self, task: Part) -> list[FoundToken]:
        """Return the tokens of a task's arguments; none when they cannot be split."""
        try:
            return tokens_in(task.text("arguments"), windows=self.windows_only)
        except ArgumentsError:
            return []

    def same(self, one: str, other: str) -> bool:
        """Return whether two names of tokens mean the same on the job's systems."""
        return one.casefold() == other.casefold() if self.windows_only else one == other

    def _objects(self, key: str) -> list[Part]:
        return [
            Part(child(f"/{key}", index), entry)
            for index, entry in enumerate(self.root.listed(key))
            if isinstance(entry, dict)
        ]
