"""The oracle finds every record that is missing, and every one that should not be there."""

from __future__ import annotations

import json

import pytest
from peers.accounting import account


def _payload(seq: int, message: str = "m", run: str = "r") -> bytes:
    return json.dumps({"runId": run, "seq": seq, "message": message}).encode()


def test_all_records_in_either_place_are_complete() -> None:
    """Acknowledged and stderr together hold 1 to 4; a mirrored record may be in both."""
    stderr = b"epm-task: note\n" + _payload(3) + b"\n" + _payload(4) + b"\n"
    found = account(range(1, 5), [_payload(1), _payload(2), _payload(3)], stderr)
    assert found.complete
    assert (found.acknowledged, found.on_stderr) == (frozenset({1, 2, 3}), frozenset({3, 4}))


def test_missing_and_unexpected_records_are_named() -> None:
    """A record in neither place is missing; one that was never accepted is unexpected."""
    found = account(range(1, 4), [_payload(1), _payload(9)], b"")
    assert (set(found.missing), set(found.unexpected), found.complete) == ({2, 3}, {9}, False)


def test_repetitions_are_counted_and_allowed() -> None:
    """At least once: a repetition is allowed."""
    found = account([1], [_payload(1), _payload(1)], _payload(1))
    assert (found.repeated, found.complete) == (1, True)


def test_same_number_with_another_message_is_a_fault() -> None:
    """Two different records must not share a number."""
    found = account([1], [_payload(1, "a")], _payload(1, "b"))
    assert (set(found.contradictory), found.complete) == ({1}, False)


def test_torn_record_is_a_fault() -> None:
    """A line that begins as a record and is none was cut or mixed with another."""
    found = account([1], [_payload(1)], b'{"runId": "r", "se')
    assert (found.torn, found.complete) == ((b'{"runId": "r", "se',), False)


def test_runs_are_told_apart() -> None:
    """With two runs in one place the run must be named."""
    payloads = [_payload(1), _payload(1, run="other"), b"not json", b"[]", b'{"runId":"r"}']
    with pytest.raises(ValueError, match=r"\['other', 'r'\]"):
        account([1], payloads, b"")
    assert account([1], payloads, b"", run_id="r").complete
    assert account([1], payloads, b"", run_id="absent").missing == {1}
