"""Tests of the published schema, and of the document that is generated from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import epm_task
from epm_task.job.model import field_table, job_schema

DOCS = Path(__file__).parents[2] / "docs"


def references(value: Any) -> list[str]:
    """Return all `$ref` below the value."""
    if isinstance(value, list):
        return [found for item in value for found in references(item)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return own + [found for item in value.values() for found in references(item)]


def test_the_schema_describes_the_document() -> None:
    """In the document's own names, unknown fields allowed."""
    schema = job_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"{epm_task.__homepage__}/job.schema.json"
    assert schema["required"] == ["id", "name", "tasks"]
    assert schema["additionalProperties"] is True
    assert {"mqttTopics", "osFilter", "alternateJobId", "eventTopic"} <= schema["properties"].keys()
    step = schema["$defs"]["TaskStep"]
    assert step["required"] == ["id", "command"]
    assert {"ExecutionType", "MergeStdoutJsonIntoContext"} <= step["properties"].keys()
    assert all("description" in field for field in schema["properties"].values())


def test_the_schema_holds_what_it_refers_to() -> None:
    """A reader needs no other file."""
    schema = job_schema()
    for reference in references(schema):
        assert reference.removeprefix("#/$defs/") in schema["$defs"]


def test_a_schedule_has_one_kind() -> None:
    """The schema says so too."""
    one_of = job_schema()["$defs"]["Schedule"]["oneOf"]
    assert [kind["required"] for kind in one_of] == [
        *(["intervalMinutes"], ["cronExpression"], ["runAt"], ["calendar"])
    ]


def test_the_table_of_fields_is_in_step() -> None:
    """docs/job-json.md holds what `field_table` makes."""
    assert field_table() in (DOCS / "job-json.md").read_text("utf-8")
