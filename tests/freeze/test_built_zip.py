"""Tests of zip programs, which are built in a second and run by this machine's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from freeze.building import EPOCH, EXAMPLES, SEVERAL, task_file
from simulator.task_files import in_a_package

from epm_task.freeze import FreezeError
from epm_task.freeze.freezing import FreezeOptions, freeze
from epm_task.freeze.installed import check_install, passed, read_installed
from epm_task.freeze.program import read_programs
from epm_task.freeze.verifying import verify
from epm_task.testing import Agent

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.freeze.freezing import Frozen

pytestmark = [
    pytest.mark.slow,  # tests/cli/test_freeze.py builds such programs, too
    pytest.mark.posix("the launcher is a POSIX shell's"),
]


def zipped(file: Path, output: Path, **more: Any) -> Frozen:
    """Build a zip program for this interpreter."""
    (program,) = read_programs(file)
    return freeze(replace(program, **more), FreezeOptions(output, "zipapp", sys.executable))


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Frozen:
    """A task with settings, so with a native library, below a path with blanks and umlauts."""
    return zipped(EXAMPLES / "typed_settings.py", tmp_path_factory.mktemp("zip") / "ein Ördner")


def test_it_is_verified_like_any_other(typed: Frozen) -> None:
    """The shell becomes the interpreter, so the PID is kept; pydantic lies beside the archive."""
    checks = verify(read_installed(typed.folder))
    assert passed(checks), checks
    assert passed(check_install(read_installed(typed.folder)))
    assert (typed.folder / "lib" / "pydantic_core").is_dir()


def test_it_holds_the_runtime_and_no_more(tmp_path: Path) -> None:
    """Floors 0 and 1, what they import, and the metadata of that."""
    built = zipped(EXAMPLES / "hello.py", tmp_path)
    with zipfile.ZipFile(built.folder / "Hello.pyz") as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0].partition(".")[0].partition("-")[0] for name in names}
    assert tops == {"__main__", "hello", "epm_task", "httpx", "idna", "paho", "paho_mqtt"}
    ours = {name.split("/")[1].partition(".")[0] for name in names if name.startswith("epm_task/")}
    assert ours == {
        *("__init__", "below", "contract", "errors", "exit_code", "files", "process_group"),
        *("runtime", "shadows", "trust", "windows_security"),
    }
    assert not (built.folder / "lib").exists()
    assert built.size_bytes < 1_500_000


def test_its_self_test_passes_and_finds_changes(typed: Frozen, tmp_path: Path) -> None:
    """Without an agent, from anywhere, with no environment; variables for Python do not count."""
    (tmp_path / "json.py").write_text("raise SystemExit('planted')")
    environment = {"PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": str(tmp_path / "json.py")}
    done = subprocess.run(
        [typed.executable, "--selftest"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "files as built" in done.stdout
    extra = typed.folder / "extra"
    extra.touch()
    command = [str(typed.executable), "--selftest"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    extra.unlink()
    assert done.returncode == 1
    assert "extra is not in the manifest" in done.stdout


def test_two_builds_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever they are made."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))
    builds = [zipped(EXAMPLES / "hello.py", tmp_path / name) for name in ("one", "two")]
    contents = [
        {path.name: path.read_bytes() for path in built.folder.iterdir()} for built in builds
    ]
    assert contents[0] == contents[1]


def test_a_second_build_replaces_the_first_whole(tmp_path: Path) -> None:
    """Nothing of the first is left, neither in the place nor beside it."""
    place = zipped(EXAMPLES / "hello.py", tmp_path).folder
    (place / "stale").touch()
    zipped(EXAMPLES / "hello.py", tmp_path)
    assert not (place / "stale").exists()
    assert [path.name for path in place.parent.iterdir()] == ["Hello"]
    assert [path.name for path in tmp_path.iterdir()] == ["Jobs"]


def test_own_modules_and_data_come_along(tmp_path: Path) -> None:
    """A module beside the task, one that is imported by name, and a file."""
    folder = tmp_path / "project"
    task_file(folder, "WORD = 'beside'\n", "neighbour.py")
    task_file(folder / "named", "WORD = 'named'\n", "__init__.py")
    task_file(folder, "data", "word.txt")
    path = task_file(
        folder,
        "import importlib, pkgutil\nimport neighbour\nfrom epm_task import task\n@task\n"
        "def words():\n    named = importlib.import_module('nam' + 'ed')\n"
        "    data = pkgutil.get_data('neighbour', 'texts/word.txt').decode()\n"
        "    return {'words': [neighbour.WORD, named.WORD, data]}\n"
        "if __name__ == '__main__':\n    words.main()\n",
    )
    built = zipped(path, tmp_path, include=("named",), data=((folder / "word.txt", "texts"),))
    with Agent() as agent:
        run = agent.run(built.executable)
    assert run.result == {"words": ["beside", "named", "data"]}, run.stderr


@pytest.mark.parametrize(
    ("folder", "packages"), [("src/pack/inner", ("src/pack", "src/pack/inner")), ("pack/inner", ())]
)
def test_a_task_of_a_package(tmp_path: Path, folder: str, packages: tuple[str, ...]) -> None:
    """Its whole package comes along, and one without `__init__.py` stays one in the archive."""
    path = in_a_package(tmp_path, "from ..other import N", folder, packages)
    built = zipped(path, tmp_path / "out")
    with Agent() as agent:
        run = agent.run(built.executable)
    assert run.result == {"n": 3}, run.stderr


def test_several_tasks_in_one_program(tmp_path: Path) -> None:
    """`--task` chooses, as the job documents have it; verifying asks for what it cannot guess."""
    built = zipped(task_file(tmp_path, SEVERAL), tmp_path / "dist")
    program = read_installed(built.folder)
    assert passed(verify(program))
    assert passed(verify(program, arguments=["--task=report", "--title=x"]))
    with pytest.raises(FreezeError, match=r"cannot run without --title.*-- --title=VALUE"):
        verify(program, arguments=["--task=report"])


def test_an_interpreter_of_another_version_is_refused(tmp_path: Path) -> None:
    """Native libraries would not load; the sentence names the version that is needed."""
    built = zipped(EXAMPLES / "hello.py", tmp_path)
    archive = built.folder / "Hello.pyz"
    with zipfile.ZipFile(archive) as before:
        main = before.read("__main__.py").replace(b"!= (3, ", b"!= (4, ")
    archive.unlink()
    with zipfile.ZipFile(archive, "w") as after:
        after.writestr("__main__.py", main)
    done = subprocess.run([built.executable], capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert "was built for Python 3." in done.stderr


def test_a_relative_interpreter_is_refused(tmp_path: Path) -> None:
    """PATH is not to be trusted by a process of root."""
    (program,) = read_programs(EXAMPLES / "hello.py")
    with pytest.raises(FreezeError, match="not an absolute path"):
        freeze(program, FreezeOptions(tmp_path, "zipapp", "python3"))
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - names only
