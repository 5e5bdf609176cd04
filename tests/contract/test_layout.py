"""Tests of the layout."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from epm_task.contract.layout import AgentRoot
from epm_task.simulator.start_error import RootHeld, RootUnusable

if TYPE_CHECKING:
    from pathlib import Path


def test_create_makes_the_vendors_folders(tmp_path: Path):
    """The folders of the vendor's layout exist after `create`, however often it is called."""
    root = AgentRoot(tmp_path / "deep" / "agent")
    root.create()
    root.create()
    assert root.jobs_bin.is_dir()
    assert root.plugins.is_dir()
    assert root.keeper_logger == root.path / "Log" / "KeeperLogger.log"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_certificates_are_private(tmp_path: Path):
    """Only the owner can enter the folder of the keys."""
    root = AgentRoot(tmp_path)
    root.create()
    assert root.certificates.stat().st_mode & 0o077 == 0


def test_root_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A relative root is that of the folder in which the agent was started."""
    monkeypatch.chdir(tmp_path)
    assert AgentRoot(type(tmp_path)("agent")).path == tmp_path / "agent"


def test_root_below_a_file_is_refused(tmp_path: Path):
    """The error names the root and the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RootUnusable, match=r"file/agent cannot be used: .+; choose a folder"):
        AgentRoot(tmp_path / "file" / "agent").create()


def test_second_lock_names_the_holder(tmp_path: Path):
    """Two agents on one root: the second is refused and says who holds it."""
    root = AgentRoot(tmp_path)
    root.create()
    with root.lock(), pytest.raises(RootHeld, match=f"in use by process {os.getpid()}") as caught:
        root.lock()
    assert caught.value.pid == os.getpid()


def test_lock_can_be_taken_again_after_close(tmp_path: Path):
    """A lock that was closed, twice even, holds nobody off."""
    root = AgentRoot(tmp_path)
    root.create()
    lock = root.lock()
    lock.close()
    lock.close()
    with root.lock():
        assert root.lock_file.read_text() == str(os.getpid())


def test_killed_holder_lets_go(tmp_path: Path):
    """The lock of a process that was killed is free, although its PID still stands in the file."""
    root = AgentRoot(tmp_path)
    root.create()
    code = (
        "import pathlib, sys, os, signal; from epm_task.contract.layout import AgentRoot;"
        "lock = AgentRoot(pathlib.Path(sys.argv[1])).lock(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert root.lock_file.read_text().isdigit()
    root.lock().close()
    assert root.lock_file.read_text() == ""


def test_lock_without_create_is_refused(tmp_path: Path):
    """A root without a lock file cannot be locked."""
    with pytest.raises(RootUnusable):
        AgentRoot(tmp_path / "absent").lock()
