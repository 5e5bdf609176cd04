"""Tests of the files of `epm-task run`: faults, recording, replay, trace."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cli.command import EXAMPLES, HELLO, epm_task, task_file

if TYPE_CHECKING:
    from pathlib import Path


def test_faults_of_file_and_command_line(tmp_path: Path):
    """Both hold: two refusals of the API, and a broker that lets nobody in."""
    file = task_file(tmp_path, "[[api]]\nstatus = 403\ntimes = 2\n", "faults.toml")
    report = json.loads(
        epm_task("run", HELLO, "--faults", file, "--fault", "broker refuse", "--json").out
    )
    assert report["registration"]["tries"] == 3
    assert (report["exit_code"], report["exit_name"]) == (69, "UNAVAILABLE")
    assert "refused the client id" in report["stderr"][-1]


def test_record_then_replay(tmp_path: Path):
    """A recording answers a second run, with the settings of the first; secrets are masked."""
    recording = tmp_path / "recording.jsonl"
    example = EXAMPLES / "typed_settings.py"
    words = ["--setting", "TempCleaner.keep_days=9", "--setting", "TempCleaner.api_token=s3cret"]
    assert epm_task("run", example, *words, "--record", recording).code == 0
    lines = [json.loads(line) for line in recording.read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"api", "mqtt"}
    assert "s3cret" not in recording.read_text()
    again = epm_task("run", example, "--replay", recording)
    assert (again.code, json.loads(again.out)) == (0, {"keep_days": 9})


def test_broken_recording(tmp_path: Path):
    """A file that is no recording is refused with its line, before the task starts."""
    file = task_file(tmp_path, '{"kind": "api", "at": 0}\n{broken\n', "recording.jsonl")
    ended = epm_task("run", HELLO, "--replay", file)
    assert (ended.code, ended.out, len(ended.err)) == (1, "", 1)
    assert "recording.jsonl, line 2" in ended.err[0]


def test_trace(tmp_path: Path):
    """The decisions of the run are JSON lines, with relative paths below the caller's folder."""
    assert epm_task("run", HELLO, "--trace", "trace.jsonl", cwd=tmp_path).code == 0
    events = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    assert all(
        event.keys() == {"at", "kind", "action", "what", "denied", "reason", "facts"}
        for event in events
    )
    assert any("KeeperPrivilegeManager -> 200" in event["what"] for event in events)
