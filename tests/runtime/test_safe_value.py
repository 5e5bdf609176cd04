"""Tests of safe values: whatever a value is, JSON can carry what comes out."""

from __future__ import annotations

import json
from collections import OrderedDict, UserDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, NoReturn
from uuid import UUID

import pytest
from pydantic import BaseModel, SecretStr

from epm_task.runtime.safe_value import safe_text, safe_value, shallow_value


class Color(Enum):
    """An enum of text."""

    RED = "red"


class Number(IntEnum):
    """An enum of numbers."""

    ONE = 1


@dataclass
class Finding:
    """A dataclass with a nested one."""

    path: PurePosixPath
    inner: Finding | None = None


class Model(BaseModel):
    """A pydantic model with a secret."""

    when: date = date(2026, 1, 31)
    token: SecretStr = SecretStr("hunter2-secret")


class Hostile:
    """An object none of whose methods can be called."""

    def __str__(self) -> NoReturn:
        raise RuntimeError("no str")

    __repr__ = __str__
    __bool__ = __len__ = __iter__ = __hash__ = __eq__ = __str__  # type: ignore[assignment]


class HostileMapping(UserDict[Any, Any]):
    """A mapping that cannot be read."""

    def items(self) -> NoReturn:  # type: ignore[override]
        """Refuse."""
        raise RuntimeError("no items")


class LyingText(str):
    """A text whose str is another kind of thing."""

    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("no str")


class NamelessKind(type):
    """A class that hides its name."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("no name")


class Nameless(Hostile, metaclass=NamelessKind):
    """A hostile object of such a class."""


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (-1.5, -1.5),
        ("text", "text"),
        (2**63 - 1, 2**63 - 1),
        (2**63, str(2**63)),
        (-(2**70), str(-(2**70))),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ([1, (2, 3)], [1, [2, 3]]),
        ({1}, [1]),
        (frozenset({"a"}), ["a"]),
        ({"a": {"b": b"c"}}, {"a": {"b": "c"}}),
        ({1: "a", None: "b", (1, 2): "c"}, {"1": "a", "None": "b", "(1, 2)": "c"}),
        (OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (UserDict({"a": 1}), {"a": 1}),
        (b"\xff\x00", "\\xff\x00"),
        (bytearray(b"abc"), "abc"),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00+00:00"),
        (date(2026, 1, 31), "2026-01-31"),
        (time(12, 30), "12:30:00"),
        (timedelta(minutes=1), 60.0),
        (Color.RED, "red"),
        (Number.ONE, 1),
        (PurePosixPath("/a/b"), "/a/b"),
        (Decimal("1.10"), "1.10"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (
            Finding(PurePosixPath("/a"), Finding(PurePosixPath("/b"))),
            {"path": "/a", "inner": {"path": "/b", "inner": None}},
        ),
        (Model(), {"when": "2026-01-31", "token": "**********"}),
        (SecretStr("hunter2-secret"), "**********"),
        ("\ud800x", "\ufffdx"),
        ("\ud83d\ude00", "\U0001f600"),
        (Finding, str(Finding)),
        (Model, str(Model)),
        (Hostile(), "<Hostile that cannot be shown>"),
        ({"a": Hostile(), "b": 1}, {"a": "<Hostile that cannot be shown>", "b": 1}),
        ({"a": HostileMapping(), "b": 1}, {"a": "<HostileMapping that cannot be shown>", "b": 1}),
        ([Nameless()], ["<Nameless that cannot be shown>"]),
        (LyingText("x"), "<LyingText that cannot be shown>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_has_a_form(value: object, form: object) -> None:
    """Each kind of value becomes what a reader would expect, and can be written as JSON."""
    found = safe_value(value)
    assert found == form
    json.dumps(found, allow_nan=False)


def test_key_that_cannot_be_shown_is_named_by_its_type() -> None:
    """A key may be any object."""

    class Key(Hostile):
        __hash__ = object.__hash__

    assert safe_value({Key(): 1}) == {"<Key that cannot be shown>": 1}


def test_depth_is_bounded() -> None:
    """Below the eighth level stands what was left out."""
    value: Any = "end"
    for _ in range(5000):
        value = [value]
    assert json.dumps(safe_value(value)) == "[" * 8 + '"<list, nested too deeply>"' + "]" * 8


def test_circle_ends() -> None:
    """A value that holds itself is written to the same depth."""
    circle: dict[str, Any] = {}
    circle["self"] = circle
    assert json.dumps(safe_value(circle)).endswith('"<dict, nested too deeply>"' + "}" * 8)


def test_endless_form_ends() -> None:
    """A value whose form is a value of its own kind is not followed for ever."""

    class Endless:
        def model_dump(self, mode: str) -> Endless:
            return Endless()

    assert safe_value(Endless()) == "<Endless, nested too deeply>"


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_width_is_bounded(kind: Any) -> None:
    """After 200 items stands that there are more."""
    found = safe_value(kind(range(10_000)))
    assert (len(found), found[-1]) == (201, "…")


def test_number_of_keys_is_bounded() -> None:
    """After 200 keys stands how many more there are."""
    found = safe_value(dict.fromkeys(range(1000), 0))
    assert (len(found), found["…"]) == (201, "800 more")


@pytest.mark.parametrize("value", ["x" * 10_000_000, b"x" * 10_000_000])
def test_length_is_bounded(value: object) -> None:
    """A text is cut at 128 KiB."""
    assert safe_value(value) == "x" * 131_072


def test_long_number_does_not_take_long() -> None:
    """Python refuses to write a number of a million digits; so its type stands there."""
    assert safe_value(10**1_000_000) == "<int that cannot be shown>"


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (1, "1"), ("\udfff", "\ufffd"), (Hostile(), "<Hostile that cannot be shown>")],
)
def test_text_is_safe(value: object, text: str) -> None:
    """A text can be encoded as UTF-8, whatever it was made from."""
    assert safe_text(value) == text


def test_one_layer_is_turned_at_a_time() -> None:
    """The parts of a shallow value are left to the JSON encoder, which asks again."""
    inner = {1}
    assert shallow_value(Finding(PurePosixPath("/a"))) == {
        "path": PurePosixPath("/a"),
        "inner": None,
    }
    assert shallow_value((inner,))[0] is inner
