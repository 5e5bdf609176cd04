"""Find the project around a file, read what its pyproject.toml says, and judge whose code that is.

Who runs a build as root in a checkout of another user, as containers do, trusts that user with it.
So for a build the owner of the folder counts like root. An administrator's verb acts on an agent:
as root it trusts root only.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from epm_task.errors import EpmTaskError, UnsafeConfiguration
from epm_task.trust import fault_of, is_ours, is_privileged, open_judged, owner_of

if TYPE_CHECKING:
    from pathlib import Path


class BadProject(EpmTaskError, ValueError):
    """A pyproject.toml cannot be read, or a table or value in it has another form."""


class ProjectSettings(NamedTuple):
    """What `[tool.epm-task]` says.

    Attributes:
        select: Codes of the lints; empty means all.
        ignore: Codes of the lints that do not count.
        tasks: Python files of the project that hold tasks; they are imported.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    tasks: tuple[Path, ...] = ()


def find_project(folder: Path) -> Path | None:
    """Return the pyproject.toml in *folder*, else the nearest one above it, else None.

    The nearest counts also when it says nothing to epm-task: a project inside another one must not
    get that one's tasks, nor show an administrator's certificate where that one says.
    """
    folders = (folder.absolute(), *folder.absolute().parents)
    return next((file for each in folders if (file := each / "pyproject.toml").is_file()), None)


def read_table(file: Path, *names: str, data: bytes | None = None) -> dict[str, Any]:
    """Return the table `[a.b.c]` of a pyproject.toml by its *names*; an absent one is empty.

    Args:
        file: The pyproject.toml.
        names: `a`, `b`, `c`.
        data: What the file holds, for who has read it already.

    Raises:
        BadProject: The file cannot be read, or one of the names is another kind of value.
    """
    import tomllib  # noqa: PLC0415  # few commands read any

    try:
        data = file.read_bytes() if data is None else data
        table: Any = tomllib.loads(data.decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadProject(f"{file} cannot be read", str(error), "correct it") from error
    for number, name in enumerate(names, 1):
        table = table.get(name, {})
        if not isinstance(table, dict):
            place = f"[{'.'.join(names[:number])}]"
            raise BadProject(f"{file}: {place} must be a table", fix=f"write {place}")
    return dict(table)


def read_project(folder: Path, *, admin: bool = False) -> ProjectSettings:
    """Return the settings of the project around *folder*; without a project they are empty.

    Args:
        folder: Where the search begins.
        admin: The tasks are for an administrator's verb.

    Raises:
        BadProject: Its pyproject.toml cannot be used.
        UnsafeConfiguration: It, or a task file that it names, is of a user who is not trusted here.
    """
    if (file := find_project(folder)) is None:
        return ProjectSettings()
    table = read_table(file, "tool", "epm-task")
    lists: dict[str, tuple[str, ...]] = {}
    for name in ProjectSettings._fields:
        value = table.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            what = f"{file}: {name} in [tool.epm-task] must be a list of texts"
            raise BadProject(what, fix=f'write {name} = ["…"]')
        lists[name] = tuple(value)
    tasks = tuple(file.parent / name for name in lists["tasks"])
    for code in (file, *tasks) if tasks else ():
        try:
            check_code(code, folder=None if admin else folder)
        except FileNotFoundError:  # who wants to import it says so
            continue
        except OSError as error:
            why = error.strerror or str(error)
            raise BadProject(f"{code} cannot be read", why, f"correct {file}") from error
    return ProjectSettings(lists["select"], lists["ignore"], tasks)


def check_code(file: Path, *, folder: Path | None = None) -> None:
    """Refuse a file with, or of, code that would be run, when it is of a user who is not trusted.

    Args:
        file: The Python file, or the pyproject.toml that names it.
        folder: The folder of a build, whose owner is trusted; None for an administrator's verb.

    Raises:
        UnsafeConfiguration: It is; or, as root and without *folder*, somebody could replace it.
        OSError: It cannot be opened.
    """
    opened, fault = open_judged(file)
    with opened:
        found = os.fstat(opened.fileno())
    if folder is not None:
        owner = owner_of(folder.stat(), folder)
        both = ((found, file.resolve()), (file.lstat(), file))
        theirs = (one for one in both if not is_ours(*one) and owner_of(*one) != owner)
        fault = next((fault_of(*one) for one in theirs), None)
    elif not is_privileged():
        return
    if fault:
        why = f"{fault.why}, and its code would be run"
        raise UnsafeConfiguration(fault.what, why, f"{fault.fix}, or run this as its owner")
