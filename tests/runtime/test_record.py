"""Tests of records: always one line of strict JSON, never too long, never forged."""

from __future__ import annotations

import logging
import re
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime.strict_record import KEYS, SECRET, encode, encoder, strict


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


@settings(max_examples=150, deadline=None)
@given(
    VALUES, st.dictionaries(st.text(st.characters()), VALUES), st.text(st.characters(), min_size=1)
)
def test_any_record_is_one_line_of_strict_json(
    message: object, properties: dict[Any, Any], secret: str
) -> None:
    """No message and no field of any kind raises, breaks the line, or forges a key."""
    masking = encoder()
    masking.mask([secret, SECRET])
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
