"""Tests of JSON pointers."""

from __future__ import annotations

from epm_task.job.pointer import child, parent, pointer_to, present_keys


def test_a_pointer_escapes_its_separators() -> None:
    """As RFC 6901 says."""
    assert pointer_to(["a/b", 0, "m~n", ""]) == "/a~1b/0/m~0n/"
    assert child("/tasks", 3) == "/tasks/3"


def test_a_pointer_has_a_parent() -> None:
    """That of the root is the root."""
    assert parent("/tasks/0/id") == "/tasks/0"
    assert parent("/id") == ""
    assert parent("") == ""


def test_keys_that_lead_nowhere_are_left_out() -> None:
    """As pydantic names alternatives between the keys."""
    value = {"events": ["x", {"eventType": 1}]}
    keys = ["events", 1, "Event", "eventType", 4, "more"]
    assert present_keys(value, keys) == ["events", 1, "eventType"]
    assert present_keys([1], [1]) == []
