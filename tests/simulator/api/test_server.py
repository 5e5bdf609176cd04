"""The server: broken clients, large bodies, start and stop, the HTTP port."""

from __future__ import annotations

import os
import socket
import ssl
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from peers.patience import PATIENCE
from simulator.api.api_agent import ApiAgent, job_document

from epm_task.simulator.api.server import ApiServer
from epm_task.simulator.certificates import Authority, server_context
from epm_task.simulator.faults.faults import Faults
from epm_task.simulator.processes.registry import Access, ProcessRegistry
from epm_task.simulator.start_error import PortTaken
from epm_task.simulator.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


PUT = b"PUT /api/PluginSettings/KeeperPrivilegeManager/k HTTP/1.1\r\nHost: x\r\n"
JSON = b"Content-Type: application/json\r\n"


def tls(agent: ApiAgent, *, admin: bool = False) -> ssl.SSLSocket:
    """Return an open TLS connection."""
    raw = socket.create_connection(("127.0.0.1", agent.server.port), 5)
    return agent.client_context(admin=admin).wrap_socket(raw, server_hostname="127.0.0.1")


def read_to_end(connection: socket.socket) -> bytes:
    """Return what comes until the agent ends the connection."""
    connection.settimeout(5)
    data = b""
    try:
        while chunk := connection.recv(65_536):
            data += chunk
    except (ConnectionError, ssl.SSLError):
        return data
    return data


def wait_for_reason(agent: ApiAgent, reason: str) -> None:
    """Return when an event of the trace has this reason."""
    deadline = time.monotonic() + PATIENCE
    while not any(reason in event.reason for event in agent.trace):
        assert time.monotonic() < deadline, [str(event) for event in agent.trace]
        time.sleep(0.005)


def is_served(agent: ApiAgent) -> bool:
    """Tell whether a well-behaved client gets its answer."""
    with agent.client() as client:
        return client.get("/health").status_code == 200


@pytest.mark.parametrize("port", ["port", "http_port"])
def test_random_bytes_do_not_harm(tmp_path: Path, port: str) -> None:
    """More of them than the headers of a request may have, on both ports."""
    with ApiAgent(tmp_path) as agent:
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", getattr(agent.server, port))) as noise:
                try:
                    noise.sendall(os.urandom(20_000))
                    read_to_end(noise)
                except ConnectionError:
                    continue
        assert is_served(agent)


def test_random_bytes_inside_tls_do_not_harm(tmp_path: Path) -> None:
    """They are no HTTP."""
    with ApiAgent(tmp_path) as agent:
        with tls(agent) as noise:
            noise.sendall(b"\xff" + os.urandom(20_000))
            read_to_end(noise)
        assert is_served(agent)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [(b"GET / HTTP/9.9", 505), (b"GET /\xff HTTP/1.1", 400), (b"\x00 / HTTP/1.1", 400)],
)
def test_a_request_that_is_no_http_is_traced(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], request_line: bytes, status: int
) -> None:
    """And written nowhere else: anybody could fill stderr with tracebacks."""
    with ApiAgent(tmp_path) as agent:
        with tls(agent) as noise:
            noise.sendall(request_line + b"\r\n\r\n")
            assert read_to_end(noise).startswith(b"HTTP/1.1 %d " % status)
        events = [event for event in agent.trace if event.what == "a request was no HTTP"]
        assert [(event.action, event.denied, bool(event.reason)) for event in events] == [
            ("refused", True, True)
        ]
        assert is_served(agent)
    assert capfd.readouterr() == ("", "")


def test_a_failed_handshake_is_traced(tmp_path: Path) -> None:
    """Plain HTTP on the HTTPS port is a common mistake."""
    with ApiAgent(tmp_path) as agent:
        with socket.create_connection(("127.0.0.1", agent.server.port)) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            read_to_end(plain)
        wait_for_reason(agent, "TLS failed: HTTP_REQUEST")


def test_a_body_that_never_comes_is_traced(tmp_path: Path) -> None:
    """The client went away in the middle."""
    with ApiAgent(tmp_path) as agent:
        agent.trust_this_process()
        with tls(agent) as gone:
            gone.sendall(PUT + JSON + b"Expect: 100-continue\r\nContent-Length: 50\r\n\r\n")
            assert gone.recv(1000).startswith(b"HTTP/1.1 100 ")
            gone.sendall(b"{")
        wait_for_reason(agent, "the body did not arrive")


def test_a_body_over_one_mebibyte_is_413(tmp_path: Path) -> None:
    """Whether its size is declared or not; one byte less is read."""

    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    headers = {"Content-Type": "application/json"}
    path = "/api/PluginSettings/KeeperPrivilegeManager/key"
    with ApiAgent(tmp_path) as agent, agent.client() as client:
        agent.trust_this_process()
        declared = client.put(path, content=b" " * (2**20 + 1), headers=headers)
        assert declared.status_code == 413
        chunked = client.put(path, content=chunks(), headers=headers)
        assert chunked.status_code == 413
        body = b'{"value": "x"}'.ljust(2**20)
        assert client.put(path, content=body, headers=headers).status_code == 200


def test_a_large_answer_arrives_whole(tmp_path: Path) -> None:
    """Its length is declared, and the connection goes on."""
    with ApiAgent(tmp_path) as agent, agent.client(admin=True) as client:
        agent.jobs.put(job_document(pad="x" * 1_000_000))
        response = client.get("/api/Jobs/probe")
        assert response.json()["pad"] == "x" * 1_000_000
        assert int(response.headers["content-length"]) == len(response.content)
        assert client.get("/health").status_code == 200


def test_stopping_ends_open_connections(tmp_path: Path) -> None:
    """Also one that is in the middle of a request, and one in the middle of the handshake."""
    with ApiAgent(tmp_path) as agent:
        agent.trust_this_process()
        half = socket.create_connection(("127.0.0.1", agent.server.port))
        open_request = tls(agent)
        open_request.sendall(PUT + JSON + b"Content-Length: 9\r\n\r\n")
        time.sleep(0.05)
    with half, open_request:
        assert read_to_end(half) == b""
        read_to_end(open_request)


def test_a_taken_port_says_by_whom(tmp_path: Path) -> None:
    """Nothing of the second server stays open."""
    with ApiAgent(tmp_path) as agent:
        for wanted in (
            {"port": agent.server.port},
            {"http_port": agent.server.port},
        ):
            second = ApiServer(
                [],
                Access(ProcessRegistry()),
                Trace(),
                server_context(Authority.create()),
                faults=Faults(),
                **wanted,  # type: ignore[arg-type]
            )
            with pytest.raises(PortTaken, match=rf"process {os.getpid()}\b"):
                agent._run(second.start())


def test_only_loopback_is_listened_on(tmp_path: Path) -> None:
    """Another address of this machine is refused."""
    with ApiAgent(tmp_path) as agent, pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.2:{agent.server.http_port}/", trust_env=False)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health"),
        ("POST", "/api/Jobs"),
        ("GET", "/api/PluginSettings/a%2Fb?x=1"),
        ("GET", "//evil.example/x"),
        ("DELETE", "/"),
    ],
)
def test_every_request_is_sent_to_https(tmp_path: Path, method: str, path: str) -> None:
    """The path and the query stay; a Host header does not choose the target."""
    with ApiAgent(tmp_path) as agent:
        agent.trust_this_process()
        url = f"http://127.0.0.1:{agent.server.http_port}{path}"
        response = httpx.request(method, url, headers={"Host": "evil.example"}, trust_env=False)
        assert response.status_code == 307
        assert response.headers["location"] == f"{agent.server.base_url}{path}"
        assert response.content == b""


def test_a_whole_url_as_the_target_does_not_choose_the_host(tmp_path: Path) -> None:
    """A proxy's form of a request is sent to our own root."""
    with (
        ApiAgent(tmp_path) as agent,
        socket.create_connection(("127.0.0.1", agent.server.http_port)) as client,
    ):
        client.sendall(b"GET http://evil.example/x HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        answer = client.recv(4096)
        assert f"Location: {agent.server.base_url}/\r\n".encode() in answer
