"""Tests of who gets in: the browser that has the address, and no other page, host or user."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
from peers.patience import PATIENCE
from simulator.agent_process import add_program
from simulator.console.visitor import Visitor

from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator

JOB = {"id": "still", "name": "Still", "tasks": [{"id": "t", "command": "true"}]}

#: Headers of requests that must not be served, whatever cookie they carry.
FOREIGN = [
    {"Host": "console.example.com"},
    {"Host": "127.0.0.1"},
    {"Host": "127.0.0.1:1"},
    {"Host": "127.0.0.1.example.com:{port}"},
    {"Host": "[::1]:{port}"},
    {"Origin": "https://example.com"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "null"},
    {"Origin": "https://127.0.0.1:{port}"},
    {"Host": "localhost:{port}", "Origin": "http://127.0.0.1:{port}"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """An agent with a console and a job that is never run."""
    with Agent(console_port=0) as agent:
        add_program(agent.root, "true")
        agent.jobs.add(JOB)
        yield agent


def filled(headers: dict[str, str], visitor: Visitor) -> dict[str, str]:
    """Return headers with the port of the console."""
    port = str(urlsplit(visitor.origin).port)
    return {name: value.replace("{port}", port) for name, value in headers.items()}


def test_address_lets_one_browser_in(visitor: Visitor) -> None:
    """The token becomes a cookie that no script, other site or other path gets."""
    assert visitor.entry.status_code == 303
    path = visitor.entry.headers["Location"]
    name, *attributes = visitor.entry.headers["Set-Cookie"].split("; ")
    assert name.startswith(f"epm-console-{urlsplit(visitor.origin).port}=")
    assert set(attributes) == {"HttpOnly", "SameSite=Strict", f"Path={path}"}
    assert len(path) >= 2 + 128 / 6
    assert visitor.client.get(visitor.page).text.startswith("<!doctype html>")


def test_used_address_is_refused_and_a_new_one_printed(agent: Agent) -> None:
    """A second browser is told what to do, and gets in with the address that is printed then."""
    assert agent.console
    console, printed = agent.console, list[str]()
    console.on_address = printed.append
    used = console.address
    with Visitor(console) as first, httpx.Client(trust_env=False, timeout=PATIENCE) as second:
        began = time.monotonic()
        for _ in range(5):
            answer = second.get(used)
            assert (answer.status_code, "printed" in answer.text) == (403, True)
        assert 1 <= len(printed) <= 1 + (time.monotonic() - began)  # at most one in a second
        assert second.get(printed[-1]).status_code == 303
        assert second.get(f"{first.api}state").status_code == 200
        unknown = f"{first.page}?token=none"
        assert httpx.get(unknown, trust_env=False).status_code == 403
        assert first.client.get(unknown).status_code == 303  # who is in already is led to the page


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("path", ["", "console/api/state", "?token="])
def test_foreign_host_or_page_is_refused(
    agent: Agent, visitor: Visitor, path: str, headers: dict[str, str]
) -> None:
    """Neither a name that leads here nor the page of somebody else gets anything, cookie or not."""
    url = visitor.page + path
    if path == "?token=":
        assert agent.console
        url = agent.console.address
    assert visitor.client.get(url, headers=filled(headers, visitor)).status_code == 403
    if path == "?token=":
        assert agent.console
        assert agent.console.address == url  # the token is still good


@pytest.mark.parametrize("headers", [{}, {"Host": "localhost:{port}"}, {"Origin": "{own}"}])
def test_own_page_is_served(visitor: Visitor, headers: dict[str, str]) -> None:
    """Both names of the host are right, and the page's own origin."""
    own = {name: value.replace("{own}", visitor.origin) for name, value in headers.items()}
    cookie = "; ".join(f"{name}={value}" for name, value in visitor.client.cookies.items())
    headers = {**filled(own, visitor), "Cookie": cookie}
    assert httpx.get(f"{visitor.api}state", headers=headers, trust_env=False).status_code == 200


@pytest.mark.parametrize("path", ["", "console.js", "console/api/state", "console/api/events"])
@pytest.mark.parametrize("value", [None, "", "wrong"])
def test_nothing_without_the_cookie(visitor: Visitor, path: str, value: str | None) -> None:
    """Another user of the machine, who may know the path, gets nothing."""
    name = next(iter(visitor.client.cookies))
    headers = {} if value is None else {"Cookie": f"{name}={value}"}
    answer = httpx.get(visitor.page + path, headers=headers, trust_env=False)
    assert answer.status_code == 403
    assert answer.json()["fix"] == "open the address that was printed"


@pytest.mark.parametrize(
    "path", ["/", "/index.html", "/console/api/state", "/favicon.ico", "/?token=x"]
)
def test_nothing_beside_the_path(visitor: Visitor, path: str) -> None:
    """What a scanner of ports finds is a refusal."""
    assert httpx.get(visitor.origin + path, trust_env=False).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Console-Token": None},
        {"X-Console-Token": "wrong"},
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "https://example.com"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_post_needs_token_and_origin(
    agent: Agent, visitor: Visitor, headers: dict[str, str | None]
) -> None:
    """A form or a script of another page, which the browser gives the cookie, changes nothing."""
    for path, body in (("jobs/still/trigger", {}), ("jobs/still/enabled", {"enabled": False})):
        assert visitor.post(path, body, **headers).status_code == 403
    assert visitor.post("faults", {"text": "run disk_full"}, **headers).status_code == 403
    assert (agent.jobs.get("still"), agent.jobs.ended(), agent.faults.rules()) == (JOB, [], [])


@pytest.mark.parametrize(
    "line",
    [
        "GET {path}?token=%ff%00 HTTP/1.1",
        "GET {path}?token=%ed%a0%80 HTTP/1.1",
        "GET {path} HTTP/1.1\r\nCookie: {name}=\xff\xfe",
        "POST {path} HTTP/1.1\r\nOrigin: {origin}\r\nX-Console-Token: \xff\r\nCookie: {cookie}",
        "GET {path} HTTP/1.1\r\nSec-Fetch-Site: \xff",
        "GET {path} HTTP/1.1\r\nOrigin: \xff",
        "GET {path} HTTP/1.1\r\nHost: \xff",
    ],
)
def test_odd_bytes_are_refused(visitor: Visitor, line: str) -> None:
    """What no browser sends is refused like anything else that is wrong, and breaks nothing."""
    place = urlsplit(visitor.page)
    ((name, value),) = visitor.client.cookies.items()
    known = {"path": place.path, "name": name, "cookie": f"{name}={value}"}
    request = f"{line.format(**known, origin=visitor.origin)}\r\nHost: {place.netloc}\r\n\r\n"
    with socket.create_connection((place.hostname, place.port), PATIENCE) as connection:
        connection.sendall(request.encode("latin-1"))
        assert connection.recv(100)[9:12] in {b"403", b"400"}


def test_what_is_not_http(
    agent: Agent, visitor: Visitor, capfd: pytest.CaptureFixture[str]
) -> None:
    """A scanner of ports is a line in the trace, and no traceback on the terminal."""
    with socket.create_connection(("127.0.0.1", urlsplit(visitor.origin).port)) as scanner:
        scanner.settimeout(PATIENCE)
        scanner.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
        assert scanner.recv(100).startswith(b"HTTP/1.1 400")
    assert [event for event in agent.trace if event.what == "a request was no HTTP"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", b"{}", 415),
        ("application/x-www-form-urlencoded", b"a=b", 415),
        ("application/json", b"[", 400),
        ("application/json", b"[]", 400),
        ("application/json", b'{"context": []}', 400),
        ("application/json", b'{"context": {"a": "' + b"x" * 70_000 + b'"}}', 413),
    ],
)
def test_odd_bodies(visitor: Visitor, kind: str, body: bytes, status: int) -> None:
    """A body is a JSON object of at most 64 KiB, and declared as JSON."""
    headers = {"Origin": visitor.origin, "X-Console-Token": visitor.token, "Content-Type": kind}
    url = f"{visitor.api}jobs/still/trigger"
    answer = visitor.client.post(url, content=body, headers=headers)
    assert (answer.status_code, bool(answer.json()["error"])) == (status, True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "", 200),
        ("GET", "console.css", 200),
        ("GET", "console/api/state", 200),
        ("GET", "console/api/nothing", 404),
        ("GET", "guard.py", 404),
        ("GET", "..%2fguard.py", 404),
        ("GET", "console/api/runs/none", 404),
        ("DELETE", "console/api/state", 405),
        ("POST", "console/api/jobs/none/trigger", 404),
    ],
)
def test_every_answer_has_the_headers(
    visitor: Visitor, method: str, path: str, status: int
) -> None:
    """No answer lets a browser run what is written in it, or show it in another page."""
    own = {"Origin": visitor.origin, "X-Console-Token": visitor.token}
    body: Any = {} if method == "POST" else None
    answer = visitor.client.request(method, visitor.page + path, headers=own, json=body)
    assert answer.status_code == status
    check_headers(answer)


def test_refusals_and_streams_have_the_headers(visitor: Visitor) -> None:
    """An answer that is refused, that redirects, or that goes on has them, too."""
    check_headers(visitor.entry)
    check_headers(httpx.get(visitor.page, trust_env=False))
    with visitor.client.stream("GET", f"{visitor.api}events?after=0") as answer:
        check_headers(answer)


def check_headers(answer: httpx.Response) -> None:
    """Check the headers of any answer."""
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert dict(part.split(" ", 1) for part in policy) == {
        "default-src": "'none'",
        **dict.fromkeys(("script-src", "style-src", "connect-src", "img-src"), "'self'"),
        **dict.fromkeys(("base-uri", "form-action", "frame-ancestors"), "'none'"),
    }
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
