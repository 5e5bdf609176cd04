"""The registration is asked for again and again, until it comes or will never come."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from peers import http_answer as answer
from peers.http_peer import HttpPeer
from peers.patience import BUSY, PATIENCE
from runtime.trusting import trusting_context

from epm_task.errors import (
    AgentProtocolError,
    AgentUnreachable,
    NotRegistered,
    UnknownSetting,
)
from epm_task.runtime.agent.client import AgentClient
from epm_task.runtime.agent.tls import CONNECT_SECONDS
from epm_task.runtime.agent.transport import CALL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

OK = answer.ok({"broker.port": "8675"})
FORBIDDEN, BROKEN = answer.status(403), answer.status(500)


@contextmanager
def _agent(*script: answer.Answer, listen_after: float = 0) -> Iterator[tuple[AgentClient, Any]]:
    with (
        HttpPeer(script or (OK,), listen_after=listen_after) as peer,
        AgentClient(peer.base_url, trusting_context()) as client,
    ):
        yield client, peer


def test_first_retry_comes_after_twenty_milliseconds() -> None:
    """Not before; later ones wait longer, all on the same connection."""
    with _agent(*[FORBIDDEN] * 3, OK) as (client, peer):
        found = client.register(5)
    assert (found.tries, found.settings) == (4, {"broker.port": "8675"})
    assert peer.per_connection == [4]
    assert 0.06 <= found.seconds < BUSY


@pytest.mark.parametrize("status", [500, 502, 503])
def test_server_error_is_retried(status: int) -> None:
    """Three server errors, then an answer: the run is registered."""
    with _agent(*[answer.status(status)] * 3, OK) as (client, _):
        assert client.register(5).tries == 4


@pytest.mark.parametrize(
    "broken",
    [answer.close_without_answer(), answer.reset(), answer.truncated_body()],
    ids=["closed", "reset", "short"],
)
def test_broken_answer_is_retried(broken: answer.Answer) -> None:
    """A connection that breaks is no reason to give up."""
    with _agent(broken, broken, OK) as (client, _):
        assert client.register(5).settings == {"broker.port": "8675"}


def test_agent_may_come_up_late() -> None:
    """Connections that are refused for a second do not matter."""
    with _agent(OK, listen_after=1.0) as (client, peer):
        found = client.register(PATIENCE)
    assert 0.9 < found.seconds < PATIENCE / 2
    assert found.tries > 3
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    "seconds",
    [CONNECT_SECONDS + 1, pytest.param(CALL_SECONDS + 1, marks=pytest.mark.slow)],
    ids=["longer than a connect", "longer than a call"],
)
def test_busy_agent_is_waited_for_on_one_connection(seconds: float) -> None:
    """A handshake that is slow is not given up and begun again while the window is open."""
    with (
        HttpPeer([OK], handshake_after=seconds) as peer,
        AgentClient(peer.base_url, trusting_context()) as client,
    ):
        found = client.register(PATIENCE)
    assert (found.tries, peer.connections) == (1, 1)
    assert found.seconds >= seconds


def test_never_registered_is_said_within_the_window() -> None:
    """403 for the whole window is NotRegistered, with the process and the number of tries."""
    with _agent(FORBIDDEN) as (client, peer):
        start = time.monotonic()
        with pytest.raises(NotRegistered, match=f"process {os.getpid()} is not registered") as e:
            client.register(0.5)
        assert time.monotonic() - start < 0.5 + BUSY
    # The last one may have been cut off, before the agent has seen it.
    seen = len(peer.requests)
    assert any(f"all {count} requests" in str(e.value) for count in (seen, seen + 1))


def test_last_answer_decides() -> None:
    """403 first and a server error at the end is an agent in trouble, not a missing trust."""
    with (
        _agent(FORBIDDEN, BROKEN) as (client, _),
        pytest.raises(AgentUnreachable, match="status 500"),
    ):
        client.register(0.3)


def test_an_answer_that_is_cut_off_decides_nothing() -> None:
    """The window ends while the agent takes long for a last answer; those before were 403."""
    with (
        _agent(FORBIDDEN, answer.drip(0.1)) as (client, _),
        pytest.raises(NotRegistered),
    ):
        client.register(0.5)


def test_a_hanging_agent_decides() -> None:
    """It had more than a second for its answer: a 403 long ago is not what is wrong now."""
    with (
        _agent(FORBIDDEN, answer.drip(0.1)) as (client, _),
        pytest.raises(AgentUnreachable, match="no complete answer in time"),
    ):
        client.register(1.5)


def test_closed_window_still_asks_once() -> None:
    """A window of no length makes one request."""
    tries, ends = 0, time.monotonic() + PATIENCE
    # A busy machine may need longer for one answer than the least time.
    while not tries and time.monotonic() < ends:
        with _agent(OK) as (client, peer), suppress(AgentUnreachable):
            tries = client.register(0).tries
    assert tries == len(peer.requests) == 1


def test_slow_answer_ends_with_the_window() -> None:
    """An agent that answers byte by byte cannot stretch the window."""
    with _agent(answer.drip(0.1)) as (client, _):
        start = time.monotonic()
        with pytest.raises(AgentUnreachable, match="no complete answer in time"):
            client.register(0.5)
        assert time.monotonic() - start < 0.5 + BUSY


@pytest.mark.parametrize(
    ("final", "kind"),
    [
        (answer.status(404), UnknownSetting),
        (answer.status(400), AgentProtocolError),
        (answer.redirect("https://evil.example/"), AgentProtocolError),
        (answer.gzip_bomb(), AgentProtocolError),
        (answer.non_http(), AgentProtocolError),
        (answer.plain_tcp(), AgentProtocolError),
    ],
    ids=["404", "400", "302", "gzip", "smtp", "clear text"],
)
def test_final_answer_is_not_retried(final: answer.Answer, kind: type[Exception]) -> None:
    """What will not change is said at once."""
    with _agent(final) as (client, peer):
        start = time.monotonic()
        with pytest.raises(kind):
            client.register(PATIENCE)
        assert time.monotonic() - start < PATIENCE / 2
    assert peer.connections == 1


def test_redirect_names_its_target_and_stays_here() -> None:
    """The target of a redirect is named, and gets no packet."""
    with (
        HttpPeer([OK]) as target,
        _agent(answer.redirect(target.base_url)) as (client, _),
        pytest.raises(AgentProtocolError, match=f"redirect to '{target.base_url}'"),
    ):
        client.register(5)
    assert target.connections == 0
