"""Tests of code that another user could have written: whose is run, and by which verbs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from admin.admin_files import options_of
from cli.command_line import Finished, epm_task
from peers.second_user import NOBODY, needs_second_user

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.testing import Agent

pytestmark = needs_second_user

CODE = """
from pathlib import Path
from epm_task import task
(Path(__file__).parent / "was_run").touch()

@task(job_id="scan", every_minutes=5, timeout_seconds=60)
def scan() -> None:
    'Scan.'
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of root's with one task, and a folder with the document of its job in it."""
    (tmp_path / "pyproject.toml").write_text('[tool.epm-task]\ntasks = ["scan.py"]\n')
    (tmp_path / "scan.py").write_text(CODE)
    (tmp_path / "Jobs").mkdir()
    (tmp_path / "Jobs" / "scan.json").write_text(json.dumps({"id": "scan"}))
    return tmp_path


def _ran(project: Path) -> bool:
    return (project / "was_run").exists()


def _refused(ended: Finished, file: Path) -> None:
    assert ended.exit_code == 78, ended.err
    assert f"{file} belongs to uid {NOBODY} and has mode 0644" in ended.err
    assert f"chown root {file}, or run this as its owner" in ended.err


@pytest.mark.parametrize("theirs", ["pyproject.toml", "scan.py"])
def test_what_lies_above_a_folder_of_ours(project: Path, theirs: str) -> None:
    """As in /tmp: who wrote it would have his code run by whoever works below it."""
    os.chown(project / theirs, NOBODY, NOBODY)
    _refused(epm_task("validate", project / "Jobs"), project / theirs)
    assert not _ran(project)


def test_a_project_above_that_is_a_link_of_theirs(project: Path) -> None:
    """It would name whatever he likes."""
    (project / "pyproject.toml").rename(project / "real.toml")
    (project / "pyproject.toml").symlink_to("real.toml")
    os.chown(project / "pyproject.toml", NOBODY, NOBODY, follow_symlinks=False)
    assert epm_task("validate", project / "Jobs").exit_code == 78
    assert not _ran(project)


def test_a_build_in_a_checkout_of_another_user(project: Path) -> None:
    """As root in a container: who works in his folder trusts him."""
    for path in (project, *project.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    assert epm_task("validate", project / "Jobs").exit_code == 1
    assert _ran(project)
    assert epm_task("job", "--json", project / "scan.py").exit_code == 0


@pytest.mark.parametrize("theirs", ["pyproject.toml", "scan.py", "."])
def test_code_for_an_agent_in_a_checkout_of_another_user(
    project: Path, agent: Agent, theirs: str
) -> None:
    """An administrator's verb as root runs root's code only, also when the file is named."""
    os.chown(project / theirs, NOBODY, NOBODY)
    live = epm_task("validate", "--live", project / "Jobs", *options_of(agent))
    assert (live.exit_code, "or run this as its owner" in live.err) == (78, True)
    if theirs != "pyproject.toml":
        named = epm_task("doctor", project / "scan.py", "--agent-root", agent.root)
        assert (named.exit_code, "or run this as its owner" in named.err) == (78, True)
    assert not _ran(project)


def test_code_of_ours_for_an_agent(project: Path, agent: Agent) -> None:
    """It is run."""
    assert epm_task("doctor", project / "scan.py", "--agent-root", agent.root).exit_code == 1
    assert _ran(project)
