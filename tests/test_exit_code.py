"""Tests of the exit codes: the numbers are a promise to every agent."""

from __future__ import annotations

import pytest

from epm_task.exit_code import AUTHOR_CODES, ExitCode, describe

FROZEN = {
    "OK": 0,
    "FAILED": 1,
    "USAGE": 64,
    "DATAERR": 65,
    "NOINPUT": 66,
    "UNAVAILABLE": 69,
    "SOFTWARE": 70,
    "OSERR": 71,
    "IOERR": 74,
    "TEMPFAIL": 75,
    "PROTOCOL": 76,
    "NOPERM": 77,
    "CONFIG": 78,
    "DEADLINE": 124,
    "FORCED": 125,
    "SIGINT": 130,
    "SIGTERM": 143,
    "SIGBREAK": 149,
}


def test_codes_are_frozen() -> None:
    """A code never changes its number."""
    assert {code.name: code.value for code in ExitCode} == FROZEN


def test_every_code_has_a_meaning() -> None:
    """Each code says in one line what it means."""
    assert all(code.meaning and "\n" not in code.meaning for code in ExitCode)


def test_author_has_1_to_63() -> None:
    """The author's codes end where the fixed ones begin."""
    assert (AUTHOR_CODES[0], AUTHOR_CODES[-1]) == (1, 63)


@pytest.mark.parametrize(
    ("code", "name"),
    [(0, "OK"), (77, "NOPERM"), (3, "the author's own"), (-9, "signal 9"), (99, "not one of ours")],
)
def test_any_code_can_be_described(code: int, name: str) -> None:
    """Every number that a process can end with has words."""
    assert describe(code) == name
