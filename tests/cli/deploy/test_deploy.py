"""Tests of `epm-task deploy`: from the first plan to the last rollback."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from admin.deploy.bundle_files import (
    BROKEN,
    GOOD,
    executable,
    installed,
    write_bundle,
    write_program,
)

from epm_task.admin.deploy.bundle import Bundle, read_bundles
from epm_task.admin.deploy.plan import Change, Part, Plan, job_change
from epm_task.cli.deploy import plan_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.command_line import Finished

    from epm_task.testing import Agent

TASK = f"""#!{sys.executable}
import time
from epm_task import TaskContext, task

@task(job_id="talker")
def talker(ctx: TaskContext):
    ctx.log.warning("deployed", edition=1)
    time.sleep(1.1)

if __name__ == "__main__":
    talker.main()
"""


def _talker(agent: Agent, text: str, **fields: object) -> None:
    arguments = f'--keeper-api-base={{KeeperApiBaseUrl}} --ca-file="{agent.ca}"'
    step = {"id": "talk", "command": "talker", "arguments": arguments, "timeoutSeconds": 60}
    write_bundle(
        Path("dist"), text, job_id="talker", command="talker", **{"tasks": [step], **fields}
    )


@pytest.mark.posix("its program is a script with a #! line")
def test_from_the_first_plan_to_the_last_rollback(
    agent: Agent, deploy: Callable[..., Finished]
) -> None:
    """The whole life of a deployment, as an administrator sees it."""
    _talker(agent, TASK)
    assert deploy("plan").out.endswith("Plan: 2 to add, 0 to change, 0 to remove.\n")

    first = deploy("apply", "--trigger", "--yes")
    assert (first.exit_code, "version 1 is in place" in first.err) == (0, True)
    assert "deployed" in first.err
    assert "deploying talker: 85%, 6 of 7, " in first.err
    log = (agent.root / "Log" / "KeeperLogger.log").read_text().splitlines()
    assert any(
        (record["jobId"], record["message"]) == ("talker", "deployed")
        for record in map(json.loads, log)
    )
    assert deploy("plan", "--detailed-exitcode").exit_code == 0

    _talker(agent, TASK, priority=7)
    planned = deploy("plan", "--detailed-exitcode")
    assert planned.exit_code == 2
    assert planned.out == (
        "~ job talker\n    + /priority: 7\nPlan: 0 to add, 1 to change, 0 to remove.\n"
    )
    assert deploy("apply", "--yes").exit_code == 0

    _talker(agent, BROKEN, priority=7)
    broken = deploy("apply", "--trigger", "--yes")
    assert broken.exit_code == 1
    assert broken.err.splitlines()[-1] == (
        "epm-task: it was rolled back, and version 2 of talker is in place as before: the run of "
        "talker ended with exit code 3 (the author's own); read its records above, and correct "
        "the task"
    )
    assert installed(agent, "talker") == TASK

    back = deploy("rollback", "--yes")
    assert (back.exit_code, "version 1 is in place" in back.err) == (0, True)
    _talker(agent, TASK)
    assert deploy("plan", "--detailed-exitcode").out.startswith("Nothing to do")


def test_a_plan_changes_nothing_and_shows_digests(
    agent: Agent, deploy: Callable[..., Finished]
) -> None:
    """Twelve digits for people, all of them for programs; no secret for anybody."""
    write_bundle(Path("dist"))
    assert deploy("apply", "--yes").exit_code == 0
    write_bundle(Path("dist"), "# two")
    (Path("dist/Jobs/bin/probe") / "new.txt").write_text("")
    (Path("dist/Jobs/bin/probe") / "_internal" / "library.txt").unlink()
    before = sorted(agent.root.rglob("*"))
    lines = deploy("plan").out.splitlines()
    assert [line[:22].rstrip() for line in lines[:4]] == [
        "~ program probe",
        "    - _internal/librar",
        "    + new.txt  sha256",
        f"    ~ {executable()}  sha256 30"[:22],
    ]
    assert lines[4:] == ["Plan: 0 to add, 1 to change, 0 to remove."]
    found = json.loads(deploy("plan", "--json").out)
    assert found["count"] == {"add": 0, "change": 1, "remove": 0}
    assert len(found["changes"][0]["parts"][1]["after"]) == 64
    assert sorted(agent.root.rglob("*")) == before


def test_a_dry_run_shows_the_plan_and_stops(agent: Agent, deploy: Callable[..., Finished]) -> None:
    """For apply and for rollback."""
    write_bundle(Path("dist"))
    dry = deploy("apply", "--dry-run")
    assert (dry.exit_code, installed(agent)) == (0, None)
    assert not (agent.root / "epm-task").exists()
    deploy("apply", "--yes")
    write_bundle(Path("dist"), "# two")
    deploy("apply", "--yes")
    dry = deploy("rollback", "probe", "--to", 1, "--dry-run", "--json")
    assert json.loads(dry.out)["count"]["change"] == 1
    assert installed(agent) == "# two"


def test_nobody_can_be_asked_without_a_terminal(
    agent: Agent, deploy: Callable[..., Finished]
) -> None:
    """Only when there is something to ask."""
    write_bundle(Path("dist"))
    asked = deploy("apply")
    assert (asked.exit_code, "give --yes" in asked.err) == (2, True)
    assert installed(agent) is None
    deploy("apply", "--yes")
    assert deploy("apply").exit_code == 0


def test_status_lists_the_versions(agent: Agent, deploy: Callable[..., Finished]) -> None:
    """Which is current, which was before, and whether somebody has changed it since."""
    assert deploy("status").out == "nothing was deployed yet\n"
    for number in range(1, 6):
        write_bundle(Path("dist"), f"# {number}")
        deploy("apply", "--yes", "--keep", 2)
    rows = [line.split() for line in deploy("status").out.splitlines()]
    assert [row[:3] for row in rows[1:]] == [
        ["probe", "3", rows[1][2]],
        ["probe", "4", "previous"],
        ["probe", "5", "current"],
    ]
    write_program(agent.root, "by hand")
    versions = json.loads(deploy("status", "--json").out)["versions"]
    assert [version["intact"] for version in versions] == [None, None, False]
    assert "current, changed since" in deploy("status").out


def test_apply_tells_programs_what_it_did(deploy: Callable[..., Finished]) -> None:
    """One JSON object on stdout."""
    write_bundle(Path("dist"))
    write_bundle(Path("dist"), job_id="other", command="other")
    done = json.loads(deploy("apply", "--yes", "--json").out)
    assert done["deployed"] == [
        {"name": "other", "version": 1, "before": None},
        {"name": "probe", "version": 1, "before": None},
    ]
    assert (done["count"], done["dryRun"]) == ({"add": 4, "change": 0, "remove": 0}, False)


def test_colours_are_for_terminals_only(deploy: Callable[..., Finished]) -> None:
    """Marks are the same without them."""
    write_bundle(Path("dist"))
    assert "\x1b" not in deploy("plan").out
    (bundle,) = read_bundles(Path("dist"))
    change = job_change("probe", bundle.jobs["probe"], None)
    assert change is not None
    text = plan_text([Plan(bundle, bundle, (change,))], color=True)
    assert text == "\x1b[31m-\x1b[0m job probe\nPlan: 0 to add, 0 to change, 1 to remove."


def test_rollback_goes_to_what_is_there(agent: Agent, deploy: Callable[..., Finished]) -> None:
    """And back again; what is not there has its own exit code."""
    assert deploy("rollback", "--yes").exit_code == 66
    write_bundle(Path("dist"))
    deploy("apply", "--yes")
    nothing = deploy("rollback", "--yes")
    assert (nothing.exit_code, "nothing to go back to" in nothing.err) == (66, True)
    write_bundle(Path("dist"), "# two")
    write_bundle(Path("dist"), job_id="other", command="other")
    deploy("apply", "--yes")
    assert "name one of: other, probe" in deploy("rollback", "--yes").err
    assert "not deployed" in deploy("rollback", "third", "--yes").err
    assert "the versions are: 1, 2" in deploy("rollback", "probe", "--to", 9, "--yes").err
    assert deploy("rollback", "probe", "--yes").exit_code == 0
    assert installed(agent) == GOOD
    assert deploy("rollback", "probe", "--yes").exit_code == 0
    assert installed(agent) == "# two"


def test_a_plan_of_many_files_fits_a_screen() -> None:
    """Twenty files are shown, those of the program itself first, and the rest is counted."""
    bundle = Bundle("probe", {}, {})
    parts = [Part("add", f"_internal/{number:03}.pyc", "", "x") for number in range(100)]
    parts.append(Part("add", "probe", "", "x"))
    change = Change("add", "program", "probe", tuple(parts))
    lines = plan_text([Plan(bundle, bundle, (change,))]).splitlines()
    assert len(lines) == 23
    assert lines[1] == "    + probe  sha256 x"
    assert lines[-2] == "    … and 81 more files; --json lists them all"
