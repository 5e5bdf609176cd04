"""Tests of the record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epm_task.contract.record import Record, printable, show_line, view

_FULL = {
    "timestamp": "2026-01-01T00:00:00Z", "level": "Warning", "message": "m", "source": "s",
    "jobId": "j", "jobName": "J", "runId": "r", "seq": 3, "properties": {"a": 1},
}  # fmt: skip


def test_all_fields() -> None:
    """A message of KeeperLogger becomes attributes."""
    record = Record.from_payload(json.dumps(_FULL).encode())
    assert record == Record(
        "m", "Warning", "2026-01-01T00:00:00Z", "s", "j", "J", "r", 3, {"a": 1}, "broker"
    )
    assert record.identity == ("r", 3)


@pytest.mark.parametrize("payload", [b"plain", b"[1]", b"\xff", b"[" * 100_000])
def test_text_that_is_no_object_is_the_message(payload: bytes) -> None:
    """A foreign program may publish anything."""
    record = Record.from_payload(payload)
    assert record.message == payload.decode("utf-8", "replace")
    assert (record.level, record.identity) == ("Information", None)


def test_odd_fields_do_not_raise() -> None:
    """Fields of another type become text, or nothing."""
    odd: dict[str, Any] = {"message": 1, "level": None, "seq": "x", "properties": [], "runId": 5}
    record = Record.from_payload(json.dumps(odd).encode())
    assert (record.message, record.level, record.run_id) == ("1", "Information", "5")
    assert (record.seq, record.properties, record.identity) == (None, {}, None)


@pytest.mark.parametrize("line", [b"plain", b"", b"{}", b'{"message": "m", "level": "Error"}'])
def test_other_lines_of_stderr_are_no_records(line: bytes) -> None:
    """Only a JSON object with message, level, run and number is a record."""
    assert Record.from_line(line) is None


def test_record_on_stderr() -> None:
    """A mirrored record says where it was seen."""
    record = Record.from_line(json.dumps(_FULL).encode())
    assert record is not None
    assert record.source_channel == "stderr"
    assert record.identity == ("r", 3)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def record(**changes: Any) -> dict[str, Any]:
    """Return a record with these changes."""
    return {
        "timestamp": "2026-01-31T12:34:56.789012Z",
        "level": "Information",
        "message": "scan_finished",
        "properties": {},
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "12:34:56.789  Info      scan_finished"),
        ({"level": "Warning"}, "12:34:56.789  Warning   scan_finished"),
        ({"properties": {"found": 3}}, "12:34:56.789  Info      scan_finished  found=3"),
        (
            {"properties": {"a": "plain", "b": "two words", "c": "x=y", "d": "", "e": None}},
            '12:34:56.789  Info      scan_finished  a=plain  b="two words"  c="x=y"  d=""  e=null',
        ),
        (
            {"properties": {"a": [1, {"b": "é"}]}},
            '12:34:56.789  Info      scan_finished  a=[1, {"b": "é"}]',
        ),
        ({"properties": None}, "12:34:56.789  Info      scan_finished"),
        ({"properties": [1]}, "12:34:56.789  Info      scan_finished  properties=[1]"),
        ({"properties": "a b"}, '12:34:56.789  Info      scan_finished  properties="a b"'),
        (
            {
                "properties": {
                    "exception": "Traceback:\n  line\nKeyError",
                    "exceptionType": "KeyError",
                }
            },
            "12:34:56.789  Info      scan_finished  exceptionType=KeyError"
            + "".join(f"\n    {line}" for line in ("Traceback:", "  line", "KeyError")),
        ),
        (
            {"message": "a\nb\x1b[31m\u2028\u202e"},
            r"12:34:56.789  Info      a\nb\x1b[31m\u2028\u202e",
        ),
        ({"properties": {"k\n": "v\r"}}, r'12:34:56.789  Info      scan_finished  k\n="v\r"'),
        ({"timestamp": "\x1b" * 30}, "\\x1b" * 12 + "  Info      scan_finished"),
        ({"level": "\x07"}, "12:34:56.789  \\x07      scan_finished"),
    ],
)
def test_record_is_readable(changes: dict[str, Any], line: str) -> None:
    """Time, level, message and fields stand in one line; a traceback is indented below it."""
    assert view(record(**changes), color=False) == line


def test_empty_record_has_a_view() -> None:
    """A record of somebody else, without our fields, is shown as far as it goes."""
    assert view({}, color=True).strip() == ""


@pytest.mark.parametrize("level", ["Trace", "Debug", "Information", "Warning", "Error", "Critical"])
def test_level_has_a_color(level: str) -> None:
    """On a terminal the level's word, and only that, is coloured."""
    plain, colored = (view(record(level=level), color=color) for color in (False, True))
    before, _, after = colored.partition("\x1b[")
    code, _, rest = after.partition("m")
    assert code
    assert before + rest.replace("\x1b[0m", "") == plain


def test_stacks_and_traceback_are_below_the_line() -> None:
    """All are shown line by line, in this order; none is a field of the line."""
    traces = {"stacks": "t1\nt2\n", "exception": "e1\n", "stack": "s1\ns2\n"}
    shown = view(record(properties={"a": 1, **traces}), color=False)
    first, *rest = shown.splitlines()
    assert first.endswith("  a=1")
    assert [line.strip() for line in rest if line.strip()] == ["s1", "s2", "t1", "t2", "e1"]


@given(st.dictionaries(st.text(), JSON), st.text(), st.text())
def test_no_record_breaks_its_line(properties: dict[str, Any], message: str, level: str) -> None:
    """Only a traceback has further lines, and no control character reaches the terminal."""
    shown = view(record(properties=properties, message=message, level=level), color=False)
    first, *rest = shown.split("\n")
    assert first.isprintable()
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
    assert properties.keys() & {"stack", "stacks", "exception"} or not rest


@pytest.mark.parametrize(
    ("text", "shown"), [("a b", "a b"), ("\t\x00é\ud800'", "\\t\\x00é\\ud800'")]
)
def test_control_character_is_escaped(text: str, shown: str) -> None:
    """What a terminal would act on is written as an escape."""
    assert printable(text) == shown


@pytest.mark.parametrize(("value", "colored"), [(None, True), ("1", False), ("", True)])
def test_no_color_is_obeyed(
    monkeypatch: pytest.MonkeyPatch, value: str | None, *, colored: bool
) -> None:
    """A NO_COLOR that is not empty turns the colours off, as no-color.org defines it."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    if value is not None:
        monkeypatch.setenv("NO_COLOR", value)
    line = json.dumps(record(message="ünïcode \ud800")).encode()
    shown = show_line(line).decode()
    assert ("\x1b[36m" in shown) is colored
    assert shown.endswith("ünïcode \\ud800")
