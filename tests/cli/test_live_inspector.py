"""Tests of `epm-task validate --live`: the agent's verdict beside the rules."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from admin.admin_files import add_binary, job_document, options_of
from cli.command_line import epm_task

from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """An agent without jobs."""
    with Agent() as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A job file in which the rules find nothing, and whose binary only the agent can miss."""
    path = tmp_path / "probe.json"
    path.write_text(json.dumps(job_document()))
    return path


def test_the_agent_refuses_what_no_rule_can_see(agent: Agent, file: Path) -> None:
    """The binary is not there."""
    assert epm_task("validate", file).exit_code == 0
    ended = epm_task("validate", file, "--live", *options_of(agent))
    assert ended.exit_code == 1
    assert f"{file}:1:1: AGENT the agent refuses the job: binary not found" in ended.out


def test_a_job_that_the_agent_takes_has_no_finding(agent: Agent, file: Path) -> None:
    """Nothing is stored by asking."""
    add_binary(agent)
    ended = epm_task("validate", file, "--live", "--json", *options_of(agent))
    assert json.loads(ended.out) == {"valid": True, "documents": 1, "findings": []}
    assert agent.jobs.ids() == []


def test_warnings_of_the_agent_are_findings_too(agent: Agent, file: Path) -> None:
    """With their level."""
    add_binary(agent)
    file.write_text(json.dumps(job_document(mqttTopics={})))
    ended = epm_task("validate", file, "--live", "--json", *options_of(agent))
    levels = {f["severity"] for f in json.loads(ended.out)["findings"] if f["code"] == "AGENT"}
    assert levels == {"warning"}


def test_an_agent_that_cannot_be_asked_is_an_error(file: Path) -> None:
    """Its exit code is that of the admin client; without --live nobody is asked."""
    ended = epm_task("validate", file, "--live", "--base-url", "https://127.0.0.1:9")
    assert (ended.exit_code, "no answer from the agent" in ended.err) == (69, True)
