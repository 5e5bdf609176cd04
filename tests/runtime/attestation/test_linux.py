"""Netlink and /proc tell the same about a socket."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from epm_task.runtime.attestation import linux
from epm_task.runtime.attestation.linux import NETLINK, PROC, SOURCES, Source

if TYPE_CHECKING:
    from epm_task.runtime.attestation import Endpoint
    from epm_task.runtime.attestation.linux import TcpRow

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux is asked")

ADDRESSES = ["127.0.0.1", "::1", "0.0.0.0", "::"]


def _refuse(*_: object) -> list[TcpRow]:
    raise PermissionError(errno.EPERM, "Operation not permitted")


#: A source that this process may not use.
CLOSED = Source(_refuse, _refuse)


def _listen(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family, dualstack_ipv6=host == "::")


def _end(host: str, port: int) -> Endpoint:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.inet_pton(family, host), port


@pytest.mark.parametrize("host", ADDRESSES)
def test_both_sources_agree_on_a_listener(host: str) -> None:
    """Address, uid and inode of a listening socket are the same from both."""
    with _listen(host) as sock:
        port = sock.getsockname()[1]
        rows = NETLINK.listening(port)
        assert rows == PROC.listening(port)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        inode = os.fstat(sock.fileno()).st_ino
        assert rows == [(socket.inet_pton(family, host), os.geteuid(), inode)]


@pytest.mark.parametrize(
    ("bound", "host"), list(zip(ADDRESSES, ["127.0.0.1", "::1"] * 2, strict=True))
)
def test_both_sources_agree_on_a_connection(bound: str, host: str) -> None:
    """The accepted socket is found from its two ends, also on a dual-stack listener."""
    with _listen(bound) as sock:
        port = sock.getsockname()[1]
        with socket.create_connection((host, port)) as client, sock.accept()[0] as accepted:
            ends = _end(host, port), _end(*client.getsockname()[:2])
            rows = NETLINK.connected(*ends)
            assert rows == PROC.connected(*ends)
            assert [row.inode for row in rows] == [os.fstat(accepted.fileno()).st_ino]


def test_both_sources_agree_on_several_listeners() -> None:
    """The kernel puts several answers into one datagram."""
    with _listen("127.0.0.1") as first:
        port = first.getsockname()[1]
        hosts = [f"127.0.0.{n}" for n in range(2, 9)]
        others = [socket.create_server((host, port)) for host in hosts]
        try:
            rows = NETLINK.listening(port)
            assert sorted(rows) == sorted(PROC.listening(port))
            assert {row.local for row in rows} == {
                socket.inet_aton(host) for host in ("127.0.0.1", *hosts)
            }
        finally:
            for other in others:
                other.close()


def test_dual_stack_listener_has_an_ipv4_connection() -> None:
    """An accepted socket of family IPv6 with mapped addresses is found by its IPv4 ends."""
    with _listen("::") as sock:
        port = sock.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, sock.accept()[0]:
            ends = _end("127.0.0.1", port), _end(*client.getsockname())
            for source in SOURCES:
                (row,) = source.connected(*ends)
                assert row.local == socket.inet_aton("127.0.0.1")


def test_socket_that_proc_shows_twice_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel shows a socket again when the table changed between two reads of it."""
    with _listen("127.0.0.1") as sock:
        port = sock.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, sock.accept()[0]:
            ends = _end("127.0.0.1", port), _end(*client.getsockname())
            table = Path(linux._FOLDER, "tcp").read_text(encoding="ascii")
            expected = PROC.connected(*ends)
    (tmp_path / "tcp").write_text(table + table, encoding="ascii")
    monkeypatch.setattr(linux, "_FOLDER", f"{tmp_path}/")
    assert PROC.connected(*ends) == expected
    assert len(expected) == 1


def test_proc_answers_when_netlink_is_closed() -> None:
    """A sandbox without netlink falls back to /proc."""
    sources = [CLOSED, PROC]
    with _listen("127.0.0.1") as sock:
        address, port = _end(*sock.getsockname())
        assert linux.listeners(address, port, sources=sources)[0].trusted
        with socket.create_connection(sock.getsockname()) as client:
            ends = (address, port), _end(*client.getsockname())
            assert linux.owners(*ends, sources=sources) == []
            with sock.accept()[0]:
                assert linux.owners(*ends, sources=sources)[0].trusted


def test_no_source_is_an_error_not_an_empty_table() -> None:
    """What cannot be read must not look like a port without a listener."""
    end = socket.inet_aton("127.0.0.1"), 1
    with pytest.raises(PermissionError):
        linux.listeners(*end, sources=[CLOSED, CLOSED])
    with pytest.raises(PermissionError):
        linux.owners(end, end, sources=[NETLINK, CLOSED])
    with pytest.raises(OSError, match="no source"):
        linux.listeners(*end, sources=[])


def test_absent_connection_is_no_row() -> None:
    """Two ends that never met have no socket, and a listener is not offered in its place."""
    with _listen("127.0.0.1") as sock:
        ends = _end(*sock.getsockname()), _end("127.0.0.1", 1)
        for source in SOURCES:
            assert source.connected(*ends) == []


def test_refused_question_is_an_error() -> None:
    """The kernel's own refusal, here of an unknown family, is raised."""
    question = linux._question(200, 0, (b"", 1), (b"", 0))
    with pytest.raises(OSError, match=r"No such file|not supported|Invalid"):
        list(linux._ask(question, 0x301))


def test_absent_module_is_no_empty_table() -> None:
    """ENOENT about one socket means that there is none; about a list, that netlink cannot tell."""
    body = struct.pack("=i", -errno.ENOENT)
    linux._raise_unless_absent(body, dump=False)
    with pytest.raises(FileNotFoundError):
        linux._raise_unless_absent(body, dump=True)


def test_find_pid_finds_this_process() -> None:
    """The process that holds a socket is found; an unknown inode is None."""
    with _listen("127.0.0.1") as sock:
        assert linux.find_pid(os.fstat(sock.fileno()).st_ino) == os.getpid()
    assert linux.find_pid(0) is None
