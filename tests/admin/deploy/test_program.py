"""Tests of programs: known by digests, and whole in their place at every instant."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from admin.deploy.bundle_files import write_program

from epm_task.admin.deploy.places import (
    put_in_place,
    swap_at_once,
    swap_by_renames,
    take_away,
)
from epm_task.admin.deploy.program import (
    FileFact,
    copy_program,
    read_installed,
    read_program,
    running_in,
)
from epm_task.admin.errors import BadBundle, ProgramInUse

if TYPE_CHECKING:
    from pathlib import Path


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
    assert len(digests) == 4


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


def _two(folder: Path) -> tuple[Path, Path]:
    staged = write_program(folder / "new", "new").parent
    return staged, write_program(folder / "old", "old").parent


@pytest.mark.skipif(sys.platform != "linux", reason="this call is Linux's")
def test_a_swap_has_no_instant_without_a_program(tmp_path: Path) -> None:
    """Another thread opens the file all the time and never misses it."""
    staged, place = _two(tmp_path)
    seen: set[str] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            seen.add((place / "probe").read_text())

    watcher = threading.Thread(target=look)
    watcher.start()
    for _ in range(2000):
        assert swap_at_once(staged, place)
    ended.set()
    watcher.join()
    assert seen == {"new", "old"}


@pytest.mark.parametrize("swap", [put_in_place, swap_by_renames])
def test_what_was_in_place_is_staged_afterwards(swap: object, tmp_path: Path) -> None:
    """So that it can be put back without a copy."""
    staged, place = _two(tmp_path)
    swap(staged, place)  # type: ignore[operator]
    assert ((place / "probe").read_text(), (staged / "probe").read_text()) == ("new", "old")
    assert sorted(path.name for path in staged.parent.iterdir()) == ["probe"]


def test_a_first_program_is_moved_and_can_be_taken_away(tmp_path: Path) -> None:
    """There is nothing to swap with."""
    staged, place = _two(tmp_path)
    shutil.rmtree(place)
    put_in_place(staged, place)
    assert (place / "probe").read_text() == "new"
    take_away(place, staged)
    assert not place.exists()


def test_a_failed_second_rename_puts_the_old_program_back(tmp_path: Path) -> None:
    """Where the system cannot swap at once."""
    staged, place = _two(tmp_path)
    shutil.rmtree(staged)
    with pytest.raises(FileNotFoundError):
        swap_by_renames(staged, place)
    assert (place / "probe").read_text() == "old"


def test_a_swap_that_is_refused_says_so(tmp_path: Path) -> None:
    """Nothing has changed."""
    staged, place = _two(tmp_path)
    shutil.rmtree(staged)
    with pytest.raises(FileNotFoundError):
        put_in_place(staged, place)
    assert (place / "probe").read_text() == "old"


def test_a_running_executable_is_swapped_and_goes_on(tmp_path: Path) -> None:
    """Writing into it would be "text file busy"; moving its folder is not."""
    staged, place = _two(tmp_path)
    shutil.copy2(shutil.which("sleep") or "", place / "probe")
    with subprocess.Popen([place / "probe", "60"]) as process:
        try:
            if sys.platform == "linux":
                with pytest.raises(OSError, match="busy"):
                    (place / "probe").write_text("new")
            assert running_in(place) == [process.pid]
            put_in_place(staged, place)
            assert (place / "probe").read_text() == "new"
            shutil.rmtree(staged)
            assert process.poll() is None
        finally:
            process.kill()


def test_the_refusal_of_windows_says_what_to_do(tmp_path: Path) -> None:
    """It cannot happen here, so only its words are looked at."""
    error = ProgramInUse(PermissionError(13, os.strerror(13)), tmp_path)
    assert (error.exit_code, "stop the agent's service" in str(error)) == (75, True)
