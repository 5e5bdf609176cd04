"""Races of a second user against trust: what he swaps between two looks changes nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from peers.patience import BUSY, PATIENCE
from peers.second_user import NOBODY, needs_second_user, second_user, shared_folder

from epm_task.below import open_below
from epm_task.errors import UnsafeConfiguration
from epm_task.trust import check_folder, open_file, open_judged, open_regular, read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Swap:
    """The instant before the system opens a name: then another file takes its place.

    Python tells an audit hook of each call of `os.open` before it is made.
    """

    waiting: ClassVar[dict[str, Path]] = {}

    @classmethod
    def look(cls, event: str, arguments: tuple[Any, ...]) -> None:
        """Take the place of what is about to be opened."""
        name = os.fspath(arguments[0]) if event == "open" and cls.waiting else ""
        if isinstance(name, str) and (entry := cls.waiting.pop(os.path.basename(name), None)):  # noqa: PTH119
            entry.rename(entry.with_name("before"))
            entry.with_name("swapped").rename(entry)


sys.addaudithook(Swap.look)


def _late(number: int, _: object) -> None:
    raise AssertionError(f"signal {number}: it waits for a pipe")


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, BUSY)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


FORMS: dict[str, Callable[[Path], object]] = {
    "file": lambda path: path.write_text("ours"),
    "theirs": lambda path: path.write_text("theirs"),
    "pipe": lambda path: os.mkfifo(path, 0o600),
    "link": lambda path: path.symlink_to("ours"),
    "folder": os.mkdir,
    "folder of theirs": os.mkdir,
}


@pytest.fixture
def swapped(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """An entry that has one form when it is looked at, and another one when it is opened."""
    forms: tuple[str, str] = request.param
    for form, name in zip(forms, ("entry", "swapped"), strict=True):
        FORMS[form](tmp_path / name)
        if "theirs" in form or form == "link":
            os.chown(tmp_path / name, NOBODY, NOBODY, follow_symlinks=False)
    (FORMS["folder"] if "folder" in forms[0] else FORMS["file"])(tmp_path / "ours")
    Swap.waiting["entry"] = tmp_path / "entry"
    return tmp_path / "entry"


_REFUSED = (UnsafeConfiguration, OSError)


@needs_second_user
@pytest.mark.parametrize(
    "swapped",
    [("theirs", "link"), ("file", "theirs"), ("file", "pipe"), ("theirs", "pipe")],
    indirect=True,
)
@pytest.mark.parametrize("opened", [open_file, lambda path: open_below(path.parent, path.name)])
def test_a_file_that_is_swapped_before_it_is_opened(
    swapped: Path, opened: Callable[[Path], Any]
) -> None:
    """A pipe is not waited for, a link is not followed, and what is judged is what was opened."""
    kind = stat.S_IFMT(swapped.with_name("swapped").lstat().st_mode)
    with _in_time():
        if opened is not open_file and kind == stat.S_IFREG:  # only its kind counts
            with opened(swapped) as file:
                assert file.read() == b"theirs"
        else:
            with pytest.raises(_REFUSED):
                opened(swapped).close()
    assert Swap.waiting == {}, "it was not opened"


@needs_second_user
@pytest.mark.parametrize(
    "swapped", [("folder of theirs", "link"), ("folder", "folder of theirs")], indirect=True
)
@pytest.mark.parametrize("way", ["end", "middle"])
def test_a_folder_that_is_swapped_before_it_is_opened(swapped: Path, way: str) -> None:
    """It is the same for the end of a way and for a folder on it."""
    for folder in ("ours", "swapped", "entry"):
        if swapped.with_name(folder).is_dir() and way == "middle":
            (swapped.with_name(folder) / "file").write_text("ours")
    with pytest.raises(_REFUSED):
        check_folder(swapped) if way == "end" else open_file(swapped / "file").close()
    assert Swap.waiting == {}, "it was not opened"


@pytest.mark.posix("pipes with names are those of POSIX")
@pytest.mark.parametrize("swapped", [("file", "pipe")], indirect=True)
@pytest.mark.parametrize("opened", [open_regular, lambda path: open_judged(path)[0]])
def test_only_a_regular_file_is_opened(swapped: Path, opened: Callable[[Path], Any]) -> None:
    """Also where somebody decides later what its rights mean."""
    with _in_time(), pytest.raises(UnsafeConfiguration, match="it is a pipe"):
        opened(swapped).close()


_FLIP = """
import os, sys
*others, name = sys.argv[1:]
os.rename(others[0], name)
print(flush=True)
while True:
    for one, other in zip(others, others[1:] + others[:1]):
        os.rename(name, one)
        os.rename(other, name)
"""


@needs_second_user
def test_an_entry_of_a_sticky_folder_that_flips_all_the_time() -> None:
    """Between a file of his, a pipe, and a link to a file of root's, which is not trusted either.

    Else he chose which of root's files counts as the one that was named.
    """
    refused = 0
    with shared_folder() as folder:
        folder.chmod(0o1777)
        FORMS["file"](folder / "ours")
        for form in ("theirs", "link", "pipe"):
            FORMS[form](folder / form)
            os.chown(folder / form, NOBODY, NOBODY, follow_symlinks=False)
        forms = [str(folder / form) for form in ("theirs", "link", "pipe", "entry")]
        until = time.monotonic() + PATIENCE
        with second_user(_FLIP, *forms):
            while refused < 2000 and time.monotonic() < until:
                with pytest.raises(_REFUSED):
                    read_file(folder / "entry", 10)
                refused += 1
    assert refused == 2000
