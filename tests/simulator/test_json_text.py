"""Tests of JSON from outside."""

from __future__ import annotations

import json

import pytest

from epm_task.simulator.json_text import BadJson, parse_json, parse_object, write_json


@pytest.mark.parametrize(
    ("data", "line", "why"),
    [
        (b"", 1, "Expecting value"),
        (b'{\n"a": 1\n"b"}', 3, "delimiter"),
        (b'{\n\n"a": "\xff"}', 3, "not UTF-8"),
        (b"[" * 100_000, 1, "nested too deeply"),
        (b"[NaN]", 1, "NaN is no JSON number"),
        (b"[-Infinity]", 1, "-Infinity is no JSON number"),
        (b"[1e999]", 1, "1e999 is no JSON number"),
        (b"[" + b"9" * 5000 + b"]", 1, "digits"),
    ],
)
def test_what_is_no_json_is_refused_with_line_and_reason(data: bytes, line: int, why: str) -> None:
    """Every fault of a text becomes the same error."""
    with pytest.raises(BadJson, match=rf"line {line}: .*{why}") as caught:
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
