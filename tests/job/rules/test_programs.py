"""Tests of the rules of programs."""

from __future__ import annotations

from typing import Any

import pytest
from job.rules.one_document import hits


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("probe", 0),
        ("python3.11", 0),
        ("Probe.EXE", 1),
        ("probe.ps1", 1),
        ("bin\\probe", 1),
        ("..", 1),
        ("", 1),
        (None, 1),
        (5, 1),
    ],
)
def test_a_command_is_a_name(command: Any, found: int) -> None:
    """Dots may be part of it."""
    assert len(hits("EPM013", task={"command": command})) == found


ONLY_WINDOWS = {"windows": True, "linux": False, "macOS": False}
NOT_WINDOWS = {"windows": False}


@pytest.mark.parametrize(
    ("path", "rule", "found"),
    [
        ("bin/probe", None, 1),
        ("probe.exe", None, 1),
        ("/opt/probe", None, 0),
        (r"C:\probe.exe", None, 0),
        (r"\\server\share\probe.exe", ONLY_WINDOWS, 0),
        ("/opt/probe", NOT_WINDOWS, 0),
        ("/opt/probe", ONLY_WINDOWS, 1),
        ("/opt/probe", {"macOS": False}, 1),
        (r"C:\probe.exe", ONLY_WINDOWS, 0),
        (r"C:\probe.exe", NOT_WINDOWS, 1),
        ("/opt/probe.exe", NOT_WINDOWS, 1),
    ],
)
def test_a_path_fits_its_systems(path: str, rule: dict[str, bool] | None, found: int) -> None:
    """Without a filter nobody knows which they are."""
    assert len(hits("EPM014", task={"executablePath": path}, osFilter=rule)) == found


@pytest.mark.parametrize(
    ("task", "found"),
    [
        ({}, 0),
        ({"ExecutionType": "Service"}, 0),
        ({"ExecutionType": "User"}, 1),
        ({"executionType": "UserDesktop"}, 1),
        ({"ExecutionType": "User", "MergeStdoutJsonIntoContext": False}, 0),
    ],
)
def test_results_come_from_services(task: dict[str, Any], found: int) -> None:
    """In both spellings of the type."""
    assert len(hits("EPM018", task={"MergeStdoutJsonIntoContext": True, **task})) == found


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ({}, None),
        ({"ExecutionType": "Service"}, None),
        ({"ExecutionType": "UserElevated"}, None),
        ({"ExecutionType": ["User"]}, None),
        ({"ExecutionType": "User", "command": ""}, None),
        ({"ExecutionType": "User"}, "probe"),
        ({"executionType": "UserDesktop"}, "probe"),
        ({"ExecutionType": "User", "executablePath": r"C:\Tools\Scan.EXE"}, "Scan"),
        ({"ExecutionType": "User", "executablePath": "/opt/scan/scan.py"}, "scan.py"),
    ],
)
def test_a_program_of_a_user_must_be_listed(task: dict[str, Any], name: str | None) -> None:
    """By its base name; an administrator's need not."""
    found = hits("EPM030", task=task)
    assert [hit.pointer for hit in found] == ([f"/tasks/0/{next(iter(task))}"] if name else [])
    assert all(f'add "{name}" to AllowedNonAdminExecutables' in hit.fix for hit in found)


def test_one_system_is_enough() -> None:
    """An absent key allows."""
    assert hits("EPM023", osFilter={"windows": False, "linux": False}) == []
    assert len(hits("EPM023", osFilter=dict.fromkeys(("windows", "linux", "macOS"), False))) == 1
