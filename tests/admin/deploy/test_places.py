"""Tests of acts in the agent's folders: each goes through a folder in which only we can write."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from peers.rights import OTHERS_WRITE, let_others
from peers.second_user import NOBODY, needs_second_user

from epm_task.admin.deploy.places import (
    make_durable,
    names_in,
    read_document,
    remove_document,
    remove_tree,
    rename,
    write_document,
)
from epm_task.admin.deploy.swap import (
    put_in_place,
    swap_at_once,
    swap_by_files,
    swap_by_renames,
    take_away,
)
from epm_task.admin.errors import UnsafeRoot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ACTS: dict[str, Callable[[Path], object]] = {
    "names_in": names_in,
    "make_durable": make_durable,
    "read_document": lambda folder: read_document(folder / "file"),
    "write_document": lambda folder: write_document(folder / "file", {"new": 1}),
    "remove_document": lambda folder: remove_document(folder / "file"),
    "remove_tree": lambda folder: remove_tree(folder / "one"),
    "rename": lambda folder: rename(folder / "one", folder / "new"),
    "put_in_place": lambda folder: put_in_place(folder / "one", folder / "new"),
    "take_away": lambda folder: take_away(folder / "one", folder / "other"),
    "swap_by_files": lambda folder: swap_by_files(folder / "one", folder / "other"),
    "swap_by_renames": lambda folder: swap_by_renames(folder / "one", folder / "other"),
    "swap_at_once": lambda folder: swap_at_once(folder / "one", folder / "other"),
}
AT_ONCE = pytest.param("swap_at_once", marks=pytest.mark.posix("Windows has no such call"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two programs and a document."""
    made = tmp_path / "folder"
    for name in ("one", "other"):
        (made / name).mkdir(parents=True)
        (made / name / "text").write_text(name)
    (made / "file").write_text("{}")
    return made


def _state(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("act", ACTS)
def test_an_act_in_a_folder_of_ours(folder: Path, act: str) -> None:
    """It is done."""
    ACTS[act](folder)


@pytest.mark.parametrize("act", [*(act for act in ACTS if act != "swap_at_once"), AT_ONCE])
def test_an_act_in_a_folder_that_has_become_loose(folder: Path, act: str) -> None:
    """It is refused, also in the middle of a deployment, and nothing is changed."""
    before = _state(folder)
    let_others(folder, "write")
    with pytest.raises(UnsafeRoot, match=OTHERS_WRITE):
        ACTS[act](folder)
    assert _state(folder) == before


@needs_second_user
@pytest.mark.parametrize("act", ACTS)
def test_an_act_by_the_link_of_another_user(folder: Path, tmp_path: Path, act: str) -> None:
    """It would be done in any folder."""
    before = _state(folder)
    link = tmp_path / "link"
    link.symlink_to(folder)
    os.chown(link, NOBODY, -1, follow_symlinks=False)
    with pytest.raises(UnsafeRoot, match=f"link belongs to uid {NOBODY}"):
        ACTS[act](link)
    assert _state(folder) == before


@pytest.mark.posix("links are those of POSIX")
def test_a_link_is_removed_and_not_followed(folder: Path, tmp_path: Path) -> None:
    """Neither as an entry nor inside a tree."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "precious").write_text("precious")
    (folder / "link").symlink_to(tmp_path / "victim")
    (folder / "one" / "link").symlink_to(tmp_path / "victim")
    for name in ("link", "one", "absent"):
        remove_tree(folder / name)
    assert names_in(folder) == ["file", "other"]
    assert (tmp_path / "victim" / "precious").read_text() == "precious"
    assert names_in(folder / "absent") == []


def test_an_error_names_the_whole_path(folder: Path) -> None:
    """Of both ends of a move."""
    with pytest.raises(FileNotFoundError) as missing:
        read_document(folder / "absent")
    assert missing.value.filename == str(folder / "absent")
    with pytest.raises(FileNotFoundError) as missing:
        rename(folder / "absent", folder / "one" / "absent")
    ends = missing.value.filename, missing.value.filename2
    assert ends == (str(folder / "absent"), str(folder / "one" / "absent"))
