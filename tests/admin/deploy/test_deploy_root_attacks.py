"""Attacks of a second user on a deployment that runs as root: nothing of his is followed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from admin.deploy.bundle_files import write_bundle
from peers.second_user import NOBODY, needs_second_user

from epm_task.admin.deploy.bundle import read_bundles
from epm_task.admin.deploy.deploy_root import DeployRoot
from epm_task.admin.errors import UnsafeRoot
from epm_task.contract.layout import AgentRoot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

posix = pytest.mark.posix("the attack needs links and pipes of POSIX")


@pytest.fixture
def agent(tmp_path: Path) -> AgentRoot:
    """An agent's folder without an agent."""
    root = AgentRoot(tmp_path / "agent")
    root.jobs_bin.mkdir(parents=True)
    return root


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder and a file of root's that the second user wants to be rid of."""
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "precious").write_text("precious")
    return folder


def _deploy(agent: AgentRoot) -> None:
    root = DeployRoot(agent)
    with root.held():
        root.clear_staging()


def _plant(agent: AgentRoot, victim: Path, theirs: Path) -> None:
    """Make `epm-task` a link to a folder whose `staging` and `deploy.lock` lead to the victim."""
    theirs.mkdir()
    (theirs / "staging").symlink_to(victim)
    (theirs / "deploy.lock").symlink_to(victim / "precious")
    (agent.path / "epm-task").symlink_to(theirs)
    for path in (theirs, theirs / "staging", theirs / "deploy.lock", agent.path / "epm-task"):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@needs_second_user
@pytest.mark.parametrize("mine", ["group", "owner"])
def test_links_in_a_root_that_others_can_write(
    agent: AgentRoot, victim: Path, tmp_path: Path, mine: str
) -> None:
    """The folder would be emptied, and the file truncated."""
    _plant(agent, victim, tmp_path / "theirs")
    os.chown(agent.path, *((0, NOBODY) if mine == "group" else (NOBODY, 0)))
    agent.path.chmod(0o775)
    with pytest.raises(UnsafeRoot, match=rf"{agent.path} belongs to .* mode 0775.*; ch(mod|own) "):
        _deploy(agent)
    assert (victim / "precious").read_text() == "precious"


@needs_second_user
def test_links_of_another_user_in_a_root_that_is_safe_now(
    agent: AgentRoot, victim: Path, tmp_path: Path
) -> None:
    """What was planted before the rights were mended is not followed either."""
    _plant(agent, victim, tmp_path / "theirs")
    with pytest.raises(UnsafeRoot, match=f"epm-task belongs to uid {NOBODY}"):
        _deploy(agent)
    assert (victim / "precious").read_text() == "precious"


def _give_bin_away(agent: AgentRoot) -> Path:
    os.chown(agent.jobs_bin, NOBODY, NOBODY)
    return agent.jobs_bin


def _open_the_parent(agent: AgentRoot) -> Path:
    agent.path.parent.chmod(0o777)
    return agent.path.parent


def _give_a_version_away(agent: AgentRoot) -> Path:
    folder = agent.path / "epm-task" / "versions" / "probe" / "1"
    folder.mkdir(parents=True)
    os.chown(folder, NOBODY, NOBODY)
    return folder


def _give_the_journal_away(agent: AgentRoot) -> Path:
    (agent.path / "epm-task").mkdir()
    journal = agent.path / "epm-task" / "journal.json"
    journal.write_text("{}")
    os.chown(journal, NOBODY, NOBODY)
    return journal


def _link_bin(agent: AgentRoot) -> Path:
    agent.jobs_bin.rmdir()
    theirs = agent.path.parent / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    agent.jobs_bin.symlink_to(theirs)
    return theirs


def _look(agent: AgentRoot) -> None:
    DeployRoot(agent).check()


@needs_second_user
@pytest.mark.parametrize("act", [_deploy, _look])
@pytest.mark.parametrize(
    "weaken",
    [
        _give_bin_away,
        _open_the_parent,
        _give_a_version_away,
        _give_the_journal_away,
        _link_bin,
    ],
)
def test_whatever_others_could_replace_is_named(
    agent: AgentRoot, weaken: Callable[[AgentRoot], Path], act: Callable[[AgentRoot], None]
) -> None:
    """With its path, its owner, its mode and the command that mends it."""
    place = weaken(agent)
    with pytest.raises(UnsafeRoot) as refused:
        act(agent)
    owner = "root" if weaken is _open_the_parent else f"uid {NOBODY}"
    mode = place.stat().st_mode & 0o7777
    assert refused.value.what == f"{place} belongs to {owner} and has mode {mode:04o}"
    assert refused.value.fix in {f"chown root {place}", f"chmod go-w {place}"}
    assert refused.value.exit_code == 78


@posix
@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_a_lock_that_is_another_file(agent: AgentRoot, victim: Path, kind: str) -> None:
    """It would be truncated."""
    (agent.path / "epm-task").mkdir()
    lock = agent.path / "epm-task" / "deploy.lock"
    link = lock.hardlink_to if kind == "hard" else lock.symlink_to
    link(victim / "precious")
    with pytest.raises(UnsafeRoot, match=f"it is a {kind if kind == 'hard' else 'link'}"):
        _deploy(agent)
    assert (victim / "precious").read_text() == "precious"


@posix
def test_a_loose_umask_leaves_nothing_that_others_can_write(
    agent: AgentRoot, tmp_path: Path
) -> None:
    """Else the next deployment would refuse what this one has made."""
    (bundle,) = read_bundles(write_bundle(tmp_path / "dist"))
    agent.jobs_bin.rmdir()
    umask = os.umask(0)
    try:
        for number in (1, 2):
            root = DeployRoot(agent)
            with root.held():
                root.store("probe").save(bundle, number, "deployed")
                root.store("probe").point_to(number, None)
                root.put_programs(bundle)
    finally:
        os.umask(umask)
    made = [agent.jobs_bin, *agent.jobs_bin.rglob("*"), *(agent.path / "epm-task").rglob("*")]
    assert [path for path in made if path.lstat().st_mode & 0o022] == []
