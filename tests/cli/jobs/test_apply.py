"""Tests of `epm-task jobs apply`, and of what it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from admin.admin_files import add_binary
from cli.jobs.job_files import write_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.command_line import Finished

    from epm_task.testing import Agent


def test_apply_says_what_became_of_each_job(agent: Agent, jobs: Callable[..., Finished]) -> None:
    """Created, then unchanged, then updated."""
    add_binary(agent)
    assert jobs("apply", write_job()) == (0, "probe: created\n", "")
    assert jobs("apply", write_job()).out == "probe: unchanged\n"
    changed = jobs("apply", write_job(name="New"), write_job("second"))
    assert changed.out == "probe: updated\nsecond: created\n"


def test_apply_tells_programs_the_same(agent: Agent, jobs: Callable[..., Finished]) -> None:
    """A dry run changes nothing."""
    add_binary(agent)
    found = json.loads(jobs("apply", write_job(), "--dry-run", "--json").out)
    assert found["jobs"][0] | {"warnings": []} == {
        "file": "probe.json",
        "jobId": "probe",
        "change": "created",
        "warnings": [],
    }
    assert agent.jobs.ids() == []


def test_one_refused_file_keeps_all_from_being_applied(
    agent: Agent, jobs: Callable[..., Finished]
) -> None:
    """The good file comes first, and is not applied either."""
    add_binary(agent)
    ended = jobs("apply", write_job(), write_job("second", priority=11))
    assert ended.exit_code == 65
    assert "second.json: priority must be" in ended.err
    assert agent.jobs.ids() == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "line 1, column 2"),
        ("{}".encode("utf-16"), "UTF-16"),
        (b"[" * 100_000, "64 deep"),
        (b" " * 50_000_000, "1048576 bytes"),
        (b"[]", "a job is an object"),
        (b'{"id": "a", "id": "b"}', "stands twice"),
    ],
)
def test_a_broken_file_is_named_and_nothing_is_sent(
    agent: Agent, jobs: Callable[..., Finished], content: bytes, words: str
) -> None:
    """All files are read first."""
    add_binary(agent)
    Path("broken.json").write_bytes(content)
    mark = agent.trace.mark()
    ended = jobs("apply", write_job(), "broken.json")
    assert ended.exit_code == 2
    assert "broken.json" in ended.err
    assert words in ended.err
    assert agent.trace.since(mark) == []


def test_a_missing_file_is_named(jobs: Callable[..., Finished]) -> None:
    """The operating system's reason is passed on."""
    assert "missing.json cannot be read: No such file" in jobs("apply", "missing.json").err
