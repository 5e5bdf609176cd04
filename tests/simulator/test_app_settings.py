"""Tests of the application settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from epm_task.simulator.agent import Agent
from epm_task.simulator.app_settings import read_ports, write_ports
from epm_task.simulator.unusable_file import UnusableFile

if TYPE_CHECKING:
    from pathlib import Path


def test_ports_are_written_and_read(tmp_path: Path):
    """What else stands in the file stays."""
    file = tmp_path / "appsettings.json"
    assert read_ports(file) == (0, 0)
    file.write_text('{"Other": 1, "Settings": {"KestrelHttpsPort": "6889", "More": 2}}')
    assert read_ports(file) == (6889, 0)
    write_ports(file, 7000, 7001)
    assert read_ports(file) == (7000, 7001)
    document = json.loads(file.read_text())
    assert (document["Other"], document["Settings"]["More"]) == (1, 2)


@pytest.mark.parametrize("text", ["{", '{"Settings": {"KestrelHttpsPort": "many"}}'])
def test_broken_file_is_not_overwritten(tmp_path: Path, text: str):
    """An agent that takes its port from the file does not start."""
    file = tmp_path / "appsettings.json"
    file.write_text(text)
    with pytest.raises(UnusableFile):
        read_ports(file)
    with pytest.raises(UnusableFile):
        Agent(tmp_path, https_port=None).open()
    assert file.read_text() == text


def test_agent_takes_its_port_from_the_file(tmp_path: Path):
    """A second start without a port has the port of the first."""
    with Agent(tmp_path) as agent:
        first = agent.base_url
    with Agent(tmp_path, https_port=None) as agent:
        assert agent.base_url == first
