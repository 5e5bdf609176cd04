"""Tests of the process registry."""

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import sys

from simulator.process_peer import connected_process, launch_of

from epm_task.simulator.processes.registry import ProcessRegistry


class Seconds:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the present moment."""
        return self.now


def test_a_launched_process_is_registered() -> None:
    """The verdict carries the launch."""
    registry = ProcessRegistry()
    launch = launch_of(os.getpid())
    registry.add(launch)
    verdict = registry.judge(os.getpid())
    assert verdict.launch is launch


def test_no_process_is_not_registered() -> None:
    """A connection whose process is unknown gives no launch."""
    verdict = ProcessRegistry().judge(None)
    assert not verdict.launch
    assert "no process launched by this agent" in verdict.reason


def test_a_foreign_process_is_not_registered() -> None:
    """The reason names the PID."""
    verdict = ProcessRegistry().judge(1)
    assert verdict.reason == "process 1 was not launched by this agent"


def test_a_delay_postpones_the_registration() -> None:
    """The reason counts down, and the verdict turns at the moment."""
    clock = Seconds()
    registry = ProcessRegistry(clock=clock)
    registry.add(launch_of(os.getpid()), delay_seconds=0.5)
    clock.now += 0.3
    assert "it will be in 0.200 s" in registry.judge(os.getpid()).reason
    clock.now += 0.2
    assert registry.judge(os.getpid()).launch


def test_an_infinite_delay_is_never_registered() -> None:
    """The fault is named."""
    registry = ProcessRegistry()
    registry.add(launch_of(os.getpid()), delay_seconds=math.inf)
    assert "never registered" in registry.judge(os.getpid()).reason


def test_a_lost_registration_is_not_registered() -> None:
    """Losing an unknown run does nothing."""
    registry = ProcessRegistry()
    registry.add(launch_of(os.getpid()))
    registry.lose("other")
    assert registry.judge(os.getpid()).launch
    registry.lose("run1")
    assert "was lost" in registry.judge(os.getpid()).reason


def test_a_removed_process_is_foreign() -> None:
    """Removing twice does nothing more."""
    registry = ProcessRegistry()
    registry.add(launch_of(os.getpid()))
    registry.remove("run1")
    registry.remove("run1")
    assert "was not launched" in registry.judge(os.getpid()).reason
    assert registry.candidates() == frozenset()


def test_a_pid_with_another_start_is_not_registered() -> None:
    """A launch from before the PID was reused gives nothing to the process that has it now."""
    registry = ProcessRegistry()
    launch = launch_of(os.getpid())
    registry.add(dataclasses.replace(launch, started=launch.started - 60))
    assert "its PID is used by another process" in registry.judge(os.getpid()).reason


def test_a_process_that_has_ended_is_not_registered() -> None:
    """A PID without a process is not trusted, even before its removal."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with process:
        registry = ProcessRegistry()
        registry.add(launch_of(process.pid))
        assert registry.judge(process.pid).launch
        process.communicate(b"\n")
    assert not registry.judge(process.pid).launch


def test_the_next_task_of_a_run_replaces_the_one_before() -> None:
    """A run has one process at a time."""
    with connected_process() as peer:
        registry = ProcessRegistry()
        registry.add(launch_of(os.getpid()))
        registry.add(launch_of(peer.pid))
        assert registry.candidates() == {peer.pid}


def test_exact_trust_ends_at_the_launched_process() -> None:
    """The reason for a child names both processes and the way out."""
    with connected_process(by_child=True) as peer:
        registry = ProcessRegistry()
        registry.add(launch_of(peer.pid))
        assert registry.candidates() == {peer.pid}
        (child,) = registry.relatives()
        verdict = registry.judge(child)
    assert not verdict.launch
    assert f"process {child} is a child of launched process {peer.pid}" in verdict.reason
    assert "--trust tree" in verdict.reason


def test_tree_trust_covers_children() -> None:
    """A child has its ancestor's launch, and is a candidate."""
    with connected_process(by_child=True) as peer:
        registry = ProcessRegistry("tree")
        launch = launch_of(peer.pid)
        registry.add(launch)
        (child,) = registry.candidates() - {peer.pid}
        assert registry.judge(child).launch is launch
        registry.lose("run1")
        assert not registry.judge(child).launch
