"""Tests of records: always one line of strict JSON, never too long, never forged."""

from __future__ import annotations

import json
import logging
import re
from collections import OrderedDict, UserDict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, RootModel, Secret, SecretBytes, SecretStr
from runtime.strict_record import KEYS, SECRET, encode, encoder, strict

from epm_task.runtime.log.encoder import safe_text, safe_value, secret_texts, shallow_value

if TYPE_CHECKING:
    from collections.abc import Iterator


class Unshowable:
    """An object that cannot be shown."""

    def __str__(self) -> NoReturn:
        raise RuntimeError("no str")

    __repr__ = __str__


def circular() -> dict[str, Any]:
    """Return a mapping that holds itself."""
    circle: dict[str, Any] = {"x": 1}
    circle["self"] = circle
    return circle


def nested(levels: int) -> Any:
    """Return a list in a list in a list."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


HOSTILE = {
    "circular": circular(),
    "NaN": {"a": float("nan"), "b": float("inf")},
    "NaN as key": {float("nan"): 1},
    "surrogate": {"a": "\ud800", "\udfff": 1, "pair": "\U0001f600"},
    "text that looks like a surrogate": {"a": "\\ud800"},
    "10 MB": {"a": "x" * 10_000_000},
    "10 MB of surrogates": {"a": "\ud800" * 10_000_000},
    "10 MB of quotes": {"a": '"' * 10_000_000},
    "10 MB of bytes": {"a": b"\xff" * 10_000_000},
    "a million numbers": {"a": list(range(1_000_000))},
    "many keys": {f"key {number}": number for number in range(100_000)},
    "unshowable": {"a": Unshowable(), "b": [Unshowable()]},
    "control characters": {"a": "\x00\n\r\x1b[31m\x7f\x85\u2028\u2029", "\n": 1},
    "large number": {"a": 2**70},
    "huge number": {"a": 10**5000},
    "sets and bytes": {"a": {1}, "b": b"x\xff", "c": frozenset({"y"})},
    "5000 levels": {"a": nested(5000)},
    "odd keys": {None: 1, (1, 2): 2, b"x": 3, 1.5: 4, True: 5},
    "reserved keys": dict.fromkeys(KEYS, "forged"),
}


@pytest.mark.parametrize("properties", HOSTILE.values(), ids=HOSTILE)
def test_hostile_properties_are_one_record(properties: dict[Any, Any]) -> None:
    """Whatever an author logs, it is one line of strict JSON of at most 128 KiB."""
    record = encode("scan_finished", properties)
    assert (record["message"], record["source"], record["seq"]) == ("scan_finished", "scan", 1)
    assert (record["jobId"], record["jobName"], record["runId"]) == (
        "key-scanner",
        "Key scanner",
        "7f",
    )


@pytest.mark.parametrize(
    "message",
    [
        "",
        None,
        2**70,
        b"\xff",
        "\ud800",
        Unshowable(),
        nested(5000),
        "x" * 10_000_000,
        "\x00" * 10_000_000,
        '"\\' * 30_000,
        "\U0001f600" * 100_000,
    ],
    ids=lambda message: type(message).__name__,
)
@pytest.mark.parametrize("properties", [{}, {"a": '"' * 200_000}], ids=["alone", "with fields"])
def test_hostile_message_is_one_record(message: object, properties: dict[str, Any]) -> None:
    """A message may be anything, and any length."""
    assert isinstance(encode(message, properties)["message"], str)


@pytest.mark.parametrize("field", ["source", "job_id", "job_name"])
@pytest.mark.parametrize("text", ["x" * 1_000_000, "\U0001f600" * 100_000, '"\ud800\n' * 1000])
def test_hostile_name_is_one_record(field: str, text: str) -> None:
    """The names that come from the environment and from loggers are bounded too."""
    strict(encoder(**{field: text}).encode(logging.INFO, "m" * 40_000, {"a": '"' * 80_000}))
    strict(encoder().encode(logging.INFO, "m", {}, source=text))


@pytest.mark.parametrize(("quotes", "size"), [(0, 130_000), (47_000, 83_000), (60_000, 60_000)])
def test_no_mixture_is_too_long(quotes: int, size: int) -> None:
    """Message and fields together stay below the limit, wherever the cut falls."""
    for extra in range(0, 20_000, 500):
        encode('"' * (quotes // 2 + extra // 2), {"a": '"' * (size // 2)})


def test_long_record_is_cut_and_marked() -> None:
    """What is left of a record of 1 MB is its beginning, its size, and the mark."""
    record = encode("scan_finished", {"first": "x" * 1_000_000})
    assert record["properties"]["truncated"] is True
    assert record["properties"]["bytes"] > 1_000_000
    assert record["properties"]["head"].startswith('{"first":"xxx')


def test_long_message_is_cut() -> None:
    """Of an endless message its beginning is kept, with a sign that it goes on."""
    message = encode("début " + "x" * 1_000_000)["message"]
    assert message.startswith("début xxx")
    assert message.endswith("x …")


def test_record_below_the_limit_is_whole() -> None:
    """A record of 100 KiB is not cut."""
    assert encode("m", {"a": "x" * 100_000})["properties"] == {"a": "x" * 100_000}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())  # lone surrogates included
    | st.binary()
    | st.datetimes()
    | st.timedeltas()
    | st.decimals()
    | st.builds(Unshowable)
    | st.builds(object),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(st.characters()) | st.integers() | st.none(), inner)
        | st.frozensets(st.integers() | st.text())
    ),
    max_leaves=20,
)


@settings(max_examples=150)
@given(
    VALUES, st.dictionaries(st.text(st.characters()), VALUES), st.text(st.characters(), min_size=1)
)
def test_any_record_is_one_line_of_strict_json(
    message: object, properties: dict[Any, Any], secret: str
) -> None:
    """No message and no field of any kind raises, breaks the line, or forges a key."""
    masking = encoder()
    masking.secrets.add([secret, SECRET])
    strict(masking.encode(logging.INFO, message, properties))


@pytest.mark.parametrize(
    "text",
    [
        'x"}\n{"timestamp":"2026-01-31T00:00:00Z","level":"Critical","message":"forged"}',
        '","level":"Critical","message":"forged',
        "\\",
        '\\","level":"Critical',
    ],
)
def test_text_forges_no_record(text: str) -> None:
    """Quotes, backslashes and line ends in any place are data."""
    line = encoder(job_name=text).encode(
        logging.INFO, text, {text: text, "list": [text]}, source=text
    )
    record = strict(line)
    assert (record["level"], record["message"], record["source"]) == ("Information", text, text)
    assert (record["jobName"], record["properties"]) == (text, {text: text, "list": [text]})


def test_records_are_numbered_and_dated() -> None:
    """Each record has the next number, and a moment in UTC with microseconds."""
    numbering = encoder()
    records = [strict(numbering.encode(logging.INFO, "m", {})) for _ in range(3)]
    assert [record["seq"] for record in records] == [1, 2, 3]
    shape = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
    assert all(shape.fullmatch(record["timestamp"]) for record in records)
    assert records == sorted(records, key=lambda record: record["timestamp"])


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

    def items(self) -> NoReturn:
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
        ({1: "a", None: "b", (1, 2): "c"}, {"1": "a", "null": "b", "(1, 2)": "c"}),
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
        __hash__ = object.__hash__  # type: ignore[assignment]

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


class Login(BaseModel):
    """A model with a secret."""

    user: str = "root"
    password: SecretStr = SecretStr("in-model")


@dataclass
class Key:
    """A dataclass with a secret."""

    data: SecretBytes
    size: int = 0


class Nested(BaseModel):
    """A model with models."""

    login: Login = Login()
    others: list[Login] = [Login(password=SecretStr("in-list"))]
    extra: dict[str, SecretStr] = {"a": SecretStr("in-mapping")}


class Keys(RootModel[list[SecretStr]]):
    """A model of one value, iterated over as pydantic's documentation advises."""

    def __iter__(self) -> Iterator[SecretStr]:  # type: ignore[override]
        return iter(self.root)


class Open(BaseModel, extra="allow"):
    """A model that keeps what it does not know."""


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (None, []),
        ("plain", []),
        (SecretStr, []),
        (Login, []),
        (Key, []),
        (SecretStr("one"), ["one"]),
        (SecretBytes(b"two\xff"), ["two\udcff"]),
        (Secret[int](3), ["3"]),
        ([SecretStr("a"), SecretStr("b")], ["a", "b"]),
        ((SecretStr("a"),), ["a"]),
        ({SecretStr("a")}, ["a"]),
        (deque([SecretStr("a")]), ["a"]),
        ({SecretStr("a"): SecretStr("b")}, ["a", "b"]),
        (Keys([SecretStr("a")]), ["a"]),
        (Open.model_validate({"more": SecretStr("extra")}), ["extra"]),
        ({"x": {"y": SecretStr("deep")}, "z": 1}, ["deep"]),
        (Key(SecretBytes(b"key")), ["key"]),
        (Nested(), ["in-model", "in-list", "in-mapping"]),
    ],
)
def test_secrets_are_found(value: object, texts: list[str]) -> None:
    """Every secret in a value is found, at any depth; what is not secret is passed over."""
    assert list(secret_texts(value)) == texts
