"""Tests of the text of a document, and of the places in it."""

from __future__ import annotations

import time

import pytest

from epm_task.contract.json_text import MAX_BYTES, BadJson
from epm_task.job.json_source import (
    Place,
    child,
    pointer_to,
    present_keys,
    read_source,
)

TEXT = """{
  "id": "a",
  "x/y": [1, {"~": "é"}, true],
  "empty": {}, "none": null
}
"""


@pytest.mark.parametrize(
    ("pointer", "place"),
    [
        ("", Place(1, 1)),
        ("/id", Place(2, 9)),
        ("/x~1y", Place(3, 10)),
        ("/x~1y/0", Place(3, 11)),
        ("/x~1y/1/~0", Place(3, 20)),
        ("/x~1y/2", Place(3, 26)),
        ("/empty", Place(4, 12)),
        ("/none", Place(4, 24)),
    ],
)
def test_every_value_has_a_place(pointer: str, place: Place) -> None:
    """Lines and columns count from 1, columns in characters."""
    assert read_source(TEXT.encode()).place(pointer) == place


def test_a_name_has_a_place_too() -> None:
    """An entry of an array has none, so the place of its value counts."""
    source = read_source(TEXT.encode())
    assert source.place("/none", of_key=True) == Place(4, 16)
    assert source.place("/x~1y/0", of_key=True) == source.place("/x~1y/0")


def test_what_is_absent_has_the_place_of_its_holder() -> None:
    """The nearest one that is there."""
    source = read_source(TEXT.encode())
    assert source.place("/empty/deep/er") == source.place("/empty")
    assert source.place("/nothing") == Place(1, 1)


def test_values_are_those_of_json() -> None:
    """All types, escapes and a byte order mark."""
    data = b'\xef\xbb\xbf {"a": [0, -1, 1.50, 1e3, "\\u00e9\\n\\ud83d\\ude00", true, false, null]}'
    assert read_source(data).value == {"a": [0, -1, 1.5, 1000.0, "é\n😀", True, False, None]}


@pytest.mark.parametrize(
    ("data", "place", "pointer", "why"),
    [
        (b"", (1, 1), "", "it is empty"),
        (b" \n", (1, 1), "", "it is empty"),
        (b"{", (1, 2), "", "a name in double quotes is needed here"),
        (b'{"a"', (1, 5), "", ": after a name is needed here, not the end of the text"),
        (b'{"a": 1', (1, 8), "", ", or } is needed here"),
        (b'{"a": 1,}', (1, 8), "", "one too many"),
        (b'{\n "a": [1,\n]}', (2, 9), "/a", "one too many"),
        (b"[1 2]", (1, 4), "", ", or ] is needed here, not '2'"),
        (b"{'a': 1}", (1, 2), "", "a name in double quotes"),
        (b'{"a": NaN}', (1, 7), "/a", "NaN is not JSON"),
        (b'{"a": -Infinity}', (1, 7), "/a", "-Infinity is not JSON"),
        (b'{"a": True}', (1, 7), "/a", "True is not JSON"),
        (b'{"a": 01}', (1, 8), "", ", or } is needed"),
        (b'{"a": 1e999}', (1, 7), "/a", "is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", (1, 7), "/a", "too many digits"),
        (
            b'{"a": 1, "b": {"c": 1, "c": 2}}',
            (1, 24),
            "/b/c",
            "the name 'c' is in one object twice",
        ),
        (b'{"a": "x\ty"}', (1, 9), "/a", "invalid control character"),
        (b'{"a": "x', (1, 7), "/a", "unterminated string"),
        (b'{"a": "\\x"}', (1, 8), "/a", "invalid \\escape"),
        (b"// no\n{}", (1, 1), "", "a comment, which JSON does not have"),
        (b"{} {}", (1, 4), "", "something follows the end"),
        ('{"a": 1}'.encode("utf-16"), (1, 1), "", "it is UTF-16"),
        ('{"a": 1}'.encode("utf-16-be"), (1, 1), "", "it is UTF-16"),
        (b'{\n "a": "\xff"}', (2, 8), "", "it is not UTF-8"),
        (b"[" * 100_000, (1, 66), "/0" * 65, "nested more than 64 deep"),
        (b'{"a":' * 100_000, (1, 326), "/a" * 65, "nested more than 64 deep"),
    ],
)
def test_bad_text_is_one_error_with_its_place(
    data: bytes, place: tuple[int, int], pointer: str, why: str
) -> None:
    """Line, column, pointer, and a sentence."""
    with pytest.raises(BadJson) as caught:
        read_source(data)
    assert (caught.value.place, caught.value.pointer) == (place, pointer)
    assert why in caught.value.why
    assert str(caught.value).startswith(f"line {place[0]}, column {place[1]}: ")


def test_a_huge_text_is_refused_at_once() -> None:
    """It is not even decoded."""
    data = b" " * 50_000_000
    started = time.thread_time()
    with pytest.raises(BadJson, match="more than 1048576 bytes"):
        read_source(data)
    assert time.thread_time() - started < 0.5


def test_the_longest_text_is_read() -> None:
    """In a moment, with all its places."""
    entry = b'{"name": "x", "n": 12345},'
    number = MAX_BYTES // len(entry) - 1
    source = read_source(b"[" + entry * number + b"null]")
    assert len(source.value) == number + 1
    assert source.place(f"/{number}").line == 1


def test_a_pointer_escapes_its_separators() -> None:
    """As RFC 6901 says."""
    assert pointer_to(["a/b", 0, "m~n", ""]) == "/a~1b/0/m~0n/"
    assert child("/tasks", 3) == "/tasks/3"


def test_keys_that_lead_nowhere_are_left_out() -> None:
    """As pydantic names alternatives between the keys."""
    value = {"events": ["x", {"eventType": 1}]}
    keys: list[str | int] = ["events", 1, "Event", "eventType", 4, "more"]
    assert present_keys(value, keys) == ["events", 1, "eventType"]
    assert present_keys([1], [1]) == []
