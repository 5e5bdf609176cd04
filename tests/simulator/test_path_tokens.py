"""Tests of the path tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from epm_task.simulator.layout import AgentRoot
from epm_task.simulator.path_tokens import path_tokens

_COMMON = {
    "rootdir", "documents", "userdocuments", "userdesktop", "hasdesktop", "approot", "pluginroot",
}  # fmt: skip
_WINDOWS = {
    "systemroot": r"C:\Windows", "windows": r"C:\Windows", "systemdrive": "C:", "temp": r"C:\T",
    "system32": r"C:\Windows\System32", "syswow64": r"C:\Windows\SysWOW64",
    "programfiles": r"C:\P", "programfilesx86": r"C:\P86", "userprofile": r"C:\U",
    "appdata": r"C:\A", "localappdata": r"C:\L", "programdata": r"C:\D",
}  # fmt: skip
_WINDOWS_ENVIRON = {
    "SystemRoot": r"C:\Windows", "SystemDrive": "C:", "TEMP": r"C:\T", "ProgramFiles": r"C:\P",
    "ProgramFiles(x86)": r"C:\P86", "USERPROFILE": r"C:\U", "APPDATA": r"C:\A",
    "LOCALAPPDATA": r"C:\L", "ProgramData": r"C:\D",
}  # fmt: skip


@pytest.mark.parametrize(
    ("platform", "own"),
    [
        ("linux", {"bin", "etc", "tmp", "usr", "var", "home"}),
        ("darwin", {"bin", "etc", "tmp", "usr", "var", "home", "system", "library"}),
        ("win32", set(_WINDOWS)),
    ],
)
def test_names_are_those_of_the_vendor(platform: str, own: set[str]):
    """Each platform has the documented names, and no others."""
    values = path_tokens(AgentRoot(Path("/agent")), _WINDOWS_ENVIRON, platform=platform)
    assert set(values) == _COMMON | own


def test_windows_folders_come_from_the_environment():
    """The folders are those that Windows itself names."""
    values = path_tokens(AgentRoot(Path("/agent")), _WINDOWS_ENVIRON, platform="win32")
    assert values.items() >= _WINDOWS.items()


def test_agent_folders_and_desktop():
    """`approot` is the agent's root; a desktop is there when a display is."""
    root = AgentRoot(Path("/agent"))
    values = path_tokens(root, {}, platform="linux")
    assert (values["approot"], values["pluginroot"]) == ("/agent", "/agent/Plugins")
    assert values["hasdesktop"] == "false"
    assert path_tokens(root, {"DISPLAY": ":0"}, platform="linux")["hasdesktop"] == "true"
    assert path_tokens(root, {}, platform="darwin")["hasdesktop"] == "true"
