"""Tests of `epm-task jobs`: apply and what it reads, list, and runs that are followed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from admin.admin_files import add_binary, job_document
from cli import command
from cli.command_line import epm_task
from cli.jobs.job_files import write_job
from peers import http_answer
from peers.garbling import garbled
from peers.http_peer import HttpPeer

from epm_task.contract.topic import KEEPER_LOGGER

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
        (b'{"id": "a", "id": "b"}', "'id' is in one object twice"),
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


def test_jobs_are_listed_with_what_starts_them(agent: Agent, jobs: Callable[..., Finished]) -> None:
    """One line each; control characters in a name cannot reach the terminal."""
    add_binary(agent)
    agent.jobs.add(job_document("a", name="Evil\x1b[31m"))
    agent.jobs.add(job_document("b", enabled=False, schedule={"cronExpression": "0 3 * * *"}))
    agent.jobs.add({**job_document("c"), "schedule": None, "events": [{"eventType": "Startup"}]})
    assert jobs("list").out.splitlines() == [
        "ID  ENABLED  STARTS       NAME",
        r"a   yes      every 5 min  Evil\x1b[31m",
        "b   no       0 3 * * *    Probe",
        "c   yes      Startup      Probe",
    ]


def test_the_list_for_programs_holds_whole_documents(
    agent: Agent, jobs: Callable[..., Finished]
) -> None:
    """One JSON object, nothing else."""
    add_binary(agent)
    agent.jobs.add(job_document())
    assert json.loads(jobs("list", "--json").out) == {"jobs": [job_document()], "count": 1}


TASK = """
from epm_task import TaskContext, TaskFailed, task

@task(job_id="talker")
def talker(ctx: TaskContext, *, reason: str, code: int = 0):
    ctx.log.warning("talked", reason=reason)
    if code:
        raise TaskFailed("as asked", exit_code=code)
    return {"reason": reason}

if __name__ == "__main__":
    talker.main()
"""


def add_talker(agent: Agent, folder: Path) -> None:
    """Store a job that runs a task with two values of the event context."""
    file = folder / "talker.py"
    file.write_text(TASK)
    program: dict[str, Any] = {
        "id": "talk",
        "command": "python",
        "executablePath": sys.executable,
        "arguments": f'"{file}" --keeper-api-base={{KeeperApiBaseUrl}} '
        f'--ca-file="{agent.ca}" --reason="{{Reason}}" --code={{Code}}',
        "timeoutSeconds": 60,
    }
    names = [{"name": "Reason", "required": True}, {"name": "Code", "default": "0"}]
    agent.jobs.add(job_document("talker", tasks=[program], parameters=names))


def test_a_run_is_followed_to_its_end(
    agent: Agent, jobs: Callable[..., Finished], tmp_path: Path
) -> None:
    """Records on stderr, the result on stdout, the run's exit code."""
    add_talker(agent, tmp_path)
    ended = jobs("trigger", "talker", "Reason=a test", "--wait", "--agent-root", agent.root)
    assert (ended.exit_code, json.loads(ended.out)) == (0, {"reason": "a test"})
    assert "talked" in ended.err
    assert "exit 0 (OK)" in ended.err


def test_the_exit_code_is_that_of_the_run(
    agent: Agent, jobs: Callable[..., Finished], tmp_path: Path
) -> None:
    """The records come over the broker this time, and are in the report."""
    add_talker(agent, tmp_path)
    ended = jobs(
        "trigger", "talker", "Reason=x", "Code=3", "--wait", "--json",
        "--agent-root", agent.root, "--broker", f"{agent.broker_host}:{agent.broker_port}",
    )  # fmt: skip
    report = json.loads(ended.out)
    assert (ended.exit_code, report["end"]["exit_code"]) == (3, 3)
    assert "talked" in [record["message"] for record in report["records"]]


def test_without_a_history_the_end_is_not_claimed(
    agent: Agent, jobs: Callable[..., Finished]
) -> None:
    """Only records are followed, as long as was asked."""
    add_binary(agent)
    agent.jobs.add(job_document())
    ended = jobs("trigger", "probe", "--wait", "--log", agent.log, "--timeout", "0.2")
    assert ended.exit_code == 1
    assert "the end of the run was not seen in 0.2 s" in ended.err
    agent.jobs.wait()


def test_a_value_that_no_parameter_declares_is_warned_about(
    agent: Agent, jobs: Callable[..., Finished], tmp_path: Path
) -> None:
    """With the name that was meant; the run is started."""
    add_talker(agent, tmp_path)
    ended = jobs("trigger", "talker", "reson=x", "Reason=x", "Code=3")
    assert (ended.exit_code, ended.out.startswith("talker: started ")) == (0, True)
    assert ended.err == "warning: no parameter of talker takes reson; did you mean Reason?\n"
    agent.jobs.wait()


def test_without_wait_the_run_is_only_started(agent: Agent, jobs: Callable[..., Finished]) -> None:
    """The run's id is told."""
    add_binary(agent)
    agent.jobs.add(job_document())
    assert jobs("trigger", "probe", "a=b=c").out.startswith("probe: started ")
    agent.jobs.wait()


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (["reason"], "write key=value"),
        (["=x"], "write key=value"),
        (["--wait"], "--agent-root"),
        (["--wait", "--broker", "10.0.0.1:8675"], "127.0.0.1:PORT"),
        (["--wait", "--broker", "127.0.0.1"], "127.0.0.1:PORT"),
    ],
)
def test_wrong_use_starts_nothing(
    agent: Agent, jobs: Callable[..., Finished], words: list[str], fix: str
) -> None:
    """Exit 2, with what to write."""
    add_binary(agent)
    agent.jobs.add(job_document())
    ended = jobs("trigger", "probe", *words)
    assert (ended.exit_code, fix in ended.err) == (2, True)
    assert agent.jobs.ended("probe") == []


def test_a_broker_that_is_down_is_named_before_the_start(
    agent: Agent, jobs: Callable[..., Finished]
) -> None:
    """A run whose records cannot be followed is not started."""
    add_binary(agent)
    agent.jobs.add(job_document())
    ended = jobs("trigger", "probe", "--wait", "--broker", "127.0.0.1:9")
    assert (ended.exit_code, "mqtts://127.0.0.1:9" in ended.err) == (69, True)
    assert agent.jobs.ended("probe") == []
    assert KEEPER_LOGGER not in ended.err


def test_what_the_agent_noted_about_a_run_is_shown(
    agent: Agent, jobs: Callable[..., Finished]
) -> None:
    """A program that has gone, and a time-out."""
    path = add_binary(agent)
    agent.jobs.add(job_document())
    path.unlink()
    ended = jobs("trigger", "probe", "--wait", "--agent-root", agent.root)
    assert (ended.exit_code, "probe" in ended.err.splitlines()[-2]) == (127, True)
    add_binary(agent, script="import time\ntime.sleep(30)\n")
    task = {**job_document()["tasks"][0], "timeoutSeconds": 1}
    agent.jobs.add(job_document(tasks=[task]))
    ended = jobs("trigger", "probe", "--wait", "--agent-root", agent.root)
    assert ended.exit_code != 0
    assert ended.err.endswith("ended by the agent at its time-out\n")


def test_garbled_jobs_are_listed() -> None:
    """Each field of a job dropped, renamed, or with another value: a line all the same."""
    job = {"id": "a", "enabled": True, "name": "A", "events": [{"eventType": "Startup"}]}
    schedule = {"intervalMinutes": 5, "cronExpression": "* * * * *", "runAt": "2030-01-01"}
    garbled_jobs = [each for _, each in garbled({**job, "schedule": schedule})]
    jobs = [each for each in garbled_jobs if len(str(each)) < 1000]
    with HttpPeer([http_answer.ok({"jobs": jobs})]) as peer:
        ended = epm_task("jobs", "list", "--base-url", peer.base_url)
    assert (ended.exit_code, ended.err) == (0, "")
    assert len(ended.out.splitlines()) == len(jobs) + 1


@pytest.mark.parametrize("verb", ["get", "run", "reload"])
def test_text_that_has_no_utf_8_is_shown_as_an_escape(tmp_path: Path, verb: str) -> None:
    """JSON can hold a lone surrogate, and control characters cannot reach the terminal."""
    answer = http_answer.body(rb'{"jobId": "\ud800\u001b", "message": "\ud800", "z": "\ud800"}')
    with HttpPeer([answer]) as peer:
        words = ["jobs", verb, *(["probe"] if verb != "reload" else []), "--base-url"]
        ended = command.epm_task(*words, peer.base_url, cwd=tmp_path)
    assert (ended.code, ended.err) == (0, [])
    assert r"\ud800" in ended.out
    assert "\x1b" not in ended.out


def test_why_nothing_could_be_seen_of_a_run_is_shown(
    agent: Agent, jobs: Callable[..., Finished]
) -> None:
    """A program that wrote on stderr only, and one that could not start."""
    add_binary(
        agent,
        script="import sys\nsys.exit(print('no \\033[2Jdisk\\ntoken=abc', file=sys.stderr) or 3)\n",
    )
    agent.jobs.add(job_document())
    ended = jobs("trigger", "probe", "--wait", "--agent-root", agent.root)
    assert ended.exit_code == 3
    *_, head, one, two, _ = ended.err.splitlines()
    assert head.endswith("ended with 3; its last lines on stderr:")
    assert (one, two) == (r"  no \x1b[2Jdisk", "  token=********")
    program, why = "probe", "ends with CRLF"
    if os.name == "nt":
        program, why = "probe.exe", "it is not an executable"
    path = add_binary(agent, script="#!/bin/sh\r\n")
    path.rename(path.with_name(program))
    ended = jobs("trigger", "probe", "--wait", "--agent-root", agent.root)
    assert (ended.exit_code, why in ended.err) == (126, True)
    report = json.loads(
        jobs("trigger", "probe", "--wait", "--json", "--agent-root", agent.root).out
    )
    (failure,) = report["end"]["failures"]
    assert failure.keys() == {"task_id", "exit_code", "start_error", "stderr_tail"}
    assert failure["start_error"].keys() == {"what", "why", "fix"}
    assert why in failure["start_error"]["why"]
