"""A run from argv to exit code, for each row of the table of faults, with real processes."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from peers import http_answer as answer
from peers.http_peer import HttpPeer
from peers.mqtt_peer import MqttPeer
from peers.patience import BUSY, WINDOW
from peers.task_process import (
    Ended,
    agent_with,
    assert_failed,
    closed_port,
    run_task,
    settings,
)

QUICK = (f"--registration-timeout={WINDOW}", "--flush-timeout=0.3")
FORBIDDEN, BROKEN = answer.status(403), answer.status(500)


def _records(broker: MqttPeer) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in broker.payloads]


def _met(script: answer.Answer, *arguments: str) -> tuple[Ended, HttpPeer]:
    with HttpPeer([script]) as agent:
        return run_task("hello.py", *arguments, agent=agent.base_url), agent


def test_run_without_a_fault(broker: MqttPeer) -> None:
    """One JSON line on stdout, nothing on stderr, exit code 0, records at the broker."""
    with agent_with(broker.port) as agent:
        ended = run_task("records.py", "--count=3", agent=agent.base_url)
    assert (ended.exit_code, ended.stdout) == (0, b'{"count":3}\n')
    assert [record["message"] for record in _records(broker)] == ["record"] * 3
    assert [line for line in ended.stderr.splitlines() if b"handler-ended" not in line] == []
    first = _records(broker)[0]
    assert (first["jobId"], first["jobName"], first["seq"]) == ("key-scanner", "Key scanner", 1)
    assert broker.connects[0].client_id == f"key-scanner_{first['runId']}"


@pytest.mark.parametrize(
    ("first", "late"),
    [([FORBIDDEN] * 3, 0.0), ([BROKEN] * 3, 0.0), ([], 1.0)],
    ids=["403", "500", "refused"],
)
def test_late_registration_is_waited_for_and_reported(
    broker: MqttPeer, first: list[answer.Answer], late: float
) -> None:
    """403 or 500 three times, or an agent that is late: the run goes on, and says it."""
    if late:
        with agent_with(broker.port) as agent:  # how long a run takes now
            late += 2 * run_task("records.py", agent=agent.base_url).seconds
        broker.acknowledged.clear()
    with agent_with(broker.port, *first, listen_after=late) as agent:
        ended = run_task("records.py", agent=agent.base_url)
    assert ended.exit_code == 0
    (record,) = [r for r in _records(broker) if r["message"] == "registered"]
    assert record["level"] == "Information"
    assert record["properties"]["tries"] == 4 if first else record["properties"]["tries"] > 1


@pytest.mark.parametrize(
    ("document", "code", "words"),
    [
        ({"broker.host": "127.0.0.1"}, 65, "broker.port of KeeperPrivilegeManager is missing"),
        ({"broker.port": "1"}, 65, "broker.host of KeeperPrivilegeManager is missing"),
        (settings(1, **{"broker.port": "eighty"}), 65, "broker.port"),
        (settings(1, **{"broker.port": "70000"}), 65, "broker.port"),
        (settings(1, **{"broker.host": "10.0.0.1"}), 78, "broker.host"),
        (settings(1, **{"broker.host": "evil.example"}), 78, "broker.host"),
    ],
    ids=["no port", "no host", "eighty", "70000", "off loopback", "name"],
)
def test_unusable_broker_setting_names_its_key(
    document: dict[str, str], code: int, words: str
) -> None:
    """A missing or wrong broker setting is named, its value is not."""
    ended, _ = _met(answer.ok(document))
    assert_failed(ended, code, words)
    for value in ("eighty", "70000", "10.0.0.1", "evil.example"):
        assert value.encode() not in ended.stderr


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("http://127.0.0.1:{port}", 78, "not https"),
        ("https://10.0.0.1:{port}", 78, "not a loopback address"),
        ("https://127.0.0.1:{port}@evil.example", 78, "user information"),
        ("https://a:b@127.0.0.1:{port}", 78, "user information"),
        ("https://127.1:{port}", 78, "not a loopback address"),
        ("https://127.0.0.1:{port}/api", 78, "more than scheme, host and port"),
        ("{{KeeperApiBaseUrl}}", 64, "still holds {KeeperApiBaseUrl}"),
    ],
)
def test_other_base_url_is_refused(url: str, code: int, words: str) -> None:
    """Only https on loopback is used; nothing is sent elsewhere, or in clear text."""
    with HttpPeer([BROKEN]) as agent:
        ended = run_task("hello.py", agent=url.format(port=agent.port))
    assert_failed(ended, code, words)
    assert agent.connections == 0


def test_job_id_with_an_underscore_is_64() -> None:
    """The refusal names the underscore, why, and a name that works."""
    with HttpPeer([BROKEN]) as agent:
        ended = run_task("hello.py", agent=agent.base_url, job_id="bad_id")
    assert_failed(ended, 64, "'bad_id' holds an underscore", "splits client ids on _", "'bad-id'")
    assert agent.connections == 0


def test_without_a_job_id_records_stand_on_stderr() -> None:
    """The run goes on; one warning explains `mqttTopics`; nobody connects to a broker."""
    with MqttPeer() as broker, agent_with(broker.port) as agent:
        ended = run_task("records.py", "--count=5", agent=agent.base_url, job_id=None)
    assert (ended.exit_code, ended.stdout) == (0, b'{"count":5}\n')
    assert [record["message"] for record in ended.records] == ["no_job_id"] + ["record"] * 5
    warning = ended.records[0]
    assert warning["level"] == "Warning"
    assert "mqttTopics" in warning["properties"]["fix"]
    assert b"not acknowledged" not in ended.stderr
    assert broker.connections == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"connack_reason": 0x87}, "refused the client id"),
        ({"no_connack": True}, "no MQTT connection to 127.0.0.1"),
        ({"transport": "black-hole"}, "no MQTT connection to 127.0.0.1"),
        ({"transport": "plaintext"}, "no MQTT connection to 127.0.0.1"),
    ],
    ids=["refuses", "no CONNACK", "no TLS answer", "clear text"],
)
def test_broker_that_does_not_serve_is_69(options: dict[str, Any], words: str) -> None:
    """A required broker that refuses or does not answer ends the run before the handler."""
    with MqttPeer(**options) as broker, agent_with(broker.port, FORBIDDEN) as agent:
        ended = run_task("records.py", *QUICK, agent=agent.base_url)
    assert_failed(ended, 69, words)
    assert len(ended.messages("registered")) == 1
    assert ended.messages("record") == []
    assert ended.seconds < WINDOW + 0.3 + BUSY


def test_absent_broker_is_69() -> None:
    """A required broker that is not there ends the run when the window closes."""
    port = closed_port()
    with agent_with(port) as agent:
        ended = run_task("records.py", *QUICK, agent=agent.base_url)
    assert_failed(ended, 69, f"127.0.0.1:{port}", "Connection refused", 'broker="optional"')
    assert ended.seconds < WINDOW + 0.3 + BUSY


def test_broker_of_mqtt_3_is_enough() -> None:
    """A broker that speaks 3.1.1 only serves the run as well."""
    versions = frozenset({4})
    with MqttPeer(versions=versions) as broker, agent_with(broker.port) as agent:
        ended = run_task("records.py", "--count=20", agent=agent.base_url)
    assert (ended.exit_code, len(broker.payloads)) == (0, 20)


def test_settings_reach_the_handler(broker: MqttPeer) -> None:
    """The handler's model is read from its plugin's document, on the same connection."""
    with agent_with(broker.port) as agent:
        agent._script.append(answer.ok({"max_bytes": "7", "scan.depth": "2"}))
        ended = run_task("typed.py", agent=agent.base_url)
    assert (ended.exit_code, ended.stdout) == (0, b'{"max_bytes":7,"depth":2}\n')
    assert agent.requests[1].startswith(b"GET /api/PluginSettings/KeyScanner HTTP/1.1\r\n")
    assert agent.per_connection == [2]


def test_invalid_setting_is_65_without_its_value(broker: MqttPeer) -> None:
    """A wrong value names the setting's key, and is never repeated."""
    with agent_with(broker.port) as agent:
        agent._script.append(answer.ok({"max_bytes": "hunter2-secret", "scan.depth": "2"}))
        ended = run_task("typed.py", agent=agent.base_url)
    assert_failed(ended, 65, "setting max_bytes of KeyScanner")
    assert b"hunter2" not in ended.stderr + b"".join(broker.payloads)


def test_without_an_agent_the_command_to_type_is_shown() -> None:
    """Started by hand, the program says how to run it, with its arguments."""
    ended = run_task("hello.py", "--name=a b")
    quoted = '"--name=a b"' if os.name == "nt" else "'--name=a b'"
    assert_failed(ended, 64, "epm-task run ", f"hello.py -- {quoted}")


def test_client_id_comes_from_the_template(broker: MqttPeer) -> None:
    """The template of the command line is used."""
    with agent_with(broker.port) as agent:
        template = "--client-id-template={job_name}_{job_id}"
        run_task("records.py", template, agent=agent.base_url)
    assert broker.connects[0].client_id == "Key-scanner_key-scanner"
