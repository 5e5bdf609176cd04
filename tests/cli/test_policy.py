"""Tests of `epm-task deploy policy`: written from code or a document, and checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli import command
from cli.command_line import Finished, epm_task
from cli.jobs.job_files import write_job

TASK = """
from epm_task import task

@task(job_id="probe", every_minutes=60, timeout_seconds=%d)
def probe():
    '''Do nothing.'''

if __name__ == "__main__":
    probe.main()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with a task file."""
    monkeypatch.chdir(tmp_path)
    Path("probe.py").write_text(TASK % 60)
    return tmp_path


def policy(*words: object) -> Finished:
    """Run the verb."""
    return epm_task("deploy", "policy", *words)


def _read(file: str = "p.json") -> dict[str, object]:
    return dict(json.loads(Path(file).read_text(encoding="utf-8")))


def test_a_policy_is_made_from_code_and_checked_against_it() -> None:
    """It fails when the code changes, and passes when it was written anew."""
    assert policy("probe.py", "-o", "p.json").exit_code == 0
    assert policy("probe.py", "--check", "-o", "p.json").exit_code == 0
    Path("probe.py").write_text(TASK % 90)
    drifted = policy("probe.py", "--check", "-o", "p.json")
    assert (drifted.exit_code, drifted.out) == (1, "~ /tasks/0/timeoutSeconds: 60 -> 90\n")
    found = json.loads(policy("probe.py", "--check", "-o", "p.json", "--json").out)
    assert (found["drift"], found["parts"][0]["place"]) == (True, "/tasks/0/timeoutSeconds")
    assert policy("probe.py", "-o", "p.json").exit_code == 0
    assert policy("probe.py", "--check", "-o", "p.json").exit_code == 0


def test_what_people_added_stays() -> None:
    """In the policy, and in the job inside of it."""
    policy("probe.py", "-o", "p.json")
    found = json.loads(Path("p.json").read_text())
    job = {**json.loads(found["Extension"]["JobJson"]), "condition": {"x": 1}}
    found["Extension"]["JobJson"] = json.dumps(job)
    Path("p.json").write_text(json.dumps({"PolicyName": "Ours", **found}))
    assert policy("probe.py", "--check", "-o", "p.json").exit_code == 0
    assert policy("probe.py", "--action", "update", "-o", "p.json").exit_code == 0
    again = json.loads(Path("p.json").read_text())
    assert (again["PolicyName"], again["Extension"]["Action"]) == ("Ours", "Update")
    assert json.loads(again["Extension"]["JobJson"])["condition"] == {"x": 1}


def test_a_base_gives_the_other_fields() -> None:
    """The job is that of a document here."""
    base = {"PolicyName": "Ours", "Extension": {"Extra": 1}, "PolicyType": "JobUpdate"}
    Path("base.json").write_text(json.dumps(base))
    done = policy(write_job(), "--base", "base.json", "-o", "p.json", "--json")
    assert json.loads(done.out) == {"file": "p.json", "jobId": "probe", "action": "Add"}
    assert list(_read()) == ["PolicyName", "Extension", "PolicyType"]
    assert policy(write_job(name="Other"), "--check", "-o", "p.json").exit_code == 1


def test_what_people_added_to_the_job_of_a_base_stays() -> None:
    """When it is the same job, and comes from the code; the file of -o is older than the base."""
    policy("probe.py", "-o", "p.json")
    found = json.loads(Path("p.json").read_text())
    job = {**json.loads(found["Extension"]["JobJson"]), "condition": {"x": 1}}
    found["Extension"]["JobJson"] = json.dumps(job)
    Path("base.json").write_text(json.dumps(found))
    other = {
        **found,
        "Extension": {"JobId": "other", "JobJson": json.dumps({**job, "id": "other"})},
    }
    Path("other.json").write_text(json.dumps(other))
    for base, kept in (("base.json", True), ("other.json", False)):
        assert policy("probe.py", "--base", base, "-o", "p.json").exit_code == 0
        carried = json.loads(json.loads(Path("p.json").read_text())["Extension"]["JobJson"])
        assert ("condition" in carried, carried["id"]) == (kept, "probe")


def test_deleting_needs_an_id_only() -> None:
    """The job's code may be gone."""
    words = ["deploy", "policy"]
    assert json.loads(command.epm_task(*words, "old-job", "--action", "Delete").out) == {
        "PolicyType": "JobUpdate",
        "Extension": {"JobId": "old-job", "Action": "Delete"},
    }
    policy(write_job(), "--action", "delete", "-o", "p.json")
    assert "JobJson" not in Path("p.json").read_text()


def test_a_dry_run_writes_nothing() -> None:
    """It prints what it would write."""
    words = ["deploy", "policy", write_job(description="\u017elu\u0165"), "-o", "p.json"]
    done = command.epm_task(*words, "--dry-run", env={"PYTHONIOENCODING": "ascii"})
    assert (
        json.loads(json.loads(done.out)["Extension"]["JobJson"])["description"] == "\u017elu\u0165"
    )
    assert not Path("p.json").exists()


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["probe.py", "--action", "remove"], 2, "choose one of Add"),
        (["probe.py", "--check"], 2, "name its file with -o"),
        (["probe.py", "--check", "-o", "absent.json"], 2, "cannot be read"),
        (["absent.json", "--action", "Delete"], 2, "absent.json does not exist"),
        (["bad_id", "--action", "Delete"], 65, "bad_id"),
        (["probe.py", "--base", "probe.py"], 65, "probe.py: it is not JSON: line 2, column 1"),
        (["probe.py", "--base", "absent.json"], 2, "absent.json cannot be read"),
    ],
)
def test_refusals(words: list[str], code: int, why: str) -> None:
    """One sentence each."""
    refused = policy(*words)
    assert (refused.exit_code, why in refused.err) == (code, True), refused.err
    assert len(refused.err.splitlines()) == 1
