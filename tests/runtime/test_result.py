"""Tests of the JSON object: strict in both directions."""

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

from epm_task.runtime.result import decode_object, encode_object

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
        ([1], "a list is no object"),
        (3, "a int is no object"),
        ("text", "a str is no object"),
        (Finding, "is no object"),
        ({"a": object()}, "no object"),
        ({"a": b"x"}, "no object"),
        ({"a": SecretStr("hunter2-secret")}, "no object"),
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


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a":1', "not JSON"),
        (b"[1]", "not an object"),
        (b'"x"', "not an object"),
        (b'{"a":NaN}', "holds NaN"),
        (b'{"a":-Infinity}', "holds -Infinity"),
        (b'{"a":1,"a":2}', "a key twice"),
        (b'{"a":"\xff"}', "not UTF-8"),
        ('{"a":1}'.encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a":' + b"[" * 100_000, "nested too deeply"),
        (b'{"a":' + b"9" * 5000 + b"}", "digits"),
        (b"<html>", "not JSON"),
    ],
)
def test_hostile_bytes_are_refused(data: bytes, why: str) -> None:
    """Whatever is not one strict JSON object is refused in bounded time."""
    with pytest.raises(ValueError, match=why):
        decode_object(data)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_what_is_written_is_read(value: dict[str, Any]) -> None:
    """An encoded object decodes to itself."""
    assert decode_object(encode_object(value)) == value


@given(st.binary(max_size=40))
def test_bytes_are_an_object_or_a_value_error(data: bytes) -> None:
    """No bytes make decoding fail in another way."""
    try:
        found: object = decode_object(data)
    except ValueError as error:
        found = error
    assert isinstance(found, dict | ValueError)
