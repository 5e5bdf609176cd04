"""Tests of swaps: a program is whole in its place at every instant, or is as it was before."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final

import pytest
from admin.deploy.bundle_files import executable, program_bytes, write_program

from epm_task.admin.deploy.program import running_in
from epm_task.admin.deploy.swap import (
    put_in_place,
    swap_at_once,
    swap_by_files,
    swap_by_renames,
    take_away,
)
from epm_task.admin.errors import ProgramInUse, UnsafeRoot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROBE: Final = executable()


def _text(program: Path) -> str:
    """Return what its executable and its library are, which must be the same."""
    text = (program / "_internal" / "library.txt").read_text()
    assert (program / PROBE).read_bytes() == program_bytes(text), "a mixture"
    return text


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
            seen.add((place / PROBE).read_text())

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
    assert (_text(place), _text(staged)) == ("new", "old")
    assert sorted(path.name for path in staged.parent.iterdir()) == ["probe"]


def test_a_first_program_is_moved_and_can_be_taken_away(tmp_path: Path) -> None:
    """There is nothing to swap with."""
    staged, place = _two(tmp_path)
    shutil.rmtree(place)
    put_in_place(staged, place)
    assert _text(place) == "new"
    take_away(place, staged)
    assert not place.exists()


def test_a_failed_second_rename_puts_the_old_program_back(tmp_path: Path) -> None:
    """Where the system cannot swap at once."""
    staged, place = _two(tmp_path)
    shutil.rmtree(staged)
    with pytest.raises(FileNotFoundError):
        swap_by_renames(staged, place)
    assert _text(place) == "old"


def test_a_swap_that_is_refused_says_so(tmp_path: Path) -> None:
    """Nothing has changed."""
    staged, place = _two(tmp_path)
    shutil.rmtree(staged)
    with pytest.raises(FileNotFoundError):
        put_in_place(staged, place)
    assert _text(place) == "old"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A program that runs, in its place, until its stdin ends."""
    place = write_program(tmp_path / "old", "old").parent
    source = shutil.which("cat") if os.name == "posix" else os.environ["COMSPEC"]
    shutil.copy2(source or "", place / PROBE)
    with subprocess.Popen(
        [place / PROBE], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        yield place, process
        assert process.poll() is None, "it did not go on"
        process.kill()


def test_a_running_executable_is_swapped_and_goes_on(
    tmp_path: Path, running: tuple[Path, subprocess.Popen[bytes]]
) -> None:
    """Writing into it would be "text file busy"; giving it another name is not."""
    place, process = running
    staged = write_program(tmp_path / "new", "new").parent
    with pytest.raises(OSError, match=r".+"):
        (place / PROBE).write_text("new")
    assert running_in(place) == [process.pid]
    put_in_place(staged, place)
    assert _text(place) == "new"


def test_a_running_executable_is_swapped_file_by_file(
    tmp_path: Path, running: tuple[Path, subprocess.Popen[bytes]]
) -> None:
    """As on Windows, which renames no folder that is in use."""
    place, _ = running
    swap_by_files(write_program(tmp_path / "new", "new").parent, place)
    assert _text(place) == "new"
    (aside,) = (tmp_path / "new" / "Jobs" / "bin").iterdir()
    assert sorted(path.name for path in aside.rglob("*.*")) == ["library.txt", *_dotted()]


def _dotted() -> list[str]:
    return [PROBE] if "." in PROBE else []


def test_files_are_swapped_whatever_they_were(tmp_path: Path) -> None:
    """Of a folder a file, of a file a folder; folders that are not needed any more are removed."""
    staged, place = _two(tmp_path)
    for program, name in ((place, "was/folder"), (staged, "was"), (place, "gone/deep/x")):
        (program / name).parent.mkdir(parents=True, exist_ok=True)
        (program / name).write_text("")
    (staged / "_internal" / "further").mkdir()
    (staged / "_internal" / "further" / "file").write_text("")
    swap_by_files(staged, place)
    names = sorted(path.relative_to(place).as_posix() for path in place.rglob("*"))
    further = ["_internal/further", "_internal/further/file", "_internal/library.txt"]
    assert names == ["_internal", *further, PROBE, "was"]
    assert _text(place) == "new"
    assert not staged.exists()


@pytest.mark.posix("rights are those of POSIX")
def test_a_swap_of_files_that_is_refused_in_the_middle_is_undone(tmp_path: Path) -> None:
    """Whatever the reason is: here somebody else could write in a folder of the new program."""
    staged, place = _two(tmp_path)
    (staged / "_internal").chmod(0o777)
    with pytest.raises(UnsafeRoot):
        swap_by_files(staged, place)
    assert _text(place) == "old"
    assert _text(staged) == "new"


def test_a_swap_of_files_needs_a_new_program(tmp_path: Path) -> None:
    """Else its place would be empty."""
    staged, place = _two(tmp_path)
    shutil.rmtree(staged)
    with pytest.raises(FileNotFoundError):
        swap_by_files(staged, place)
    assert _text(place) == "old"


if sys.platform == "win32":
    from epm_task import windows_security as system

    @pytest.fixture
    def held(tmp_path: Path) -> Iterator[Path]:
        """A program in its place, whose folder is in use, as that of a run that works in it."""
        place = write_program(tmp_path / "old", "old").parent
        opened = system.open_file(place, system.LIST_FOLDER, share=system.SHARE_READ_WRITE)
        yield place
        os.close(opened)

    def test_a_folder_in_use_gets_new_files(tmp_path: Path, held: Path) -> None:
        """It stays, and so it does when the program is taken away."""
        staged = write_program(tmp_path / "new", "new").parent
        put_in_place(staged, held)
        assert _text(held) == "new"
        take_away(held, staged)
        assert list(held.iterdir()) == []

    @pytest.mark.slow  # the whole patience with who has a file open
    def test_a_file_in_use_is_told(tmp_path: Path, held: Path) -> None:
        """And everything is as before."""
        staged = write_program(tmp_path / "new", "new").parent
        with (held / "_internal" / "library.txt").open(), pytest.raises(ProgramInUse) as refused:
            put_in_place(staged, held)
        assert refused.value.exit_code == 75
        assert "wait for the end of the run" in str(refused.value)
        assert (_text(held), _text(staged)) == ("old", "new")
