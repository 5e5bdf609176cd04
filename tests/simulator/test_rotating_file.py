"""Tests of the rotating file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epm_task.simulator.rotating_file import RotatingFile

if TYPE_CHECKING:
    from pathlib import Path


def test_full_file_moves_aside(tmp_path: Path):
    """No line is cut, and the oldest file goes."""
    file = RotatingFile(tmp_path / "log", full_bytes=8, older_files=2)
    for number in range(8):
        file.append(f"line{number}".encode())
    file.close()
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"log": "line7\n", "log.1": "line6\n", "log.2": "line5\n"}


def test_lines_are_added_to_what_is_there(tmp_path: Path):
    """A restart continues the file."""
    (tmp_path / "log").write_text("old\n")
    file = RotatingFile(tmp_path / "log")
    file.append(b"new")
    assert (tmp_path / "log").read_text() == "old\nnew\n"
    file.close()
