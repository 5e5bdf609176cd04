"""Tests of files that are never half written."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from epm_task.files import documents, patiently, remove_durably, remove_leftovers, write_atomically

if TYPE_CHECKING:
    from pathlib import Path


_WRITER = """
import pathlib, sys
from epm_task.files import write_atomically
path = pathlib.Path(sys.argv[1])
for number in range(1_000_000):
    write_atomically(path, str(number).encode() * 20_000)
    print(number, flush=True)
"""


def test_a_file_gets_its_new_content_and_mode(tmp_path: Path) -> None:
    """Nothing else stays in the folder."""
    path = tmp_path / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    """And no temporary file."""
    target = tmp_path / "folder"
    (target / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r".+"):
        write_atomically(target, b"x")
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["folder", "absent/file", "old/file", "o" * 300])
def test_an_error_names_the_file_that_was_asked_for(name: str, tmp_path: Path) -> None:
    """A folder, one in a folder that is none, and a name that is too long; nothing is left."""
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    (tmp_path / "old").touch()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OSError, match=r".+") as refused:
        write_atomically(tmp_path / name, b"x")
    assert (refused.value.filename, refused.value.filename2) == (str(tmp_path / name), None)
    assert ".tmp" not in str(refused.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.posix("Windows sets no limit")
def test_a_full_disk_names_the_file_too(tmp_path: Path) -> None:
    """The system names none in such an error."""
    code = (
        "import pathlib, resource, sys\nfrom epm_task.files import write_atomically\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    write_atomically(pathlib.Path(sys.argv[1]), bytes(2000))\n"
        "except OSError as error:\n    print(error.filename)\n"
    )
    path = tmp_path / "file"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{path}\n"
    assert list(tmp_path.iterdir()) == []


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    """The temporary file's name is not longer than 255 bytes."""
    for name in ("x" * 255, "\u00e9" * 127, "\U0001f511" * 63):
        write_atomically(tmp_path / name, b"x")
    assert len(list(tmp_path.iterdir())) == 3


def test_a_removed_file_is_gone(tmp_path: Path) -> None:
    """A second removal says that it is absent."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    remove_durably(path)
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        remove_durably(path)


@pytest.mark.posix("Windows has no SIGKILL")
def test_a_killed_writer_leaves_one_whole_content(tmp_path: Path) -> None:
    """What was acknowledged, or the one after it, is in the file, at ten instants."""
    path = tmp_path / "file"
    for attempt in range(10):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.003 * attempt)
            writer.send_signal(signal.SIGKILL)
            acknowledged = [0, *map(int, writer.stdout.read().split())][-1]
        text = path.read_bytes()
        assert text in {str(n).encode() * 20_000 for n in (acknowledged, acknowledged + 1)}
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_only_our_own_leftovers_are_removed(tmp_path: Path) -> None:
    """Somebody else's temporary file is none of our business."""
    foreign = tmp_path / ".foreign.tmp"
    foreign.touch()
    (tmp_path / f".file.{'0' * 32}.tmp").touch()
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [foreign]


def test_hidden_companions_are_no_documents(tmp_path: Path) -> None:
    """What macOS leaves beside each file on a network share is passed over."""
    for name in ("b.json", "a.json", "._a.json", ".DS_Store", "c.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in documents(tmp_path)] == ["a.json", "b.json"]


def test_an_error_that_lasts_is_told_at_once(tmp_path: Path) -> None:
    """Only what another program has open is waited for."""
    calls: list[int] = []

    def act() -> None:
        calls.append(1)
        (tmp_path / "absent").unlink()

    with pytest.raises(FileNotFoundError):
        patiently(act)
    assert len(calls) == 1


@pytest.mark.skipif(sys.platform != "win32", reason="elsewhere an open file is no hindrance")
def test_a_file_that_is_open_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    """As a virus scanner has it; no sleep is needed to see that."""
    path = tmp_path / "file"
    path.write_text("old")
    scanner = path.open()
    calls: list[int] = []

    def act() -> None:
        calls.append(1)
        if len(calls) == 3:
            scanner.close()
        path.unlink()

    patiently(act)
    assert len(calls) == 3
    assert not path.exists()
