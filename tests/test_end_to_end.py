"""From an idea to a deployed executable and back, by the commands that an author types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.posix("the programs are looked at as POSIX files"),
]
ROOT = Path(__file__).resolve().parents[1]
#: A build takes about 10 s on one core.
_PATIENCE = 600


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """An agent that knows the plugin of the generated task."""
    with Agent(tmp_path / "agent", settings={"KeyScanner": {}}) as running:
        yield running


def _type(*words: str, cwd: Path, agent: Agent, code: int = 0) -> str:
    """Run a command as an author types it, with the agent's admin certificate at hand."""
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "EPM_TASK_ADMIN_BASE_URL": agent.base_url,
        "EPM_TASK_ADMIN_CERT": str(agent.admin_cert),
        "EPM_TASK_ADMIN_KEY": str(agent.admin_key),
        "EPM_TASK_ADMIN_CACERT": str(agent.ca),
    }
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def _messages(agent: Agent) -> list[dict[str, Any]]:
    return [json.loads(line) for line in agent.log.read_text().splitlines()]


def test_idea_to_endpoint_and_back(tmp_path: Path, agent: Agent) -> None:
    """New, test, freeze, deploy, trigger, change, deploy, roll back."""
    cli, root = "epm_task.cli", ["--agent-root", str(agent.root)]
    _type(cli, "new", "key-scanner", "--no-input", cwd=tmp_path, agent=agent)
    project = tmp_path / "key-scanner"
    assert " passed" in _type("pytest", "-q", cwd=project, agent=agent)
    _type(cli, "job", "--check", cwd=project, agent=agent)
    _type(cli, "freeze", "--verify", cwd=project, agent=agent)

    plan = _type(cli, "deploy", "plan", *root, cwd=project, agent=agent)
    assert plan.splitlines()[-1] == "Plan: 2 to add, 0 to change, 0 to remove."
    _type(cli, "deploy", "apply", *root, "--trigger", "--yes", cwd=project, agent=agent)
    assert [record["message"] for record in _messages(agent)] == ["scan_finished"]

    module = project / "src" / "key_scanner.py"
    module.write_text(module.read_text().replace("scan_finished", "scan_done"))
    _type(cli, "freeze", cwd=project, agent=agent)
    plan = _type(cli, "deploy", "plan", *root, cwd=project, agent=agent)
    assert plan.splitlines()[-1] == "Plan: 0 to add, 1 to change, 0 to remove."
    _type(cli, "deploy", "apply", *root, "--trigger", "--yes", cwd=project, agent=agent)
    assert _messages(agent)[-1]["message"] == "scan_done"

    _type(cli, "deploy", "rollback", *root, "--yes", cwd=project, agent=agent)
    wait = ["--wait", *root]
    _type(cli, "jobs", "trigger", "key-scanner", *wait, cwd=project, agent=agent)
    assert _messages(agent)[-1]["message"] == "scan_finished"
