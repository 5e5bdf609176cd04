"""Bundles of the tests: a job with a shell script as its program, in the agent's layout."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from admin.admin_files import job_document

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.testing import Agent

GOOD = "#!/bin/sh\nexit 0\n"
BROKEN = "#!/bin/sh\nexit 3\n"


def write_bundle(
    folder: Path,
    script: str = GOOD,
    *,
    job_id: str = "probe",
    command: str = "probe",
    **fields: Any,
) -> Path:
    """Write or change one program and its job, and return the folder that holds `Jobs`."""
    write_program(folder, script, command=command)
    task = {**job_document()["tasks"][0], "command": command}
    document = job_document(job_id, **{"tasks": [task], **fields})
    (folder / "Jobs" / f"{job_id}.json").write_text(json.dumps(document))
    return folder


def write_program(folder: Path, script: str = GOOD, *, command: str = "probe") -> Path:
    """Write a program with a library in a folder of its own, and return its executable."""
    program = folder / "Jobs" / "bin" / command
    (program / "_internal").mkdir(parents=True, exist_ok=True)
    (program / "_internal" / "library.txt").write_text(script)
    path = program / command
    path.write_text(script)
    path.chmod(0o755)
    return path


def installed(agent: Agent, command: str = "probe") -> str | None:
    """Return the script in its place; None when there is none, an error when it is a mixture."""
    program = agent.root / "Jobs" / "bin" / command
    if not program.exists():
        return None
    texts = {(program / command).read_text(), (program / "_internal" / "library.txt").read_text()}
    (text,) = texts
    return text


def forget_deployments(agent: Agent) -> None:
    """Remove programs and versions, as for the next test."""
    for folder in (agent.root / "epm-task", agent.root / "Jobs" / "bin"):
        shutil.rmtree(folder, ignore_errors=True)
    (agent.root / "Jobs" / "bin").mkdir()
