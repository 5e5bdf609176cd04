"""Bundles of the tests: a job with a shell script as its program, in the agent's layout.

Windows starts no such scripts; there the program ends as the script does, and holds its text.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from typing import TYPE_CHECKING, Any

from admin.admin_files import job_document
from peers.windows_program import program_that_ends

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
    (program / "_internal" / "library.txt").write_bytes(script.encode())
    path = program / executable(command)
    path.write_bytes(program_bytes(script))
    path.chmod(0o755)
    return path


def executable(command: str = "probe") -> str:
    """Return the name of the file that the agent starts."""
    return command if os.name == "posix" else f"{command}.exe"


def program_bytes(script: str) -> bytes:
    """Return what the executable holds."""
    if os.name == "posix":
        return script.encode()
    code = re.search(r"^exit (\d+)$", script, re.MULTILINE)
    return program_that_ends(int(code[1]) if code else 0) + script.encode()


def installed(agent: Agent, command: str = "probe") -> str | None:
    """Return the script in its place; None when there is none."""
    program = agent.root / "Jobs" / "bin" / command
    if not program.exists():
        return None
    script = (program / "_internal" / "library.txt").read_bytes().decode()
    assert (program / executable(command)).read_bytes() == program_bytes(script), "a mixture"
    return script


def forget_deployments(agent: Agent) -> None:
    """Remove programs and versions, as for the next test."""
    for folder in (agent.root / "epm-task", agent.root / "Jobs" / "bin"):
        shutil.rmtree(folder, ignore_errors=True)
    (agent.root / "Jobs" / "bin").mkdir()
