"""Tests of the port for plain HTTP."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import httpx
import pytest
from simulator.api.api_agent import ApiAgent

if TYPE_CHECKING:
    from pathlib import Path


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
