"""A real mosquitto with TLS serves the runtime, and no record is lost when it fails."""

from __future__ import annotations

import json
import os
import select
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from peers.accounting import account
from peers.mosquitto import OBSERVER, PROGRAM, Mosquitto
from peers.patience import PATIENCE
from peers.task_process import Ended, TaskProcess, agent_with, poll, run_task

from epm_task.runtime.agent.tls import client_context
from epm_task.runtime.broker.connection import BrokerAddress, MqttConnection
from epm_task.runtime.log.outbox import Message

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    not (PROGRAM and OBSERVER) and not (os.environ.get("CI") and os.name == "posix"),
    reason="mosquitto and mosquitto_sub are not installed (apt-get install mosquitto "
    "mosquitto-clients); in CI on POSIX they must be",
)
COUNT = 2000


def _run(broker: Mosquitto, *arguments: str) -> Ended:
    with agent_with(broker.port) as agent:
        return run_task("records.py", f"--count={COUNT}", *arguments, agent=agent.base_url)


def test_every_record_arrives(tmp_path: Path) -> None:
    """All records arrive at another client, and in order."""
    with Mosquitto(tmp_path) as broker, broker.observe("KeeperLogger") as observer:
        ended = _run(broker)
        lines = observer.complete()
    assert ended.exit_code == 0
    first_seen = dict.fromkeys(json.loads(line)["seq"] for line in lines)  # QoS 1 may repeat one
    assert list(first_seen) == list(range(1, COUNT + 1))
    assert b"not acknowledged" not in ended.stderr


def test_ca_file_is_enough(tmp_path: Path) -> None:
    """With the broker's certificate as --ca-file the connection is verified."""
    with Mosquitto(tmp_path) as broker, agent_with(broker.port) as agent:
        ended = run_task("records.py", agent=agent.base_url)
        assert ended.exit_code == 0
        address = BrokerAddress(
            "127.0.0.1", broker.port, "job_1", client_context(tmp_path / "server.pem")
        )
        MqttConnection(address, mqtt5=True).close(politely=True)


@pytest.mark.parametrize("mqtt5", [True, False], ids=["5", "3.1.1"])
def test_both_versions_are_spoken(tmp_path: Path, *, mqtt5: bool) -> None:
    """A message of each version of MQTT arrives, and is acknowledged."""
    with Mosquitto(tmp_path) as broker, broker.observe("t") as observer:
        address = BrokerAddress("127.0.0.1", broker.port, "job_1", client_context(None))
        with closing(MqttConnection(address, mqtt5=mqtt5)) as connection:
            connection.publish([(1, Message("t", b"hello"))])
            assert select.select([connection], [], [], 10)[0]
            received = connection.read()
        assert observer.complete() == [b"hello\n"]
    assert received is not None
    assert received.settled == [1]


def test_denied_topic_is_seen_and_kept(tmp_path: Path) -> None:
    """Its ACL answers 0x87: the line to add is said once, all records stand on stderr."""
    with Mosquitto(tmp_path, denied="KeeperLogger") as broker:
        ended = _run(broker)
    assert ended.stderr.count(b"refused the topic 'KeeperLogger' (0x87 Not authorized)") == 1
    assert b'add "KeeperLogger" to mqttTopics.allowedPublications' in ended.stderr
    assert account(range(1, COUNT + 1), [], ended.stderr).complete


def test_packet_limit_is_obeyed(tmp_path: Path) -> None:
    """A record above its packet limit is kept here, and the connection goes on."""
    with (
        Mosquitto(tmp_path, options="max_packet_size 20000") as broker,
        agent_with(broker.port) as agent,
    ):
        ended = run_task("records.py", "--count=2", "--size=30000", agent=agent.base_url)
    assert ended.exit_code == 0
    assert b"larger than the broker's 20000 bytes" in ended.stderr
    assert len(ended.messages("record")) == 2


def test_hidden_message_limit_is_survived(tmp_path: Path) -> None:
    """A limit that it does not announce costs the large records, and no time-out."""
    with (
        Mosquitto(tmp_path, options="message_size_limit 20000") as broker,
        agent_with(broker.port) as agent,
    ):
        ended = run_task("records.py", "--count=2", "--size=30000", agent=agent.base_url)
    assert ended.exit_code == 0
    assert len(ended.messages("record")) == 2


def test_killed_broker_loses_nothing(tmp_path: Path) -> None:
    """What it did not acknowledge before it was killed stands on stderr."""
    with Mosquitto(tmp_path) as broker, broker.observe("KeeperLogger") as observer:
        with agent_with(broker.port) as agent:
            how = (f"--count={COUNT}", f"--wait-at={COUNT // 2}", "--flush-timeout=0.5")
            with TaskProcess("records.py", *how, agent=agent.base_url) as process:
                process.await_stderr(b"waiting")
                poll(lambda: len(observer.lines) >= COUNT // 2)
                broker.kill()
                process.go_on()
                ended = process.end()
        lines = list(observer.lines)
    assert account(range(1, COUNT + 1), lines, ended.stderr).complete
    on_stderr = {record["seq"] for record in ended.messages("record")}
    assert on_stderr >= set(range(COUNT // 2 + 1, COUNT + 1))


def test_restarted_broker_gets_the_rest(tmp_path: Path) -> None:
    """After a restart during the handler all later records arrive, and stderr stays empty."""
    with Mosquitto(tmp_path) as broker, agent_with(broker.port) as agent:
        how = (f"--count={COUNT}", f"--wait-at={COUNT // 2}", f"--flush-timeout={PATIENCE}")
        with TaskProcess("records.py", *how, agent=agent.base_url) as process:
            process.await_stderr(b"waiting")
            broker.kill()
            broker.start()
            with broker.observe("KeeperLogger") as observer:
                process.go_on()
                ended = process.end()
                seqs = {json.loads(line)["seq"] for line in observer.complete()}
    assert ended.exit_code == 0
    assert seqs >= set(range(COUNT // 2 + 1, COUNT + 1))
    assert b"not acknowledged" not in ended.stderr
