"""Tests of files that are never half written."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from epm_task.files import documents, remove_durably, remove_leftovers, write_atomically

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


def test_a_removed_file_is_gone(tmp_path: Path) -> None:
    """A second removal says that it is absent."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    remove_durably(path)
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        remove_durably(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
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
