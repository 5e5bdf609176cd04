"""An install check compares an installed program with its manifest, and looks at its rights."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Literal, NamedTuple

from epm_task.errors import UnsafeConfiguration
from epm_task.files import check_trusted
from epm_task.freeze.freeze_error import FreezeError
from epm_task.runtime.manifest import differences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from epm_task.freeze.installed import Installed


_SHOWN = 3
_OTHERS_MAY_WRITE = 0o022


def check_install(program: Installed) -> list[Check]:
    """Return what was seen of the files of an installed program.

    Raises:
        FreezeError: It has no manifest.
    """
    folder = program.folder
    if folder is None or program.manifest is None:
        raise FreezeError(
            f"{program.executable} has no manifest beside it",
            "build it with epm-task freeze, or copy the whole folder",
        )
    changed = differences(folder, program.manifest)
    owners = list(_foreign_owners(folder))
    writable = list(_writable(folder))
    expected = len(program.manifest["files"])
    return [
        judge("files", not changed, f"{expected} as built", _some(changed)),
        judge("owner", not owners, "root or this user", _some(owners)),
        judge("modes", not writable, "nobody else may write", _some(writable)),
        _above(program.executable),
        judge(
            "executable",
            os.access(program.executable, os.X_OK),
            f"{program.executable.name} may be started",
            f"chmod 0755 {program.executable}",
        ),
    ]


def _foreign_owners(folder: Path) -> Iterator[str]:
    if os.name != "posix":  # rights on Windows are inherited from the folder; see the docs
        return
    for path in (folder, *folder.rglob("*")):
        owner = path.lstat().st_uid
        if owner not in {0, os.geteuid()}:
            yield f"{path} belongs to uid {owner}; chown root {path}"


def _writable(folder: Path) -> Iterator[str]:
    if os.name != "posix":
        return
    for path in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if not path.is_symlink() and mode & _OTHERS_MAY_WRITE:
            yield f"{path} has mode {mode:04o}; chmod go-w {path}"


def _above(executable: Path) -> Check:
    """Look at the folders above too: who may write there can put another program in place."""
    try:
        check_trusted(executable)
    except UnsafeConfiguration as error:
        return Check("folders above", "failed", str(error))
    return Check("folders above", "ok", "root's or this user's, and nobody else may write")


def _some(problems: list[str]) -> str:
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return "; ".join(problems[:_SHOWN]) + more


State = Literal["ok", "failed", "skipped"]


class Check(NamedTuple):
    """One line of the answer of `verify` or `verify-install`.

    Attributes:
        name: What was looked at, in one or two words.
        state: How it is.
        detail: What was seen; for a failure, why that matters and what to do.
    """

    name: str
    state: State
    detail: str


def judge(name: str, good: object, seen: str, problem: str = "") -> Check:
    """Return a check that is ok when *good* is true, with what was seen or with the problem."""
    return Check(name, "ok", seen) if good else Check(name, "failed", problem or seen)


def passed(checks: list[Check]) -> bool:
    """Return whether no check has failed."""
    return all(check.state != "failed" for check in checks)
