"""An agent that answers wrongly, late or never ends the run with its exit code, in bounded time."""

from __future__ import annotations

import pytest
from peers import http_answer as answer
from peers.http_peer import HttpPeer
from peers.mqtt_peer import MqttPeer
from peers.patience import BUSY, WINDOW
from peers.task_process import Ended, agent_with, assert_failed, closed_port, run_task

QUICK = (f"--registration-timeout={WINDOW}", "--flush-timeout=0.3")
BROKEN = answer.status(500)


def _met(script: answer.Answer, window: tuple[str, ...] = QUICK) -> tuple[Ended, HttpPeer]:
    with HttpPeer([script]) as agent:
        return run_task("hello.py", *window, agent=agent.base_url), agent


def test_never_registered_is_77() -> None:
    """403 for the whole window: tier and registration are explained, in time."""
    ended, agent = _met(answer.status(403))
    assert_failed(
        ended, 77, "answered 403", "not registered", "Plugin tier", "start it as a job task"
    )
    assert WINDOW / 2 < ended.seconds < WINDOW + BUSY
    assert str(len(agent.requests)) in ended.last_line


def test_unknown_plugin_is_66_at_once() -> None:
    """404 is final, and names what is unknown."""
    ended, agent = _met(answer.status(404), ())
    assert_failed(ended, 66, "does not know KeeperPrivilegeManager (404)")
    assert len(agent.requests) == 1


def test_unknown_settings_plugin_is_66() -> None:
    """404 for the handler's own plugin names that plugin."""
    with MqttPeer() as broker, agent_with(broker.port) as agent:
        agent._script.append(answer.status(404))
        ended = run_task("typed.py", agent=agent.base_url)
    assert_failed(ended, 66, "does not know KeyScanner (404)")


def test_absent_agent_is_69() -> None:
    """An agent that never comes up ends the run when the window closes."""
    url = f"https://127.0.0.1:{closed_port()}"
    ended = run_task("hello.py", *QUICK, agent=url)
    assert_failed(ended, 69, url, "Connection refused", "service is running")
    assert WINDOW / 2 < ended.seconds < WINDOW + BUSY


@pytest.mark.parametrize(
    "script",
    [answer.drip(1), answer.drip_headers(1), answer.silence(), answer.silence(before_tls=True)],
    ids=["body byte by byte", "headers byte by byte", "silence", "does not speak TLS"],
)
def test_slow_agent_is_69_in_bounded_time(script: answer.Answer) -> None:
    """An answer that is never complete ends with the window."""
    ended, _ = _met(script)
    assert_failed(ended, 69, "in time")
    assert ended.seconds < WINDOW + BUSY


@pytest.mark.parametrize("script", [BROKEN, answer.reset(), answer.truncated_body()])
def test_broken_agent_is_69(script: answer.Answer) -> None:
    """Server errors and broken connections for the whole window are 69."""
    ended, agent = _met(script)
    assert_failed(ended, 69, agent.base_url)
    assert len(agent.requests) > 1
    assert ended.seconds < WINDOW + BUSY


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (answer.oversize(50_000_000), "a body of 50000000 bytes"),
        (answer.endless_chunked(), "larger than 1 MiB"),
        (answer.gzip_bomb(), "encoded body (gzip)"),
        (answer.body(b'{"broker.host": "127'), "not JSON"),
        (answer.body(b'{"a": "1", "a": "2"}'), "in one object twice"),
        (answer.body(b'{"a": NaN}'), "NaN"),
        (answer.body(b"[" * 100_000 + b"]" * 100_000), "nested too deeply"),
        (answer.body(b'"text"'), "not an object"),
        (answer.body(b""), "not JSON"),
        (answer.body(b'{"a": "\xe9"}'), "not UTF-8"),
        (answer.body(b'{"a": {"b": "c"}}'), "is not a text"),
        (answer.non_http(), "not HTTP"),
        (answer.plain_tcp(), "does not speak TLS"),
        (answer.status(400), "status 400"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nonsense_is_76_at_once(script: answer.Answer, words: str) -> None:
    """What is not the agent's API is refused and not tried again."""
    ended, agent = _met(script, ())
    assert_failed(ended, 76, words, "check --keeper-api-base")
    assert agent.connections == 1


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_redirect_is_76_and_not_followed(code: int) -> None:
    """The target of a redirect is named, and gets no packet."""
    with HttpPeer([BROKEN]) as target:
        ended, _ = _met(answer.redirect(f"{target.base_url}/x", code), ())
    assert_failed(ended, 76, f"status {code}", target.base_url, "not followed")
    assert target.connections == 0
