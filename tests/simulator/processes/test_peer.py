"""Tests of finding the process at the other end of a connection."""

from __future__ import annotations

import os
import socket
import sys
import time

import pytest
from simulator.process_peer import connected_process

from epm_task.simulator.processes.peer import _by_psutil, peer_pid


def test_the_process_that_connected_is_found() -> None:
    """The connection's far end belongs to the other process, its near end to us."""
    with connected_process() as peer:
        both = {peer.pid, os.getpid()}
        assert peer_pid(peer.local, peer.peer, both) == peer.pid
        assert peer_pid(peer.peer, peer.local, both) == os.getpid()


def test_the_process_is_found_over_ipv6() -> None:
    """IPv6 loopback works like IPv4."""
    with connected_process(host="::1") as peer:
        assert peer_pid(peer.local, peer.peer, {peer.pid}) == peer.pid


def test_an_ipv6_socket_that_connected_to_ipv4_is_found() -> None:
    """Many programs open one dual-stack socket; the kernel still knows it by its IPv4 addresses."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as client,
    ):
        client.connect(("::ffff:127.0.0.1", server.getsockname()[1]))
        accepted, address = server.accept()
        with accepted:
            assert peer_pid(accepted.getsockname(), address, {os.getpid()}) == os.getpid()


def test_a_process_that_is_no_candidate_is_not_found() -> None:
    """Only candidates are looked at."""
    with connected_process() as peer:
        assert peer_pid(peer.local, peer.peer, {os.getpid()}) is None
        assert peer_pid(peer.local, peer.peer, set()) is None


def test_a_candidate_that_has_ended_is_passed_over() -> None:
    """A PID without a process is not an error."""
    with connected_process() as peer:
        assert peer_pid(peer.local, peer.peer, {peer.pid, 2**22 + 1}) == peer.pid


def test_no_process_is_found_for_a_connection_that_does_not_exist() -> None:
    """Addresses that are not connected have no owner."""
    assert peer_pid(("127.0.0.1", 1), ("127.0.0.1", 2), {os.getpid()}) is None


def test_a_listener_on_the_peers_port_is_not_taken_for_the_peer() -> None:
    """A connection that is gone has no owner, even when somebody listens where it came from."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert peer_pid(("127.0.0.1", 1), server.getsockname(), {os.getpid()}) is None


@pytest.mark.skipif(sys.platform != "linux", reason="the bound holds for the kernel's own lookup")
def test_a_lookup_takes_less_than_a_millisecond() -> None:
    """Of the processor's time, in the best of some rounds."""
    with connected_process() as peer:
        rounds = []
        for _ in range(50):
            start = time.thread_time()
            peer_pid(peer.local, peer.peer, {peer.pid})
            rounds.append(time.thread_time() - start)
    assert min(rounds) < 0.001


def test_the_way_of_other_systems_finds_the_same() -> None:
    """They ask psutil, which works here too."""
    with connected_process() as peer:
        candidates = {peer.pid, os.getpid(), 2**22 + 1}
        assert _by_psutil(peer.local, peer.peer, candidates) == peer.pid
        assert _by_psutil(peer.local, peer.peer, {2**22 + 1}) is None
