"""Tests of programs: known by digests, and copied whole."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from admin.deploy.bundle_files import write_program

from epm_task.admin.deploy.program import (
    FileFact,
    copy_program,
    read_installed,
    read_program,
)
from epm_task.admin.errors import BadBundle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.posix("modes are POSIX")
def test_a_copy_is_the_same_program_with_its_own_modes(tmp_path: Path) -> None:
    """Whatever the umask and the modes of the source are."""
    executable = write_program(tmp_path)
    executable.chmod(0o644)
    executable.with_name("link").symlink_to("_internal/library.txt")
    executable.with_name("shared.so").write_bytes(b"")
    executable.with_name("shared.so").chmod(0o777)
    program = read_program(executable.parent, as_installed=False)
    umask = os.umask(0o077)
    try:
        copy_program(program, tmp_path / "copy")
    finally:
        os.umask(umask)
    copy = read_program(tmp_path / "copy")
    assert (copy.files, copy.digest) == (program.files, program.digest)
    modes = {
        path.name: f"{path.stat().st_mode & 0o7777:o}"
        for path in (tmp_path / "copy").rglob("*")
        if not path.is_symlink()
    }
    assert modes == {"probe": "755", "_internal": "755", "library.txt": "644", "shared.so": "755"}


def test_the_digest_knows_contents_names_and_executable_bits(tmp_path: Path) -> None:
    """Each of them makes another program."""
    executable = write_program(tmp_path)
    digests = {read_program(executable.parent).digest}
    (executable.parent / "_internal" / "library.txt").chmod(0o755)
    digests.add(read_program(executable.parent).digest)
    executable.rename(executable.with_name("other"))
    digests.add(read_program(executable.parent).digest)
    executable.with_name("other").write_text("other")
    digests.add(read_program(executable.parent).digest)
    assert len(digests) == (4 if os.name == "posix" else 3)  # Windows has no such bit


@pytest.mark.posix("modes are POSIX")
def test_what_others_can_write_is_seen_and_tidied(tmp_path: Path) -> None:
    """Folders count too: who may write there may replace a file."""
    executable = write_program(tmp_path)
    executable.chmod(0o757)
    executable.with_name("_internal").chmod(0o777)
    program = read_program(executable.parent)
    assert program.files["probe"].loose
    assert program.files["_internal/"] == FileFact("", loose=True)
    assert program.tidied().files == read_program(executable.parent, as_installed=False).files


@pytest.mark.wine_differs("it makes no links")
@pytest.mark.parametrize("target", ["/etc/passwd", "../../secret", "_internal/../../x"])
def test_links_that_leave_the_program_are_refused(target: str, tmp_path: Path) -> None:
    """The agent would follow them as its own account."""
    executable = write_program(tmp_path)
    executable.with_name("link").symlink_to(target)
    with pytest.raises(BadBundle, match="leaves its program"):
        read_program(executable.parent)


@pytest.mark.posix("pipes with names are POSIX")
def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    """Reading a pipe would wait for ever."""
    executable = write_program(tmp_path)
    os.mkfifo(executable.with_name("pipe"))
    with pytest.raises(BadBundle, match="it is a pipe"):
        read_program(executable.parent)


@pytest.mark.wine_differs("it makes no links")
def test_a_file_or_a_link_in_the_place_of_a_program_is_left_alone(tmp_path: Path) -> None:
    """Nobody knows whose it is."""
    assert read_installed(tmp_path / "absent") is None
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    for name in ("file", "link"):
        with pytest.raises(BadBundle, match="not a folder"):
            read_installed(tmp_path / name)


def test_a_source_that_changes_is_not_copied(tmp_path: Path) -> None:
    """The digest was that of another file."""
    executable = write_program(tmp_path)
    program = read_program(executable.parent, as_installed=False)
    executable.write_text("changed")
    with pytest.raises(BadBundle, match="changed while"):
        copy_program(program, tmp_path / "copy")
    executable.unlink()
    with pytest.raises(BadBundle, match="vanished"):
        copy_program(program, tmp_path / "copy-2")
