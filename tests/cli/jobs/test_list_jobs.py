"""Tests of `epm-task jobs list`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from admin.admin_files import add_binary, job_document

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.command_line import Finished

    from epm_task.testing import Agent


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
