"""Tests of the names of path tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from epm_task.job.os_filter import os_name
from epm_task.job.path_token_names import PATH_TOKEN_NAMES
from epm_task.simulator.layout import AgentRoot
from epm_task.simulator.path_tokens import path_tokens

VARIABLES = ("SystemRoot", "SystemDrive", "ProgramFiles", "ProgramFiles(x86)", "USERPROFILE")
FOLDERS = ("APPDATA", "LOCALAPPDATA", "ProgramData", "TEMP")


@pytest.mark.parametrize("platform", ["win32", "darwin", "linux"])
def test_the_simulator_fills_the_tokens_that_the_rules_know(platform: str) -> None:
    """No more and no fewer, on each system."""
    environ = dict.fromkeys((*VARIABLES, *FOLDERS), "x")
    filled = path_tokens(AgentRoot(Path("/agent")), environ, platform=platform)
    assert filled.keys() == PATH_TOKEN_NAMES[os_name(platform)]
