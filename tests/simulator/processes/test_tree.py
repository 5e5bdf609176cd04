"""Tests of process trees."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
from simulator.process_peer import connected_process

from epm_task.simulator.processes import tree as process_tree

if TYPE_CHECKING:
    from pathlib import Path


def test_a_child_is_a_descendant_with_an_ancestor() -> None:
    """Looking down and looking up agree."""
    with connected_process(by_child=True) as peer:
        down = process_tree.descendants({peer.pid})
        assert len(down) == 1
        (child,) = down
        assert process_tree.parent(child) == peer.pid
        assert process_tree.ancestor_among(child, {peer.pid}) == peer.pid
        assert {peer.pid, child} <= process_tree.descendants({os.getpid()})


def test_newer_processes_hold_the_fresh_children() -> None:
    """The cheap walk finds a child that was just started."""
    with connected_process(by_child=True) as peer:
        assert process_tree.descendants({peer.pid}, newer_only=True) == (
            process_tree.descendants({peer.pid})
        )


def test_no_roots_have_no_descendants() -> None:
    """Nothing is looked at without a root."""
    assert process_tree.descendants(set()) == frozenset()


def test_a_birth_is_stable_and_belongs_to_one_process() -> None:
    """The same process always has the same birth."""
    birth = process_tree.birth(os.getpid())
    assert birth is not None
    assert process_tree.birth(os.getpid()) == birth


def test_a_process_that_has_ended_has_neither_birth_nor_parent() -> None:
    """A PID without a process gives None, not an error."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    assert process_tree.birth(process.pid) is None
    assert process_tree.parent(process.pid) is None
    assert process_tree.ancestor_among(process.pid, {os.getpid()}) is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a program in use is not replaced")
def test_the_digest_is_that_of_the_program_which_runs(tmp_path: Path) -> None:
    """Not that of a file which has taken its place since."""
    program = tmp_path / "program"
    shutil.copy(shutil.which("sleep") or "", program)
    digest = hashlib.sha256(program.read_bytes()).hexdigest()
    with subprocess.Popen([program, "600"]) as process:
        try:
            program.unlink()
            program.write_bytes(b"another")
            path, seen = process_tree.program_digest(process.pid)
        finally:
            process.kill()
    assert path.startswith(str(program))
    assert seen == digest
    with pytest.raises((OSError, psutil.Error)):
        process_tree.program_digest(process.pid)
