"""Tests of the backoff: short first, longer later, bounded."""

from __future__ import annotations

from itertools import islice

from epm_task.runtime.backoff import waits


def test_first_wait_is_exact() -> None:
    """The first retry comes after exactly the first wait."""
    assert next(waits(0.02, 1.0)) == 0.02


def test_waits_grow_to_the_cap() -> None:
    """Each later wait lies between half of its limit and the limit, which never passes the cap."""
    seconds = 0.02
    for wait in islice(waits(0.02, 1.0), 1, 40):
        seconds = min(seconds * 1.6, 1.0)
        assert seconds / 2 <= wait <= seconds


def test_waits_differ_from_each_other() -> None:
    """Two tasks do not retry in step."""
    assert list(islice(waits(0.1, 2.0), 20)) != list(islice(waits(0.1, 2.0), 20))
