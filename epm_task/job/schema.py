"""The schema of job documents is the model as JSON Schema, and as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from epm_task.job.model import (
    Event,
    JobModel,
    JobParameter,
    MqttTopics,
    OsFilter,
    Schedule,
    TaskStep,
)

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

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
