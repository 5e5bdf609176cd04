"""A visitor of the console: what a browser sends and gets, by a client that shows each byte."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import urlsplit

import httpx
from peers.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from epm_task.simulator.console.server import Console


class Event(NamedTuple):
    """One event of the stream."""

    number: int
    kind: str
    data: Any


class Visitor:
    """A browser that was let in with an address of the console."""

    def __init__(self, console: Console) -> None:
        """Exchange the address for a cookie."""
        address = console.address
        self.client = httpx.Client(trust_env=False, timeout=PATIENCE)
        self.entry = self.client.get(address)
        self.origin = f"http://{urlsplit(address).netloc}"
        self.page = self.origin + self.entry.headers["Location"]
        self.api = f"{self.page}console/api/"
        self.token = self.state()["csrf"]

    def __enter__(self) -> Self:
        """Be a context manager."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave."""
        self.client.close()

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask for something below `console/api/`."""
        return self.client.get(self.api + path, headers=headers)

    def json(self, path: str) -> Any:
        """Return what an answer holds."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def state(self) -> Any:
        """Return the state."""
        return self.json("state")

    def post(self, path: str, body: Any, **headers: str | None) -> httpx.Response:
        """Send what the page sends; a header that is None is left out."""
        given = {"Origin": self.origin, "X-Console-Token": self.token, **headers}
        sent = {name: value for name, value in given.items() if value is not None}
        return self.client.post(self.api + path, json=body, headers=sent)

    @contextmanager
    def stream(self, after: object, **headers: str) -> Iterator[Iterator[Event]]:
        """Yield the events that come after one."""
        url = f"{self.api}events?after={after}"
        with self.client.stream("GET", url, headers=headers) as answer:
            assert answer.status_code == 200
            yield _events(answer.iter_lines())

    def until(self, after: int, wanted: Callable[[Event], object]) -> list[Event]:
        """Return the events after one, up to the first that is wanted."""
        found = []
        with self.stream(after) as events:
            for event in events:
                found.append(event)
                if wanted(event):
                    return found
        raise AssertionError(f"the stream has ended: {found[-5:]}")

    def connection(self, path: str) -> socket.socket:
        """Ask for something on a connection of its own, from which nothing is read yet."""
        place = urlsplit(self.api + path)
        connection = socket.socket()
        connection.settimeout(PATIENCE)
        connection.connect((place.hostname, place.port))
        cookies = "; ".join(f"{name}={value}" for name, value in self.client.cookies.items())
        lines = (f"GET {place.path}?{place.query} HTTP/1.1", f"Host: {place.netloc}")
        connection.sendall("\r\n".join((*lines, f"Cookie: {cookies}", "", "")).encode())
        return connection


def _events(lines: Iterator[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            if "event" in fields:
                yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}
