"""Tests of the trial job."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from simulator.task_files import TWO_TASKS, write

from epm_task.job.tokens import substitute
from epm_task.simulator.trial_job import argument_text, trial_job

_CA = Path("/certs/ca.pem")


class Color(enum.Enum):
    """A choice."""

    RED = "red"


@dataclass
class Point:
    """A structure."""

    x: int
    at: Path


class Model(BaseModel):
    """A structure of pydantic."""

    y: int


def _argv(target: Any, **words: Any) -> list[str]:
    trial = trial_job(target, ca_file=_CA, **words)
    line = trial.document["tasks"][0]["arguments"]
    return substitute(line, {**trial.context, "KeeperApiBaseUrl": "https://x"}, windows=False)


def test_job_of_a_task(tmp_path: Path):
    """Id, name, topics, interpreter and arguments are those of the declaration."""
    path = write(tmp_path, TWO_TASKS)
    trial = trial_job(path, ca_file=_CA, task_name="talker", deny=["KeeperLogger"])
    assert trial.document["id"] == "talker"
    assert trial.document["mqttTopics"]["allowedPublications"] == ["Jobs/talker/news"]
    assert _argv(trial.task, parameters={"words": ["a", "b c"], "flag": True}) == [
        str(path),
        "--keeper-api-base=https://x",
        f"--ca-file={_CA}",
        "--task=talker",
        "--words=a",
        "--words=b c",
        "--flag=true",
    ]


def test_unknown_parameter(tmp_path: Path):
    """The error lists the parameters that there are; None leaves one out."""
    path = write(tmp_path, TWO_TASKS)
    with pytest.raises(TypeError, match="talker has no parameter 'word'; it has words, flag"):
        _argv(path, task_name="talker", parameters={"word": 1})
    assert not [
        a for a in _argv(path, task_name="talker", parameters={"flag": None}) if "flag" in a
    ]


def test_program_that_is_not_ours(tmp_path: Path):
    """Its job id is made from the file name; parameters become options by name."""
    program = write(tmp_path, "#!/bin/sh", "my_prog.v2")
    trial = trial_job(program, ca_file=_CA, parameters={"max_age": 3})
    assert trial.document["id"] == "my-prog"
    assert trial.document["tasks"][0]["executablePath"] == str(program)
    assert _argv(program, parameters={"max_age": 3}, arguments=["{home}", "-x"])[2:] == [
        "--max-age=3",
        "{home}",
        "-x",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"),
        (True, "true"),
        (3, "3"),
        (1.5, "1.5"),
        (Path("/a"), "/a"),
        (Color.RED, "red"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (timedelta(minutes=2), "120.0"),
        ({"a": Path("/b")}, '{"a": "/b"}'),
        (Point(1, Path("/c")), '{"x": 1, "at": "/c"}'),
        (Model(y=2), '{"y":2}'),
    ],
)
def test_text_of_values(value: object, text: str):
    """A value is written as the task's own parser reads it."""
    assert argument_text(value) == text
