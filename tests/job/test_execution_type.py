"""Tests of execution types."""

from __future__ import annotations

from epm_task.job.execution_type import EXECUTION_TYPES, execution_type_of


def test_both_spellings_count_and_service_is_the_default() -> None:
    """The answer may be no execution type."""
    assert execution_type_of({}) == EXECUTION_TYPES[0] == "Service"
    assert execution_type_of({"ExecutionType": None}) == "Service"
    assert execution_type_of({"executionType": "User"}) == "User"
    assert execution_type_of({"ExecutionType": "UserDesktop", "executionType": "User"}) == (
        "UserDesktop"
    )
    assert execution_type_of({"ExecutionType": 5}) == 5
