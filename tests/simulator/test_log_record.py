"""Tests of the record."""

from __future__ import annotations

import json

import pytest

from epm_task.simulator.log_record import Record

_FULL = {
    "timestamp": "2026-01-01T00:00:00Z", "level": "Warning", "message": "m", "source": "s",
    "jobId": "j", "jobName": "J", "runId": "r", "seq": 3, "properties": {"a": 1},
}  # fmt: skip


def test_all_fields():
    """A message of KeeperLogger becomes attributes."""
    record = Record.from_payload(json.dumps(_FULL).encode())
    assert record == Record(
        "m", "Warning", "2026-01-01T00:00:00Z", "s", "j", "J", "r", 3, {"a": 1}, "broker"
    )
    assert record.identity == ("r", 3)


@pytest.mark.parametrize("payload", [b"plain", b"[1]", b"\xff", b"[" * 100_000])
def test_text_that_is_no_object_is_the_message(payload: bytes):
    """A foreign program may publish anything."""
    record = Record.from_payload(payload)
    assert record.message == payload.decode("utf-8", "replace")
    assert (record.level, record.identity) == ("Information", None)


def test_odd_fields_do_not_raise():
    """Fields of another type become text, or nothing."""
    odd = {"message": 1, "level": None, "seq": "x", "properties": [], "runId": 5}
    record = Record.from_payload(json.dumps(odd).encode())
    assert (record.message, record.level, record.run_id) == ("1", "Information", "5")
    assert (record.seq, record.properties, record.identity) == (None, {}, None)


@pytest.mark.parametrize("line", [b"plain", b"", b"{}", b'{"message": "m", "level": "Error"}'])
def test_other_lines_of_stderr_are_no_records(line: bytes):
    """Only a JSON object with message, level, run and number is a record."""
    assert Record.from_line(line) is None


def test_record_on_stderr():
    """A mirrored record says where it was seen."""
    record = Record.from_line(json.dumps(_FULL).encode())
    assert record is not None
    assert record.source_channel == "stderr"
    assert record.identity == ("r", 3)
