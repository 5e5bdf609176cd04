"""Tests of the vendor's names: accounts and systems."""

from __future__ import annotations

from typing import Any

import pytest

from epm_task.contract.names import (
    EXECUTION_TYPES,
    OS_NAMES,
    allowed_systems,
    default_of,
    execution_type_of,
    is_device,
    os_name,
)


def test_both_spellings_count_and_service_is_the_default() -> None:
    """The answer may be no execution type."""
    assert execution_type_of({}) == EXECUTION_TYPES[0] == "Service"
    assert execution_type_of({"ExecutionType": None}) == "Service"
    assert execution_type_of({"executionType": "User"}) == "User"
    assert execution_type_of({"ExecutionType": "UserDesktop", "executionType": "User"}) == (
        "UserDesktop"
    )
    assert execution_type_of({"ExecutionType": 5}) == 5


@pytest.mark.parametrize(
    ("parameter", "default"),
    [
        ({"default": 0, "defaultValue": 1}, 0),
        ({"defaultValue": False}, False),
        ({"default": None, "defaultValue": ""}, ""),
        ({"default": None}, None),
        ({}, None),
    ],
)
def test_a_default_has_two_spellings(parameter: dict[str, Any], default: object) -> None:
    """The documented one first; null says nothing."""
    assert default_of(parameter) == default


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


@pytest.mark.parametrize("name", ["CON", "nul.txt", "aux.tar.gz", "com1", "LPT\xb2", "Prn .x"])
def test_windows_keeps_names_for_devices(name: str) -> None:
    """In any case, and with any extension."""
    assert is_device(name)


@pytest.mark.parametrize("name", ["console", "null", "com10", "x.con", " nul", "lpt0", "", "."])
def test_other_names_are_files(name: str) -> None:
    """Also those that begin like a device."""
    assert not is_device(name)
