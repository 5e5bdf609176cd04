"""Read and copy programs: the folders below `Jobs/bin`, compared by digests of their files.

What is read may be changed by others at any time, as a user's build is. So each file is opened once
below its folder, without following a link, and what counts is the digest of the copy, which is made
where nobody else can write.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import psutil

from epm_task.admin.deploy.places import at, make_durable, make_public_folder
from epm_task.admin.errors import BadBundle
from epm_task.below import entries_below, leads_inside, link_below, open_below
from epm_task.errors import UnsafeConfiguration
from epm_task.trust import fault_of, owner_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import BufferedReader

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
                executable |= name in executable_names(folder.name)
            files[name] = FileFact(_sha256(folder, name), executable, loose)
    return Program(folder.name, folder, files)


def read_installed(place: Path) -> Program | None:
    """Return the program in its place in `Jobs/bin`, None when there is none.

    Raises:
        BadBundle: A file or a link is in its place.
        OSError: It cannot be read.
    """
    try:
        found = place.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISDIR(found.st_mode):
        raise BadBundle(f"{place} is not a folder, so it was left alone", fix="remove it")
    return read_program(place)


def executable_of(program: Program) -> str | None:
    """Return the name of the file that the agent starts, None when it is missing."""
    return next((name for name in executable_names(program.command) if name in program.files), None)


def executable_names(command: str) -> tuple[str, str]:
    """Return the names that the file which the agent starts may have."""
    return command, f"{command}.exe"


def _link(path: Path, folder: Path) -> str:
    target = link_below(folder, path.relative_to(folder).as_posix())
    if path.parent == folder and path.name in executable_names(folder.name):
        why = "the agent starts it, and its digest would be that of the link"
        raise BadBundle(f"{path} is a link", why, "replace it by the file")
    if Path(target).is_absolute() or not leads_inside(path, folder):
        raise BadBundle(
            f"{path} is a link that leaves its program, to {target}", fix="replace it by a file"
        )
    return target


def _sha256(folder: Path, name: str) -> str:
    with _open(folder, name) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open(folder: Path, name: str) -> BufferedReader:
    """Open a file of a program; a user may have linked one into it that he cannot read himself."""
    try:
        file = open_below(folder, name)
    except UnsafeConfiguration as error:
        raise BadBundle.of(error) from None
    found = os.fstat(file.fileno())
    if found.st_nlink > 1 and owner_of(found, folder / name) != owner_of(folder.stat(), folder):
        file.close()
        why = "it is a hard link to a file of another user"
        raise BadBundle(f"{folder / name} has another name", why, "replace it by a copy")
    return file


#: The agent runs the files as its own account: nobody but their owner may write them.
_EXECUTABLE_MODE: Final = 0o755
_FILE_MODE: Final = 0o644


def copy_program(program: Program, target: Path) -> None:
    """Copy the program to *target*, a folder that is made; it survives a power cut.

    Raises:
        BadBundle: A file is missing, or is another than when the program was read.
        OSError: A file cannot be written.
    """
    folders = {target: None}
    for name in program.files:
        above = (target / name).relative_to(target).parents
        folders |= dict.fromkeys(target / folder for folder in reversed(above))
    for folder in folders:
        make_public_folder(folder)
    for name, fact in program.files.items():
        if fact.digest.startswith("->"):
            with at(target / name) as (link, dir_fd):
                os.symlink(fact.digest.removeprefix("-> "), link, dir_fd=dir_fd)
        else:
            _copy(program, name, target / name, fact)
    make_durable(*folders)
    copied = read_program(target).files
    if copied != program.files:
        names = {**copied, **program.files}
        changed = next(name for name in names if copied.get(name) != program.files.get(name))
        raise BadBundle(
            f"the copy {target / changed} is not what was planned",
            "the file was changed while it was being deployed, or a file system keeps no modes",
            "run it again, and keep other programs away from the agent root",
        )


def _copy(program: Program, name: str, copy: Path, fact: FileFact) -> None:
    source = program.folder / name
    try:
        reader = _open(program.folder, name)
    except OSError as error:
        raise BadBundle(
            f"{source} vanished, or cannot be read any more",
            error.strerror or str(error),
            "build it again",
        ) from error
    with reader, at(copy) as (entry, dir_fd):

        def opened(entry: str, flags: int) -> int:
            """Make the file in its folder."""
            return os.open(entry, flags, 0o600, dir_fd=dir_fd)

        with open(entry, "xb", opener=opened) as writer:
            shutil.copyfileobj(reader, writer)
            writer.flush()
            os.fsync(writer.fileno())
        os.chmod(entry, _EXECUTABLE_MODE if fact.executable else _FILE_MODE, dir_fd=dir_fd)


def running_in(folder: Path) -> list[int]:
    """Return the PIDs of processes whose executable, or first argument as a script, is in *folder*.

    What this user may not see is left out.
    """
    found = []
    for process in psutil.process_iter():
        paths = []
        with suppress(psutil.Error, OSError):  # Windows closes some to everybody, not all alike
            paths.append(process.exe())
        with suppress(psutil.Error, OSError):
            paths += process.cmdline()[:2]
        if any(path.startswith((f"{folder}/", f"{folder}\\")) for path in paths):
            found.append(process.pid)
    return found
