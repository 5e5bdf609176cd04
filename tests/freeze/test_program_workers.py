"""Tests of tasks that start processes with `multiprocessing`: from source, and built."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from freeze.building import BuildFolder, run_cli
from peers.task_process import PROGRAMS

from epm_task.freeze.freezing import FreezeOptions, freeze
from epm_task.freeze.program import read_programs
from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKERS = PROGRAMS / "workers.py"

pytestmark = [pytest.mark.slow, pytest.mark.posix("it has no fork server")]
METHODS = pytest.mark.parametrize("method", ["spawn", "forkserver"])
WAYS = pytest.mark.parametrize("how", ["executor", "pool", "process"])


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """An agent that all tests here share."""
    with Agent() as running:
        yield running


def check(agent: Agent, program: Path, method: str, how: str, *, frozen: bool = False) -> None:
    """Run it, and check that workers worked, and left nothing on stdout or behind."""
    run = agent.run(program, parameters={"method": method, "how": how})
    assert run.exit_code == 0, run.stderr.decode()
    assert run.result, run.stdout
    assert (run.result["squares"], run.result["frozen"]) == ([4, 9], frozen)
    assert b"worker of 2" in run.stderr
    assert b"worker on descriptor 1" in run.stderr
    assert run.registration.tries == 1
    assert not run.denials
    assert [record.message for record in run.records] == ["squared"]
    if program == WORKERS:
        return
    for name, (known, place) in run.result["libraries"].items():
        assert known == version(name)
        assert place.startswith(str(program.parent)), "it is not the program's own"


@METHODS
@WAYS
def test_workers_of_a_file(agent: Agent, method: str, how: str) -> None:
    """The file is imported again by each worker, which is no task."""
    check(agent, WORKERS, method, how)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The task as a zip program."""
    (program,) = read_programs(WORKERS)
    output = tmp_path_factory.mktemp("zip")
    return freeze(program, FreezeOptions(output, "zipapp", sys.executable)).executable


@METHODS
def test_workers_of_a_zip_program(agent: Agent, archive: Path, method: str) -> None:
    """Workers find the archive; metadata of libraries is in it."""
    check(agent, archive, method, "executor")


@pytest.fixture(scope="module")
def executable(builds: BuildFolder) -> Path:
    """The task as an executable in its folder."""

    def build(place: Path) -> None:
        run_cli("freeze", WORKERS, "-o", place)

    return builds.once("workers", build) / "Jobs" / "bin" / "Workers" / "Workers"


@METHODS
@WAYS
def test_workers_of_an_executable(agent: Agent, executable: Path, method: str, how: str) -> None:
    """The executable is started again as worker, as fork server and as resource tracker."""
    check(agent, executable, method, how, frozen=True)
