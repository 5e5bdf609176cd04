"""Tests of finding the process at the other end of a connection."""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import TYPE_CHECKING

import pytest
from simulator.process_peer import connected_process

from epm_task.simulator.processes.peer import Seen, _by_psutil, peer_pid

if TYPE_CHECKING:
    from collections.abc import Iterator


linux = pytest.mark.skipif(sys.platform != "linux", reason="psutil searches anew each time")


class _Unsearched(set[int]):
    """Candidates that may be asked about one process, and not be gone through."""

    def __iter__(self) -> Iterator[int]:
        raise AssertionError("the candidates were searched")


def test_the_process_that_connected_is_found() -> None:
    """The connection's far end belongs to the other process."""
    with connected_process() as peer:
        assert peer_pid(peer.local, peer.peer, {peer.pid, os.getpid()}) == peer.pid


@pytest.mark.wine_differs("its table names no process that accepts connections")
def test_our_own_end_is_found() -> None:
    """The same connection, asked about from the other end, is ours."""
    with connected_process() as peer:
        assert peer_pid(peer.peer, peer.local, {peer.pid, os.getpid()}) == os.getpid()


@pytest.mark.wine_differs("its table names no process for IPv6")
def test_the_process_is_found_over_ipv6() -> None:
    """IPv6 loopback works like IPv4."""
    with connected_process(host="::1") as peer:
        assert peer_pid(peer.local, peer.peer, {peer.pid}) == peer.pid


@pytest.mark.wine_differs("its table names no process for IPv6")
def test_an_ipv6_socket_that_connected_to_ipv4_is_found() -> None:
    """Many programs open one dual-stack socket; the kernel still knows it by its IPv4 addresses."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as client,
    ):
        client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        client.connect(("::ffff:127.0.0.1", server.getsockname()[1]))
        client.sendall(b"!")
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


def test_others_are_asked_for_only_when_a_process_holds_the_connection() -> None:
    """For a connection that was closed nobody walks over all processes."""
    asked: list[int] = []

    def others() -> list[int]:
        asked.append(len(asked))
        return [peer.pid]

    with connected_process() as peer:
        assert peer_pid(peer.local, peer.peer, {os.getpid()}, others=others) == peer.pid
        assert peer_pid(("127.0.0.1", 1), ("127.0.0.1", 2), {peer.pid}, others=others) is None
    assert asked == [0]


@linux
def test_one_search_serves_the_connections_that_it_has_passed() -> None:
    """For a connection that it has seen, no candidate is searched, however many there are."""
    seen: Seen = {}
    with connected_process() as one, connected_process() as two:
        older, newer = sorted((one, two), key=lambda peer: peer.pid)
        assert peer_pid(older.local, older.peer, {one.pid, two.pid}, seen=seen) == older.pid
        assert peer_pid(newer.local, newer.peer, _Unsearched([newer.pid]), seen=seen) == newer.pid


@linux
def test_what_was_seen_is_looked_at_again() -> None:
    """A hint that is wrong, or leads to a process that is no candidate, is not believed."""
    with connected_process() as peer:
        seen: Seen = {}
        assert peer_pid(peer.local, peer.peer, {peer.pid}, seen=seen) == peer.pid
        assert peer_pid(peer.local, peer.peer, {os.getpid()}, seen=seen) is None
        for name in seen:
            seen[name] = os.getpid(), f"/proc/{os.getpid()}/fd/0"
        assert peer_pid(peer.local, peer.peer, {os.getpid()}, seen=seen) is None
        assert peer_pid(peer.local, peer.peer, {os.getpid(), peer.pid}, seen=seen) == peer.pid


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
