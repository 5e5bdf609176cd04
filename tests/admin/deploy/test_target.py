"""Tests of swaps: at every instant one whole program is in its place."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from admin.deploy.bundle_files import write_program

from epm_task.admin.deploy.errors import ProgramInUse
from epm_task.admin.deploy.program import running_in
from epm_task.admin.deploy.target import put_in_place, swap_at_once, swap_by_renames

if TYPE_CHECKING:
    from pathlib import Path


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


def test_a_first_program_is_moved(tmp_path: Path) -> None:
    """There is nothing to swap with."""
    staged, place = _two(tmp_path)
    shutil.rmtree(place)
    put_in_place(staged, place)
    assert (place / "probe").read_text() == "new"
    assert not staged.exists()


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
