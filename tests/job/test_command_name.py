"""Tests of the names of executables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from job.task_code import declared, only_job

from epm_task.job.command_name import command_name

if TYPE_CHECKING:
    from pathlib import Path


def test_an_executable_has_a_name(tmp_path: Path) -> None:
    """That of its only task's job, or of the file, unless the task says another one."""
    for code, name in (
        ("@task\ndef scan_all(): ...", "ScanAll"),
        ("@task(job_id='key-scan')\ndef scan(): ...", "KeyScan"),
        ("@task(command='scan_all')\ndef scan(): ...", "scan_all"),
    ):
        assert command_name(only_job(tmp_path, code).tasks[0]) == name
    two = declared(tmp_path, "@task\ndef one(): ...\n@task\ndef other(): ...")
    assert {command_name(task) for task in two.tasks.values()} == {"MyScan"}
