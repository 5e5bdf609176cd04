"""Tests of files that are never half written."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from epm_task.errors import UnsafeConfiguration
from epm_task.files import (
    check_trusted,
    read_secret,
    remove_durably,
    remove_leftovers,
    write_atomically,
)

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


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A private file."""
    made = tmp_path / "ca.pem"
    made.write_text("x")
    made.chmod(0o600)
    return made


def test_private_file_is_trusted(file: Path) -> None:
    """A file that only its owner can touch is fine, as a secret too."""
    check_trusted(file)
    check_trusted(file, secret=True)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_writable_file_is_refused(file: Path, mode: int) -> None:
    """A file that others can write is refused, with the command that mends it."""
    file.chmod(mode)
    with pytest.raises(UnsafeConfiguration, match="write it; chmod go-w"):
        check_trusted(file)


def test_readable_file_is_no_secret(file: Path) -> None:
    """What others can read is fine for a certificate and not for a key."""
    file.chmod(0o644)
    check_trusted(file)
    with pytest.raises(UnsafeConfiguration, match="read it"):
        check_trusted(file, secret=True)


def test_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """Whoever can write a folder above can replace the file."""
    folder = tmp_path / "open"
    folder.mkdir()
    (folder / "ca.pem").write_text("x")
    folder.chmod(0o777)
    with pytest.raises(UnsafeConfiguration, match="open has mode 0777"):
        check_trusted(folder / "ca.pem")
    folder.chmod(0o1777)
    check_trusted(folder / "ca.pem")


def test_link_is_judged_by_its_target(file: Path, tmp_path: Path) -> None:
    """A link hides nothing about the file behind it."""
    link = tmp_path / "link"
    link.symlink_to(file)
    file.chmod(0o666)
    with pytest.raises(UnsafeConfiguration, match=r"ca\.pem has mode"):
        check_trusted(link)


@needs_root
def test_file_of_another_user_is_refused(file: Path) -> None:
    """A file belongs to root or to this user."""
    os.chown(file, 65534, -1)
    with pytest.raises(UnsafeConfiguration, match="belongs to uid 65534"):
        check_trusted(file)


def test_missing_file_says_so(tmp_path: Path) -> None:
    """A file that is not there is told with the system's words."""
    with pytest.raises(ValueError, match="No such file"):
        read_secret(tmp_path / "none")


def test_large_file_is_no_secret(file: Path) -> None:
    """A secret has at most 64 KiB."""
    file.write_bytes(b"x" * (64 * 1024 + 1))
    with pytest.raises(ValueError, match="larger than 64 KiB"):
        read_secret(file)


def test_binary_is_no_text_secret(file: Path) -> None:
    """Bytes that are not UTF-8 are a secret of bytes only."""
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_secret(file)
    assert read_secret(file, binary=True) == b"\xff\xfe"
