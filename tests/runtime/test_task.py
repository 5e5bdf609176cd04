"""Tests of a task: a plain function when it is called, a program in `main()`."""

from __future__ import annotations

import asyncio
import inspect
import sys
from typing import TYPE_CHECKING, Any

import pytest
from peers.task_process import Ended, assert_failed, run_task

import epm_task
from epm_task import Task, Topic, task
from epm_task.errors import DefinitionError
from epm_task.job.task_file import TaskFileError, find_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TWO = """
from epm_task import task
@task
def first(*, count: int = 1) -> None:
    '''Do the first thing.'''
@task
def second_one(*, name: str = "") -> None:
    '''Do the second thing.'''
if __name__ == "__main__":
    first.main()
"""
EAGER = "from epm_task import task\n@task\ndef eager() -> None: ...\neager.main()\n"


@task
def plain(*, count: int = 1) -> dict[str, int]:
    """Count.

    More of it.
    """
    return {"count": count}


@task(job_id="own-id", job_name="Own name", publishes=[Topic("Jobs/a")], timeout_seconds=60)
def key_scanner_() -> str:
    """Scan."""
    return "scanned"


@task()
async def waits(*, count: int) -> int:
    """Wait."""
    return count


def test_call_is_the_function() -> None:
    """A task is called as if it were not decorated."""
    assert plain(count=3) == {"count": 3}
    assert key_scanner_() == "scanned"
    assert asyncio.run(waits(count=2)) == 2
    with pytest.raises(TypeError, match="unexpected keyword"):
        plain(number=3)  # type: ignore[call-arg]


def test_task_looks_like_the_function() -> None:
    """Name, docstring and signature are those of the function."""
    assert isinstance(plain, Task)
    assert (getattr(plain, "__name__", ""), plain.__module__) == ("plain", __name__)
    assert (plain.__doc__ or "").startswith("Count.")
    assert list(inspect.signature(plain).parameters) == ["count"]
    assert [parameter.option for parameter in plain.parameters] == ["--count"]
    assert str(plain.file) == __file__


@pytest.mark.parametrize(
    ("decorated", "name", "facts"),
    [
        (plain, "plain", ("plain", "Plain", "Count.", ())),
        (key_scanner_, "key-scanner-", ("own-id", "Own name", "Scan.", ("Jobs/a",))),
        (waits, "waits", ("waits", "Waits", "Wait.", ())),
    ],
)
def test_declaration_has_defaults(
    decorated: Task[..., Any], name: str, facts: tuple[object, ...]
) -> None:
    """Id and name come from the function unless they are given; the description always does."""
    found = decorated.declaration
    topics = tuple(topic.name for topic in found.publishes)
    assert decorated.name == name
    assert (found.job_id, found.job_name, found.description, topics) == facts


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"job_id": "bad_id"}, "holds an underscore"),
        ({"job_id": "-a"}, "is not made of letters"),
        ({"job_id": "a" * 129}, "at most 128"),
        ({"priority": 11}, "priority must be 1 to 10"),
        ({"every_minutes": 1, "cron": "* * * * *"}, "give only one of"),
        ({"colour": "red"}, "takes no argument colour: it takes job_id,"),
        ({"timeout": 60}, "takes no argument timeout: is timeout_seconds meant?"),
        ({"every_minute": 60}, "takes no argument every_minute: is every_minutes meant?"),
        ({"cron": "daily"}, "cron must have five fields"),
        ({"os_filter": ["beos"]}, "os_filter must hold"),
        ({"execution_type": "Root"}, "execution_type must be one of Service"),
        ({"command": "a/b"}, "command must be a name"),
        ({"command": "Con"}, "no device of Windows"),
        ({"events": "Startup"}, "events must be a list: events=['Startup']"),
        ({"os_filter": "linux"}, "os_filter must be a list: os_filter=['linux']"),
        ({"publishes": ["Jobs/a"]}, "a topic must be a Topic"),
        ({"publishes": 3}, "not iterable"),
    ],
)
def test_wrong_declaration_is_refused(declared: dict[str, Any], words: str) -> None:
    """The error names file, line and function, and what is wrong."""

    def scan() -> None: ...

    decorate: Callable[..., Any] = task(**declared)
    with pytest.raises(DefinitionError) as refused:
        decorate(scan)
    line = inspect.getsourcelines(scan)[1]
    assert str(refused.value).startswith(f"{__file__}:{line}: @task of scan: ")
    assert words in str(refused.value)


@pytest.mark.parametrize("wrong", ["key-scanner", print, Topic, 3, plain])
def test_what_is_no_function_is_refused(wrong: Any) -> None:
    """`@task("key-scanner")`, or a class below `@task`, is told what to write."""
    with pytest.raises(DefinitionError, match=r"is none; write `@task`"):
        task(wrong)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A program with two tasks."""
    program = tmp_path / "two.py"
    program.write_text(TWO)
    return program


def test_tasks_of_a_file_know_each_other() -> None:
    """The tasks of this file are siblings."""
    assert plain.siblings() == {"plain": plain, "key-scanner-": key_scanner_, "waits": waits}


def test_imported_task_is_no_choice(two: Path) -> None:
    """A task of another file, imported to be called, does not make `--task` necessary."""
    program = two.with_name("three.py")
    only = EAGER.replace("eager.main()", 'eager.main(["--version"])')
    program.write_text("from two import first\n" + only)
    ended = run_task(program)
    assert (ended.exit_code, ended.stdout[:16]) == (0, b"eager (epm-task ")


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--task=first", "--help"], "Do the first thing."),
        (["--help", "--task", "second-one"], "Do the second thing."),
        (["--task=second-one", "--version"], "second-one (epm-task "),
    ],
)
def test_name_selects_a_task(two: Path, arguments: list[str], shown: str) -> None:
    """`--task` chooses one of several, wherever it stands."""
    ended = run_task(two, *arguments)
    assert (ended.exit_code, ended.stderr) == (0, b"")
    assert shown in ended.stdout.decode()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--task is missing: this file holds first, second-one; pass --task=NAME"),
        (["--task="], "--task is missing"),
        (["--task"], "--task is missing"),
        (["--task=third"], "the task 'third' does not exist: this file holds first, second-one"),
        (["--task=second_one"], "the task 'second_one' does not exist"),
        (["--help"], "--task is missing"),
    ],
)
def test_unclear_choice_is_64(two: Path, arguments: list[str], words: str) -> None:
    """Without a name, or with an unknown one, the names are told."""
    assert_failed(run_task(two, *arguments), 64, words)


def test_wrong_name_of_an_only_task_is_64() -> None:
    """A file with one task knows its name too."""
    assert_failed(run_task("hello.py", "--task=bye"), 64, "the task 'bye' does not exist", "hello")


def _informed(*arguments: str) -> Ended:
    ended = run_task("hello.py", *arguments, job_id=None)
    assert (ended.exit_code, ended.stderr) == (0, b"")
    return ended


def test_help_needs_no_agent() -> None:
    """`--help` shows docstring and parameters, whatever else stands there."""
    shown = _informed("--help", "--nonsense").stdout.decode()
    assert "Greet NAME." in shown
    assert "--name STR" in shown


def test_version_is_one_line() -> None:
    """`--version` names the task, the package and Python."""
    python = ".".join(map(str, sys.version_info[:3]))
    expected = f"hello (epm-task {epm_task.__version__}, Python {python})\n"
    assert _informed("--version").stdout.decode() == expected


def test_arguments_may_be_given_to_main(tmp_path: Path) -> None:
    """`main(argv)` reads these arguments and not those of the process."""
    program = tmp_path / "given.py"
    program.write_text(EAGER.replace("main()", 'main(["--version"])'))
    ended = run_task(program, "--nonsense")
    assert (ended.exit_code, ended.stdout[:16]) == (0, b"eager (epm-task ")


def test_main_is_refused_while_a_file_is_looked_at(tmp_path: Path) -> None:
    """A file whose import would run the task is told what to write."""
    program = tmp_path / "eager.py"
    program.write_text(EAGER)
    with pytest.raises(TaskFileError, match=r"eager\.py calls main\(\).*if __name__ =="):
        find_task(program)
