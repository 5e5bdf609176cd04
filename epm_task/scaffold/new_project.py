"""Make a new project, or add a task to one; either appears whole or not at all."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from epm_task.scaffold.template import ScaffoldError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from epm_task.scaffold.template import Answer, Template

#: What makes a task, apart from its project: the module, its test, its job.
_TASK_FILES: Final = ("src/*.py", "tests/test_*.py", "Jobs/*.json")


def make_project(template: Template, answers: Mapping[str, Answer], output_dir: Path) -> Path:
    """Make a project in a folder of its own below *output_dir*, and return that folder.

    Raises:
        ScaffoldError: The template refuses an answer, or the folder exists.
        OSError: The folder cannot be written.
    """
    complete = template.complete(answers)
    output_dir.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output_dir, prefix=".epm-task-new-") as aside:
        made = template.render(complete, Path(aside))
        target = output_dir / made.name
        _refuse_present([target])
        made.rename(target)
    return target


def add_task(template: Template, answers: Mapping[str, Answer], project: Path) -> list[Path]:
    """Add module, test and job of a task to *project*, and return the three files.

    The module is added to the task list of pyproject.toml too.

    Raises:
        ScaffoldError: The template refuses an answer, a file exists, or *project* is not one.
        OSError: The folder cannot be written.
    """
    pyproject = project / "pyproject.toml"
    if not pyproject.is_file():
        raise ScaffoldError(
            f"{project} is not a project",
            "it holds no pyproject.toml",
            "give the folder of a project, or leave --into out",
        )
    with TemporaryDirectory(prefix="epm-task-new-") as aside:
        made = template.render(answers, Path(aside))
        sources = [file for pattern in _TASK_FILES for file in sorted(made.glob(pattern))]
        targets = [project / source.relative_to(made) for source in sources]
        _refuse_present(targets)
        module = targets[0].relative_to(project).as_posix()
        listed = with_task(pyproject.read_bytes().decode(), module)
        _copy_all(sources, targets)
        pyproject.write_bytes(listed.encode())
    return targets


def _copy_all(sources: list[Path], targets: list[Path]) -> None:
    written: list[Path] = []
    try:
        for source, target in zip(sources, targets, strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                written.append(target)
                file.write(source.read_bytes())
    except OSError:
        for target in written:
            target.unlink()
        raise


def _refuse_present(paths: list[Path]) -> None:
    for path in paths:
        if os.path.lexists(path):
            raise ScaffoldError(
                f"{path} exists, and nothing is ever overwritten", fix="choose another name"
            )


_TABLE: Final = re.compile(r"^\[tool\.epm-task\][ \t]*(?:#[^\r\n]*)?(?=\r?$)", re.MULTILINE)
_LIST: Final = re.compile(r"^tasks[ \t]*=[ \t]*\[(.*?)[,\s]*\]", re.MULTILINE | re.DOTALL)


def with_task(pyproject: str, file: str) -> str:
    """Return the text of a pyproject.toml with *file* in the task list, all else untouched.

    Raises:
        ScaffoldError: The text is not TOML, or has its list in a form that cannot be extended.
    """
    try:
        wanted = tomllib.loads(pyproject)
    except tomllib.TOMLDecodeError as error:
        raise ScaffoldError("pyproject.toml cannot be read", str(error), "correct it") from error
    table = wanted.setdefault("tool", {}).setdefault("epm-task", {})
    table["tasks"] = [*table.get("tasks", []), file]
    changed = _extended(pyproject, json.dumps(file))
    try:
        works = tomllib.loads(changed) == wanted
    except tomllib.TOMLDecodeError:
        works = False
    if not works:
        raise ScaffoldError(
            "pyproject.toml names its tasks in a form that cannot be extended",
            fix='write tasks = ["FILE"] below [tool.epm-task]',
        )
    return changed


def _extended(text: str, quoted: str) -> str:
    end = "\r\n" if "\r\n" in text else "\n"
    line = f"tasks = [{quoted}]"
    table = _TABLE.search(text)
    if table is None:
        return end.join([text.rstrip(), "", "[tool.epm-task]", line, ""])
    found = _LIST.search(text, table.end())
    if found is None:
        return f"{text[: table.end()]}{end}{line}{text[table.end() :]}"
    comma = ", " if found[1].strip() else ""
    return f"{text[: found.end(1)]}{comma}{quoted}{text[found.end(1) :]}"
