"""Tests of placing: modes, times, and a place that is whole before and after."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from epm_task.freeze.built import Built
from epm_task.freeze.freeze_error import FreezeError
from epm_task.freeze.placing import check_place, put_in_place, tidy

if TYPE_CHECKING:
    from pathlib import Path


def _built(folder: Path, text: str = "x") -> Built:
    (folder / "_internal").mkdir(parents=True)
    for name in ("Hello", "manifest.json", "_internal/lib.so"):
        (folder / name).write_text(text)
    return Built(folder, "Hello", {})


def test_modes_and_times_do_not_depend_on_the_builder(tmp_path: Path):
    """Whatever the umask was: 0755 for folders and executable, 0644 for the rest, one time."""
    built = _built(tmp_path / "Hello")
    (built.folder / "_internal" / "lib.so").chmod(0o777)
    (built.folder / "_internal").chmod(0o700)
    (built.folder / "link").symlink_to("Hello")
    tidy(built, 1_700_000_000)
    found = {
        path.name: (stat.S_IMODE(path.stat().st_mode), path.stat().st_mtime)
        for path in (built.folder, *built.folder.rglob("*"))
        if not path.is_symlink()
    }
    assert found["Hello"] == found["_internal"] == (0o755, 1_700_000_000)
    assert found["lib.so"] == found["manifest.json"] == (0o644, 1_700_000_000)


def test_an_earlier_build_is_replaced_whole(tmp_path: Path):
    """Nothing of it is left, beside the place neither."""
    place = tmp_path / "dist" / "Hello"
    put_in_place(_built(tmp_path / "work1" / "Hello", "old").folder, place)
    (place / "stale").touch()
    check_place(place)
    put_in_place(_built(tmp_path / "work2" / "Hello", "new").folder, place)
    assert (place / "Hello").read_text() == "new"
    assert not (place / "stale").exists()
    assert [path.name for path in (tmp_path / "dist").iterdir()] == ["Hello"]
    assert list((tmp_path / "work2").iterdir()) == []


def test_a_failed_move_leaves_the_earlier_build(tmp_path: Path):
    """The folder of the agent is never without a program that it had."""
    place = tmp_path / "dist" / "Hello"
    put_in_place(_built(tmp_path / "work1" / "Hello", "old").folder, place)
    (tmp_path / "work2").mkdir()
    with pytest.raises(OSError, match="No such file"):
        put_in_place(tmp_path / "work2" / "Hello", place)
    assert (place / "Hello").read_text() == "old"


def test_a_folder_of_somebody_else_is_not_replaced(tmp_path: Path):
    """Only a manifest shows that a build of ours made it; a link could lead anywhere."""
    place = tmp_path / "Hello"
    check_place(place)
    place.mkdir()
    with pytest.raises(FreezeError, match=r"holds no manifest\.json"):
        check_place(place)
    (tmp_path / "link").symlink_to(_built(tmp_path / "real").folder)
    with pytest.raises(FreezeError):
        check_place(tmp_path / "link")
