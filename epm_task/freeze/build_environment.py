"""A build environment makes two builds of the same sources give the same bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from epm_task.freeze.freeze_error import FreezeError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Zip archives know no time before 1980.
_FIRST_ZIP_SECOND: Final = 315_532_800
#: What PyInstaller calls on Linux, all of Debian's `binutils` but ldd.
_LINUX_TOOLS: Final = ("ldd", "objdump", "objcopy")
#: Of these, a build would depend on the machine.
_FOREIGN: Final = ("PYTHON", "LD_", "DYLD_", "OPENSSL_", "_PYI_")


class Source(NamedTuple):
    """Where the sources of a program come from.

    Attributes:
        commit: The commit in git; None when git does not know the file.
        changed: Whether there are changes that are not committed.
        epoch: Second of the commit, or `SOURCE_DATE_EPOCH`; what the build takes for now.
    """

    commit: str | None
    changed: bool
    epoch: int


def source_of(file: Path, environ: Mapping[str, str] = os.environ) -> Source:
    """Return what git knows of *file*.

    Raises:
        FreezeError: `SOURCE_DATE_EPOCH` is no number of seconds.
    """
    folder = file.resolve().parent
    log = _git(folder, "log", "-1", "--format=%H %ct")
    commit, _, second = log.partition(" ")
    changed = bool(commit) and bool(_git(folder, "status", "--porcelain", "--", "."))
    text = environ.get("SOURCE_DATE_EPOCH") or second or "0"
    if not text.isdigit():
        raise FreezeError(f"SOURCE_DATE_EPOCH={text!r} is no number of seconds", "unset it")
    return Source(commit or None, changed, max(int(text), _FIRST_ZIP_SECOND))


def build_environment(epoch: int, work: Path) -> dict[str, str]:
    """Return the environment of the process that builds: nothing that differs from user to user."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN)}
    above = str(Path(__file__).parents[2])  # so that the process finds the package that runs now
    return {
        **kept,
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": above,
        "PYINSTALLER_CONFIG_DIR": str(work / "cache"),  # two builds at a time share nothing
        "SOURCE_DATE_EPOCH": str(epoch),
        "TZ": "UTC",
    }


def check_tools(platform: str = sys.platform, search_path: str | None = None) -> None:
    """Refuse to begin a build that cannot end well.

    Raises:
        FreezeError: PyInstaller or a tool that it calls is missing.
    """
    if find_spec("PyInstaller") is None:
        raise FreezeError("PyInstaller is not installed", 'pip install "epm-task[dev]"')
    if platform != "linux":
        return
    if missing := [tool for tool in _LINUX_TOOLS if shutil.which(tool, path=search_path) is None]:
        raise FreezeError(
            f"PyInstaller needs {', '.join(missing)}, which is not installed",
            "apt-get install binutils (or your system's package of that name), "
            "or build with --backend zipapp",
        )


def can_strip(platform: str = sys.platform) -> bool:
    """Return whether symbols can be taken out of libraries; on macOS that breaks signatures."""
    return platform == "linux" and shutil.which("strip") is not None


def _git(folder: Path, *words: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    done = subprocess.run(
        [git, "-C", str(folder), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
    )
    return done.stdout.strip() if done.returncode == 0 else ""
