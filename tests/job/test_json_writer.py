"""Tests of writing a document again."""

from __future__ import annotations

import json

import pytest

from epm_task.job.json_source import read_source
from epm_task.job.json_writer import encoded, indent_of, write_document

TEXT = """{
  "z": 1.10,
  "a": [
    1E5,
    -0,
    123456789012345678901234567890,
    0.1000000000000000000001
  ],
  "text": "é\\u0007 \\"quoted\\" \\\\",
  "empty": {},
  "none": [],
  "null": null,
  "yes": true
}
"""


def test_a_document_is_written_as_it_was_read() -> None:
    """Order, digits and text stay, to the byte."""
    assert encoded(write_document(read_source(TEXT.encode()).value)) == TEXT.encode()


def test_a_lone_surrogate_stays_an_escape() -> None:
    """It has no UTF-8."""
    data = b'{\n  "a": "\\udc80"\n}\n'
    assert encoded(write_document(read_source(data).value)) == data


@pytest.mark.parametrize("indent", ["  ", "    ", "\t", " "])
def test_the_indent_is_kept(indent: str) -> None:
    """It is that of the first line that has one."""
    value = {"a": [1, {"b": 2}]}
    text = json.dumps(value, indent=indent) + "\n"
    assert write_document(value, indent=indent_of(text)) == text


@pytest.mark.parametrize("text", ["{}", '{"a": 1}', '{"a":\n 1}', "[]"])
def test_a_text_without_indent_gets_two_blanks(text: str) -> None:
    """As most editors have it."""
    assert indent_of(text) == "  "


def test_not_a_number_is_refused() -> None:
    """No JSON stands for it."""
    with pytest.raises(ValueError, match="Out of range"):
        write_document({"a": float("nan")})
