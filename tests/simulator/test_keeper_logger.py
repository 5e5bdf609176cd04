"""Tests of the KeeperLogger file."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from epm_task.contract.record import Record
from epm_task.simulator.broker import Message
from epm_task.simulator.keeper_logger import DailyFile, KeeperLogger, RotatingFile

if TYPE_CHECKING:
    from pathlib import Path


def _lines(folder: Path, payloads: list[bytes], level: str = "Trace") -> list[dict[str, Any]]:
    logger = KeeperLogger(folder / "KeeperLogger.log", level)
    for payload in payloads:
        message = Message("KeeperLogger", payload, job_id="j")
        logger.write(message, Record.from_payload(payload))
    logger.close()
    return [json.loads(line) for line in (folder / "KeeperLogger.log").read_bytes().splitlines()]


def test_record_is_kept_as_it_is(tmp_path: Path) -> None:
    """Fields that the agent does not know stay, and a line end cannot forge a record."""
    sent = {"level": "Error", "message": "a\nb", "other": {"ä": 1}}
    assert _lines(tmp_path, [json.dumps(sent, indent=1).encode()]) == [sent]


@pytest.mark.parametrize("extra", [{}, {"é": "\x85"}, {"a": "\n"}])
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_record_of_a_task_is_one_line(
    tmp_path: Path, extra: dict[str, str], indent: int | None, encoding: str
) -> None:
    """Whatever its JSON looks like."""
    sent = {"level": "Error", "message": "a", "runId": "r", "seq": 1, "properties": extra}
    text = json.dumps(sent, indent=indent, ensure_ascii=False)
    assert _lines(tmp_path, [text.encode(encoding)]) == [sent]


def test_text_becomes_a_record(tmp_path: Path) -> None:
    """What is not a JSON object is wrapped, with the job that the broker knows."""
    (line,) = _lines(tmp_path, [b"plain\n{}"])
    assert line.pop("timestamp")
    assert line == {"level": "Information", "message": "plain\n{}", "jobId": "j"}


def test_minimum_level(tmp_path: Path) -> None:
    """What is below the level is not written; an unknown word counts as Information."""
    payloads = [json.dumps({"level": level}).encode() for level in ("Debug", "warning", "Odd")]
    assert _lines(tmp_path, payloads, "Warning") == [{"level": "warning"}]


def test_unknown_level(tmp_path: Path) -> None:
    """The error lists the levels."""
    with pytest.raises(ValueError, match="'Loud'; choose one of Trace, Debug"):
        KeeperLogger(tmp_path / "log", "Loud")


def test_full_file_moves_aside(tmp_path: Path) -> None:
    """No line is cut, and the oldest file goes."""
    file = RotatingFile(tmp_path / "log", full_bytes=8, older_files=2)
    for number in range(8):
        file.append(f"line{number}".encode())
    file.close()
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"log": "line7\n", "log.1": "line6\n", "log.2": "line5\n"}


def test_the_log_is_renamed_as_the_vendors_agent_does(tmp_path: Path) -> None:
    """At midnight, at a size, and when a name is taken; what is older than 15 days is deleted."""
    path, clock = tmp_path / "KeeperLogger.log", [datetime(2026, 11, 25, 23, 59, 59).astimezone()]
    file = DailyFile(path, full_bytes=8, now=lambda: clock[0])
    for ending in ("_20261109", "_20261110_235959", "_20261112"):
        (tmp_path / f"KeeperLogger{ending}.log").write_text(ending)
    file.append(b"line0")
    file.append(b"line1")
    file.append(b"line2")
    clock[0] += timedelta(seconds=1)
    file.append(b"line3")
    clock[0] += timedelta(days=1)
    file.append(b"line4")
    file.close()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "KeeperLogger_20261112.log": "_20261112",
        "KeeperLogger_20261125_235959.log": "line0\n",
        "KeeperLogger_20261126_000000.log": "line1\n",
        "KeeperLogger_20261125.log": "line2\n",
        "KeeperLogger_20261126.log": "line3\n",
        "KeeperLogger.log": "line4\n",
    }


def test_a_log_of_yesterday_is_renamed_after_a_restart(tmp_path: Path) -> None:
    """Its last change tells its day. More files than are wanted go, the oldest first."""
    path, now = tmp_path / "KeeperLogger.log", datetime(2026, 11, 26, 9, 0, 0).astimezone()
    (tmp_path / "KeeperLogger_20261124.log").write_text("oldest")
    path.write_text("old\n")
    os.utime(path, ((now - timedelta(days=1)).timestamp(),) * 2)
    file = DailyFile(path, older_files=1, now=lambda: now)
    file.append(b"new")
    file.close()
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"KeeperLogger.log": "new\n", "KeeperLogger_20261125.log": "old\n"}


def test_lines_are_added_to_what_is_there(tmp_path: Path) -> None:
    """A restart continues the file."""
    (tmp_path / "log").write_text("old\n")
    file = RotatingFile(tmp_path / "log")
    file.append(b"new")
    assert (tmp_path / "log").read_text() == "old\nnew\n"
    file.close()
