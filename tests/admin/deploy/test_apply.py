"""Tests of deployments: in place as a whole, or undone as a whole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from admin.admin_files import job_document
from admin.deploy.bundle_files import (
    BROKEN,
    GOOD,
    executable,
    installed,
    write_bundle,
    write_program,
)

from epm_task.admin.deploy.apply import Deployed, Trial, apply_plan, recover
from epm_task.admin.deploy.bundle import read_bundles
from epm_task.admin.deploy.plan import count, make_plans
from epm_task.admin.errors import (
    BadBundle,
    NotTidied,
    RecoveryPending,
    RolledBack,
    UndoPending,
    WrongUse,
)
from epm_task.contract.names import os_name

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from epm_task.admin.deploy.apply import Target
    from epm_task.admin.deploy.plan import Plan
    from epm_task.testing import Agent

TRIAL = Trial(20, lambda record: None)


def plans_of(target: Target, folder: Path) -> list[Plan]:
    """Return the plans for a folder."""
    return make_plans(target.root, target.admin, read_bundles(folder))


def deploy(target: Target, folder: Path, **options: Any) -> Deployed:
    """Deploy the one bundle of a folder."""
    (plan,) = plans_of(target, folder)
    return apply_plan(target, plan, **options)


def test_a_deployment_makes_the_plan_clean(agent: Agent, target: Target, tmp_path: Path) -> None:
    """A second one does nothing, and says so."""
    folder = write_bundle(tmp_path)
    assert count(plans_of(target, folder)) == {"add": 2, "change": 0, "remove": 0}
    told: list[tuple[int, int, str]] = []
    telling = target._replace(tell=lambda *what: told.append(what))
    assert deploy(telling, folder, trial=TRIAL) == Deployed("probe", 1, None)
    assert told == [(done, 7, "deploying probe") for done in range(8)]
    assert installed(agent) == GOOD
    assert count(plans_of(target, folder)) == {"add": 0, "change": 0, "remove": 0}
    mark = agent.trace.mark()
    assert deploy(target, folder) == Deployed("probe", None)
    assert not [event for event in agent.trace.since(mark) if "POST" in str(event)]


def test_what_was_put_there_by_hand_is_kept_as_a_version(
    agent: Agent, target: Target, tmp_path: Path
) -> None:
    """Also when its rights were wrong."""
    write_program(agent.root, "by hand").chmod(0o777)
    target.admin.save_job(job_document(name="By hand"))
    assert deploy(target, write_bundle(tmp_path)) == Deployed("probe", 2, 1)
    version = target.root.store("probe").get(1)
    assert (version.origin, version.bundle.jobs["probe"]["name"]) == ("found", "By hand")


@pytest.mark.posix("modes are POSIX")
def test_wrong_rights_alone_are_a_change(agent: Agent, target: Target, tmp_path: Path) -> None:
    """Whoever may write the file becomes the agent's account."""
    folder = write_bundle(tmp_path)
    deploy(target, folder)
    program = agent.root / "Jobs" / "bin" / "probe" / "probe"
    program.chmod(0o757)
    (change,) = plans_of(target, folder)[0].changes
    assert "others can write it" in change.parts[0].before
    assert deploy(target, folder).number == 1
    assert f"{program.stat().st_mode & 0o777:o}" == "755"
    assert target.root.store("probe").previous is None


def test_a_broken_program_is_rolled_back(agent: Agent, target: Target, tmp_path: Path) -> None:
    """Program, job and versions are as before."""
    folder = write_bundle(tmp_path)
    deploy(target, folder)
    with pytest.raises(RolledBack, match=r"version 1 of probe is in place.*exit code 3 ") as error:
        deploy(target, write_bundle(tmp_path, BROKEN, name="Broken"), trial=TRIAL)
    assert error.value.exit_code == 1
    assert (installed(agent), target.admin.get_job("probe")["name"]) == (GOOD, "Probe")
    store = target.root.store("probe")
    assert (store.numbers(), store.current) == ([1], 1)
    assert not list(target.root.staging.iterdir())


@pytest.mark.posix("its program is a shell script")
def test_what_a_broken_program_wrote_last_is_told(target: Target, tmp_path: Path) -> None:
    """Nothing else may be known of it."""
    said: list[str] = []
    broken = "#!/bin/sh\necho 'no disk' >&2\nexit 3\n"
    with pytest.raises(RolledBack):
        deploy(target._replace(say=said.append), write_bundle(tmp_path, broken), trial=TRIAL)
    assert "  no disk" in said


def test_a_broken_first_program_leaves_nothing(
    agent: Agent, target: Target, tmp_path: Path
) -> None:
    """There was nothing before."""
    with pytest.raises(RolledBack, match="nothing of probe is in place"):
        deploy(target, write_bundle(tmp_path, BROKEN), trial=TRIAL)
    assert installed(agent) is None
    assert target.admin.list_jobs().count == 0
    assert target.root.store("probe").numbers() == []


@pytest.mark.posix("its program is a shell script")
def test_a_run_whose_end_is_not_seen_is_rolled_back(
    agent: Agent, target: Target, tmp_path: Path
) -> None:
    """Nobody knows whether it works."""
    slow = write_bundle(tmp_path, "#!/bin/sh\nsleep 1\n")
    with pytest.raises(RolledBack, match=r"not seen in 0\.2 s"):
        deploy(target, slow, trial=Trial(0.2, lambda record: None))
    assert installed(agent) is None


@pytest.mark.parametrize("fields", [{"enabled": False}, {"osFilter": {os_name(): False}}])
def test_a_job_that_cannot_run_is_not_tried(
    fields: dict[str, Any], target: Target, tmp_path: Path
) -> None:
    """That is known before anything is changed."""
    folder = write_bundle(tmp_path, **fields)
    with pytest.raises(WrongUse, match="leave out --trigger"):
        deploy(target, folder, trial=TRIAL)
    assert deploy(target, folder).number == 1


@pytest.mark.parametrize("change", ["vanished", "changed"])
def test_a_program_that_changes_after_the_plan_is_not_deployed(
    change: str, agent: Agent, target: Target, tmp_path: Path
) -> None:
    """What was shown is what is done, or nothing."""
    (plan,) = plans_of(target, write_bundle(tmp_path))
    program = tmp_path / "Jobs" / "bin" / "probe" / executable()
    program.unlink()
    if change == "changed":
        program.write_text(BROKEN)
    with pytest.raises(BadBundle, match=change):
        apply_plan(target, plan)
    assert installed(agent) is None
    assert target.root.store("probe").numbers() == []
    assert not target.root.journal.exists()


def test_what_a_bundle_no_longer_has_is_removed(
    agent: Agent, target: Target, tmp_path: Path
) -> None:
    """After the new version was accepted; going back brings it back."""
    folder = write_bundle(tmp_path, job_id="a")
    write_bundle(folder, job_id="b")
    deploy(target, folder)
    new = write_bundle(tmp_path / "new", command="other", job_id="a")
    assert count(plans_of(target, new)) == {"add": 1, "change": 1, "remove": 2}
    assert deploy(target, new).number == 2
    assert (installed(agent), installed(agent, "other")) == (None, GOOD)
    assert [job["id"] for job in target.admin.list_jobs().jobs] == ["a"]
    (plan,) = make_plans(target.root, target.admin, [target.root.store("a").get(1).bundle])
    assert apply_plan(target, plan).number == 1
    assert (installed(agent), installed(agent, "other")) == (GOOD, None)
    assert [job["id"] for job in target.admin.list_jobs().jobs] == ["a", "b"]


def test_a_program_that_another_job_needs_stays(
    agent: Agent, target: Target, tmp_path: Path
) -> None:
    """Whoever made that job."""
    deploy(target, write_bundle(tmp_path))
    target.admin.save_job(job_document("foreign"))
    new = write_bundle(tmp_path / "new", command="other")
    assert count(plans_of(target, new))["remove"] == 0
    deploy(target, new)
    assert installed(agent) == GOOD


def test_what_cannot_be_undone_now_is_undone_first_next_time(
    agent: Agent, target: Target, tmp_path: Path
) -> None:
    """The agent stops answering while the job is registered."""
    deploy(target, write_bundle(tmp_path))
    folder = write_bundle(tmp_path, "# two", name="Two")

    def say(text: str) -> None:
        if "register" in text:
            agent.faults.api(status=503, path="/api/Jobs*")

    with pytest.raises(UndoPending, match="undoes it first") as error:
        deploy(target._replace(say=say), folder)
    assert error.value.exit_code == 69
    with pytest.raises(RecoveryPending, match="'register'"):
        recover(target)
    agent.faults.clear()
    assert re.search("'register' and is undone: version 1", recover(target))
    assert installed(agent) == GOOD
    assert recover(target) == ""
    assert deploy(target, folder).number == 2


def test_an_accepted_version_stays_when_the_rest_fails(
    agent: Agent, target: Target, tmp_path: Path
) -> None:
    """It is finished next time."""
    write_bundle(tmp_path, job_id="a")
    deploy(target, write_bundle(tmp_path, job_id="b"))
    new = write_bundle(tmp_path / "new", "# two", job_id="a")

    def say(text: str) -> None:
        if "tidy" in text:
            agent.faults.api(status=503, path="/api/Jobs*")

    with pytest.raises(NotTidied, match="version 2 of a is in place"):
        deploy(target._replace(say=say), new)
    agent.faults.clear()
    assert "finished now" in recover(target)
    assert [job["id"] for job in target.admin.list_jobs().jobs] == ["a"]
    assert (installed(agent), target.root.store("a").current) == ("# two", 2)


def test_a_program_that_is_half_swapped_is_whole_again(
    agent: Agent, target: Target, tmp_path: Path
) -> None:
    """As a crash leaves it where files are swapped one by one."""
    deploy(target, write_bundle(tmp_path))
    place = target.root.place("probe")

    def say(text: str) -> None:
        if "swap" in text:
            (place / executable()).rename(target.root.staging / "old")
            (place / "_internal" / "library.txt").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(RolledBack, match="version 1 of probe is in place as before"):
        deploy(target._replace(say=say), write_bundle(tmp_path, "# two"))
    assert installed(agent) == GOOD
    assert not list(target.root.staging.iterdir())


def test_an_interruption_is_undone(agent: Agent, target: Target, tmp_path: Path) -> None:
    """Ctrl-C comes at any moment."""

    def say(text: str) -> None:
        if "register" in text:
            raise KeyboardInterrupt

    with pytest.raises(RolledBack, match=r"rolled back, .* as before: stopped by Ctrl-C") as error:
        deploy(target._replace(say=say), write_bundle(tmp_path))
    assert (error.value.exit_code, installed(agent)) == (130, None)
