"""Copying a program gives each file its mode, and proves that the copy is the program."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING, Final

from epm_task.admin.deploy.errors import BadBundle
from epm_task.admin.deploy.program import read_program
from epm_task.files.atomic_file import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.admin.deploy.program import FileFact, Program

#: The agent runs the files as its own account: nobody but their owner may write them.
_FOLDER_MODE: Final = 0o755
_EXECUTABLE_MODE: Final = 0o755
_FILE_MODE: Final = 0o644
_BLOCK_BYTES: Final = 1024 * 1024


def copy_program(program: Program, target: Path) -> None:
    """Copy the program to *target*, a folder that is made; it survives a power cut.

    Raises:
        BadBundle: A file is missing, or is another than when the program was read.
        OSError: A file cannot be written.
    """
    _make_folder(target)
    for name, fact in program.files.items():
        source, copy = program.folder / name, target / name
        for folder in reversed(copy.relative_to(target).parents[:-1]):
            _make_folder(target / folder)
        if fact.digest.startswith("->"):
            copy.symlink_to(fact.digest.removeprefix("-> "))
        else:
            _copy(source, copy, fact)
    for above, _, _ in os.walk(target):
        sync_folder(target / above)
    if read_program(target, as_installed=True).files != program.files:
        raise BadBundle(
            f"the copy {target} is not what was copied: another program has changed it, or its "
            "file system knows no modes; exclude the agent root there"
        )


def remove_tree(path: Path) -> None:
    """Remove a folder, or what stands in its place, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir()
        folder.chmod(_FOLDER_MODE)  # whatever the umask is


def _copy(source: Path, copy: Path, fact: FileFact) -> None:
    digest = hashlib.sha256()
    try:
        reader = source.open("rb")
    except OSError as error:
        raise BadBundle(
            f"{source} vanished, or cannot be read any more ({error.strerror}); build it again"
        ) from error
    with reader, copy.open("xb") as writer:
        while block := reader.read(_BLOCK_BYTES):
            digest.update(block)
            writer.write(block)
        writer.flush()
        os.fsync(writer.fileno())
    copy.chmod(_EXECUTABLE_MODE if fact.executable else _FILE_MODE)
    if digest.hexdigest() != fact.digest:
        raise BadBundle(f"{source} was changed while it was being deployed; run it again")
