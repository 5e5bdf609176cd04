"""Tests of the shield: up while the main thread is inside, and only then."""

from __future__ import annotations

import threading

import pytest

from epm_task.runtime.shield import Shield


def test_shield_is_up_inside() -> None:
    """It can be entered again, and is lowered with the last exit."""
    shield = Shield()
    assert not shield.up
    with shield, shield:
        assert shield.up
    assert not shield.up


def test_shield_is_lowered_by_an_exception() -> None:
    """What is raised inside does not leave it up."""
    shield = Shield()
    with pytest.raises(KeyError), shield:
        raise KeyError
    assert not shield.up


def test_other_threads_pass_through() -> None:
    """Only the main thread can be interrupted, so only it raises the shield."""
    shield = Shield()
    seen: list[bool] = []

    def enter() -> None:
        with shield:
            seen.append(shield.up)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [False]
