"""Tests of an agent's root: created, and held by one agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from peers.rights import is_private, let_others
from peers.second_user import NOBODY, needs_second_user

from epm_task.contract.layout import AgentRoot
from epm_task.simulator.embedded import Agent
from epm_task.simulator.root import create_root, hold_root, read_ports, write_ports
from epm_task.simulator.start_error import RootHeld, RootUnsafe, RootUnusable

HELLO = Path(__file__).parents[2] / "examples" / "hello.py"


def test_create_makes_the_vendors_folders(tmp_path: Path) -> None:
    """The folders of the vendor's layout exist after `create`, however often it is called."""
    root = AgentRoot(tmp_path / "deep" / "agent")
    create_root(root)
    create_root(root)
    assert root.jobs_bin.is_dir()
    assert root.plugins.is_dir()
    assert root.keeper_logger == root.path / "Log" / "KeeperLogger.log"


def test_certificates_and_records_are_private(tmp_path: Path) -> None:
    """Only the owner can enter the folders of the keys and of what tasks log, or read a file."""
    let_others(tmp_path, "read")
    with Agent(tmp_path) as agent:
        assert agent.run(HELLO).exit_code == 0
    root = AgentRoot(tmp_path)
    folders = [root.certificates, root.logs]
    files = [*root.path.glob("*.*"), *(file for folder in folders for file in folder.iterdir())]
    assert {root.keeper_logger, root.run_history, root.lock_file} <= {*files}
    assert [path for path in (*folders, *files) if not is_private(path)] == []


def test_root_below_a_file_is_refused(tmp_path: Path) -> None:
    """The error names the root and the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RootUnusable, match=r"file.agent cannot be used: .+; choose a folder"):
        create_root(AgentRoot(tmp_path / "file" / "agent"))


def test_second_lock_names_the_holder(tmp_path: Path) -> None:
    """Two agents on one root: the second is refused and says who holds it."""
    root = AgentRoot(tmp_path)
    create_root(root)
    refused = pytest.raises(RootHeld, match=f"in use by process {os.getpid()}")
    with hold_root(root), refused as caught, hold_root(root):
        pass
    assert caught.value.pid == os.getpid()


def test_root_can_be_held_again_after_the_end(tmp_path: Path) -> None:
    """A root that was let go holds nobody off."""
    root = AgentRoot(tmp_path)
    create_root(root)
    with hold_root(root):
        pass
    with hold_root(root):
        assert root.lock_file.read_text() == str(os.getpid())


def test_killed_holder_lets_go(tmp_path: Path) -> None:
    """The lock of a process that was killed is free, although the file still names it."""
    root = AgentRoot(tmp_path)
    create_root(root)
    code = (
        "import pathlib, sys, os, signal; from epm_task.contract.layout import AgentRoot;"
        "from epm_task.simulator.root import hold_root;"
        "held = hold_root(AgentRoot(pathlib.Path(sys.argv[1])));"
        "held.__enter__();"
        # On Windows each number is an end at once.
        "os.kill(os.getpid(), getattr(signal, 'SIGKILL', signal.SIGTERM))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert root.lock_file.read_text().isdigit()
    with hold_root(root):
        pass
    assert root.lock_file.read_text() == ""


def test_lock_without_create_is_refused(tmp_path: Path) -> None:
    """A root without a lock file cannot be locked."""
    with pytest.raises(RootUnusable), hold_root(AgentRoot(tmp_path / "absent")):
        pass


def test_ports_are_written_and_read(tmp_path: Path) -> None:
    """What else the file holds stays."""
    file = tmp_path / "appsettings.json"
    assert read_ports(file) == (0, 0)
    file.write_text('{"Other": 1, "Settings": {"KestrelHttpsPort": "6889", "More": 2}}')
    assert read_ports(file) == (6889, 0)
    write_ports(file, 7000, 7001)
    assert read_ports(file) == (7000, 7001)
    document = json.loads(file.read_text())
    assert (document["Other"], document["Settings"]["More"]) == (1, 2)


@needs_second_user
@pytest.mark.parametrize("part", [".", "Jobs", "Jobs/bin", "Plugins", "Log", "certs"])
def test_a_folder_that_another_user_can_replace_is_refused(tmp_path: Path, part: str) -> None:
    """He would decide what the agent runs as its own account."""
    root = AgentRoot(tmp_path / "agent")
    create_root(root)
    os.chown(root.path / part, NOBODY, -1)
    with pytest.raises(RootUnsafe, match=f"belongs to uid {NOBODY} .*; chown root ") as refused:
        create_root(root)
    assert refused.value.exit_code == 78


@pytest.mark.posix("POSIX links")
def test_a_lock_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """The file behind it would be overwritten."""
    root = AgentRoot(tmp_path)
    (tmp_path / "precious").write_text("precious")
    root.lock_file.symlink_to(tmp_path / "precious")
    with pytest.raises(RootUnsafe, match="it is a link"):
        create_root(root)
    assert (tmp_path / "precious").read_text() == "precious"
