"""The job model is the document's typed view; what it does not know, it leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from epm_task.contract.client_id import JOB_ID_PATTERN
from epm_task.contract.names import ExecutionType  # noqa: TC001  # pydantic reads it
from epm_task.contract.schedule import SCHEDULE_KINDS

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


PRIORITIES = range(1, 11)

_ONE_KIND: dict[str, Any] = {"oneOf": [{"required": [kind]} for kind in SCHEDULE_KINDS]}


class _Part(BaseModel):
    """A part of the document. Strict, as an agent reads JSON and does not convert its types."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, populate_by_name=True)


class Schedule(_Part):
    """When the agent starts the job: exactly one kind."""

    model_config = ConfigDict(json_schema_extra=_ONE_KIND)

    interval_minutes: Annotated[
        int | None,
        Field(
            alias="intervalMinutes",
            ge=1,
            description="Minutes between two runs; the first comes after one whole interval.",
        ),
    ] = None
    cron_expression: Annotated[
        str | None,
        Field(
            alias="cronExpression",
            description="Five fields: minute hour day month weekday; local time.",
        ),
    ] = None
    run_at: Annotated[
        str | None, Field(alias="runAt", description="The moment of one run, ISO 8601.")
    ] = None
    calendar: Annotated[
        dict[str, Any] | list[Any] | None,
        Field(description="Days and times; the vendor does not state its fields."),
    ] = None


class Event(_Part):
    """An event that starts the job; a plain name means the same."""

    event_type: Annotated[
        str, Field(alias="eventType", description="Such as Startup: once per start of the agent.")
    ]


class JobParameter(_Part):
    """A value that tasks get in their arguments, as `{Name}`."""

    name: Annotated[str, Field(min_length=1, description="What stands in braces.")]
    type: Annotated[
        str | None, Field(description="string, integer, number or boolean; other words are taken.")
    ] = None
    default_value: Annotated[
        Any,
        Field(
            validation_alias=AliasChoices("defaultValue", "default"),
            serialization_alias="defaultValue",
            description="The value when a trigger gives none.",
        ),
    ] = None
    required: Annotated[
        bool | None, Field(description="Whether a run without a value is refused.")
    ] = None


class MqttTopics(_Part):
    """What the job's processes may do at the broker; without an entry they get no KEEPER_JOB_ID."""

    allowed_publications: Annotated[
        list[str] | None,
        Field(
            alias="allowedPublications",
            description="Exact topics, KeeperLogger included; others vanish.",
        ),
    ] = None
    allowed_subscriptions: Annotated[
        list[str] | None, Field(alias="allowedSubscriptions", description="Exact topics.")
    ] = None


class OsFilter(_Part):
    """On which systems the job runs; a key that is absent excludes nothing."""

    windows: Annotated[bool | None, Field(description="Whether it runs on Windows.")] = None
    linux: Annotated[bool | None, Field(description="Whether it runs on Linux.")] = None
    mac_os: Annotated[
        bool | None, Field(alias="macOS", description="Whether it runs on macOS.")
    ] = None


class TaskStep(_Part):
    """One step of the job: a program that the agent starts."""

    id: Annotated[str, Field(min_length=1, description="Unique within the job.")]
    name: Annotated[str | None, Field(description="Name for people.")] = None
    execution_type: Annotated[
        ExecutionType | None,
        Field(
            validation_alias=AliasChoices("ExecutionType", "executionType"),
            serialization_alias="ExecutionType",
            description="As whom the program runs; Service, the agent's account, by default.",
        ),
    ] = None
    command: Annotated[
        str,
        Field(
            min_length=1,
            description="Name of the executable without path and extension, looked up in "
            "Jobs/bin/{command}/ and then on PATH.",
        ),
    ]
    executable_path: Annotated[
        str | None, Field(alias="executablePath", description="Absolute path, instead of that.")
    ] = None
    arguments: Annotated[
        str | None, Field(description="One text; `{Name}` is replaced when the job runs.")
    ] = None
    timeout_seconds: Annotated[
        int | None,
        Field(alias="timeoutSeconds", ge=1, description="The agent kills the task then."),
    ] = None
    continue_on_failure: Annotated[
        bool | None,
        Field(alias="continueOnFailure", description="Whether the next task runs nevertheless."),
    ] = None
    script_type: Annotated[
        str | None, Field(alias="scriptType", description="Auto: by extension or `#!` line.")
    ] = None
    merge_stdout: Annotated[
        bool | None,
        Field(
            alias="MergeStdoutJsonIntoContext",
            description="Whether later tasks see the JSON object on stdout; Service only.",
        ),
    ] = None
    skip_when_setting_false: Annotated[
        Any,
        Field(
            alias="SkipWhenPluginSettingFalse",
            description="A plugin's setting that must not be false.",
        ),
    ] = None


class JobModel(_Part):
    """A job document of Keeper Endpoint Privilege Manager."""

    id: Annotated[
        str,
        Field(
            min_length=1,
            pattern=rf"^{JOB_ID_PATTERN}$",
            description="Equals the file's name without .json; no underscore.",
        ),
    ]
    name: Annotated[str, Field(min_length=1, description="Name for people.")]
    description: Annotated[str | None, Field(description="One line.")] = None
    enabled: Annotated[bool | None, Field(description="Whether the job runs at all.")] = None
    priority: Annotated[
        int | None,
        Field(
            ge=PRIORITIES[0],
            le=PRIORITIES[-1],
            description="1 to 10; higher comes first.",
        ),
    ] = None
    schedule: Annotated[
        Schedule | None, Field(description="Left out when only events or the API start the job.")
    ] = None
    events: Annotated[list[Event | str] | None, Field(description="Events that start the job.")] = (
        None
    )
    parameters: Annotated[
        list[JobParameter] | None, Field(description="Values that tasks get in their arguments.")
    ] = None
    tasks: Annotated[list[TaskStep], Field(min_length=1, description="Run in this order.")]
    condition: Annotated[
        dict[str, Any] | None, Field(description="Not met: the job is skipped.")
    ] = None
    alternate_job_id: Annotated[
        str | None,
        Field(alias="alternateJobId", description="The job that runs when it is not met."),
    ] = None
    os_filter: Annotated[
        OsFilter | None, Field(alias="osFilter", description="On which systems the job runs.")
    ] = None
    mqtt_topics: Annotated[
        MqttTopics | None,
        Field(alias="mqttTopics", description="What its processes may do at the broker."),
    ] = None
    event_topic: Annotated[
        str | None,
        Field(
            alias="eventTopic",
            description="Jobs/{id}/events by default; must stand in allowedPublications too.",
        ),
    ] = None


_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
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
    return {"$schema": _DIALECT, **_without_titles(schema), "title": "KEPM job document"}


def field_table() -> str:
    """Return the fields as a Markdown table."""
    rows = ["| field | required | meaning |", "|---|---|---|"]
    for prefix, model in _PARTS.items():
        for name, field in model.model_fields.items():
            required = "yes" if field.is_required() else ""
            rows.append(f"| `{prefix}{_key(name, field)}` | {required} | {field.description} |")
    return "\n".join(rows) + "\n"


def _key(name: str, field: FieldInfo) -> str:
    return str(field.serialization_alias or field.alias or name)


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
