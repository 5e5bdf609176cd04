"""Tests of the JSON object that a task prints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from epm_task.contract.json_text import parse_object
from epm_task.runtime.result import encode_object

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


class Color(Enum):
    """A value that JSON does not know."""

    RED = "red"


@dataclass
class Finding:
    """A dataclass."""

    path: Path
    inner: object = None


class Model(BaseModel):
    """A pydantic model."""

    when: date
    token: SecretStr = SecretStr("hunter2-secret")


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ({}, {}),
        ({"a": Path("/x")}, {"a": "/x"}),
        ({"a": Color.RED}, {"a": "red"}),
        ({"a": {2, 1}}, {"a": [1, 2]}),
        ({"a": timedelta(minutes=1)}, {"a": 60.0}),
        ({"a": datetime(2026, 1, 1, tzinfo=UTC)}, {"a": "2026-01-01T00:00:00+00:00"}),
        (
            Finding(Path("x"), Finding(Path("y"))),
            {"path": "x", "inner": {"path": "y", "inner": None}},
        ),
        (Model(when=date(2026, 1, 1)), {"when": "2026-01-01", "token": "**********"}),
        ({"a": Model(when=date(2026, 1, 1))}, {"a": {"when": "2026-01-01", "token": "**********"}}),
    ],
)
def test_objects_are_encoded(value: object, encoded: dict[str, Any]) -> None:
    """Mappings, dataclasses and models become one line of ASCII JSON; secrets stay hidden."""
    line = encode_object(value)
    assert json.loads(line) == encoded
    assert b"\n" not in line
    assert line.isascii()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([1], "a list is not an object"),
        (3, "a int is not an object"),
        ("text", "a str is not an object"),
        (Finding, "is not an object"),
        ({"a": object()}, "not an object"),
        ({"a": b"x"}, "not an object"),
        ({"a": SecretStr("hunter2-secret")}, "not an object"),
        ({"a": float("nan")}, "not JSON compliant"),
        ({(1, 2): 3}, "keys must be"),
    ],
)
def test_other_values_are_refused_without_being_shown(value: object, why: str) -> None:
    """What has no JSON form is refused with the reason."""
    with pytest.raises(ValueError, match=why) as refused:
        encode_object(value)
    assert "hunter2" not in str(refused.value)


def test_circle_and_depth_are_refused() -> None:
    """A value that never ends is refused, not followed."""
    circle: dict[str, Any] = {}
    circle["self"] = circle
    with pytest.raises(ValueError, match="Circular"):
        encode_object(circle)
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="nested too deeply"):
        encode_object(deep)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_what_is_written_is_read(value: dict[str, Any]) -> None:
    """An encoded object decodes to itself."""
    assert parse_object(encode_object(value)) == value
