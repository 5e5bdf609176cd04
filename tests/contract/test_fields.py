"""Tests of fields: what a file may hold is said once, and everything else is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest

from epm_task.contract.fields import (
    FILE_BELOW,
    FILE_NAME,
    Field,
    anything,
    check_fields,
    choice,
    either,
    flag,
    list_of,
    number,
    record,
    table_of,
    text,
    whole,
)
from epm_task.contract.json_text import BadJson


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (text(), ["", "é"], [None, 1, "\ud800", "x" * 70_000]),
        (text(r"[a-z]+"), ["a"], ["", "a\n", "A"]),
        (whole(1, 9), [1, 9], [0, 10, True, 1.0, "1", 10**400]),
        (number(0, 2), [0, 1.5], [-1, 3, True, float("nan"), float("inf"), 10**400, "1"]),
        (choice("a", 1), ["a", 1], [True, 1.0, "b", None, []]),
        (flag(), [True, False], [0, 1, "true", None]),
        (whole().or_null(), [None, 3], ["", -1]),
        (anything(), [None, {}, "x"], []),
        (either(flag(), whole()), [True, 0], ["x", -1]),
        (list_of(flag()), [[], [True]], [{}, [1], "", None]),
        (table_of(r"[a-z]", flag()), [{}, {"a": True}], [[], {"A": True}, {"a": 1}, None]),
        (record({"a": flag()}), [{"a": True}], [{}, {"a": 1}, {"a": True, "b": 1}, [], None]),
        (record({"a": flag().or_absent()}, others=True), [{}, {"b": 1}], [{"a": 1}]),
    ],
)
def test_a_field_takes_what_it_says(field: Field, good: list[Any], bad: list[Any]) -> None:
    """By type and bounds; true is not a number."""
    assert [value for value in good if not field.fits(value)] == []
    assert [value for value in bad if field.fits(value)] == []


@pytest.mark.parametrize(
    ("name", "alone", "below"),
    [
        *((name, True, True) for name in ("a", "...", "..a", "a b.so", ".hidden")),
        *((name, False, True) for name in ("a/b", "..a/b", "_internal/x.so")),
        *((name, False, False) for name in ("", ".", "..", "/a", "a/", "a//b", "a/..", "../a")),
        *((name, False, False) for name in ("a/./b", "a/../b", "a\\b", "a\0", "a\n", "x" * 256)),
    ],
)
def test_a_name_leads_nowhere_else(name: str, alone: bool, below: bool) -> None:  # noqa: FBT001
    """A file is in the folder, or below it."""
    assert bool(re.fullmatch(FILE_NAME, name)) is alone
    assert bool(re.fullmatch(FILE_BELOW, name)) is below


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "not an object"),
        ({}, "'a' is missing"),
        ({"a": 1}, "'a' must be true or false"),
        ({"a": True, "z": 1}, "'z' is not known"),
    ],
)
def test_the_field_is_named(document: Any, why: str) -> None:
    """And what it should be; its value is not shown."""
    with pytest.raises(BadJson, match=why):
        check_fields(document, {"a": flag()})
