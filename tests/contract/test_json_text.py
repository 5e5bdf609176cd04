"""Tests of JSON from outside."""

from __future__ import annotations

import json

import pytest

from epm_task.contract.json_text import (
    BadJson,
    ExactNumber,
    parse_json,
    parse_object,
    read_number,
    write_json,
)


@pytest.mark.parametrize(
    ("data", "line", "why"),
    [
        (b"", 1, "Expecting value"),
        (b'{\n"a": 1\n"b"}', 3, "delimiter"),
        (b'{\n\n"a": "\xff"}', 3, "not UTF-8"),
        (b"[" * 100_000, 0, "nested too deeply"),
        (b"[NaN]", 0, "NaN is not a JSON number"),
        (b"[-Infinity]", 0, "-Infinity is not a JSON number"),
        (b"[1e999]", 0, "1e999 is not a JSON number"),
        (b'{"a": 1, "a": 2}', 0, "'a' is in one object twice"),
        (b"[" + b"9" * 5000 + b"]", 0, "digits"),
    ],
)
def test_what_is_no_json_is_refused_with_line_and_reason(data: bytes, line: int, why: str) -> None:
    """Every fault of a text becomes the same error."""
    with pytest.raises(BadJson, match=why) as caught:
        parse_json(data)
    assert caught.value.line == line


def test_a_byte_order_mark_is_passed_over() -> None:
    """Windows editors write one."""
    assert parse_object(b'\xef\xbb\xbf{"a": 1.5}') == {"a": 1.5}


def test_another_value_than_an_object_is_refused() -> None:
    """An array is JSON, and no object."""
    with pytest.raises(BadJson, match="a JSON object is needed"):
        parse_object(b"[1]")


def test_what_is_written_is_readable_and_reads_back_the_same() -> None:
    """Also text that has no UTF-8 of its own."""
    value = {"b": "ü", "a": ["\ud800", 1.5, None]}
    data = write_json(value)
    assert "ü".encode() in data
    assert data.endswith(b"}\n")
    assert parse_json(data) == value
    assert list(json.loads(data)) == ["b", "a"]


@pytest.mark.parametrize("text", ["1.10", "1e3", "1E+3", "-0", "0.0", "-1.5e-7"])
def test_an_exact_number_is_a_float_with_its_text(text: str) -> None:
    """It compares and calculates as any float."""
    number = read_number(text)
    assert isinstance(number, ExactNumber)
    assert (number.text, number, number + 1) == (text, float(text), float(text) + 1)


@pytest.mark.parametrize("text", ["0", "-1", "9" * 4300])
def test_a_whole_number_is_an_int(text: str) -> None:
    """Its digits are kept anyway."""
    assert type(read_number(text)) is int
    assert read_number(text) == int(text)


@pytest.mark.parametrize("text", ["1e999", "-1e999", "9" * 4301])
def test_what_no_number_can_hold_is_refused(text: str) -> None:
    """Not silently made infinite, nor slow."""
    with pytest.raises(ValueError, match="the number"):
        read_number(text)
