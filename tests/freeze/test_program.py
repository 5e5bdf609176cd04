"""Tests of programs: what a task file becomes, and why it becomes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from freeze.building import EXAMPLES, SEVERAL, task_file

from epm_task.freeze import FreezeError
from epm_task.freeze.program import read_programs

if TYPE_CHECKING:
    from pathlib import Path


def test_the_command_is_named_for_the_job() -> None:
    """In CamelCase; the job document names the same command."""
    (program,) = read_programs(EXAMPLES / "key_scanner.py")
    assert program.command == "KeyScanner"
    (job,) = program.jobs
    assert job["document"]["id"] == "key-scanner"
    assert [step["command"] for step in job["document"]["tasks"]] == ["KeyScanner"]
    assert program.tasks[0]["required"] == {}
    assert program.tasks[0]["plugin"] == "KeyScanner"
    assert program.pydantic


def test_another_name_reaches_the_job() -> None:
    """`--command` renames executable and document alike."""
    (program,) = read_programs(EXAMPLES / "hello.py", command="Greeter")
    assert program.command == "Greeter"
    assert program.jobs[0]["document"]["tasks"][0]["command"] == "Greeter"


def test_only_what_is_used_counts() -> None:
    """A task without settings needs neither pydantic nor asyncio; a coroutine needs asyncio."""
    (plain,) = read_programs(EXAMPLES / "hello.py")
    (coroutine,) = read_programs(EXAMPLES / "async_probe.py")
    assert (plain.pydantic, plain.asyncio) == (False, False)
    assert (coroutine.pydantic, coroutine.asyncio) == (False, True)


def test_a_rich_parameter_needs_pydantic(tmp_path: Path) -> None:
    """It is loaded by the parser only, so no import statement of the file shows it."""
    text = (
        "from uuid import UUID\nfrom epm_task import task\n@task\n"
        "def probe(*, key: UUID | None = None): pass\n"
    )
    (program,) = read_programs(task_file(tmp_path, text))
    assert program.pydantic


def test_several_tasks_become_one_program(tmp_path: Path) -> None:
    """It is named for the file, and its jobs pass `--task`."""
    (program,) = read_programs(task_file(tmp_path, SEVERAL))
    assert program.command == "MyTask"
    assert [task["name"] for task in program.tasks] == ["scan", "report"]
    lines = [job["document"]["tasks"][0]["arguments"] for job in program.jobs]
    assert ["--task=scan" in lines[0], "--task=report" in lines[1]] == [True, True]


def test_declared_commands_become_several_programs(tmp_path: Path) -> None:
    """Each holds the whole file, and only its own job."""
    text = SEVERAL.replace('"nightly-scan"', '"nightly-scan", command="Scan"').replace(
        '"nightly-report"', '"nightly-report", command="Report"'
    )
    path = task_file(tmp_path, text)
    programs = read_programs(path)
    assert [program.command for program in programs] == ["Scan", "Report"]
    assert [job["document"]["id"] for job in programs[0].jobs] == ["nightly-scan"]
    (chosen,) = read_programs(path, ["report"])
    assert chosen.command == "Report"
    with pytest.raises(FreezeError, match="becomes 2 commands"):
        read_programs(path, command="Both")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("import epm_task\n", "holds no task"),
        ("import epm_task, no_such_module_here\n", "No module named 'no_such_module_here'"),
        ("import epm_task, os\nos._exit(3)\n", "ends the process that imports it"),
        ("import epm_task, sys\nsys.exit('bye')\n", "SystemExit: bye"),
        ("from epm_task import task\n@task\ndef t(): pass\nt.main()\n", "calls main"),
        (SEVERAL.replace("nightly-scan", "nightly_scan"), "underscore|`_`"),
        ("\0", "cannot be imported"),
    ],
)
def test_an_unusable_file_is_explained(tmp_path: Path, text: str, words: str) -> None:
    """In one sentence, with what to do; the file's own output stays out of it."""
    with pytest.raises(FreezeError, match=words) as caught:
        read_programs(task_file(tmp_path, f"{text}"))
    assert "; " in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_what_the_file_prints_does_not_matter(tmp_path: Path) -> None:
    """Neither does a path with blanks and letters of other alphabets."""
    path = task_file(tmp_path / "ein Ördner 任务", f"print('{{')\n{SEVERAL}", "måin file.py")
    (program,) = read_programs(path)
    assert program.command == "MInFile"


@pytest.mark.parametrize("name", ["../x", "a b", "x.exe", "", "-x", "ä", "x" * 65])
def test_a_bad_command_is_refused(name: str) -> None:
    """It becomes a file name on three systems, and a word of the job document."""
    with pytest.raises(FreezeError, match="cannot be the name of a command"):
        read_programs(EXAMPLES / "hello.py", command=name)


def test_a_missing_file_or_task_is_named(tmp_path: Path) -> None:
    """The tasks that are there are listed."""
    with pytest.raises(FreezeError, match="is not a file"):
        read_programs(tmp_path / "none.py")
    with pytest.raises(FreezeError, match=r"choose one.*scan, report"):
        read_programs(task_file(tmp_path, SEVERAL), ["other"])
