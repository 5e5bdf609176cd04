"""Tests of changes: fields by pointer, files by digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from epm_task.admin.deploy.plan import field_parts, job_change, program_change
from epm_task.admin.deploy.program import FileFact, Program


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
        ({"a": 1}, {"a": True}, [("change", "/a", "1", "true")]),
        ({"a": {}}, {"a": []}, [("change", "/a", "{}", "[]")]),
        ({}, {"a": {}}, [("add", "/a", "", "{}")]),
        ({"a": {"b/c": 1}}, {}, [("remove", "/a/b~1c", "1", "")]),
        ({"a": [1, 2]}, {"a": [1, 3, 4]}, [("change", "/a/1", "2", "3"), ("add", "/a/2", "", "4")]),
        ({"a": None}, {}, [("remove", "/a", "null", "")]),
    ],
)
def test_fields_are_compared_by_pointer(before: Any, after: Any, parts: list[Any]) -> None:
    """The order of names does not count; the kind of a value does."""
    assert [tuple(part) for part in field_parts("", before, after)] == parts


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"apiToken": "s3cret"}, {"apiToken": "s3cret-2"}),
        ({"name": "Password", "default": "s3cret"}, {"name": "Password"}),
        ({"arguments": "--x"}, {"arguments": "--api-key=s3cret --x"}),
        ({"arguments": "--x"}, {"arguments": '--password "s3cret with blanks" --x'}),
    ],
)
def test_what_looks_like_a_secret_is_hidden(before: Any, after: Any) -> None:
    """A plan ends in logs and tickets."""
    text = str(list(field_parts("", before, after)))
    assert "s3cret" not in text
    assert "(hidden)" in text


def test_a_token_is_no_secret() -> None:
    """It names the value, and does not hold it."""
    (part,) = field_parts("", {}, {"arguments": "--token-file={TokenFile} --token={Token}"})
    assert part.after == '"--token-file={TokenFile} --token={Token}"'


def test_a_new_or_old_thing_is_shown_with_all_its_parts() -> None:
    """None stands for what is not there."""
    program = Program("p", Path("p"), {"p": FileFact("ab", executable=True)})
    added = program_change("p", None, program)
    removed = program_change("p", program, None)
    assert added is not None
    assert removed is not None
    assert (added.action, removed.action) == ("add", "remove")
    assert tuple(added.parts[0]) == ("add", "p", "", "ab, executable")
    assert program_change("p", program, program) is None
    assert program_change("p", None, None) is None
    assert job_change("j", None, None) is None
    assert job_change("j", {"id": "j"}, {"id": "j"}) is None
    new = job_change("j", None, {"id": "j"})
    assert new is not None
    assert new.action == "add"
