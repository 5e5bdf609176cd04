"""Signing runs the site's own tool on each file that the operating system loads."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from epm_task.freeze.freeze_error import FreezeError

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.freeze.built import Built

#: A time-stamp server may be slow; one that does not answer in ten minutes is down.
_SECONDS: Final = 600
_STDERR: Final = 2
_PATH: Final = "{path}"
#: ELF, PE and Mach-O: thin in both byte orders, universal.
_NATIVE: Final = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\xca\xfe\xba\xbe")


def check_sign_command(command: str) -> list[str]:
    """Return the words of the command.

    Raises:
        FreezeError: It is empty, cannot be split, or does not say where the path goes.
    """
    try:
        words = shlex.split(command, posix=sys.platform != "win32")
    except ValueError as error:
        raise FreezeError(
            f"--sign-command cannot be split: {error}", "correct its quotes"
        ) from None
    if not any(_PATH in word for word in words[1:]):
        raise FreezeError(
            "--sign-command does not say which file to sign",
            "write {path} in it, for example 'codesign --sign ID --options runtime {path}'",
        )
    return words


def sign(built: Built, words: list[str]) -> int:
    """Run the command on libraries first, then on the executable; return how many files that was.

    Its output goes to stderr, so that a tool may ask for a PIN. It gets no secret from us.

    Raises:
        FreezeError: It cannot be started, or one run of it fails.
    """
    files = native_files(built.folder)
    executable = built.folder / built.executable
    ordered = [*(file for file in files if file != executable), executable]
    for file in ordered:
        argv = [word.replace(_PATH, str(file)) for word in words]
        try:
            done = subprocess.run(argv, stdout=_STDERR, check=False, timeout=_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FreezeError(
                f"the sign command cannot sign {file.name}: {error}", "correct --sign-command"
            ) from None
        if done.returncode:
            raise FreezeError(
                f"the sign command ended with exit code {done.returncode} for {file.name}",
                "its own message stands above; no program was put in place",
            )
    return len(ordered)


def native_files(folder: Path) -> list[Path]:
    """Return the files that the operating system loads: executables and libraries, in order."""
    return [path for path in sorted(folder.rglob("*")) if _is_native(path)]


def _is_native(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4).startswith(_NATIVE)
