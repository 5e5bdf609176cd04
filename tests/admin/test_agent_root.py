"""Tests of finding an agent's folder and reading its ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from epm_task.admin.agent_root import PRESETS, AgentRoot, Ports, find_root
from epm_task.contract.layout import AgentRoot as SimulatedRoot

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.testing import Agent


def test_the_layout_is_that_of_the_simulated_agent(tmp_path: Path) -> None:
    """Both follow the vendor's page; neither package may import the other."""
    ours, theirs = AgentRoot(tmp_path), SimulatedRoot(tmp_path)
    assert (ours.appsettings, ours.jobs, ours.jobs_bin, ours.plugins) == (
        theirs.appsettings,
        theirs.jobs,
        theirs.jobs_bin,
        theirs.plugins,
    )
    assert (ours.keeper_logger, ours.run_history) == (theirs.keeper_logger, theirs.runs_log)


def test_the_ports_are_those_that_the_agent_wrote(agent: Agent) -> None:
    """`appsettings.json` names them."""
    assert f":{AgentRoot(agent.root).read_ports().https}" in agent.base_url


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("{}", Ports(None, None)),
        ('{"Settings": {"KestrelHttpsPort": "6889"}}', Ports(6889, None)),
        ('{"Settings": {"KestrelHttpsPort": 70000, "KestrelHttpPort": 1}}', Ports(None, 1)),
        ('{"Settings": []}', Ports(None, None)),
    ],
)
def test_odd_settings_name_no_port(tmp_path: Path, text: str, ports: Ports) -> None:
    """Only a number from 1 to 65535 is a port."""
    (tmp_path / "appsettings.json").write_text(text)
    assert AgentRoot(tmp_path).read_ports() == ports


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_a_broken_file_is_told(tmp_path: Path, text: str) -> None:
    """The reason is for people."""
    (tmp_path / "appsettings.json").write_text(text)
    with pytest.raises(ValueError, match="it is no JSON"):
        AgentRoot(tmp_path).read_ports()


def test_the_first_preset_that_exists_is_the_root(tmp_path: Path) -> None:
    """A given folder wins, also when it does not exist."""
    assert find_root(None, [str(tmp_path / "no"), str(tmp_path)]) == AgentRoot(tmp_path)
    assert find_root(None, []) is None
    assert find_root(tmp_path / "no", [str(tmp_path)]) == AgentRoot(tmp_path / "no")
    assert set(PRESETS) == {"win32", "darwin", "linux"}
