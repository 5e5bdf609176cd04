"""Tests of the JSON object that a task prints."""

from __future__ import annotations

import json
import re
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import ip_address, ip_network
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, NoReturn
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, HttpUrl, SecretStr
from runtime.strict_record import encode

from epm_task.contract.json_text import parse_object
from epm_task.runtime.log.encoder import safe_value
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


class Raising(BaseModel):
    """A model that cannot be written."""

    def model_dump(self, **_: Any) -> NoReturn:
        """Refuse."""
        raise RuntimeError("hunter2-secret")


class Pair(NamedTuple):
    """A named tuple."""

    first: Path
    second: int


#: A value, its form in a result, and in a record where that differs.
FORMS: list[tuple[Any, Any]] = [
    (Decimal("1.50"), "1.50"),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (ip_address("10.0.0.1"), "10.0.0.1"),
    (ip_network("fd00::/8"), "fd00::/8"),
    (time(2, 30), "02:30:00"),
    (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
    (PurePosixPath("/a"), "/a"),
    (Path("\udcff"), "\ufffd"),
    ("\ud83d\ude00\ud800", "\U0001f600\ufffd"),
    (b"a\xff", "a\\xff"),
    (memoryview(b"ab"), "ab"),
    ({"b", "a"}, ["a", "b"]),
    ({"a": 1}.keys(), ["a"]),
    (deque([1]), [1]),
    (range(2), [0, 1]),
    (Pair(Path("x"), 1), ["x", 1]),
    (re.compile("a+"), "a+"),
    (HttpUrl("https://example.org"), "https://example.org/"),
    (OrderedDict(a=b"x"), {"a": "x"}),
    (Color.RED, "red"),
    (IntEnum("Port", {"HTTP": 80}).HTTP, 80),  # type: ignore[attr-defined]
    ({1: "a", None: "b", 1.5: "c"}, {"1": "a", "null": "b", "1.5": "c"}),
    ({Color.RED: 1, UUID(int=1): 2}, {"red": 1, "00000000-0000-0000-0000-000000000001": 2}),
    ({date(2026, 1, 31): {Decimal(1): 1}}, {"2026-01-31": {"1": 1}}),
]


@pytest.mark.parametrize(("value", "form"), FORMS, ids=lambda value: type(value).__name__)
def test_results_and_records_agree(value: object, form: object) -> None:
    """A value has one form, wherever it leaves the task; both of its ways through the encoder."""
    assert json.loads(encode_object({"a": value})) == {"a": form}
    assert encode("m", {"a": value})["properties"] == {"a": form}
    assert safe_value(value) == form


def test_a_record_loses_no_key() -> None:
    """It cannot be refused: the second of two keys with one name gets its type as well."""
    fields = {"a": {1: "x", "1": "y"}, "b": [Finding(Path("x"), {True: 1, "true": 2})]}
    assert encode("m", fields)["properties"] == {
        "a": {"1": "x", "1 (str)": "y"},
        "b": [{"path": "x", "inner": {"true": 1, "true (str)": 2}}],
    }


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ({}, {}),
        ({"a": Path("/x")}, {"a": str(Path("/x"))}),
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
        (Finding, "it: type has no JSON form"),
        ({"a": object()}, "/a: object has no JSON form"),
        ({"findings": [1, 2, 3, {"when": object()}]}, "/findings/3/when: object"),
        (Finding(Path("x"), Finding(Path("y"), {1: object()})), "/inner/inner/1: object"),
        ({"a": SecretStr("hunter2-secret")}, "/a: SecretStr has no JSON form"),
        ({"a": float("nan")}, "/a: nan is no number in JSON"),
        ({"a": [Decimal(1), float("-inf")]}, "/a/1: -inf is no number in JSON"),
        ({"a": 10**5000}, "too many digits"),
        ({(1, 2): 3}, "it: a key that is a tuple has no JSON form"),
        ({"a": {object(): 3}}, "/a: object has no JSON form"),
        ({"a": {1: "x", "1": "y"}}, "/a: two keys are written as '1'"),
        ({True: 1, "true": 2}, "it: two keys are written as 'true'"),
        ({"a": {Color.RED: 1, "red": 2}}, "/a: two keys are written as 'red'"),
        ({"a": Raising()}, "/a: its Raising raised RuntimeError"),
        ({"x" * 50: [{"y" * 99: object()}]}, f"/{'x' * 40}/0/{'y' * 40}: object"),
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
    with pytest.raises(ValueError, match=r"/self/self/.*nested too deeply"):
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
