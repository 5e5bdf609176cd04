"""The log pipe accounts for each message: acknowledged, or on stderr."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from peers.mqtt_peer import MqttPeer
from peers.task_process import closed_port, poll
from runtime.stderr_lines import StderrLines

from epm_task.runtime import level
from epm_task.runtime.delivery import Delivery
from epm_task.runtime.log_pipe import LogPipe
from epm_task.runtime.mqtt_connection import BrokerAddress
from epm_task.runtime.outbox import LIMIT_BYTES, Message
from epm_task.runtime.tls import client_context

if TYPE_CHECKING:
    from collections.abc import Iterator


def _record(n: int, size: int = 0) -> bytes:
    return b'{"seq":%d,"text":"%s"}' % (n, b"x" * size)


def _line(n: int) -> bytes:
    return _record(n) + b"\n"


@contextmanager
def _pipe(port: int, stderr: StderrLines, mirror: int = level.OFF) -> Iterator[LogPipe]:
    pipe = LogPipe(stderr, mirror=mirror)
    address = BrokerAddress("127.0.0.1", port, "job_7f", client_context(None))
    pipe.attach(Delivery(pipe.outbox, address, pipe.refuse))
    try:
        yield pipe
    finally:
        pipe.flush(0)


@pytest.fixture
def stderr() -> StderrLines:
    """Take the place of stderr."""
    return StderrLines()


def test_records_go_to_the_broker(stderr: StderrLines) -> None:
    """With a healthy broker nothing is written to stderr."""
    with MqttPeer() as broker, _pipe(broker.port, stderr) as pipe:
        for n in range(100):
            pipe.record(level.INFORMATION, _record(n))
        assert pipe.flush(5) == 0
    assert broker.payloads == [_record(n) for n in range(100)]
    assert {message.topic for message in broker.publishes} == {"KeeperLogger"}
    assert stderr.lines == []


def test_without_a_broker_everything_is_on_stderr_in_order(stderr: StderrLines) -> None:
    """What was accepted before it was known comes first, then each record at once."""
    pipe = LogPipe(stderr, mirror=level.OFF)
    pipe.record(level.INFORMATION, _record(1))
    assert stderr.lines == []
    pipe.without_broker("a test has none")
    pipe.record(level.INFORMATION, _record(2))
    assert stderr.lines == [_line(1), _line(2)]
    assert (pipe.spilled, pipe.flush(1)) == (2, 2)


def test_mirrored_record_is_written_once(stderr: StderrLines) -> None:
    """A record of the mirrored level is on stderr before the call returns, and only once."""
    with _pipe(closed_port(), stderr, mirror=level.WARNING) as pipe:
        pipe.record(level.WARNING, _record(1))
        assert stderr.lines == [_line(1)]
        pipe.record(level.INFORMATION, _record(2))
        assert pipe.flush(0.1) == 2
    assert stderr.lines == [_line(1), _line(2)]


@pytest.mark.parametrize("topic", ["Jobs/a/events", 'quo"ted', "back\\slash", "é", "😀", "a\nb"])
def test_publication_on_stderr_is_one_json_line(stderr: StderrLines, topic: str) -> None:
    """An undelivered publication is a JSON object with topic and payload, whatever the topic."""
    pipe = LogPipe(stderr, mirror=level.OFF)
    pipe.publish(topic, b'{"a":1}')
    pipe.without_broker("a test has none")
    (line,) = stderr.lines
    assert json.loads(line) == {"topic": topic, "payload": {"a": 1}}
    assert line.count(b"\n") == 1


def test_publication_goes_to_its_topic(stderr: StderrLines) -> None:
    """A publication reaches the broker on its own topic."""
    with MqttPeer() as broker, _pipe(broker.port, stderr) as pipe:
        pipe.publish("Jobs/a/é", b'{"a":1}')
        assert pipe.flush(5) == 0
    assert [(m.topic, m.payload) for m in broker.publishes] == [("Jobs/a/é", b'{"a":1}')]


def test_denied_topic_is_said_once_and_not_tried_again(stderr: StderrLines) -> None:
    """After a denial, later messages of that topic go to stderr at once; other topics go on."""
    with (
        MqttPeer(puback_reasons={"KeeperLogger": 0x87}) as broker,
        _pipe(broker.port, stderr) as pipe,
    ):
        pipe.record(level.INFORMATION, _record(1))
        poll(lambda: len(stderr.lines) == 2)
        pipe.record(level.INFORMATION, _record(2))
        assert stderr.lines[-1] == _line(2)
        pipe.publish("other", b"{}")
        assert pipe.flush(5) == 2
    assert stderr.text.count("mqttTopics.allowedPublications") == 1
    assert [message.topic for message in broker.publishes] == ["KeeperLogger", "other"]


def test_other_refusal_is_said_each_time(stderr: StderrLines) -> None:
    """A refusal that is no denial names the reason, and the topic is tried again."""
    with MqttPeer(puback_reasons={"t": 0x97}) as broker, _pipe(broker.port, stderr) as pipe:
        pipe.publish("t", b"{}")
        pipe.publish("t", b"{}")
        assert pipe.flush(5) == 2
    assert stderr.text.count("'t' was not taken: 0x97 Quota exceeded; it stands on stderr") == 2


def test_full_outbox_delays_a_call_by_a_second_once(stderr: StderrLines) -> None:
    """When the broker takes nothing, one call waits a second, and later ones not at all."""
    with MqttPeer() as broker, _pipe(broker.port, stderr) as pipe:
        poll(lambda: pipe._delivery.connected)
        broker.stop_reading()
        for n in range(LIMIT_BYTES // 100_000):
            pipe.record(level.INFORMATION, _record(n, 99_000))
        waits = []
        for n in range(5):
            start = time.monotonic()
            pipe.record(level.INFORMATION, _record(1000 + n, 99_000))
            waits.append(time.monotonic() - start)
        assert max(waits) < 1.3
        assert sum(waits) < 1.6
        assert len(stderr.lines) >= 4
        broker.resume()
        pipe.flush(5)
    seen = {json.loads(line)["seq"] for line in [*broker.payloads, *stderr.lines]}
    assert seen >= {*range(LIMIT_BYTES // 100_000), *range(1000, 1005)}


def test_full_outbox_without_a_connection_delays_nothing(stderr: StderrLines) -> None:
    """Nobody empties the outbox, so no call waits for room."""
    with _pipe(closed_port(), stderr) as pipe:
        start = time.monotonic()
        for n in range(2 * LIMIT_BYTES // 100_000):
            pipe.record(level.INFORMATION, _record(n, 99_000))
        assert time.monotonic() - start < 0.9
    assert {record["seq"] for record in stderr.records} == set(range(2 * LIMIT_BYTES // 100_000))


@pytest.mark.parametrize("fault", ["absent", "stopped", "no_puback", "refused"])
def test_flush_is_bounded(stderr: StderrLines, fault: str) -> None:
    """A flush takes its seconds and half a second more, and then all is on stderr."""
    options = {"no_puback": fault == "no_puback", "connack_reason": 0x87 * (fault == "refused")}
    with MqttPeer(**options) as broker, _pipe(broker.port, stderr) as pipe:
        if fault == "absent":
            broker.kill()
        if fault == "stopped":
            poll(lambda: pipe._delivery.connected)
            broker.stop_reading()
        for n in range(1000):
            pipe.record(level.INFORMATION, _record(n))
        start = time.monotonic()
        pipe.flush(0.3)
        assert time.monotonic() - start < 0.3 + 0.6
    delivered = [json.loads(line)["seq"] for line in broker.payloads]
    assert {*delivered, *(record["seq"] for record in stderr.records)} == set(range(1000))


def test_record_after_the_flush_is_on_stderr(stderr: StderrLines) -> None:
    """A record that comes late is not forgotten."""
    with MqttPeer() as broker, _pipe(broker.port, stderr) as pipe:
        pipe.flush(5)
        pipe.record(level.INFORMATION, _record(1))
        assert stderr.lines == [_line(1)]
        assert not pipe.outbox.offer(Message("t", b"{}"), 0)


def test_threads_lose_nothing(stderr: StderrLines) -> None:
    """Records of eight threads all arrive, while the connection is dropped."""

    def write(first: int) -> None:
        for n in range(first, first + 500):
            pipe.record(level.INFORMATION, _record(n))

    with MqttPeer() as broker, _pipe(broker.port, stderr) as pipe:
        threads = [threading.Thread(target=write, args=(t * 500,)) for t in range(8)]
        for thread in threads:
            thread.start()
        broker.drop_connections()
        for thread in threads:
            thread.join()
        assert pipe.flush(10) == 0
    assert {json.loads(line)["seq"] for line in broker.payloads} == set(range(4000))


def test_terminal_gets_lines_for_people() -> None:
    """On a terminal records are rendered, not printed as JSON."""
    stderr = StderrLines(interactive=True)
    pipe = LogPipe(stderr, mirror=level.OFF)
    pipe.without_broker("a test has none")
    pipe.record(
        level.INFORMATION,
        b'{"timestamp":"2026-01-31T12:00:00.123456Z","level":"Information","message":"m\\u001b",'
        b'"properties":{"found":3}}',
    )
    assert "12:00:00.123" in stderr.text
    assert "found=3" in stderr.text
    assert "m\x1b" not in stderr.text
