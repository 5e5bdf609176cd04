"""Tests of the short verbs of `epm-task jobs`: get, delete, validate, run, reload."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from admin.admin_files import add_binary, job_document, options_of
from cli.command_line import epm_task
from cli.jobs.job_files import write_job
from peers.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.command_line import Finished

    from epm_task.testing import Agent


@pytest.fixture(autouse=True)
def probe(agent: Agent) -> None:
    """The agent has the job `probe`."""
    add_binary(agent)
    agent.jobs.add(job_document())


def test_get_prints_the_document_so_that_apply_takes_it(
    agent: Agent, jobs: Callable[..., Finished]
) -> None:
    """It is readable by default, and one line with --json."""
    assert json.loads(jobs("get", "probe").out) == job_document()
    assert jobs("get", "probe", "--json").out.count("\n") == 1


def test_an_unknown_job_is_66(jobs: Callable[..., Finished]) -> None:
    """The sentence says how to see the others."""
    ended = jobs("get", "none")
    assert (ended.exit_code, ended.out) == (66, "")
    assert "epm-task jobs list" in ended.err


def test_delete_refuses_without_a_terminal(agent: Agent, jobs: Callable[..., Finished]) -> None:
    """Nobody can be asked."""
    ended = jobs("delete", "probe")
    assert ended.exit_code == 2
    assert "--yes" in ended.err
    assert agent.jobs.ids() == ["probe"]


def test_delete_with_yes_deletes_all_or_nothing(
    agent: Agent, jobs: Callable[..., Finished]
) -> None:
    """An id that is wrong is seen before anything is deleted."""
    assert jobs("delete", "probe", "none", "--yes").exit_code == 66
    assert agent.jobs.ids() == ["probe"]
    assert jobs("delete", "probe", "--yes").out == "probe: deleted\n"
    assert agent.jobs.ids() == []


@pytest.mark.posix("a pseudo terminal is POSIX")
@pytest.mark.parametrize(("answer", "left"), [(b"n\n", ["probe"]), (b"y\n", [])])
def test_delete_asks_on_a_terminal(agent: Agent, answer: bytes, left: list[str]) -> None:
    """No is the default."""
    ours, theirs = os.openpty()
    words = [sys.executable, "-m", "epm_task.cli", "jobs", "delete", "probe", *options_of(agent)]
    with subprocess.Popen(words, stdin=theirs, stderr=subprocess.PIPE) as process:
        os.write(ours, answer)
        _, err = process.communicate(timeout=PATIENCE)
    os.close(ours)
    os.close(theirs)
    assert b"Delete probe at https://127.0.0.1" in err
    assert (process.returncode, agent.jobs.ids()) == (len(left), left)


def test_validate_shows_every_error_and_stores_nothing(
    agent: Agent, jobs: Callable[..., Finished]
) -> None:
    """A refusal is the answer no: exit 1."""
    ended = jobs("validate", write_job("good"), write_job("bad", priority=11, name=""))
    assert ended.exit_code == 1
    assert ended.out.startswith("good.json: valid\n")
    assert ended.out.count("  error: ") == 2
    assert agent.jobs.ids() == ["probe"]
    found = json.loads(jobs("validate", write_job("good"), "--json").out)
    assert found["verdicts"][0]["valid"] is True


def test_run_names_the_run(agent: Agent, jobs: Callable[..., Finished]) -> None:
    """It does not wait."""
    started = json.loads(jobs("run", "probe", "--json").out)
    assert started["job_id"] == "probe"
    assert jobs("run", "probe").out.startswith("probe: started ")
    agent.jobs.wait()


def test_reload_tells_which_files_are_broken(agent: Agent, jobs: Callable[..., Finished]) -> None:
    """Exit 1, because the agent does not have what the folder holds."""
    assert jobs("reload").out == "1 jobs loaded\n"
    broken = agent.root / "Jobs" / "broken.json"
    broken.write_text("{")
    try:
        ended = jobs("reload")
    finally:
        broken.unlink()
    assert ended.exit_code == 1
    assert "error: file broken.json, line 1" in ended.out


def test_without_credential_the_tier_is_explained(agent: Agent) -> None:
    """TLS is ruled out in the same sentence."""
    ended = epm_task("jobs", "list", "--base-url", agent.base_url, "--cacert", agent.ca)
    assert ended.exit_code == 77
    assert "Admin tier" in ended.err


def test_options_may_stand_in_the_environment(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a pipeline has them."""
    for name, value in (
        ("BASE_URL", agent.base_url),
        ("CERT", agent.admin_cert),
        ("KEY", agent.admin_key),
        ("CACERT", agent.ca),
    ):
        monkeypatch.setenv(f"EPM_TASK_ADMIN_{name}", str(value))
    assert epm_task("jobs", "list").exit_code == 0
