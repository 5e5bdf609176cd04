"""Tests of the faults of a running agent, with real tasks."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from peers.patience import PATIENCE, WINDOW
from simulator.started_process import KILLED, STOPPED, TASK_STOPPED
from simulator.task_files import SLEEP, TWO_TASKS, write

from epm_task.simulator.embedded import Agent
from epm_task.simulator.faults.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: For tasks whose agent, or broker, never answers as they want.
_HASTE = ["--flush-timeout=0.3", f"--registration-timeout={WINDOW}"]
#: For those that are answered at last.
_LEISURE = [f"--flush-timeout={PATIENCE}", f"--registration-timeout={PATIENCE}"]


@pytest.fixture
def agent() -> Iterator[Agent]:
    """An agent that has just started."""
    with Agent(grace_seconds=1.0) as agent:
        yield agent


@pytest.fixture
def task_file(tmp_path: Path) -> Path:
    """A file with two tasks."""
    return write(tmp_path, TWO_TASKS)


def test_forbidden_three_times(agent: Agent, task_file: Path) -> None:
    """The task tries again; the refusals before its registration are not denials."""
    agent.faults.api(status=403, times=3)
    run = agent.run(task_file, task="talker", arguments=_LEISURE)
    assert run.exit_code == 0, run.stderr
    assert run.registration.tries == 4
    assert not run.denials


def test_never_registered(agent: Agent, task_file: Path) -> None:
    """The task gives up with its own exit code, and each refusal is a denial with the reason."""
    agent.faults.registration(never=True)
    run = agent.run(task_file, task="talker", arguments=_HASTE)
    assert run.exit_code == 77
    assert run.registration.seconds is None
    assert len(run.denials) == run.registration.tries > 1
    assert "never registered (fault)" in run.denials[0].reason


def test_lost_registration(agent: Agent, task_file: Path) -> None:
    """A registration that is lost at once is a refusal as well."""
    agent.faults.registration(lost=0.0)
    assert agent.run(task_file, task="talker", arguments=_HASTE).exit_code == 77


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [("status=404", 66), ("garbage", 76), ("redirect=https://127.0.0.1:1/", 76), ("reset", 69)],
)
def test_api_faults(agent: Agent, task_file: Path, words: str, exit_code: int) -> None:
    """Each fault leads to the exit code that the task has for it."""
    agent.faults.add(f"api {words}")
    run = agent.run(task_file, task="talker", arguments=_HASTE)
    assert run.exit_code == exit_code, run.stderr


def test_broker_without_acknowledgement(agent: Agent, task_file: Path) -> None:
    """Every record is on stderr, each is there once, and the run's records know where from."""
    agent.faults.broker(no_ack=True)
    run = agent.run(task_file, task="talker", arguments=_HASTE)
    assert run.exit_code == 0, run.stderr
    messages = [record.message for record in run.records]
    assert messages.count("talked") == 1
    assert b'"talked"' in run.stderr


def test_broker_down(agent: Agent, task_file: Path) -> None:
    """Inside the block nothing answers; the records are on stderr. After it all is well."""
    with agent.faults.broker_down():
        run = agent.run(task_file, task="talker", arguments=_HASTE)
        assert run.exit_code == 0, run.stderr
        assert run.acknowledged == 0
        assert {record.source_channel for record in run.records} == {"stderr"}
        assert "talked" in [record.message for record in run.records]
    run = agent.run(task_file, task="talker", arguments=_LEISURE)
    assert {record.source_channel for record in run.records} == {"broker"}


def test_broker_restarts_under_a_running_task(agent: Agent, task_file: Path) -> None:
    """The task comes back to the same port by itself, and no record is lost."""
    seen = threading.Event()
    started = agent.start(task_file, task="sleeper", on_record=lambda record: seen.set())
    assert seen.wait(PATIENCE)
    before = agent.trace.mark()
    agent.faults.broker(restart=0.1)
    deadline = time.monotonic() + PATIENCE
    while not any(event.action == "connected" for event in agent.trace.since(before)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    started.terminate()
    assert started.wait(PATIENCE).exit_code == TASK_STOPPED


@pytest.mark.parametrize(
    ("words", "exit_codes"), [("term_after=0.0", STOPPED), ("kill_after=0.0", {KILLED})]
)
def test_run_faults(agent: Agent, tmp_path: Path, words: str, exit_codes: set[int]) -> None:
    """The process gets the signal."""
    agent.faults.add(f"run {words}")
    assert agent.run(write(tmp_path, SLEEP)).exit_code in exit_codes


def test_faults_of_the_start_are_traced() -> None:
    """An agent that is started with faults says so."""
    faults = Faults()
    faults.broker(refuse=True)
    with Agent(faults=faults) as agent:
        assert [event.what for event in agent.trace if event.kind == "fault"] == [
            "fault: broker refuse=true"
        ]
