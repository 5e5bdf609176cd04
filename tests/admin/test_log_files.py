"""Tests of reading the agent's log while it is written, renamed, emptied, garbled and copied."""

from __future__ import annotations

import json
import os
import random
import shutil
import tracemalloc
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from epm_task.admin.log_files import JobLines, LogFiles, files_of, recent_lines, recent_runs
from epm_task.contract.layout import AgentRoot
from epm_task.contract.run_history import EndedRun, write_run
from epm_task.simulator.keeper_logger import DailyFile, RotatingFile

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log that does not exist yet."""
    return tmp_path / "KeeperLogger.log"


def add(path: Path, data: bytes) -> None:
    """Add to a file."""
    with path.open("ab") as file:
        file.write(data)


def test_only_what_is_added_is_read(log: Path) -> None:
    """A line that is not whole yet waits; one whose first half was there comes whole."""
    add(log, b"old\nha")
    files = LogFiles(log)
    add(log, b"lf\none\ntw")
    assert files.lines() == [b"half", b"one"]
    assert files.rests() == [b"tw"]
    add(log, b"o\n")
    assert files.lines() == [b"two"]
    assert (files.lines(), files.rests()) == ([], [])


def test_a_file_that_comes_later_is_read_from_its_start(tmp_path: Path) -> None:
    """As when the agent has not run anything yet; its folder may be missing too."""
    log = tmp_path / "Log" / "KeeperLogger.log"
    files = LogFiles(log)
    assert files.lines() == []
    log.parent.mkdir()
    add(log, b"first\n")
    assert files.lines() == [b"first"]


@pytest.mark.parametrize("again", ["KeeperLogger_20261125.log", "KeeperLogger_20261125_235959.log"])
def test_a_file_that_is_renamed_is_read_to_its_end(log: Path, again: str) -> None:
    """What was added before, and after, comes in order and once."""
    add(log, b"old\n")
    files = LogFiles(log)
    add(log, b"one\ntw")
    assert files.lines() == [b"one"]
    add(log, b"o\n")
    log.rename(log.with_name(again))
    add(log, b"three\n")
    os.utime(log.with_name(again), ns=(0, 0))
    assert files.lines() == [b"two", b"three"]
    assert files.lines() == []


def test_one_file_for_each_day(tmp_path: Path) -> None:
    """The vendor shows names with the date alone too; another plugin's log is not this one."""
    today, tomorrow = (tmp_path / f"KeeperLogger{day}.log" for day in ("20261126", "20261127"))
    add(today, b"old\n")
    by_name, by_date = LogFiles(tmp_path / "KeeperLogger.log"), LogFiles(today)
    add(today, b"one\n")
    add(tomorrow, b"two\n")
    add(tmp_path / "KeeperLoggerErrors.log", b"other\n")
    for files in (by_name, by_date):
        assert sorted(files.lines()) == [b"one", b"two"]
    assert {each.path for each in files_of(tmp_path / "KeeperLogger.log")} == {today, tomorrow}


def test_a_file_that_is_emptied_begins_anew(log: Path) -> None:
    """Also when it is longer than before by now, and when another file got its inode."""
    add(log, b"one\nha")
    files = LogFiles(log)
    os.truncate(log, 0)
    add(log, b"two\n")
    assert files.lines() == [b"two"]
    os.truncate(log, 0)
    add(log, b"three is longer than two\n")
    assert files.lines() == [b"three is longer than two"]
    log.unlink()
    add(log, b"four is in another file\n" * 2)
    assert files.lines() == [b"four is in another file"] * 2


def test_a_copy_is_not_read_again(log: Path) -> None:
    """As of a log that is copied, and then emptied, in place of being renamed."""
    add(log, b"old\n")
    files = LogFiles(log)
    add(log, b"one\n")
    assert files.lines() == [b"one"]
    add(log, b"two\n")
    shutil.copy2(log, log.with_name("KeeperLogger_20261125.log"))
    os.truncate(log, 0)
    add(log, b"three\n")
    assert sorted(files.lines()) == [b"three", b"two"]


def test_what_both_logs_have_is_followed(tmp_path: Path) -> None:
    """The folder of this package's agent and that of the field; a link to a log is no other log."""
    root = AgentRoot(tmp_path)
    ours, field = root.all_logs()
    for log in (ours, field):
        log.parent.mkdir(parents=True)
        add(log, b"old\n")
    (tmp_path / "linked").symlink_to(field.parent, target_is_directory=True)
    files = LogFiles(ours, field, tmp_path / "linked" / field.name)
    add(ours, b"one\n")
    add(field, b"two\n")
    assert files.lines() == [b"one", b"two"]


@pytest.mark.parametrize("kind", [DailyFile, RotatingFile])
@pytest.mark.parametrize("seed", range(5))
def test_no_line_is_lost_or_comes_twice(log: Path, kind: type[RotatingFile], seed: int) -> None:
    """However often the file was renamed between two looks: by size, at midnight, several times."""
    chance = random.Random(seed)
    clock = [datetime(2026, 11, 26, 23, 59, 0).astimezone()]
    more: dict[str, Any] = {"now": lambda: clock[0]} if kind is DailyFile else {}
    writer = kind(log, full_bytes=200, older_files=100, **more)
    files, read = LogFiles(log), []
    wanted = [b"line %d" % number for number in range(300)]
    for line in wanted:
        clock[0] += timedelta(seconds=chance.choice((0, 0, 1, 7, 3600)))
        writer.append(line)
        if not chance.randrange(40):
            read += files.lines()
    writer.close()
    read += files.lines()
    assert sorted(read, key=wanted.index) == wanted


def test_lines_of_a_size_that_nobody_expects_are_bounded(log: Path) -> None:
    """A gigabyte that is there already is not read, and a line without an end is cut."""
    add(log, b"first\n")
    os.truncate(log, 1 << 30)
    tracemalloc.start()
    try:
        files = LogFiles(log)
        add(log, b"\none\n")
        lines = files.lines()
        os.truncate(log, (1 << 30) + (64 << 20))
        add(log, b"\ntwo\n")
        lines += files.lines()
        while files.behind:
            lines += files.lines()
        lines += recent_lines([log])[-2:]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [line[-10:].strip(b"\0") for line in lines] == [b"", b"one", b"", b"two", b"two", b""]
    assert peak < 64 << 20


@pytest.mark.posix("modes are POSIX")
@pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="root may read everything")
def test_a_log_that_is_closed_to_this_user_is_told(log: Path) -> None:
    """Before a run is started."""
    add(log, b"old\n")
    log.chmod(0)
    with pytest.raises(PermissionError):
        LogFiles(log)


def of_probe(*lines: bytes) -> list[tuple[str, str]]:
    """Return level and message of what is told of the job `probe`."""
    return [(each["level"], each["message"]) for each in JobLines("probe").records(lines)]


RECORD = {"level": "Error", "message": "one", "jobId": "probe", "runId": "r", "seq": 1}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"2026-11-26 09:00:00.123 +01:00 [ERR] job probe failed\r", ("Error", "job probe failed")),
        (b"[09:00:00 WRN] probe: late", ("Warning", "probe: late")),
        (b"[2026-11-26 09:00:00] [Information] probe", ("Information", "probe")),
        (b"\xef\xbb\xbf2026-11-26 [FTL] probe \xff\xfe", ("Critical", "probe \ufffd\ufffd")),
        (b"2026-11-26 [ERR] other-probe and probe-2 and probe.x", None),
        (b"2026-11-26 [ERR] it was probe.", ("Error", "it was probe.")),
        (b"2026-11-26 [INF] KeeperLogger " + json.dumps(RECORD).encode(), ("Error", "one")),
        (b'2026-11-26 [INF] {"jobId": "other", "message": "probe"}', None),
        (b'2026-11-26 [WRN] probe said {"a": 1}', ("Warning", 'probe said {"a": 1}')),
        (b"neither form, of probe", ("Information", "neither form, of probe")),
        (b"neither form", None),
        (b"{probe", ("Information", "{probe")),
        (b'{"jobId": "other", "message": "probe"}', None),
        (b'{"jobId": "probe", "level": "Error", "message": "\xff"}\r', ("Error", "\ufffd")),
        (b"\0\0\0", None),
        (b"", None),
    ],
)
def test_what_a_line_tells_of_a_job(line: bytes, found: tuple[str, str] | None) -> None:
    """In both forms, and in neither."""
    assert of_probe(line) == ([found] if found else [])


def test_a_line_of_text_has_its_time() -> None:
    """As it is written there."""
    (found,) = JobLines("probe").records([b"2026-11-26 09:00:00.123 +01:00 [ERR] probe"])
    assert found["timestamp"] == "2026-11-26 09:00:00.123"


def test_what_follows_a_line_of_the_job_is_told_too() -> None:
    """Until the next line with a level, or the next record."""
    lines = [b"1 [ERR] probe failed", b"  at Main()", b"", b"1 [ERR] other", b"  at Other()"]
    assert of_probe(*lines) == [("Error", "probe failed"), ("Error", "  at Main()")]
    lines = [b"1 [ERR] probe failed", b'{"jobId": "other"}', b"  at Other()"]
    assert of_probe(*lines) == [("Error", "probe failed")]


def test_a_record_that_arrives_twice_is_told_once() -> None:
    """As QoS 1 allows, and as two logs may have it; one without a number is another one."""
    line, bare = json.dumps(RECORD).encode(), json.dumps({**RECORD, "seq": None}).encode()
    assert len(of_probe(line, b"2026 [ERR] " + line, bare, bare)) == 3


def test_the_last_lines_of_a_log(log: Path) -> None:
    """Of its older files too, in order."""
    add(log.with_name("KeeperLogger_20261125.log"), b"one\ntwo\n")
    os.utime(log.with_name("KeeperLogger_20261125.log"), ns=(0, 0))
    add(log, b"three\n")
    assert [line for line in recent_lines([log]) if line] == [b"one", b"two", b"three"]
    assert recent_lines([log.with_name("none") / "a.log"]) == []


def test_recent_runs_are_those_of_the_renamed_history_too(tmp_path: Path) -> None:
    """Of one job or of all, the oldest first; lines that are none are passed over."""
    runs = [EndedRun("r1", "scan", 1, 0), EndedRun("r2", "scan", 0, 0), EndedRun("r3", "x", 0, 0)]
    lines = [write_run(run, []) for run in runs]
    history = tmp_path / "runs.jsonl"
    assert recent_runs(history) == []
    (tmp_path / "runs.jsonl.1").write_bytes(lines[0] + b"\nbroken\n")
    history.write_bytes(b"\n".join([*lines[1:], b"{}", b""]))
    assert recent_runs(history) == runs
    assert recent_runs(history, "scan") == runs[:2]
