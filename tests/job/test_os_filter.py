"""Tests of the OS filter."""

from __future__ import annotations

from typing import Any

import pytest

from epm_task.job.os_filter import OS_NAMES, allowed_systems, os_name


@pytest.mark.parametrize(
    ("platform", "name"), [("win32", "windows"), ("darwin", "macOS"), ("linux", "linux")]
)
def test_a_platform_has_a_name(platform: str, name: str) -> None:
    """As the document spells it."""
    assert os_name(platform) == name


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        (None, set(OS_NAMES)),
        ("windows", set(OS_NAMES)),
        ({}, set(OS_NAMES)),
        ({"windows": False}, {"linux", "macOS"}),
        ({"windows": None, "linux": 0, "macOS": False}, {"windows", "linux"}),
        (dict.fromkeys(OS_NAMES, False), set()),
    ],
)
def test_only_false_excludes(rule: Any, allowed: set[str]) -> None:
    """An absent key does not, nor does another value."""
    assert allowed_systems({"osFilter": rule}) == allowed
