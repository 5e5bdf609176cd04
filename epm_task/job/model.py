"""Say which fields a job document has, with their types, for checks, editors and the docs."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from epm_task import __homepage__
from epm_task.contract.client_id import JOB_ID_PATTERN
from epm_task.contract.names import (
    DEFAULT_KEYS,
    ExecutionType,
)
from epm_task.contract.schedule import SCHEDULE_KINDS, SHORTEST_MINUTES


def _field(description: str, default: Any = None, **more: Any) -> Any:
    return Field(default, description=description, **more)


class _Part(BaseModel):
    """A part of the document. Strict, as an agent reads JSON and does not convert its types."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, extra="allow", frozen=True, populate_by_name=True, alias_generator=to_camel
    )


class Schedule(_Part):
    """When the agent starts the job: exactly one kind."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [kind]} for kind in SCHEDULE_KINDS]}
    )

    interval_minutes: float | None = _field(
        "Minutes between two runs; the first comes after one whole interval.",
        ge=SHORTEST_MINUTES,
    )
    cron_expression: str | None = _field("Five fields: minute hour day month weekday; local time.")
    run_at: str | None = _field("The moment of one run, ISO 8601.")
    calendar: dict[str, Any] | list[Any] | None = _field(
        "Days and times; the vendor does not state its fields."
    )


class Event(_Part):
    """An event that starts the job; a plain name means the same."""

    event_type: str = _field("Such as Startup: once per start of the agent.", ...)


class JobParameter(_Part):
    """A value that tasks get in their arguments, as `{Name}`."""

    name: str = _field("What is written in braces.", ..., min_length=1)
    type: str | None = _field("string, integer, number or boolean; other words are taken.")
    default: Any = _field(
        "The value when a trigger gives none; `defaultValue` is read too.",
        validation_alias=AliasChoices(*DEFAULT_KEYS),
    )
    required: bool | None = _field("Whether a run without a value is refused.")


class MqttTopics(_Part):
    """What the job's processes may do at the broker; without an entry they get no KEEPER_JOB_ID."""

    allowed_publications: list[str] | None = _field(
        "Exact topics, KeeperLogger included; others vanish."
    )
    allowed_subscriptions: list[str] | None = _field("Exact topics.")


class OsFilter(_Part):
    """On which systems the job runs; a key that is absent excludes nothing."""

    windows: bool | None = _field("Whether it runs on Windows.")
    linux: bool | None = _field("Whether it runs on Linux.")
    mac_os: bool | None = _field("Whether it runs on macOS.", alias="macOS")


class TaskStep(_Part):
    """One step of the job: a program that the agent starts."""

    id: str = _field("Unique within the job.", ..., min_length=1)
    name: str | None = _field("Name for people.")
    execution_type: ExecutionType | None = _field(
        "As whom the program runs; Service, the agent's account, by default.",
        validation_alias=AliasChoices("ExecutionType", "executionType"),
        serialization_alias="ExecutionType",
    )
    command: str = _field(
        "Name of the executable without path and extension, looked up in "
        "Jobs/bin/{command}/ and then on PATH.",
        ...,
        min_length=1,
    )
    executable_path: str | None = _field("Absolute path, instead of that.")
    arguments: str | None = _field("One text; `{Name}` is replaced when the job runs.")
    timeout_seconds: int | None = _field("The agent kills the task then.", ge=1)
    continue_on_failure: bool | None = _field("Whether the next task runs nevertheless.")
    script_type: str | None = _field("Auto: by extension or `#!` line.")
    merge_stdout: bool | None = _field(
        "Whether later tasks see the JSON object on stdout; Service only.",
        alias="MergeStdoutJsonIntoContext",
    )
    skip_when_setting_false: Any = _field(
        "A plugin's setting that must not be false.", alias="SkipWhenPluginSettingFalse"
    )


class JobModel(_Part):
    """A job document of Keeper Endpoint Privilege Manager."""

    id: str = _field(
        "Equals the file's name without .json; no underscore.",
        ...,
        min_length=1,
        pattern=rf"^{JOB_ID_PATTERN}$",
    )
    name: str = _field("Name for people.", ..., min_length=1)
    description: str | None = _field("One line.")
    enabled: bool | None = _field("Whether the job runs at all.")
    priority: int | None = _field("1 to 10; higher comes first.", ge=1, le=10)
    schedule: Schedule | None = _field("Left out when only events or the API start the job.")
    events: list[Event | str] | None = _field("Events that start the job.")
    parameters: list[JobParameter] | None = _field("Values that tasks get in their arguments.")
    tasks: list[TaskStep] = _field("Run in this order.", ..., min_length=1)
    condition: dict[str, Any] | None = _field("Not met: the job is skipped.")
    alternate_job_id: str | None = _field("The job that runs when it is not met.")
    os_filter: OsFilter | None = _field("On which systems the job runs.")
    mqtt_topics: MqttTopics | None = _field("What its processes may do at the broker.")
    event_topic: str | None = _field(
        "Jobs/{id}/events by default; must be in allowedPublications too."
    )


_PARTS: Final[dict[str, type[BaseModel]]] = {
    "": JobModel,
    "schedule.": Schedule,
    "events[].": Event,
    "parameters[].": JobParameter,
    "osFilter.": OsFilter,
    "mqttTopics.": MqttTopics,
    "tasks[].": TaskStep,
}


def job_schema() -> dict[str, Any]:
    """Return the JSON Schema of a job document, for editors; unknown fields are allowed."""
    schema = JobModel.model_json_schema(by_alias=True, mode="serialization")
    dialect = "https://json-schema.org/draft/2020-12/schema"
    names = {"$schema": dialect, "$id": f"{__homepage__}/job.schema.json"}
    return {**names, **_without_titles(schema), "title": "KEPM job document"}


def field_table() -> str:
    """Return the fields as a Markdown table."""
    rows = ["| field | required | meaning |", "|---|---|---|"]
    for prefix, model in _PARTS.items():
        for name, field in model.model_fields.items():
            required = "yes" if field.is_required() else ""
            key = field.serialization_alias or field.alias or name
            rows.append(f"| `{prefix}{key}` | {required} | {field.description} |")
    return "\n".join(rows) + "\n"


def _without_titles(value: Any) -> Any:
    """Leave out pydantic's titles, which only repeat the names of the fields."""
    if isinstance(value, list):
        return [_without_titles(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_titles(inner)
        for key, inner in value.items()
        if not (key == "title" and isinstance(inner, str))
    }
