"""Who holds the other end: real sockets of a real second user."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from peers.patience import PATIENCE
from peers.second_user import BECOME, NOBODY, connected, listener
from peers.task_process import unmeasured

from epm_task.runtime.attestation.attestation import (
    Impostor,
    Unattested,
    check_listener,
    check_peer,
)

if sys.platform == "linux":
    from epm_task.runtime.attestation.linux import PROC

linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux is asked")
needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0,
    reason="needs root: a listener of a second user is started",
)


def own_listener(host: str = "127.0.0.1") -> socket.socket:
    """Listen in this process."""
    return socket.create_server(
        (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
    )


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        pytest.param("::1", marks=pytest.mark.wine_differs("its table names no process for IPv6")),
    ],
)
def test_own_listener_and_peer_are_trusted(host: str) -> None:
    """A listener of our own user passes before the connect, its accepted socket afterwards."""
    with own_listener(host) as sock:
        check_listener(host, sock.getsockname()[1])
        with connected(host, sock.getsockname()[1], greeted=False) as client, sock.accept()[0]:
            check_peer(client)


def test_nobody_listens_is_no_error() -> None:
    """A closed port is left to the connect, which fails by itself."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        check_listener("127.0.0.1", reserved.getsockname()[1])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1.", "::1%lo", ""])
def test_name_is_not_resolved(host: str) -> None:
    """What is no IP address is refused, never looked up."""
    with pytest.raises(Unattested, match="nobody can tell"):
        check_listener(host, 6889)


@needs_root
def test_impostor_on_the_port_is_named() -> None:
    """S1: another user's listener is refused before the connect, with its uid and pid."""
    with listener() as (port, pid), pytest.raises(Impostor, match=f"process {pid}") as caught:
        check_listener("127.0.0.1", port)
    found = caught.value
    assert (found.uid, found.pid, found.host, found.port) == (NOBODY, pid, "127.0.0.1", port)
    assert f"127.0.0.1:{port} is held by uid {NOBODY}" in str(found)


@needs_root
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_impostor_that_accepted_is_named(host: str) -> None:
    """The owner of the accepted socket counts, whatever the listener looked like before."""
    with (
        listener(host) as (port, pid),
        connected(host, port) as sock,
        pytest.raises(Impostor) as caught,
    ):
        check_peer(sock)
    assert (caught.value.uid, caught.value.pid) == (NOBODY, pid)


@needs_root
def test_listener_of_root_that_another_user_accepts_is_refused() -> None:
    """A listening socket handed over to another user passes the first check, not the second."""
    with listener(uids=(0, NOBODY)) as (port, pid):
        check_listener("127.0.0.1", port)
        with connected("127.0.0.1", port) as sock, pytest.raises(Impostor) as caught:
            check_peer(sock)
    assert (caught.value.uid, caught.value.pid) == (NOBODY, pid)


@needs_root
def test_socket_that_is_not_accepted_is_refused() -> None:
    """S2: a socket that waits to be accepted has no owner; old kernels show uid 0 for it."""
    with (
        listener(accepts=False) as (port, _),
        connected("127.0.0.1", port, greeted=False) as sock,
        pytest.raises(Unattested, match="has accepted"),
    ):
        check_peer(sock)


@linux
def test_own_socket_that_is_not_accepted_is_refused() -> None:
    """Our own listener's queue is no owner either: the rule does not depend on the uid."""
    with (
        own_listener() as sock,
        connected(*sock.getsockname(), greeted=False) as client,
        pytest.raises(Unattested),
    ):
        check_peer(client)


@needs_root
def test_impostor_on_the_other_loopback_does_not_matter() -> None:
    """S3: another user on [::1] is refused there, and does not disturb 127.0.0.1."""
    with own_listener() as sock:
        port = sock.getsockname()[1]
        with listener("::1", port):
            check_listener("127.0.0.1", port)
            with pytest.raises(Impostor, match=r"\[::1\]:"):
                check_listener("::1", port)


@needs_root
@pytest.mark.parametrize(
    ("bound", "host"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "127.0.0.1"),
        ("::", "::1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
    ],
)
def test_impostor_on_a_wildcard_is_refused(bound: str, host: str) -> None:
    """A listener on every address, also a dual-stack one, would accept the connection."""
    with listener(bound) as (port, _):
        with pytest.raises(Impostor):
            check_listener(host, port)
        with connected(host, port) as sock, pytest.raises(Impostor):
            check_peer(sock)


@needs_root
def test_wildcard_behind_the_exact_address_cannot_block() -> None:
    """An IPv6-only wildcard gets no IPv4 connection, so another user cannot stop tasks with it."""
    with own_listener() as sock:
        port = sock.getsockname()[1]
        with listener("::", port, only_ipv6=True):
            check_listener("127.0.0.1", port)


@linux
def test_mapped_address_is_the_ipv4_one() -> None:
    """A client that writes ::ffff:127.0.0.1 meets the same listener."""
    with own_listener() as sock:
        port = sock.getsockname()[1]
        check_listener("::ffff:127.0.0.1", port)
        with connected("::ffff:127.0.0.1", port, greeted=False) as client, sock.accept()[0]:
            check_peer(client)


def test_peer_that_has_closed_is_a_lost_connection() -> None:
    """A closed peer has no owner any more: that is a reset to retry, no impostor."""
    with own_listener() as sock, connected(*sock.getsockname(), greeted=False) as client:
        sock.accept()[0].close()
        assert client.recv(1) == b""
        with pytest.raises(ConnectionResetError, match="closed before"):
            check_peer(client)


@linux
def test_without_a_descriptor_nobody_can_tell() -> None:
    """The kernel cannot be asked then: that is no trust."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with (
        own_listener() as sock,
        connected(*sock.getsockname(), greeted=False) as client,
        sock.accept()[0],
    ):
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            with pytest.raises(Unattested, match="Too many open files"):
                check_listener(*sock.getsockname())
            with pytest.raises(Unattested, match="Too many open files"):
                check_peer(client)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.wine_differs("its table has no row of what is half closed")
def test_peer_that_has_half_closed_is_still_owned() -> None:
    """A peer that only shut down its writing side is still held by its process."""
    with (
        own_listener() as sock,
        connected(*sock.getsockname(), greeted=False) as client,
        sock.accept()[0] as accepted,
    ):
        accepted.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        check_peer(client)


def test_port_in_time_wait_is_served_again() -> None:
    """Rows in TIME_WAIT on the same port, uid 0 and inode 0, do not count."""
    with own_listener() as sock:
        address = sock.getsockname()
        with connected(*address, greeted=False) as client:
            sock.accept()[0].close()
            assert client.recv(1) == b""
        check_listener(*address)
        with connected(*address, greeted=False) as client, sock.accept()[0]:
            check_peer(client)


@needs_root
def test_the_calling_threads_network_namespace_counts() -> None:
    """In a thread with a network namespace of its own no source shows a listener."""
    ctypes = pytest.importorskip("ctypes")
    outcome: list[object] = []

    def elsewhere(port: int) -> None:
        if ctypes.CDLL(None, use_errno=True).unshare(0x4000_0000):  # CLONE_NEWNET, sched.h
            outcome.append(ctypes.get_errno())
            return
        try:
            check_listener("127.0.0.1", port)
            outcome.append(PROC.listening(port))
        except Impostor as error:
            outcome.append(error)

    with listener() as (port, _):
        thread = threading.Thread(target=elsewhere, args=(port,))
        thread.start()
        thread.join()
        if isinstance(outcome[0], int):
            pytest.skip(f"this container refuses a network namespace: {os.strerror(outcome[0])}")
        assert outcome == [[]]


@needs_root
def test_unprivileged_task_trusts_root_and_itself_only() -> None:
    """As uid 1, root's agent and our own are accepted; the pid of a third stays unseen."""
    code = (
        "import os, sys\n"
        "from epm_task.runtime.attestation.attestation import Impostor, check_listener\n"
        "os.setgroups([]); os.setgid(1); os.setuid(1)\n"
        "for port in map(int, sys.argv[1:]):\n"
        "    try:\n        check_listener('127.0.0.1', port); print('trusted')\n"
        "    except Impostor as error:\n        print(error.uid, error.pid)\n"
    )
    with own_listener() as own, listener(uids=(1, 1)) as (same, _), listener() as (foreign, _):
        ports = map(str, (own.getsockname()[1], same, foreign))
        command = [sys.executable, "-c", code, *ports]
        answer = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=PATIENCE
        )
    assert answer.stdout.splitlines() == ["trusted", "trusted", f"{NOBODY} None"]


@linux
def test_check_costs_less_than_ten_milliseconds() -> None:
    """Both checks together, with 400 sockets around, use the processor for 10 ms at most."""
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(own_listener())
        for _ in range(200):
            client = stack.enter_context(connected(*sock.getsockname(), greeted=False))
            stack.enter_context(sock.accept()[0])
        seconds = []
        for _ in range(5):
            start = time.thread_time()
            check_listener(*sock.getsockname())
            check_peer(client)
            seconds.append(time.thread_time() - start)
    assert min(seconds) < 0.010


#: Tries to listen on a port beside its holder; prints each attempt that succeeds, then ends.
_JOIN = """
for option in (0, socket.SO_REUSEADDR, socket.SO_REUSEPORT):
    for host in ("127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as joining:
            if option:
                joining.setsockopt(socket.SOL_SOCKET, option, 1)
            if ":" in host:
                joining.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            try:
                joining.bind((host, int(sys.argv[1]))); joining.listen(8)
                print("joined", host, option)
            except OSError as error:
                assert error.errno == errno.EADDRINUSE, error
print("tried")
"""


@needs_root
@pytest.mark.parametrize("option", [0, socket.SO_REUSEADDR, getattr(socket, "SO_REUSEPORT", 15)])
def test_second_user_cannot_join_the_port(option: int) -> None:
    """A4: the kernel shares a port among the sockets of one user only, whatever options are set."""
    with socket.socket() as sock:
        if option:
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        code = f"import errno, socket, sys\n{BECOME}{_JOIN}"
        command = [sys.executable, "-I", "-c", code, str(port)]
        # Coverage would say that this user may not write its file.
        tried = subprocess.run(
            command, env=unmeasured(), capture_output=True, text=True, check=False
        )
        assert (tried.stdout, tried.stderr) == ("tried\n", "")
        check_listener("127.0.0.1", port)
        with connected("127.0.0.1", port, greeted=False) as client, sock.accept()[0]:
            check_peer(client)
