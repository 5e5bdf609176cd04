"""Read, copy and swap programs: the folders below `Jobs/bin`, compared by digests of their files.

Linux swaps two folders with `renameat2(RENAME_EXCHANGE)` since 3.15, macOS with
`renamex_np(RENAME_SWAP)` since 10.12; the latter is written from its manual page and untested.
Windows has no such call.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import shutil
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import psutil

from epm_task.admin.errors import BadBundle, ProgramInUse
from epm_task.errors import UnsafeConfiguration
from epm_task.files import sync_folder
from epm_task.trust import entries_below, fault_of, leads_inside, open_below

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANY_EXECUTE: Final = 0o111


class FileFact(NamedTuple):
    """SHA-256 in hexadecimal digits, or `-> target` of a link; others can write a *loose* file."""

    digest: str
    executable: bool = False
    loose: bool = False


class Program(NamedTuple):
    """The files of one program by relative path, with `/` on every system.

    Of folders only those with wrong rights are among them, with `/` at the end.
    """

    command: str
    folder: Path
    files: Mapping[str, FileFact]

    def tidied(self) -> Program:
        """Return it with the rights that it should have."""
        files = {n: fact._replace(loose=False) for n, fact in self.files.items() if fact.digest}
        return self._replace(files=files)

    @property
    def digest(self) -> str:
        """The SHA-256 over names, contents and executable bits, in hexadecimal digits."""
        facts = {name: list(fact) for name, fact in sorted(self.files.items())}
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def read_program(folder: Path, *, as_installed: bool = True) -> Program:
    """Read a program from the folder of its name; rights count only when it is installed.

    Raises:
        BadBundle: It holds what is neither a file, a folder nor a link inside it, or its
            executable is a link.
        OSError: A file cannot be read.
    """
    files: dict[str, FileFact] = {}
    for path, found in entries_below(folder):
        name = path.relative_to(folder).as_posix()
        loose = as_installed and fault_of(found, path) is not None
        if stat.S_ISDIR(found.st_mode):
            if loose:
                files[f"{name}/"] = FileFact("", loose=True)
        elif stat.S_ISLNK(found.st_mode):
            files[name] = FileFact(f"-> {_link(path, folder)}", loose=loose)
        else:
            executable = bool(found.st_mode & _ANY_EXECUTE)
            if os.name == "posix" and not as_installed:  # an archive may have lost the bit
                executable |= name in _names(folder.name)
            files[name] = FileFact(_sha256(folder, name), executable, loose)
    return Program(folder.name, folder, files)


def read_installed(place: Path) -> Program | None:
    """Return the program in its place in `Jobs/bin`, None when there is none.

    Raises:
        BadBundle: A file or a link is in its place.
        OSError: It cannot be read.
    """
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise BadBundle(f"{place} is not a folder, so it was left alone", fix="remove it")
    return read_program(place) if place.exists() else None


def executable_of(program: Program) -> str | None:
    """Return the name of the file that the agent starts, None when it is missing."""
    return next((name for name in _names(program.command) if name in program.files), None)


def _names(command: str) -> tuple[str, str]:
    return command, f"{command}.exe"


def _link(path: Path, folder: Path) -> str:
    target = os.readlink(path)  # noqa: PTH115  # the text itself, not a path
    if path.parent == folder and path.name in _names(folder.name):
        why = "the agent starts it, and its digest would be that of the link"
        raise BadBundle(f"{path} is a link", why, "replace it by the file")
    if Path(target).is_absolute() or not leads_inside(path, folder):
        raise BadBundle(
            f"{path} is a link that leaves its program, to {target}", fix="replace it by a file"
        )
    return target


def _sha256(folder: Path, name: str) -> str:
    try:
        with open_below(folder, name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except UnsafeConfiguration as error:
        raise BadBundle.of(error) from None


#: The agent runs the files as its own account: nobody but their owner may write them.
_FOLDER_MODE: Final = 0o755
_EXECUTABLE_MODE: Final = 0o755
_FILE_MODE: Final = 0o644


def copy_program(program: Program, target: Path) -> None:
    """Copy the program to *target*, a folder that is made; it survives a power cut.

    Raises:
        BadBundle: A file is missing, or is another than when the program was read.
        OSError: A file cannot be written.
    """
    _make_folder(target)
    for name, fact in program.files.items():
        copy = target / name
        for folder in reversed(copy.relative_to(target).parents[:-1]):
            _make_folder(target / folder)
        if fact.digest.startswith("->"):
            copy.symlink_to(fact.digest.removeprefix("-> "))
        else:
            _copy(program, name, copy, fact)
    for above, _, _ in os.walk(target):
        sync_folder(target / above)
    copied = read_program(target).files
    if copied != program.files:
        names = {**copied, **program.files}
        changed = next(name for name in names if copied.get(name) != program.files.get(name))
        raise BadBundle(
            f"the copy {target / changed} is not what was planned",
            "the file was changed while it was being deployed, or a file system keeps no modes",
            "run it again, and keep other programs away from the agent root",
        )


def remove_tree(path: Path) -> None:
    """Remove a folder, or what is in its place, if there is anything."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir()
        folder.chmod(_FOLDER_MODE)  # whatever the umask is


def _copy(program: Program, name: str, copy: Path, fact: FileFact) -> None:
    source = program.folder / name
    try:
        reader = open_below(program.folder, name)
    except UnsafeConfiguration as error:
        raise BadBundle.of(error) from None
    except OSError as error:
        raise BadBundle(
            f"{source} vanished, or cannot be read any more",
            error.strerror or str(error),
            "build it again",
        ) from error
    with reader, copy.open("xb") as writer:
        shutil.copyfileobj(reader, writer)
        writer.flush()
        os.fsync(writer.fileno())
    copy.chmod(_EXECUTABLE_MODE if fact.executable else _FILE_MODE)


def put_in_place(staged: Path, place: Path) -> None:
    """Swap *staged* with what is at *place*, if anything; durable when this returns.

    A running program goes on with its own files on POSIX: they are moved, not overwritten.

    Raises:
        ProgramInUse: Windows refuses because of an open file; nothing has changed.
        OSError: It is not possible; what was there is there still.
    """
    try:
        if not place.exists():
            staged.rename(place)
        elif not swap_at_once(staged, place):
            swap_by_renames(staged, place)
    except PermissionError as error:
        if sys.platform == "win32":
            raise ProgramInUse(error, place) from error
        raise
    sync_folder(place.parent)
    sync_folder(staged.parent)


def take_away(place: Path, staged: Path) -> None:
    """Move a program out of its place; durable when this returns.

    Raises:
        OSError: It is not possible; it is there still.
    """
    remove_tree(staged)
    place.rename(staged)
    sync_folder(place.parent)
    sync_folder(staged.parent)


def swap_by_renames(staged: Path, place: Path) -> None:
    """Swap where the system has no such call; for an instant nothing is at *place*.

    A crash in this instant is repaired by the next apply, as the journal tells.
    """
    aside = staged.with_name(f"{staged.name}.aside")
    place.rename(aside)
    try:
        staged.rename(place)
    except OSError:
        aside.rename(place)
        raise
    aside.rename(staged)


_AT_FDCWD: Final = -100  # fcntl.h
_RENAME_EXCHANGE: Final = 2  # linux/fs.h
_RENAME_SWAP: Final = 2  # sys/stdio.h of macOS
#: The file system, or the C library, has no such call.
_UNKNOWN: Final = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def swap_at_once(one: Path, other: Path) -> bool:
    """Swap two folders and return True; return False where that is not possible in one step.

    Raises:
        OSError: The operating system refuses.
    """
    if sys.platform == "win32":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    first, second = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin":
        if not hasattr(library, "renamex_np"):
            return False
        result = library.renamex_np(first, second, _RENAME_SWAP)
    else:
        if not hasattr(library, "renameat2"):
            return False
        result = library.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE)
    if result == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


def running_in(folder: Path) -> list[int]:
    """Return the PIDs of processes whose executable, or first argument as a script, is in *folder*.

    What this user may not see is left out.
    """
    found = []
    for process in psutil.process_iter(["exe", "cmdline"]):
        paths = [process.info["exe"] or "", *(process.info["cmdline"] or [])[:2]]
        if any(path.startswith((f"{folder}/", f"{folder}\\")) for path in paths):
            found.append(process.pid)
    return found
