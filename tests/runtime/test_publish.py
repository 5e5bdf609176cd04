"""A handler publishes on the topics that its task declares, and only there."""

from __future__ import annotations

import json
import os

from peers.mqtt_peer import MqttPeer
from peers.task_process import Ended, TaskProcess, agent_with, assert_failed, poll, run_task


def _run(broker: MqttPeer, *arguments: str) -> Ended:
    with agent_with(broker.port) as agent:
        return run_task("publish.py", *arguments, agent=agent.base_url)


def test_declared_topic_gets_its_payload() -> None:
    """The payload is one JSON object at QoS 1, not retained."""
    with MqttPeer() as broker:
        assert _run(broker).exit_code == 0
    (message,) = broker.publishes
    assert message.topic == "Jobs/key-scanner/findings"
    assert json.loads(message.payload) == {"path": "/a", "size": 3}
    assert (message.qos, message.retain) == (1, False)


def test_undeclared_topic_is_refused_with_the_line_to_add() -> None:
    """Publishing elsewhere raises at the call, and the sentence holds the declaration."""
    with MqttPeer() as broker:
        ended = _run(broker, "--undeclared")
    assert_failed(ended, 70, "'Jobs/key-scanner/other' is not declared", "@task(publishes=[")
    topics = {message.topic for message in broker.publishes}
    assert topics == {"Jobs/key-scanner/findings", "KeeperLogger"}


def test_a_text_for_a_topic_and_a_payload_without_a_form_are_explained() -> None:
    """Each ends the run with what to write, and no traceback of ours."""
    with MqttPeer() as broker:
        text, odd = _run(broker, "--text"), _run(broker, "--odd")
    line = "declare a Topic: RESULTS = Topic('Jobs/key-scanner/other'), then @task(publishes=["
    assert_failed(text, 70, "is a text, not a Topic", line)
    assert_failed(odd, 70, "'Jobs/key-scanner/findings' was not published", "/findings/0/when: obj")
    assert b"Traceback" not in text.stderr + odd.stderr


def test_denied_topic_is_kept_on_stderr() -> None:
    """A denial names the topic to allow, and the payload stands on stderr as JSON."""
    with MqttPeer(puback_reasons={"Jobs/key-scanner/findings": 0x87}) as broker:
        ended = _run(broker)
    assert ended.exit_code == 0
    assert b'add "Jobs/key-scanner/findings" to mqttTopics.allowed' in ended.stderr
    kept = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith(b"{")]
    assert kept == [{"topic": "Jobs/key-scanner/findings", "payload": {"path": "/a", "size": 3}}]


def test_hard_kill_loses_only_the_last_moment() -> None:
    """What was logged before is at the broker within a moment, so SIGKILL cannot take it away."""
    with MqttPeer() as broker, agent_with(broker.port) as agent:
        arguments = ("--count=1000", "--wait-at=999")
        with TaskProcess("records.py", *arguments, agent=agent.base_url) as process:
            process.await_stderr(b"waiting")
            poll(lambda: len(broker.payloads) == 999)
            process.kill()
            ended = process.end()
    assert ended.exit_code == (1 if os.name == "nt" else -9)
    assert [json.loads(payload)["seq"] for payload in broker.payloads] == list(range(1, 1000))
