"""Tests of the job document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from epm_task.contract.json_text import MAX_BYTES, BadJson, format_json, write_json
from epm_task.job.document import JobDocument, indent_of, read_job, read_present
from epm_task.job.json_source import Place, read_source
from epm_task.job.model import JobModel

if TYPE_CHECKING:
    from pathlib import Path

GOOD: dict[str, Any] = {
    "vendorField": {"z": 1, "a": [None]},
    "id": "scan",
    "name": "Scan",
    "events": ["Startup", {"eventType": "Custom", "more": 1}],
    "parameters": [{"name": "Root", "default": "/srv"}],
    "tasks": [{"id": "one", "executionType": "User", "command": "probe", "own": True}],
    "mqttTopics": {"allowedPublications": ["KeeperLogger"]},
    "osFilter": {"macOS": False},
}


def misfits(**fields: Any) -> list[tuple[str, str, str]]:
    """Return where the good document with other fields is wrong."""
    found = JobDocument({**GOOD, **fields}).misfits
    return [(one, two, three) for one, two, three, *_ in found]


def test_the_model_is_a_typed_view() -> None:
    """Both spellings of a key are known; unknown fields are there too."""
    model = JobModel.model_validate(GOOD)
    assert (model.id, model.tasks[0].command, model.tasks[0].execution_type) == (
        "scan",
        "probe",
        "User",
    )
    assert model.parameters is not None
    assert model.parameters[0].default == "/srv"
    assert model.os_filter is not None
    assert model.os_filter.mac_os is False
    assert model.model_extra == {"vendorField": {"z": 1, "a": [None]}}


def test_a_document_round_trips() -> None:
    """Unknown fields, values and order stay, to the byte."""
    text = json.dumps(GOOD, indent=4) + "\n"
    document = JobDocument.parse(text.encode())
    assert document.text(document.raw) == text
    assert document.raw == GOOD
    assert document.misfits == ()


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"name": 1}, ("/name", "name", "must be text")),
        ({"id": "a b"}, ("/id", "id", "may hold letters, digits, `.` and `-` only")),
        ({"priority": 11}, ("/priority", "priority", "must be at most 10")),
        ({"priority": 0}, ("/priority", "priority", "must be at least 1")),
        ({"priority": "5"}, ("/priority", "priority", "must be a whole number")),
        ({"priority": True}, ("/priority", "priority", "must be a whole number")),
        ({"enabled": "yes"}, ("/enabled", "enabled", "must be true or false")),
        ({"condition": []}, ("/condition", "condition", "must be an object")),
        ({"mqttTopics": []}, ("/mqttTopics", "mqttTopics", "must be an object")),
        ({"events": [1]}, ("/events/0", "0", "must be an object")),
        ({"events": [{}]}, ("/events/0", "eventType", "is missing")),
        ({"tasks": []}, ("/tasks", "tasks", "must not be empty")),
        ({"tasks": [{"command": "x"}]}, ("/tasks/0", "id", "is missing")),
        (
            {"tasks": [{"id": "a", "command": "x", "timeoutSeconds": 0}]},
            ("/tasks/0/timeoutSeconds", "timeoutSeconds", "must be at least 1"),
        ),
        (
            {"osFilter": {"linux": "yes"}},
            ("/osFilter/linux", "linux", "must be true or false"),
        ),
        (
            {"mqttTopics": {"allowedPublications": ["a", 1]}},
            ("/mqttTopics/allowedPublications/1", "1", "must be text"),
        ),
    ],
)
def test_a_misfit_names_the_part(fields: dict[str, Any], found: tuple[str, str, str]) -> None:
    """By its pointer; once, whatever the alternatives of its type."""
    assert misfits(**fields) == [found]


def test_null_means_absent() -> None:
    """As the agent takes it, where a field is optional."""
    assert misfits(schedule=None, priority=None, condition=None, mqttTopics=None) == []


def test_an_execution_type_is_one_of_four() -> None:
    """The sentence lists them."""
    ((pointer, _, why),) = misfits(tasks=[{"id": "a", "command": "x", "ExecutionType": "Root"}])
    assert pointer == "/tasks/0/ExecutionType"
    assert "'Service', 'User', 'UserDesktop' or 'UserElevated'" in why


def test_only_an_object_is_a_document() -> None:
    """The error has a place."""
    with pytest.raises(BadJson, match="line 2, column 1: a job is an object"):
        JobDocument.parse(b"\n[]")


def test_places_come_from_the_text() -> None:
    """A document without a text has none."""
    assert JobDocument.parse(b'{\n "id": 1}').place("/id") == Place(2, 8)
    assert JobDocument({"id": 1}).place("/id") is None


TEXT = """{
  "z": 1.10,
  "a": [
    1E5,
    -0,
    123456789012345678901234567890,
    0.1000000000000000000001
  ],
  "text": "é\\u0007 \\"quoted\\" \\\\",
  "empty": {},
  "none": [],
  "null": null,
  "yes": true
}
"""


def test_a_document_is_written_as_it_was_read() -> None:
    """Order, digits and text stay, to the byte."""
    assert write_json(read_source(TEXT.encode()).value) == TEXT.encode()


def test_a_lone_surrogate_stays_an_escape() -> None:
    """It has no UTF-8."""
    data = b'{\n  "a": "\\udc80"\n}\n'
    assert write_json(read_source(data).value) == data


@pytest.mark.parametrize("indent", ["  ", "    ", "\t", " "])
def test_the_indent_is_kept(indent: str) -> None:
    """It is that of the first line that has one."""
    value = {"a": [1, {"b": 2}]}
    text = json.dumps(value, indent=indent) + "\n"
    assert format_json(value, indent=indent_of(text)) == text


@pytest.mark.parametrize("text", ["{}", '{"a": 1}', '{"a":\n 1}', "[]"])
def test_a_text_without_indent_gets_two_blanks(text: str) -> None:
    """As most editors have it."""
    assert indent_of(text) == "  "


def test_not_a_number_is_refused() -> None:
    """JSON has nothing for it."""
    with pytest.raises(ValueError, match="Out of range"):
        format_json({"a": float("nan")})


def test_a_document_is_read(tmp_path: Path) -> None:
    """With its places."""
    (tmp_path / "a.json").write_text('{\n"id": "a"}')
    document = read_job(tmp_path / "a.json")
    assert document.raw == {"id": "a"}
    assert document.place("/id") == (2, 7)


def test_no_more_is_read_than_a_document_can_have(tmp_path: Path) -> None:
    """A sparse file of a terabyte is refused at once."""
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(BadJson, match=f"more than {MAX_BYTES} bytes"):
        read_job(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError):
        read_job(tmp_path / "b.json")


def test_a_document_to_write_anew_may_be_absent(tmp_path: Path) -> None:
    """One that is there must be a job document."""
    assert read_present(tmp_path / "a.json") is None
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(BadJson, match=r"a\.json:1:1: this is not a job document: a job is an obj"):
        read_present(tmp_path / "a.json")
