"""Tests of the options of an agent and of a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from simulator.task_files import TWO_TASKS, write

from epm_task.simulator.embedded import Agent
from epm_task.simulator.options import AgentKeywords, AgentOptions, UnknownName

if TYPE_CHECKING:
    from pathlib import Path


def test_random_registration_delay() -> None:
    """A range gives each run its own delay."""
    options = AgentOptions(registration_delay=(0.1, 0.2))
    delays = {options.registration_seconds() for _ in range(20)}
    assert len(delays) > 1
    assert all(0.1 <= delay <= 0.2 for delay in delays)


def test_keywords_are_the_fields_of_the_options() -> None:
    """Both lists name the same, in the same order."""
    assert list(AgentKeywords.__annotations__) == list(AgentOptions._fields)


@pytest.mark.parametrize(
    ("options", "near"),
    [
        ({"root": "/"}, r"no option 'root'.*parameters=\{'root': …\}"),
        ({"arguements": []}, "did you mean 'arguments'"),
        ({"task": "talker", "parameters": {"word": 1}}, "talker has no parameter.*mean 'words'"),
        ({"task": "talker", "parameters": {"timeout": 9.0}}, "no parameter 'timeout'"),
    ],
)
def test_wrong_name_is_refused(
    agent: Agent, tmp_path: Path, options: dict[str, Any], near: str
) -> None:
    """Options of a run and parameters of the task are told apart; the error has the near name."""
    with pytest.raises(UnknownName, match=near):
        agent.run(write(tmp_path, TWO_TASKS), **options)


def test_wrong_option_of_an_agent_is_refused() -> None:
    """The error names the near one, before anything is started."""
    with pytest.raises(UnknownName, match="did you mean 'trust'"):
        Agent(trusted="tree")  # type: ignore[call-arg]


SHOWS = """
import os
from epm_task import task

@task
def shows():
    \"\"\"Return the names of its environment.\"\"\"
    return {"names": sorted(os.environ)}

if __name__ == "__main__":
    shows.main()
"""


def test_tasks_inherit_the_environment_that_the_agent_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of this process comes to them, and this process keeps its own."""
    monkeypatch.setenv("OURS", "stays here")
    before = dict(os.environ)
    needed = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    with Agent(environ={**needed, "GIVEN": "1", "KEEPER_TOKEN": "2"}) as agent:
        run = agent.run(write(tmp_path, SHOWS))
    assert run.exit_code == 0, run.stderr
    names = set((run.result or {})["names"])
    assert "GIVEN" in names
    assert not names & {"OURS", "KEEPER_TOKEN", "HOME", "USERPROFILE"}
    assert dict(os.environ) == before
