"""Tests of the task that is skipped."""

from __future__ import annotations

import pytest

from epm_task.simulator.task_skip import skip_reason

_SETTINGS = {"Scanner": {"on": "False", "off": "1"}, "KeeperPrivilegeManager": {"scan": "no"}}


@pytest.mark.parametrize(
    ("named", "skipped"),
    [
        (None, False),
        ("Scanner:on", True),
        ("Scanner:off", False),
        ("Scanner:absent", False),
        ("Absent:on", False),
        ("scan", True),
        ({"plugin": "Scanner", "setting": "on"}, True),
        ({"settingName": "scan"}, True),
    ],
)
def test_forms(named: object, skipped: bool):  # noqa: FBT001 - a table of cases
    """Only a setting that exists and is false skips the task."""
    reason = skip_reason({"SkipWhenPluginSettingFalse": named}, _SETTINGS.get)
    assert bool(reason) is skipped
