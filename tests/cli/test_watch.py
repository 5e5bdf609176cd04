"""Tests of `epm-task run --watch`: which files count as a task's own, and what a change does."""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cli.command import ASKED, Running, running, wait_until
from peers.patience import PATIENCE

from epm_task.cli.watch import SourceFiles
from epm_task.files import write_atomically
from epm_task.job.task_file import find_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TASK = '''
import json
from epm_task import task
from helpers import words
from helpers.more import *

@task
def teller() -> dict[str, str]:
    """Tell."""
    import late
    return {"word": words.WORD, "late": late.WORD}

if __name__ == "__main__":
    teller.main()
'''

#: Writes what it reads from its project, and then does not end by itself.
HANGS = '''
from epm_task import TaskContext, task

@task
def hangs(ctx: TaskContext) -> None:
    """Hang."""
    ctx.log.info("hanging")
    ctx.stopping.wait(60)

if __name__ == "__main__":
    hangs.main()
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a task that imports in several ways; the folder is the task's and the root."""
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "task.py").write_text(TASK)
    (tmp_path / "late.py").write_text("WORD = 'late'\n")
    (tmp_path / "other.py").write_text("")
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text("")
    (tmp_path / "helpers" / "words.py").write_text("from . import deep\nWORD = 'one'\n")
    (tmp_path / "helpers" / "deep.py").write_text("")
    (tmp_path / "helpers" / "more.py").write_text("")
    return tmp_path


def begun(project: Path) -> SourceFiles:
    """Return the files of a run that has begun."""
    files = SourceFiles(project / "task.py")
    files.begin()
    return files


@pytest.mark.parametrize(
    "name",
    ["task.py", "late.py", *(f"helpers/{x}.py" for x in ("__init__", "words", "deep", "more"))],
)
def test_what_the_task_imports_is_watched(project: Path, name: str) -> None:
    """Also below a package, by a relative import, with a star, and in a function."""
    files = begun(project)
    assert files.changed() == []
    (project / name).write_text("changed = True\n")
    assert files.changed() == [project / name]


def test_a_task_in_a_package(project: Path) -> None:
    """Its packages are imported before it, and relative imports lead up."""
    inner = project / "outer" / "inner"
    inner.mkdir(parents=True)
    (project / "outer" / "up.py").write_text("")
    for folder in (inner.parent, inner):
        (folder / "__init__.py").write_text("")
    (inner / "task.py").write_text("from ..up import *\n")
    files = begun(inner)
    changed = [inner.parent / "__init__.py", inner / "__init__.py", inner.parent / "up.py"]
    for file in changed:
        file.write_text("changed = True\n")
    assert set(files.changed()) == set(changed)


def test_nothing_else_is_watched(project: Path) -> None:
    """No other file of the folder, no right, no installed package and no copy of ours."""
    installed = project / ".venv" / "site-packages" / "late.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("")
    sys.path.insert(0, str(installed.parent))
    try:
        files = begun(project)
    finally:
        sys.path.remove(str(installed.parent))
    (project / "other.py").write_text("changed = True\n")
    (project / "late.py").chmod(0o600)
    installed.write_text("changed = True\n")
    (project / "epm_task").mkdir()
    assert files.changed() == []


def test_a_file_that_is_replaced(project: Path) -> None:
    """Editors write another file and rename it; what is as it was later counts all the same."""
    files = begun(project)
    late, content = project / "late.py", (project / "late.py").read_text()
    before = late.stat()
    (project / "new").write_text(content)
    os.utime(project / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    late.rename(project / "old")
    (project / "new").rename(late)
    assert files.changed() == [late]
    (project / "old").replace(late)
    assert files.changed() == [late]
    files.begin()
    assert files.changed() == []


def test_a_file_that_is_deleted_and_made_anew(project: Path) -> None:
    """Both are changes, and it is followed again."""
    words = project / "helpers" / "words.py"
    files = begun(project)
    words.unlink()
    assert files.changed() == [words]
    files.begin()
    assert files.changed() == []
    words.write_text("import new\n")
    assert files.changed() == [words]
    files.begin()
    (project / "new.py").write_text("")
    assert files.changed() == [project / "new.py"]


@pytest.mark.parametrize("made", ["absent.py", "absent/__init__.py", "absent/inner.py"])
def test_a_module_that_is_not_there_yet(project: Path, made: str) -> None:
    """It is what an import that failed waits for, whether it becomes a file or a package."""
    (project / "late.py").write_text("import absent.inner\n")
    files = begun(project)
    (project / made).parent.mkdir(exist_ok=True)
    (project / made).write_text("")
    assert files.changed()


def test_what_cannot_be_compiled(project: Path) -> None:
    """The file itself is watched."""
    (project / "late.py").write_bytes(b"\0 import (")
    files = begun(project)
    (project / "late.py").write_text("")
    assert files.changed() == [project / "late.py"]


def test_modules_found_at_run_time(project: Path) -> None:
    """One that is imported by a name in a variable is watched, and imported anew."""
    (project / "helpers" / "by_name.py").write_text("WORD = 1\n")
    (project / "task.py").write_text(
        "import importlib\nfrom epm_task import task\n"
        "LOADED = importlib.import_module('helpers.' + 'by_name').WORD\n\n"
        "@task(timeout_seconds=100 * LOADED)\ndef one() -> None:\n    '''One.'''\n"
    )
    files = begun(project)
    for number in (1, 2):
        (project / "helpers" / "by_name.py").write_text(f"WORD = {number}\n" + " " * number)
        files.begin()
        task = find_task(project / "task.py")
        assert task is not None
        assert task.declaration.timeout_seconds == 100 * number
    files.add_imported()
    (project / "helpers" / "by_name.py").write_text("WORD = 3\n")
    assert files.changed() == [project / "helpers" / "by_name.py"]


@contextmanager
def waiting(files: SourceFiles, stop: Callable[[], object]) -> Iterator[list[list[Path]]]:
    """Wait for a change in a thread; yield what takes the answer."""
    answers: list[list[Path]] = []
    thread = threading.Thread(target=lambda: answers.append(files.wait(stop)))
    thread.start()
    yield answers
    thread.join(PATIENCE)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is watched")
def test_folders_are_watched_not_trees(project: Path) -> None:
    """A folder with thousands below it costs one watch; the wait ends when it is told to."""
    for number in range(100):
        (project / "data" / str(number)).mkdir(parents=True)
    ends = threading.Event()
    with waiting(begun(project), ends.is_set) as answers:
        wait_until(lambda: watched() or answers)
        seen = watched()
        ends.set()
    assert answers == [[]]
    assert seen == 2  # that of the task, and helpers


def watched() -> int:
    """Return how many folders this process watches."""
    count = 0
    for path in Path("/proc/self/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # another thread has closed it
            count += path.read_text().count("inotify wd")
    return count


def test_a_burst_is_one_change(project: Path) -> None:
    """What is written in short order is told at once, at the end."""
    names = ["late.py", "task.py", "helpers/more.py"]
    left = list(names)

    def stop() -> bool:  # it is asked before each look at the files
        if left:
            (project / left.pop()).write_text("changed = True\n")
        return False

    assert set(begun(project).wait(stop)) == {project / name for name in names}


@contextmanager
def watching(project: Path, *words: object) -> Iterator[Running]:
    """Run `epm-task run --watch` on the project's task."""
    words = ("run", "--watch", project / "task.py", *words)
    with running(*words, scratch=project, env={"PYTHONDONTWRITEBYTECODE": ""}) as command:
        yield command


def save(file: Path, text: str) -> None:
    """Write a file as editors do: its content is there at once."""
    write_atomically(file, text.encode())


def result(command: Running) -> dict[str, Any]:
    """Return the next line of stdout."""
    assert command.process.stdout is not None
    found: dict[str, Any] = json.loads(command.process.stdout.readline())
    return found


def test_a_day_of_an_author(project: Path) -> None:
    """Run, change, run; a mistake is told and waited for; Ctrl-C ends it and leaves nothing."""
    words = project / "helpers" / "words.py"
    with watching(project) as command:
        assert result(command)["word"] == "one"
        command.read_until("waiting")
        # A bytecode cache tells these two apart by nothing: same length, same second.
        second = int(words.stat().st_mtime)
        (project / "new").write_text(words.read_text().replace("one", "two"))
        os.utime(project / "new", (second, second))
        (project / "new").replace(words)
        assert result(command)["word"] == "two"
        command.read_until("waiting")
        save(words, "WORD = (\n")
        told = command.read_until("waiting")
        assert "words.py changed" in told[0]
        assert "SyntaxError" in told[1]
        assert len(told) == 3
        save(words, "WORD = 'three'\n")
        assert result(command)["word"] == "three"
        command.read_until("waiting")
        command.signal(2)
        ended = command.end()
        assert (ended.code, ended.err) == (130, [])
        assert command.leftovers() == []


def test_a_change_ends_the_run_that_goes_on(project: Path) -> None:
    """It is asked to stop, as by the agent; so it is by Ctrl-C, which ends both."""
    save(project / "task.py", HANGS)
    with watching(project) as command:
        command.read_until("hanging")
        save(project / "task.py", HANGS.replace('"hanging"', '"again"'))
        told = "".join(command.read_until("again"))
        assert ASKED in told
        assert "task.py changed" in told
        assert "waiting" not in told
        command.signal(2)
        ended = command.end()
        assert ended.code == 130
        assert ASKED in ended.err[-1]
        assert command.leftovers() == []


def test_an_import_that_hangs(project: Path) -> None:
    """Ctrl-C ends it, and the agent."""
    save(
        project / "task.py",
        "import sys, time\nfrom epm_task import task\nprint('importing')\ntime.sleep(60)\n",
    )
    with watching(project) as command:
        command.read_until("importing")
        command.signal(2)
        assert command.end().code == 130
        assert command.leftovers() == []


def test_reports_for_programs(project: Path) -> None:
    """One document in a line for each run, if it could begin or not; a closed pipe ends it."""
    with watching(project, "--json", "--fault", "api status=403 times=2") as command:
        first = result(command)
        assert first["result"] == {"word": "one", "late": "late"}
        (project / "task.py").unlink()
        assert result(command)["problem"].endswith(
            "task.py cannot be read: No such file or directory"
        )
        save(project / "task.py", "import epm_task\ndef (")
        assert result(command)["exit_name"] == "USAGE"
        save(project / "task.py", TASK.replace("Tell", "Say"))
        assert result(command)["registration"]["tries"] == first["registration"]["tries"] == 3
        assert command.process.stdout is not None
        command.process.stdout.close()
        save(project / "task.py", TASK)
        assert command.process.wait(PATIENCE) == 1
        assert command.leftovers() == []


def test_nobody_reads_stderr(project: Path) -> None:
    """What only shows something ends when nobody can see it."""
    with watching(project) as command:
        command.read_until("waiting")
        assert command.process.stderr is not None
        command.process.stderr.close()
        save(project / "late.py", "WORD = 'later'\n")
        assert command.process.wait(PATIENCE) == 1
