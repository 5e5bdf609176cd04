"""Tests of what a connection may do."""

from __future__ import annotations

import pytest
from simulator.process_peer import connected_process, launch_of

from epm_task.simulator.processes.access import Access
from epm_task.simulator.processes.registry import ProcessRegistry

CERTIFICATE = {"subject": ((("commonName", "admin"),),)}


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
        topics = {"publications": frozenset({"a/b"}), "subscriptions": frozenset({"c/#"})}
        registry.add(launch_of(peer.pid, **topics))
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
