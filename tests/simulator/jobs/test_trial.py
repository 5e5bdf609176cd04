"""Tests of the job under which one task is tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from simulator.task_files import TWO_TASKS, write

from epm_task.contract.tokens import substitute
from epm_task.simulator.jobs.trial import trial_job
from epm_task.simulator.options import UnknownName

_CA = Path("/certs/ca.pem")


def _argv(target: Any, **words: Any) -> list[str]:
    trial = trial_job(target, ca_file=_CA, **words)
    line = trial.document["tasks"][0]["arguments"]
    context: dict[str, Any] = trial.context
    return substitute(line, {**context, "KeeperApiBaseUrl": "https://x"}, windows=False)


def test_job_of_a_task(tmp_path: Path) -> None:
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


def test_unknown_parameter(tmp_path: Path) -> None:
    """The error lists the parameters that there are; None leaves one out."""
    path = write(tmp_path, TWO_TASKS)
    with pytest.raises(UnknownName, match="talker has no parameter 'word': it has words, flag"):
        _argv(path, task_name="talker", parameters={"word": 1})
    assert not [
        a for a in _argv(path, task_name="talker", parameters={"flag": None}) if "flag" in a
    ]


def test_program_that_is_not_ours(tmp_path: Path) -> None:
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


def test_all_topics_of_the_declaration_are_allowed(tmp_path: Path) -> None:
    """Those of the event and of subscriptions too."""
    code = """
from epm_task import Topic, task

@task(publishes=[Topic("A")], event_topic=Topic("B"), subscribes=[Topic("C")])
def talker(): ...
"""
    trial = trial_job(write(tmp_path, code), ca_file=_CA)
    assert trial.document["mqttTopics"] == {
        "allowedPublications": ["KeeperLogger", "A", "B"],
        "allowedSubscriptions": ["C"],
    }
