"""Tests of `epm-task runs`, over the history of an agent that runs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from cli.command import environment
from cli.command_line import epm_task
from peers.patience import PATIENCE
from simulator.agent_process import add_program

from epm_task.contract.layout import AgentRoot
from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TASK = """
from epm_task import TaskContext, TaskFailed, Topic, task

NEWS = Topic("Jobs/teller/news")


@task(job_id="teller", publishes=[NEWS])
def teller(ctx: TaskContext, *, word: str, fail: bool = False) -> dict[str, str]:
    ctx.log.info("said", word=word)
    ctx.publish(NEWS, {"word": word})
    if fail:
        raise TaskFailed("as it was asked to")
    return {"word": word}


if __name__ == "__main__":
    teller.main()
"""


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent that has run a task twice, the second time in vain."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "teller.py").write_text(TASK)
    with Agent(folder / "agent") as agent:
        agent.run(folder / "teller.py", parameters={"word": "one"})
        agent.run(folder / "teller.py", parameters={"word": "two", "fail": True})
        yield agent


def runs(box: Agent, *words: str) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of `epm-task runs` over the box's history."""
    ended = epm_task("runs", *words, "--agent-root", box.root)
    return ended.exit_code, ended.out, ended.err


def listed(box: Agent) -> list[dict[str, Any]]:
    """Return the runs of `list --json`."""
    found: list[dict[str, Any]] = json.loads(runs(box, "list", "--json")[1])["runs"]
    return found


def test_list(box: Agent) -> None:
    """One line for each run, the youngest last; --limit keeps the youngest."""
    code, out, err = runs(box, "list")
    assert (code, err) == (0, "")
    head, first, second = out.splitlines()
    assert head.split() == [
        *("RUN", "JOB", "STARTED", "BY", "ENDED", "SECONDS", "RECORDS", "DENIED", "EXIT"),
    ]
    assert first.split()[1:3] == ["teller", "trigger"]
    assert first.endswith("0 (OK)")
    assert second.endswith("1 (FAILED)")
    assert runs(box, "list", "--limit", "1")[1].splitlines()[1:] == [second]


def test_list_of_no_job(box: Agent) -> None:
    """A job that never ran has no line."""
    assert json.loads(runs(box, "list", "--job", "other", "--json")[1]) == {"runs": []}


def test_show(box: Agent) -> None:
    """All that is known of a run, by the start of its id."""
    first, second = listed(box)
    code, out, _ = runs(box, "show", first["run_id"][:8])
    facts = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (code, facts["run"], facts["job"]) == (0, first["run_id"], "teller")
    assert 'Jobs/teller/news  {"word": "one"}' in out
    assert facts["result"] == '{"word": "one"}'
    assert facts["registered"].startswith("after ")
    assert "exit code   1 (FAILED)" in runs(box, "show")[1]
    assert json.loads(runs(box, "show", "last", "--json")[1]) == second


def test_logs(box: Agent) -> None:
    """The records of that run, and of no other one of the job."""
    first, _ = listed(box)
    code, out, err = runs(box, "logs", first["run_id"])
    assert (code, err) == (0, "")
    assert "word=one" in out
    assert "word=two" not in out
    lines = [
        json.loads(line) for line in runs(box, "logs", first["run_id"], "--json")[1].splitlines()
    ]
    assert [line["message"] for line in lines].count("said") == 1
    assert len(lines) == first["records"]


def test_records_that_the_log_has_lost_are_counted(box: Agent, tmp_path: Path) -> None:
    """Such as those below the level of the log."""
    root = AgentRoot(tmp_path / "copy")
    root.logs.mkdir(parents=True)
    root.run_history.write_bytes(AgentRoot(box.root).run_history.read_bytes())
    ended = epm_task("runs", "logs", "--agent-root", root.path)
    assert (ended.exit_code, ended.out) == (0, "")
    assert f"0 of {listed(box)[1]['records']} records are in the log" in ended.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show", "zz"], "0 runs have an id that begins with zz; see epm-task runs list"),
        (["logs", ""], "2 runs have an id that begins with"),
        (["show", "--job", "other"], "no run has ended yet"),
    ],
)
def test_a_run_that_is_not_one(box: Agent, words: list[str], sentence: str) -> None:
    """The exit code is 2, and the line says where the ids are."""
    code, out, err = runs(box, *words)
    assert (code, out) == (2, "")
    assert sentence in err


def test_no_history(tmp_path: Path) -> None:
    """The line says who writes one."""
    ended = epm_task("runs", "list", "--agent-root", tmp_path)
    assert (ended.exit_code, ended.out) == (2, "")
    assert "only the agent of this package writes one" in ended.err


def test_rerun(box: Agent) -> None:
    """The same job with the same event context; a masked value has to be given anew."""
    add_program(box.root, "again")
    task = {"id": "t", "command": "again"}
    topics = {"allowedPublications": ["KeeperLogger"]}
    box.jobs.add({"id": "again", "name": "again", "mqttTopics": topics, "tasks": [task]})
    box.jobs.trigger("again", context={"Word": "x", "Token": "hunter2"})
    admin = {"--base-url": box.base_url, "--cert": box.admin_cert, "--key": box.admin_key}
    words = [*(word for pair in admin.items() for word in pair), "--cacert", box.ca]
    assert "hunter2" not in AgentRoot(box.root).run_history.read_text()
    refused = epm_task("runs", "rerun", "--agent-root", box.root, *words)
    assert (refused.exit_code, refused.out) == (2, "")
    assert "pass it: epm-task jobs trigger again Token=…" in refused.err
    box.jobs.trigger("again", context={"Word": "y"})
    ended = epm_task("runs", "rerun", "--job", "again", "--agent-root", box.root, *words)
    assert (ended.exit_code, ended.out[:15]) == (0, "again: started ")
    box.jobs.wait(PATIENCE)
    last, again = listed(box)[-2:]
    assert again["context"] == last["context"] == {"Word": "y"}
    assert again["run_id"] in ended.out


@pytest.mark.parametrize("as_json", [True, False])
def test_tail(tmp_path: Path, *, as_json: bool) -> None:
    """Records and ends are printed as they come."""
    (tmp_path / "teller.py").write_text(TASK)
    command = [sys.executable, "-u", "-m", "epm_task", "runs", "tail"]
    with Agent(tmp_path / "agent") as agent:
        words = ["--agent-root", str(agent.root), *(["--json"] if as_json else [])]
        with subprocess.Popen(
            [*command, *words], stdout=subprocess.PIPE, text=True, env=environment()
        ) as tail:
            printed: list[str] = []
            reading = threading.Thread(target=lambda: printed.extend(tail.stdout or ()))
            reading.start()
            until = time.monotonic() + PATIENCE
            end = '"exit_code": 0' if as_json else "exit 0 (OK)"
            # What came before it looked is not new, and it may look between a record and the end.
            while not (
                any(end in line for line in printed)
                and any("one" in line and "said" in line for line in printed)
            ):
                assert time.monotonic() < until, printed
                agent.run(tmp_path / "teller.py", parameters={"word": "one"})
            tail.terminate()
            reading.join(PATIENCE)
