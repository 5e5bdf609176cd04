"""Tests of files that Python loads in the place of its own modules, or of a library's."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from epm_task.freeze import FreezeError
from epm_task.freeze.freezing import FreezeOptions, freeze
from epm_task.freeze.program import read_programs
from epm_task.job.task_file import TaskFileError, read_task_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from epm_task.testing import Agent

TASK = """
{above}
from epm_task import task

@task
def probe():
    {body}

if __name__ == "__main__":
    probe.main()
"""


def task_file(folder: Path, name: str = "tasks.py", *, above: str = "", body: str = "pass") -> Path:
    """Write a task file and return its path."""
    path = folder / name
    path.write_text(TASK.format(above=above, body=body))
    return path


def last_line(file: Path) -> str:
    """Run the file with Python, as an agent that is not there would; return its last word."""
    words = [sys.executable, str(file), "--keeper-api-base=https://127.0.0.1:1"]
    done = subprocess.run(
        [*words, "--registration-timeout=0"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    return done.stderr.splitlines()[-1]


#: From those that our first lines need to those of the last library.
NAMES = ["types", "enum", "typing", "json", "random", "socket", "logging", "pathlib"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("own", ["tasks.py", ""])
def test_a_module_of_python(tmp_path: Path, name: str, own: str) -> None:
    """Whatever fails for the lack of it, the last line names the file: the task's, or another."""
    shadow = tmp_path / f"{name}.py"
    if own:
        shadow.write_text("X = 1\n")
    line = last_line(task_file(tmp_path, own or shadow.name))
    assert f"{shadow} shadows Python's own module {name}: hence " in line
    assert line.endswith("Error; rename it")


@pytest.mark.parametrize(
    ("shadow", "module"),
    [("email/__init__.py", "email"), ("httpx.py", "httpx"), ("httpx/__init__.py", "httpx")],
)
def test_a_package_and_a_library(tmp_path: Path, shadow: str, module: str) -> None:
    """A folder is named as the folder that it is."""
    (tmp_path / shadow).parent.mkdir(exist_ok=True)
    (tmp_path / shadow).write_text("")
    line = last_line(task_file(tmp_path))
    assert f"{tmp_path / shadow.removesuffix('/__init__.py')} shadows " in line
    assert f" module {module}: hence " in line


def test_a_shadow_that_is_met_late(agent_factory: Callable[..., Agent], tmp_path: Path) -> None:
    """The MQTT client wants `platform` when the broker is there; the run says the same."""
    run = agent_factory().run(task_file(tmp_path, "platform.py"))
    assert run.exit_code == 70
    line = run.stderr.decode().splitlines()[-1]
    assert "platform.py shadows Python's own module platform: hence AttributeError" in line


def test_a_shadow_that_does_no_harm(agent: Agent, tmp_path: Path) -> None:
    """Nothing is said of it, and another error is told as it is."""
    (tmp_path / "this.py").write_text("KEYS = 3\n")
    file = task_file(tmp_path, above="import this", body="return {'n': this.KEYS}")
    assert agent.run(file).result == {"n": 3}
    run = agent.run(task_file(tmp_path, above="import this", body="this.KEYS / 0"))
    assert "the handler raised ZeroDivisionError at" in run.stderr.decode().splitlines()[-1]


def test_an_own_module_that_fails_itself(tmp_path: Path) -> None:
    """When the author's file imports it on purpose, its own failure is the cause."""
    (tmp_path / "this.py").write_text("import nowhere_to_be_found\n")
    with pytest.raises(TaskFileError, match="ModuleNotFoundError: No module named 'nowhere_to_be"):
        read_task_file(task_file(tmp_path, above="import this"))


def test_a_task_that_misses_what_python_has(tmp_path: Path) -> None:
    """The import by the command line says it, too."""
    (tmp_path / "wave.py").write_text("")
    for above in ("import wave; wave.open", "from wave import open"):
        with pytest.raises(
            TaskFileError, match=r"wave\.py shadows Python's own module wave: hence"
        ):
            read_task_file(task_file(tmp_path, above=above))


def test_this_package(tmp_path: Path) -> None:
    """A file that has its name hides it from every task beside, so none can be read."""
    for file in (task_file(tmp_path, "epm_task.py"), task_file(tmp_path)):
        with pytest.raises(TaskFileError, match=r"epm_task\.py shadows the installed module epm_t"):
            read_task_file(file)


def test_nothing_is_built_with_a_shadow(tmp_path: Path) -> None:
    """An executable would hold it in the place of the module that the runtime needs."""
    (tmp_path / "platform.py").write_text("")
    (tmp_path / "this.py").write_text("")
    (program,) = read_programs(task_file(tmp_path))
    with pytest.raises(
        FreezeError, match=r"platform\.py shadows Python's own module platform: the"
    ):
        freeze(program, FreezeOptions(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_command_line(tmp_path: Path) -> None:
    """`python -m epm_task` looks in the working folder first."""
    (tmp_path / "email.py").write_text("")
    words = [sys.executable, "-m", "epm_task", "doctor", "--help"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "email.py shadows Python's own module email" in done.stderr.splitlines()[-1]
