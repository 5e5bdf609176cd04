"""The agent client serves six endpoints, and retries only the registration."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from peers import http_answer as answer
from peers.http_peer import HttpPeer
from runtime.trusting import trusting_context

from epm_task.errors import (
    AgentProtocolError,
    AgentUnreachable,
    NotRegistered,
    UnknownSetting,
)
from epm_task.runtime.agent.client import AgentClient, waits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


OK = answer.ok({"broker.port": "8675"})
FORBIDDEN, BROKEN = answer.status(403), answer.status(500)


@contextmanager
def _agent(*script: answer.Answer, listen_after: float = 0) -> Iterator[tuple[AgentClient, Any]]:
    with (
        HttpPeer(script or (OK,), listen_after=listen_after) as peer,
        AgentClient(peer.base_url, trusting_context()) as client,
    ):
        yield client, peer


def _line(request: bytes) -> bytes:
    return request.partition(b"\r\n")[0]


@pytest.mark.parametrize(
    ("call", "line", "body"),
    [
        (lambda a: a.settings("A b"), b"GET /api/PluginSettings/A%20b HTTP/1.1", b""),
        (lambda a: a.setting("P", "x.y"), b"GET /api/PluginSettings/P/x.y HTTP/1.1", b""),
        (
            lambda a: a.put_setting("P", "k/é", "v"),
            b"PUT /api/PluginSettings/P/k%2F%C3%A9 HTTP/1.1",
            b'{"value":"v"}',
        ),
        (lambda a: a.revert("P"), b"POST /api/PluginSettings/P/revert HTTP/1.1", b""),
        (lambda a: a.revert_all(), b"POST /api/PluginSettings/revert-all HTTP/1.1", b""),
        (lambda a: a.status("P"), b"GET /api/PluginSettings/P/status HTTP/1.1", b""),
    ],
    ids=["settings", "setting", "put", "revert", "revert-all", "status"],
)
def test_endpoint_has_its_request(
    call: Callable[[AgentClient], object], line: bytes, body: bytes
) -> None:
    """Each endpoint has the method, the escaped path and the body of the vendor's page."""
    with _agent(answer.ok({"value": "1"})) as (client, peer):
        call(client)
    (request,) = peer.requests
    assert _line(request) == line
    assert request.partition(b"\r\n\r\n")[2] == body


@pytest.mark.parametrize(
    "name", ["..", ".", "", "../Jobs", "a?b", "a#b", "a%2e", "a b", "\ud800", "a\0", "a" * 70_000]
)
def test_name_cannot_leave_its_segment(name: str) -> None:
    """A plugin's name never reaches another endpoint."""
    with _agent() as (client, peer):
        try:
            client.settings(name)
        except UnknownSetting:
            assert peer.requests == []
            return
    path = _line(peer.requests[0]).split()[1]
    assert path.startswith(b"/api/PluginSettings/")
    assert path.count(b"/") == 3
    assert not set(path) & set(b"?#")


def test_value_without_utf_8_is_sent_as_an_escape() -> None:
    """JSON has a form for a lone surrogate, as an argument that is no UTF-8 holds it."""
    with _agent() as (client, peer):
        client.put_setting("P", "k", "\ud800é")
    body = peer.requests[0].partition(b"\r\n\r\n")[2]
    assert json.loads(body) == {"value": "\ud800é"}


def test_typed_values_become_text() -> None:
    """Numbers, booleans and null are read as the text that they stand for."""
    with _agent(answer.ok({"a": 1, "b": True, "c": None, "d": 1.5, "e": "x"})) as (client, _):
        assert client.settings("P") == {"a": "1", "b": "true", "c": "", "d": "1.5", "e": "x"}


@pytest.mark.parametrize("body", [b'"on"', b'{"value": "on"}'])
def test_one_setting_has_two_shapes(body: bytes) -> None:
    """A bare JSON string and an object with `value` are both a setting."""
    with _agent(answer.body(body)) as (client, _):
        assert client.setting("P", "k") == "on"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"a": {"b": 1}}', id="object"),
        pytest.param(b'{"a": ["x"]}', id="list"),
        pytest.param(b"[]", id="array"),
        pytest.param(b'"x"', id="text"),
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="truncated"),
        pytest.param(b'{"a":1,"a":2}', id="twice"),
        pytest.param(b"\xff", id="latin"),
        pytest.param(b'{"a": NaN}', id="NaN"),
        pytest.param(b"[" * 100_000, id="100 000 brackets"),
        pytest.param(b'{"a":' * 100_000, id="100 000 braces"),
    ],
)
def test_other_document_is_a_protocol_error(body: bytes) -> None:
    """Whatever is no flat JSON object ends with 76, and the message has no value in it."""
    with _agent(answer.body(body)) as (client, _):
        start = time.thread_time()
        with pytest.raises(AgentProtocolError):
            client.settings("P")
        assert time.thread_time() - start < 1


def test_byte_order_mark_is_not_a_part_of_the_document() -> None:
    """An agent on .NET may write one; it changes nothing."""
    with _agent(answer.body(b'\xef\xbb\xbf{"a":"b"}')) as (client, _):
        assert client.settings("P") == {"a": "b"}


def test_huge_number_is_a_protocol_error() -> None:
    """A number with more digits than Python converts is refused, not an accident."""
    with (
        _agent(answer.body(b'{"a":' + b"9" * 5000 + b"}")) as (client, _),
        pytest.raises(AgentProtocolError),
    ):
        client.settings("P")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, NotRegistered),
        (404, UnknownSetting),
        (400, AgentProtocolError),
        (302, AgentProtocolError),
        (500, AgentUnreachable),
        (503, AgentUnreachable),
    ],
)
def test_call_is_made_once(status: int, kind: type[Exception]) -> None:
    """Outside the registration no status is retried."""
    with _agent(answer.status(status)) as (client, peer), pytest.raises(kind):
        client.put_setting("P", "k", "v")
    assert len(peer.requests) == 1


@pytest.mark.parametrize("status", [400, 418])
def test_refusal_is_not_called_a_redirect(status: int) -> None:
    """Only a status below 400 has a target that is not followed."""
    with (
        _agent(answer.status(status)) as (client, _),
        pytest.raises(AgentProtocolError, match=f"status {status}$|status {status};") as refused,
    ):
        client.settings("P")
    assert "redirect" not in str(refused.value)


def test_call_without_an_answer_is_made_once() -> None:
    """A write whose answer is missing is not repeated."""
    with (
        _agent(answer.close_without_answer()) as (client, peer),
        pytest.raises(AgentUnreachable, match="connection was closed"),
    ):
        client.put_setting("P", "k", "v")
    assert len(peer.requests) == 1


def test_unknown_setting_names_both() -> None:
    """A 404 names setting and plugin."""
    with _agent(answer.status(404)) as (client, _), pytest.raises(UnknownSetting, match="k of P"):
        client.setting("P", "k")


def test_first_wait_is_exact() -> None:
    """The first retry comes after exactly the first wait."""
    assert next(waits(0.02, 1.0)) == 0.02


def test_waits_grow_to_the_cap() -> None:
    """Each later wait lies between half of its limit and the limit, which never passes the cap."""
    seconds = 0.02
    for wait in islice(waits(0.02, 1.0), 1, 40):
        seconds = min(seconds * 1.6, 1.0)
        assert seconds / 2 <= wait <= seconds


def test_waits_differ_from_each_other() -> None:
    """Two tasks do not retry in step."""
    assert list(islice(waits(0.1, 2.0), 20)) != list(islice(waits(0.1, 2.0), 20))
