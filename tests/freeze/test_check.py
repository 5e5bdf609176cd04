"""Tests of checks: what fails counts, what was skipped does not."""

from __future__ import annotations

from epm_task.freeze.check import Check, judge, passed


def test_a_judgement_says_what_was_seen_or_what_is_wrong():
    """Without a sentence for the problem, what was seen is the problem."""
    assert judge("modes", [1], "all right", "wrong") == Check("modes", "ok", "all right")
    assert judge("modes", [], "all right", "wrong") == Check("modes", "failed", "wrong")
    assert judge("modes", 0, "seen") == Check("modes", "failed", "seen")


def test_only_a_failure_counts():
    """A check that could not be made says nothing against the program."""
    good = [Check("a", "ok", ""), Check("b", "skipped", "")]
    assert passed(good)
    assert not passed([*good, Check("c", "failed", "")])
