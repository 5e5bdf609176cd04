"""Tests of JSON from outside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epm_task.contract.json_text import (
    MAX_BYTES,
    BadJson,
    ExactNumber,
    parse_json,
    parse_object,
    read_number,
    read_object,
    write_json,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("data", "place", "why"),
    [
        (b"", (1, 1), "not JSON"),
        (b"{", (1, 2), "not JSON"),
        (b"<html>", (1, 1), "not JSON"),
        (b'{\n"a": 1\n"b"}', (3, 1), "not JSON .*delimiter"),
        (b'{\n\n"a": "\xff"}', (3, 7), "not UTF-8"),
        ('{"a":1}'.encode("utf-16"), (1, 1), "UTF-16"),
        (b"[" * 100_000, (0, 0), "nested too deeply"),
        (b"[" * 66 + b"]" * 66, (0, 0), "nested too deeply: more than 64 levels"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, (0, 0), "more than 64 levels"),
        (b"[NaN]", (0, 0), "it holds NaN, which is not JSON"),
        (b"[-Infinity]", (0, 0), "it holds -Infinity"),
        (b"[1e999]", (0, 0), "1e999 is too large"),
        (b'{"a": 1, "a": 2}', (0, 0), "'a' is in one object twice"),
        (b"[" + b"9" * 5000 + b"]", (0, 0), "digits"),
    ],
)
def test_a_fault_is_one_error_with_place_and_reason(
    data: bytes, place: tuple[int, int], why: str
) -> None:
    """Whatever the text is, in bounded time; a place that cannot be named is 0."""
    with pytest.raises(BadJson, match=why) as caught:
        parse_json(data)
    assert (caught.value.place, caught.value.line) == (place, place[0])
    assert caught.value.fix


@pytest.mark.parametrize("data", [b"[" * 65 + b"]" * 65, b"[" * 64 + b"1, 2" + b"]" * 64])
def test_what_is_nested_as_deep_as_the_agent_reads_is_read(data: bytes) -> None:
    """The innermost value lies in 64 others; brackets that follow each other do not count."""
    assert parse_json(data)
    assert len(parse_json(b"[" + b"{}, " * 200 + b"[]]")) == 201


@given(st.lists(st.text('[]{}",:\\ x\n', max_size=6), min_size=65, max_size=65))
def test_brackets_in_texts_do_not_count(texts: list[str]) -> None:
    """Whatever the names and the texts are, 64 levels are read and 65 are not."""
    value: object = texts
    for text in texts[:63]:
        value = {text: value, f"{text}!": [text, {}]}
    assert parse_json(json.dumps(value)) == value
    with pytest.raises(BadJson, match="more than 64 levels"):
        parse_json(json.dumps([value], indent=1))


@given(st.binary(max_size=40))
def test_bytes_are_an_object_or_bad_json(data: bytes) -> None:
    """No bytes make reading fail in another way."""
    try:
        found: object = parse_object(data)
    except BadJson as error:
        found = error
    assert isinstance(found, dict | BadJson)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    """One that is absent, or larger than 1 MiB, says so."""
    file = tmp_path / "a.json"
    with pytest.raises(FileNotFoundError) as absent:
        file.stat()
    with pytest.raises(BadJson, match=f"it cannot be read: {absent.value.strerror}"):
        read_object(file)
    file.write_bytes(b'{"a": 1}' + b" " * MAX_BYTES)
    with pytest.raises(BadJson, match="more than 1048576 bytes"):
        read_object(file)
    file.write_bytes(b'{"a": 1}')
    assert read_object(file) == {"a": 1}


def test_a_byte_order_mark_is_passed_over() -> None:
    """Windows editors write one."""
    assert parse_object(b'\xef\xbb\xbf{"a": 1.5}') == {"a": 1.5}


def test_another_value_than_an_object_is_refused() -> None:
    """An array is JSON, but not an object."""
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
