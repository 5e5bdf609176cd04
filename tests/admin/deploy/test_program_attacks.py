"""Attacks of a second user on the folder of a program that root deploys, and root's own copy."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from admin.deploy.bundle_files import write_bundle, write_program
from peers.patience import PATIENCE
from peers.second_user import NOBODY, needs_second_user, second_user, shared_folder

from epm_task.admin.deploy.bundle import read_bundles
from epm_task.admin.deploy.places import remove_tree
from epm_task.admin.deploy.program import copy_program, read_program
from epm_task.admin.errors import BadBundle
from epm_task.below import entries_below

if TYPE_CHECKING:
    from pathlib import Path

posix = pytest.mark.posix("the attack needs links and pipes of POSIX")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder with a file that only root may read."""
    folder = tmp_path / "victim"
    folder.mkdir(0o700)
    (folder / "precious").write_text("precious")
    return folder


@posix
def test_a_link_that_leaves_a_program_by_another_link(tmp_path: Path) -> None:
    """By its text it stays inside; where it resolves it does not."""
    folder = write_program(tmp_path).parent
    (folder / "a").mkdir()
    (folder / "a" / "up").symlink_to("../../..")
    (folder / "escape").symlink_to("a/up/../../../../etc/shadow")
    for left in ("escape", "a/up"):
        with pytest.raises(BadBundle, match="is a link that leaves its program"):
            read_program(folder, as_installed=False)
        (folder / left).unlink()
    (folder / "real").mkdir()
    (folder / "deep").symlink_to("real")
    (folder / "inside").symlink_to("deep/../_internal/library.txt")
    assert "inside" in read_program(folder, as_installed=False).files


@posix
def test_a_link_that_leaves_by_a_link_to_a_deeper_folder(tmp_path: Path) -> None:
    """`a/b/..` is not `a` when `b` is a link."""
    folder = write_program(tmp_path).parent
    (folder / "x" / "y").mkdir(parents=True)
    (folder / "x" / "y" / "top").symlink_to("../..")
    (folder / "escape").symlink_to("x/y/top/../../secret")
    with pytest.raises(BadBundle, match="leaves its program"):
        read_program(folder, as_installed=False)


@posix
@pytest.mark.parametrize("target", ["_internal/library.txt", "/bin/sh"])
def test_an_executable_that_is_a_link(tmp_path: Path, target: str) -> None:
    """Its digest would be that of the link, and not of what is run."""
    executable = write_program(tmp_path)
    executable.unlink()
    executable.symlink_to(target)
    with pytest.raises(BadBundle, match="probe is a link: the agent starts it"):
        read_program(executable.parent, as_installed=False)


@posix
def test_a_pipe_in_place_of_a_job_document(tmp_path: Path) -> None:
    """It is refused at once, and not waited for."""
    bundle = write_bundle(tmp_path)
    os.mkfifo(bundle / "Jobs" / "other.json")
    with pytest.raises(BadBundle, match=r"other\.json.*it is a pipe"):
        read_bundles(bundle)


@posix
@pytest.mark.parametrize("swapped", ["pipe", "link", "folder"])
def test_what_is_swapped_in_before_the_copy(tmp_path: Path, victim: Path, swapped: str) -> None:
    """Neither a pipe is waited for, nor a link followed, nor another folder read."""
    executable = write_program(tmp_path)
    program = read_program(executable.parent, as_installed=False)
    library = executable.parent / "_internal" / "library.txt"
    if swapped == "folder":
        shutil.rmtree(library.parent)
        (victim / library.name).write_text("secret")
        library.parent.symlink_to(victim)
    else:
        library.unlink()
        if swapped == "pipe":
            os.mkfifo(library)
        else:
            library.symlink_to(victim / "precious")
    with pytest.raises(BadBundle, match=r"is not a file|vanished"):
        copy_program(program, tmp_path / "copy")
    assert not (tmp_path / "copy" / "_internal" / "library.txt").exists()


_FLIP = """
import os, sys
name, *others = sys.argv[1:]
print(flush=True)
while True:
    for other in others:
        os.rename(name, name + ".kept")
        os.rename(other, name)
        os.rename(name, other)
        os.rename(name + ".kept", name)
"""


@needs_second_user
@pytest.mark.parametrize("flipped", ["_internal", "_internal/library.txt"])
def test_what_flips_while_it_is_read_and_copied(tmp_path: Path, victim: Path, flipped: str) -> None:
    """Neither is a pipe waited for, nor does a copy ever hold what only root may read."""
    (victim / "library.txt").write_text("secret")
    outcomes: Counter[str] = Counter()
    with shared_folder() as folder:
        program = write_program(folder, "good").parent
        link, pipe = folder / "link", folder / "pipe"
        link.symlink_to(victim if flipped == "_internal" else victim / "library.txt")
        os.mkfifo(pipe)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        with second_user(_FLIP, *map(str, (program / flipped, link, pipe))):
            until = time.monotonic() + PATIENCE
            while outcomes["refused"] < 200 and time.monotonic() < until:
                try:
                    copy_program(read_program(program, as_installed=False), tmp_path / "copy")
                except (BadBundle, OSError):
                    outcomes["refused"] += 1
                for copied in (tmp_path / "copy").rglob("library.txt"):
                    outcomes[copied.read_text()] += 1
                shutil.rmtree(tmp_path / "copy", ignore_errors=True)
    assert outcomes.keys() <= {"good", "refused", ""}, outcomes
    assert outcomes["refused"] == 200


@posix
def test_a_folder_that_becomes_a_link_while_it_is_listed(tmp_path: Path, victim: Path) -> None:
    """Its names would be those of another folder."""
    folder = write_program(tmp_path).parent
    entries = entries_below(folder)
    next(entries)
    assert {path.name for path, _ in (next(entries), next(entries))} == {"_internal", "probe"}
    shutil.rmtree(folder / "_internal")
    (folder / "_internal").symlink_to(victim)
    with pytest.raises(OSError, match=r"Not a directory|levels"):
        next(entries)


@needs_second_user
def test_a_hard_link_to_a_file_of_another_user(tmp_path: Path, victim: Path) -> None:
    """Where the system allows it, a user would get a copy of what he may not read."""
    folder = write_program(tmp_path).parent
    (folder / "theirs").hardlink_to(victim / "precious")
    for path in (folder, folder / "probe"):
        os.chown(path, NOBODY, NOBODY)
    with pytest.raises(BadBundle, match="theirs has another name: it is a hard link"):
        read_program(folder, as_installed=False)


@posix
def test_folders_that_are_nested_without_end(tmp_path: Path) -> None:
    """Neither reading them nor removing them ends in a traceback."""
    top = tmp_path / "deep"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("a", dir_fd=here)
        below = os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    try:
        with pytest.raises(OSError, match="nested too deeply"):
            read_program(top)
        with contextlib.suppress(OSError):
            remove_tree(top)
    finally:
        subprocess.run(["rm", "-rf", top], check=True)
