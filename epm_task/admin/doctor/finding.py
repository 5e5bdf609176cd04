"""A finding is one line of a diagnosis: what was looked at, what was seen, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a finding is meant."""

    #: As it must be.
    OK = "ok"
    #: The cause of a failure; the examination ends with exit code 1.
    FAULT = "fault"
    #: No fault here, and worth knowing.
    NOTE = "note"
    #: Cannot be known from outside, or with what was given.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has seen.

    Attributes:
        check: The check's name.
        state: How it is meant.
        what: What was seen, in one sentence.
        fix: What to do; empty when there is nothing to do.
    """

    check: str
    state: State
    what: str
    fix: str = ""


def ok(check: str, what: str) -> Finding:
    """Return a finding that all is as it must be."""
    return Finding(check, State.OK, what)


def fault(check: str, what: str, fix: str) -> Finding:
    """Return the finding of a cause, with its fix."""
    return Finding(check, State.FAULT, what, fix)


def note(check: str, what: str, fix: str = "") -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(check, State.NOTE, what, fix)


def unknown(check: str, what: str, fix: str = "") -> Finding:
    """Return the finding that something cannot be known, with what would help."""
    return Finding(check, State.UNKNOWN, what, fix)


def of_error(check: str, error: Exception) -> Finding:
    """Return the fault that an error's sentence tells; what follows its last `;` is the fix."""
    what, _, fix = str(error).rpartition("; ")
    return fault(check, what or fix, fix if what else "")
