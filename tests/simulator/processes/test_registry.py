"""Tests of what the agent knows of processes, and of what a connection may do."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from simulator.process_peer import connected_process, launch_of

from epm_task.simulator.processes.registry import Access, ProcessRegistry
from epm_task.simulator.processes.tree import program_of

CERTIFICATE = {"subject": ((("commonName", "admin"),),)}


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
    registry.add(launch._replace(birth=(launch.birth or 0) - 1))
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


def test_a_launched_process_has_the_plugin_tier() -> None:
    """The launch comes with the caller, and the certificate's tier does not."""
    with connected_process() as peer:
        registry = ProcessRegistry()
        registry.add(launch_of(peer.pid))
        caller = Access(registry).identify(peer.local, peer.peer, None)
    assert caller.launch is not None
    assert caller.pid == peer.pid
    assert not caller.admin


def test_a_foreign_process_has_no_tier() -> None:
    """Without a certificate and a launch there is nothing."""
    with connected_process() as peer:
        caller = Access(ProcessRegistry()).identify(peer.local, peer.peer, {})
    assert caller.launch is None
    assert not caller.admin


def test_a_certificate_gives_the_admin_tier_alone() -> None:
    """An admin is not a plugin."""
    with connected_process() as peer:
        caller = Access(ProcessRegistry()).identify(peer.local, peer.peer, CERTIFICATE)
    assert caller.admin
    assert caller.launch is None


def test_a_refusal_is_not_remembered() -> None:
    """The same connection is trusted as soon as its process is registered."""
    with connected_process() as peer:
        registry = ProcessRegistry()
        access = Access(registry)
        assert access.identify(peer.local, peer.peer, None).launch is None
        registry.add(launch_of(peer.pid))
        assert access.identify(peer.local, peer.peer, None).launch is not None
        registry.lose("run1")
        assert access.identify(peer.local, peer.peer, None).launch is None


def test_a_child_is_named_in_the_refusal_under_exact_trust() -> None:
    """The reason finds the child although it is not a candidate."""
    with connected_process(by_child=True) as peer:
        registry = ProcessRegistry()
        registry.add(launch_of(peer.pid))
        caller = Access(registry).identify(peer.local, peer.peer, None)
    assert caller.launch is None
    assert "is a child of launched process" in caller.reason


def test_a_child_has_the_plugin_tier_under_tree_trust() -> None:
    """A shell's curl may read settings."""
    with connected_process(by_child=True) as peer:
        registry = ProcessRegistry("tree")
        registry.add(launch_of(peer.pid))
        caller = Access(registry).identify(peer.local, peer.peer, None)
    assert caller.launch is not None


def test_a_registered_process_may_use_its_declared_topics() -> None:
    """Topics match exactly, and wildcards match only themselves."""
    with connected_process() as peer:
        registry = ProcessRegistry()
        topics = frozenset({"a/b"}), frozenset({"c/#"})
        registry.add(launch_of(peer.pid, publications=topics[0], subscriptions=topics[1]))
        admission = Access(registry).admit("probe_run1", peer.local, peer.peer, None)
    assert admission.allowed
    assert (admission.job_id, admission.run_id) == ("probe", "run1")
    assert admission.may_publish("a/b")
    assert not admission.may_publish("c/d")
    assert admission.may_subscribe("c/#")
    assert not admission.may_subscribe("a/b")


@pytest.mark.parametrize("client_id", ["other_run1", "", "_run1"])
def test_a_client_id_of_another_job_is_refused(client_id: str) -> None:
    """The job in the client id must be the one that the process runs."""
    with connected_process() as peer:
        registry = ProcessRegistry()
        registry.add(launch_of(peer.pid))
        admission = Access(registry).admit(client_id, peer.local, peer.peer, None)
    assert not admission.allowed
    assert "the process runs job 'probe'" in admission.reason


def test_a_process_that_is_not_registered_may_not_connect() -> None:
    """A right client id does not help."""
    with connected_process() as peer:
        admission = Access(ProcessRegistry()).admit("probe_1", peer.local, peer.peer, None)
    assert not admission.allowed
    assert not admission.may_publish("KeeperLogger")
    assert not admission.may_subscribe("KeeperLogger")


def test_an_admin_may_use_any_client_id_and_topic() -> None:
    """The certificate is enough."""
    with connected_process() as peer:
        access = Access(ProcessRegistry())
        admission = access.admit("viewer", peer.local, peer.peer, CERTIFICATE)
    assert admission.allowed
    assert admission.may_publish("any/thing")
    assert admission.may_subscribe("#")


def test_the_job_id_is_read_by_the_template() -> None:
    """The place of the job id in the client id can be overridden."""
    with connected_process() as peer:
        registry = ProcessRegistry()
        registry.add(launch_of(peer.pid))
        access = Access(registry, client_id_template="{run_id}_{job_id}")
        assert access.admit("run1_probe", peer.local, peer.peer, None).allowed


def _digest_of(pid: int) -> str:
    return hashlib.sha256(Path(program_of(pid)).read_bytes()).hexdigest()


def test_an_unsigned_program_may_not_connect() -> None:
    """The API serves it; the reason holds the digest that would admit it, and no other does."""
    listed = ["0" * 64]
    with connected_process() as peer:
        registry = ProcessRegistry("signed")
        registry.add(launch_of(peer.pid))
        access = Access(registry, signed=lambda: ", ".join(listed))
        refused = access.admit("probe_1", peer.local, peer.peer, None)
        assert not refused.allowed
        assert access.identify(peer.local, peer.peer, None).launch
        digest = _digest_of(peer.pid)
        assert digest in refused.reason
        listed.append(digest.upper())
        assert access.admit("probe_1", peer.local, peer.peer, None).allowed
        assert not access.admit("other_1", peer.local, peer.peer, None).allowed
        registry.remove("run1")
        assert not access.admit("probe_1", peer.local, peer.peer, None).allowed


@pytest.mark.parametrize("trust", ["exact", "tree"])
def test_signatures_do_not_count_unless_asked_for(trust: Literal["exact", "tree"]) -> None:
    """The vendor says both; the default is the one without which no script could be tried."""
    with connected_process() as peer:
        registry = ProcessRegistry(trust)
        registry.add(launch_of(peer.pid))
        assert Access(registry).admit("probe_1", peer.local, peer.peer, None).allowed


def test_signed_trust_ends_at_the_launched_process() -> None:
    """A child of a signed program is not admitted, whatever program it is."""
    with connected_process(by_child=True) as peer:
        registry = ProcessRegistry("signed")
        registry.add(launch_of(peer.pid))
        digest = _digest_of(peer.pid)
        access = Access(registry, signed=lambda: digest)
        refused = access.admit("probe_1", peer.local, peer.peer, None)
    assert not refused.allowed
    assert "trust is signed" in refused.reason
