"""Tests of the task file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from simulator.task_files import IN_A_PACKAGE, SCANNER, TWO_TASKS, in_a_package, write

from epm_task.job.task_file import TaskFileError, find_task, package_module, read_task_file


def test_only_task_of_a_file(tmp_path: Path) -> None:
    """A file with one task needs no name."""
    task = find_task(write(tmp_path, SCANNER))
    assert task is not None
    assert task.declaration.job_id == "key-scanner"


def test_one_of_several(tmp_path: Path) -> None:
    """The name chooses; without one, or with a wrong one, the error lists the names."""
    path = write(tmp_path, TWO_TASKS)
    task = find_task(path, "talker")
    assert task is not None
    assert task.siblings().keys() == {"sleeper", "talker"}
    with pytest.raises(TaskFileError, match="several tasks: it holds sleeper, talker; choose one"):
        find_task(path)
    with pytest.raises(TaskFileError, match="no task 'nobody'"):
        find_task(path, "nobody")


def test_files_that_are_not_ours_are_not_imported(tmp_path: Path) -> None:
    """A script without this package, or another program, is left alone."""
    assert find_task(write(tmp_path, "raise SystemExit('imported')")) is None
    assert find_task(write(tmp_path, "epm_task", "program")) is None


@pytest.mark.parametrize("text", ["import epm_task; 1 / 0", "epm_task ="])
def test_file_that_cannot_be_imported(tmp_path: Path, text: str) -> None:
    """The error names file and reason, and no half module stays."""
    before = set(sys.modules)
    with pytest.raises(TaskFileError, match=r"my_task\.py cannot be imported: \w+Error"):
        find_task(write(tmp_path, text))
    assert not [name for name in set(sys.modules) - before if name.startswith("_epm_task_file")]


def test_a_quick_edit_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other content has the same size, and the same time."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    before, after = SCANNER, SCANNER.replace("key-scanner", "new-scanner")
    times = write(tmp_path, before).stat()
    assert read_task_file(tmp_path / "my_task.py").tasks
    path = write(tmp_path, after)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    task = find_task(path)
    assert task is not None
    assert task.declaration.job_id == "new-scanner"


def test_imported_tasks_belong_to_their_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that a file imports from another one is not its own."""
    write(tmp_path, SCANNER, "scanner_of_test.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = write(tmp_path, "from scanner_of_test import key_scanner as epm_task", "other.py")
    assert read_task_file(path).tasks == {}


#: What the file imports, where it is, and the packages: those with `__init__.py`.
LAYOUTS = [
    ("from .other import N", "pack", ("pack",)),
    ("from .other import N", "pack", ()),
    ("from ..other import N", "pack/inner", ("pack", "pack/inner")),
    ("from ..other import N", "pack/inner", ()),
    ("from .inner.other import N", "src/pack", ("src/pack",)),
    ("from pack.other import N", "src/pack", ("src/pack",)),
    ("try:\n    from .other import N\nexcept ImportError:\n    from other import N", "pack", ()),
    ("from .other import N", "my-tasks", ()),
]


@pytest.mark.parametrize(("imports", "folder", "packages"), LAYOUTS)
def test_a_file_of_a_package(
    tmp_path: Path, imports: str, folder: str, packages: tuple[str, ...]
) -> None:
    """It imports from its package, also when the process knows another package of that name."""
    for number in (1, 2):
        root = tmp_path / str(number)
        path = in_a_package(root, imports, folder, packages, number)
        (task,) = read_task_file(path).tasks.values()
        assert task() == {"n": number}
        origin = sys.modules[task.handler.source.__module__].__file__
        assert origin is not None
        assert Path(origin) == path


@pytest.mark.parametrize(
    ("imports", "folder", "packages"),
    [
        ("from other import N", "pack", ("pack",)),
        ("import json; N = 3", "json", ("json",)),
        ("from .other import N", "v1.2", ()),
    ],
)
def test_a_file_of_no_package(
    tmp_path: Path, imports: str, folder: str, packages: tuple[str, ...]
) -> None:
    """What a script can import stays a script; a folder with a dot is no package."""
    assert package_module(in_a_package(tmp_path, imports, folder, packages)) is None


def test_modules_of_a_task_file_do_not_replace_those_of_python(tmp_path: Path) -> None:
    """A file may import its own `this.py`; everybody else gets that of Python afterwards."""
    write(tmp_path, "N = 3\n", "this.py")
    text = IN_A_PACKAGE.format(imports="from this import N")
    (task,) = read_task_file(write(tmp_path, text)).tasks.values()
    assert task() == {"n": 3}
    assert "this" not in sys.modules


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have only names in Unicode")
def test_name_that_is_not_utf8(tmp_path: Path) -> None:
    """A file may have a name of bytes, as all have where the locale is C."""
    file = tmp_path / os.fsdecode(b"t\xe4sk.py")
    file.write_text("from epm_task import task\n\n@task\ndef scan() -> None:\n    'Scan.'\n")
    assert list(read_task_file(file).tasks) == ["scan"]
