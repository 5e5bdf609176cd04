"""A check is one fact about a program that was looked at, and whether it is as it must be."""

from __future__ import annotations

from typing import Literal, NamedTuple

State = Literal["ok", "failed", "skipped"]


class Check(NamedTuple):
    """One line of the answer of `verify` or `verify-install`.

    Attributes:
        name: What was looked at, in one or two words.
        state: How it is.
        detail: What was seen; for a failure, why that matters and what to do.
    """

    name: str
    state: State
    detail: str


def judge(name: str, good: object, seen: str, problem: str = "") -> Check:
    """Return a check that is ok when *good* is true, with what was seen or with the problem."""
    return Check(name, "ok", seen) if good else Check(name, "failed", problem or seen)


def passed(checks: list[Check]) -> bool:
    """Return whether no check has failed."""
    return all(check.state != "failed" for check in checks)
