"""Tests of reading the lines that are added to a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from epm_task.admin.tail import Tail
from epm_task.simulator.rotating_file import RotatingFile

if TYPE_CHECKING:
    from pathlib import Path


def test_only_what_is_added_is_read(tmp_path: Path) -> None:
    """A line that is not whole yet waits."""
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    tail = Tail(path)
    with path.open("ab") as file:
        file.write(b"one\ntw")
        file.flush()
        assert tail.lines() == [b"one"]
        file.write(b"o\n")
    assert tail.lines() == [b"two"]
    assert tail.lines() == []


def test_a_file_that_comes_later_is_read_from_its_start(tmp_path: Path) -> None:
    """As when the agent has not run anything yet."""
    tail = Tail(tmp_path / "log")
    assert tail.lines() == []
    (tmp_path / "log").write_bytes(b"first\n")
    assert tail.lines() == [b"first"]


def test_no_line_is_lost_when_the_file_moves_aside(tmp_path: Path) -> None:
    """The agent's own log moves aside when it is full."""
    path = tmp_path / "log"
    log = RotatingFile(path, full_bytes=100)
    tail, read = Tail(path), []
    for number in range(60):
        log.append(b"line %d" % number)
        if number % 3 == 0:
            read += tail.lines()
    log.close()
    assert read + tail.lines() == [b"line %d" % number for number in range(60)]
