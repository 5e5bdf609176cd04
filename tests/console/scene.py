"""An agent to look at: jobs made from the examples that succeed, fail, and are denied something."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from epm_task.job.job import Job
from epm_task.job.task_file import find_task

if TYPE_CHECKING:
    from epm_task.testing import Agent

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PROGRAMS = ROOT / "tests" / "programs"


def add_job(agent: Agent, file: Path, *options: str, allowed: bool = True, **facts: Any) -> str:
    """Store the job of a task file, and its program; return its id.

    Its own topics are left out unless they are *allowed*; *facts* replace those of the code, and
    *options* are further ones of the task.
    """
    task = find_task(file)
    assert task is not None
    document = Job(tasks=[task], **facts).document()
    document["tasks"][0]["arguments"] = " ".join([document["tasks"][0]["arguments"], *options])
    if not allowed:
        document["mqttTopics"]["allowedPublications"] = ["KeeperLogger"]
    command = document["tasks"][0]["command"] = document["id"].replace("-", "")
    program = agent.root / "Jobs" / "bin" / command / command
    program.parent.mkdir(parents=True, exist_ok=True)
    # exec: the program is the process that the agent has launched.
    program.write_text(f'#!/bin/sh\nexec {quote(sys.executable)} -P {quote(str(file))} "$@"\n')
    program.chmod(0o755)
    agent.jobs.add(document)
    return str(document["id"])


def add_jobs(agent: Agent) -> None:
    """Store the jobs of the scene."""
    agent.settings["KeyScanner"]["max_bytes"] = "10000"
    add_job(agent, EXAMPLES / "key_scanner.py")
    add_job(agent, EXAMPLES / "own_exit_code.py", id="disk-space", name="Disk space")
    publishing = EXAMPLES / "publish_findings.py"
    add_job(agent, publishing, id="inventory", name="Inventory", cron="0 3 * * *")
    add_job(agent, publishing, allowed=False, id="findings", name="Findings", every_minutes=15)


def play(agent: Agent) -> None:
    """Run the jobs of the scene, one after the other, on a copy of the examples in the root."""
    shutil.copytree(EXAMPLES, agent.root / "examples", ignore=shutil.ignore_patterns("__*"))
    agent.jobs.trigger("key-scanner", {"Root": "examples"})
    agent.jobs.trigger("inventory")
    agent.jobs.trigger("findings")
    agent.faults.api(status=403, times=3)
    agent.jobs.trigger("disk-space", {"Percent": "101"})
