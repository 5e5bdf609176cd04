"""Tests of the fields of a progress record: written, and read from records that anybody wrote."""

from __future__ import annotations

from typing import Any

import pytest

from epm_task.contract.progress import Progress, count

WHOLE = {
    "done": 300,
    "total": 1000,
    "rate": 52.3,
    "remainingSeconds": 13.4,
    "elapsedSeconds": 5.736,
    "state": "running",
    "progressId": 2,
}


def test_fields_and_back() -> None:
    """Names and order are those that people and the console read; numbers are rounded."""
    progress = Progress(2, 300, 5.7361, "running", 1000, 52.3123, 13.381)
    assert list(progress.fields().items()) == list(WHOLE.items())
    assert Progress.of(WHOLE) == Progress(2, 300, 5.736, "running", 1000, 52.3, 13.4)


def test_unknown_fields_are_absent() -> None:
    """Nobody has to tell null from absent."""
    fields = {"done": 0, "elapsedSeconds": 0.0, "state": "stopped", "progressId": 1}
    assert Progress(1, 0, 0.0, "stopped").fields() == fields
    assert Progress.of(fields) == Progress(1, 0, 0.0, "stopped")


@pytest.mark.parametrize(
    "other",
    [
        {"progressId": None},
        {"progressId": "1"},
        {"progressId": True},
        {"done": None},
        {"done": -1},
        {"done": "3"},
        {"done": float("nan")},
        {"state": "over"},
        {"state": ["done"]},
    ],
)
def test_another_record(other: dict[str, Any]) -> None:
    """A record without these fields, or with others of their names, is not about progress."""
    assert Progress.of({**WHOLE, **other}) is None


@pytest.mark.parametrize("total", [None, 299, -1, "1000", float("inf"), True])
def test_a_total_that_cannot_be(total: object) -> None:
    """It is not known then, and the rest of the record counts."""
    found = Progress.of({**WHOLE, "total": total, "rate": "fast"})
    assert found is not None
    assert (found.total, found.rate, found.done) == (None, None, 300)


def test_count() -> None:
    """A number that JSON and .NET can hold."""
    assert [count(value) for value in (0, 1.5, 2**63 - 1)] == [0, 1.5, 2**63 - 1]
    assert not {count(value) for value in (-1, 2**63, False, "1", float("nan"))} - {None}
