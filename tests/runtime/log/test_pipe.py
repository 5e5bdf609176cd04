"""The log pipe accounts for each message: acknowledged, or on stderr."""

from __future__ import annotations

import json
import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from peers.mqtt_peer import MqttPeer
from peers.patience import BUSY, PATIENCE, WINDOW
from peers.task_process import closed_port, poll
from pydantic import SecretStr
from runtime.run_parts import declared, invoked, registered
from runtime.stderr_lines import StderrLines
from runtime.trusting import trusting_context

from epm_task.contract import levels as level
from epm_task.errors import BrokerRefused, BrokerUnreachable, SettingsError, UnsafeBroker
from epm_task.runtime.broker.connection import BrokerAddress
from epm_task.runtime.broker.delivery import Delivery
from epm_task.runtime.log.outbox import LIMIT_BYTES, Message
from epm_task.runtime.log.pipe import LogPipe, RunLog
from epm_task.runtime.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.runtime.agent.client import Registration
    from epm_task.runtime.declaration import Declaration
    from epm_task.runtime.invocation import Invocation


def _record(n: int, size: int = 0) -> bytes:
    return b'{"seq":%d,"text":"%s"}' % (n, b"x" * size)


def _line(n: int) -> bytes:
    return _record(n) + b"\n"


@contextmanager
def _pipe(port: int, stderr: StderrLines, mirror: int = level.OFF) -> Iterator[LogPipe]:
    pipe = LogPipe(stderr, mirror=mirror)
    address = BrokerAddress("127.0.0.1", port, "job_7f", trusting_context())
    pipe.delivery = Delivery(pipe.outbox, address, pipe.refuse)
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


def test_line_for_people_shows_no_secret(stderr: StderrLines) -> None:
    """A topic, or the broker's reason, may hold one."""
    pipe = LogPipe(stderr, mirror=level.OFF)
    pipe._secrets.add(["hunter2-secret"])
    message = Message("Jobs/hunter2-secret/events", b"{}")
    pipe.refuse(message, 0x97, "the reason is hunter2-secret")
    (_, line) = stderr.lines
    assert line.startswith(b"epm_task: a message on 'Jobs/")
    assert b"hunter2" not in line


def test_other_refusal_is_said_each_time(stderr: StderrLines) -> None:
    """A refusal that is no denial names the reason, and the topic is tried again."""
    with MqttPeer(puback_reasons={"t": 0x97}) as broker, _pipe(broker.port, stderr) as pipe:
        pipe.publish("t", b"{}")
        pipe.publish("t", b"{}")
        assert pipe.flush(5) == 2
    assert stderr.text.count("'t' was not taken: 0x97 Quota exceeded; it is on stderr") == 2


def test_full_outbox_delays_a_call_by_a_second_once(stderr: StderrLines) -> None:
    """When the broker takes nothing, one call waits a second, and later ones not at all."""
    with MqttPeer() as broker, _pipe(broker.port, stderr) as pipe:
        poll(lambda: pipe.delivery and pipe.delivery.connected)
        broker.stop_reading()
        for n in range(LIMIT_BYTES // 100_000):
            pipe.record(level.INFORMATION, _record(n, 99_000))
        waits = []
        for n in range(5):
            start = time.monotonic()
            pipe.record(level.INFORMATION, _record(1000 + n, 99_000))
            waits.append(time.monotonic() - start)
        assert sum(seconds > 0.9 for seconds in waits) == 1
        assert len(stderr.lines) >= 4
        broker.resume()
        pipe.flush(5)
    seen = {json.loads(line)["seq"] for line in [*broker.payloads, *stderr.lines]}
    assert seen >= {*range(LIMIT_BYTES // 100_000), *range(1000, 1005)}


def test_full_outbox_without_a_connection_delays_nothing(stderr: StderrLines) -> None:
    """Nobody empties the outbox, so no call waits for room."""
    with _pipe(closed_port(), stderr) as pipe:
        for n in range(2 * LIMIT_BYTES // 100_000):
            start = time.monotonic()
            pipe.record(level.INFORMATION, _record(n, 99_000))
            assert time.monotonic() - start < 0.9
    assert {record["seq"] for record in stderr.records} == set(range(2 * LIMIT_BYTES // 100_000))


@pytest.mark.parametrize("fault", ["absent", "stopped", "no_puback", "refused"])
def test_flush_is_bounded(stderr: StderrLines, fault: str) -> None:
    """A flush takes its seconds and half a second more, and then all is on stderr."""
    options: dict[str, Any] = {
        "no_puback": fault == "no_puback",
        "connack_reason": 0x87 * (fault == "refused"),
    }
    with MqttPeer(**options) as broker, _pipe(broker.port, stderr) as pipe:
        if fault == "absent":
            broker.kill()
        if fault == "stopped":
            poll(lambda: pipe.delivery and pipe.delivery.connected)
            broker.stop_reading()
        for n in range(1000):
            pipe.record(level.INFORMATION, _record(n))
        start = time.monotonic()
        pipe.flush(0.3)
        assert time.monotonic() - start < 0.3 + BUSY
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


@contextmanager
def _run_log(
    stderr: StderrLines,
    declaration: Declaration | None = None,
    invocation: Invocation | None = None,
) -> Iterator[RunLog]:
    run_log = RunLog(declaration or declared(), invocation or invoked(), stderr)
    try:
        yield run_log
    finally:
        run_log.close(Outcome())
        structlog.reset_defaults()


def _connect(run_log: RunLog, registration: Registration, settings: Any = None) -> None:
    run_log.connect(registration, settings, trusting_context())


def _records(broker: MqttPeer) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in broker.payloads]


def test_records_before_the_connection_are_sent_after_it(
    broker: MqttPeer, stderr: StderrLines
) -> None:
    """What was written while the registration was awaited arrives first."""
    with _run_log(stderr) as run_log:
        run_log.log.info("early")
        _connect(run_log, registered(broker.port))
        run_log.log.info("later")
        assert run_log.close(Outcome()) == Outcome()
    assert [record["message"] for record in _records(broker)] == ["early", "later"]
    assert stderr.lines == []


@pytest.mark.parametrize(("tries", "count"), [(1, 0), (4, 1)])
def test_wait_for_the_registration_is_reported(
    broker: MqttPeer, stderr: StderrLines, tries: int, count: int
) -> None:
    """More than one try is worth a record; the first one is not."""
    with _run_log(stderr) as run_log:
        _connect(run_log, registered(broker.port, tries=tries))
        run_log.close(Outcome())
    found = [record["properties"] for record in _records(broker)]
    assert found == [{"tries": 4, "seconds": 0.25}] * count


def test_secrets_are_masked_wherever_they_stand(broker: MqttPeer, stderr: StderrLines) -> None:
    """The texts of secret arguments and secret settings are in no record, not even in parts."""
    arguments = {"token": SecretStr("first-secret"), "keys": [SecretStr("third-secret")]}
    given = invoked(arguments={**arguments, "plain": "plain-text"})
    with _run_log(stderr, invocation=given) as run_log:
        _connect(run_log, registered(broker.port), {"password": SecretStr('sec"ond\n')})
        run_log.log.warning(
            "first-secret", a=['x sec"ond\n y'], b=SecretStr("other"), c="plain-text third-secret"
        )
        run_log.close(Outcome())
    for text in (stderr.text, *map(bytes.decode, broker.payloads)):
        assert "first-secret" not in text
        assert "third-secret" not in text
        assert "ond" not in text
        assert "other" not in text
        assert "plain-text" in text


def test_without_a_job_id_nobody_is_called(broker: MqttPeer, stderr: StderrLines) -> None:
    """Records stand on stderr, after one warning that says what to add to the job."""
    with _run_log(stderr, invocation=invoked(job_id=None)) as run_log:
        _connect(run_log, registered(broker.port))
        run_log.log.info("own")
        assert run_log.close(Outcome()) == Outcome()
    assert [record["message"] for record in stderr.records] == ["no_job_id", "own"]
    assert "mqttTopics" in stderr.records[0]["properties"]["fix"]
    assert broker.connections == 0
    assert "not acknowledged" not in stderr.text


def test_required_broker_must_answer(stderr: StderrLines) -> None:
    """A required broker that is absent ends the run within the window."""
    with _run_log(stderr, invocation=invoked(registration_timeout=0.2)) as run_log:
        start = time.monotonic()
        with pytest.raises(BrokerUnreachable):
            _connect(run_log, registered(closed_port()))
        assert time.monotonic() - start < 0.2 + BUSY


def test_required_broker_must_accept(stderr: StderrLines) -> None:
    """A required broker that refuses ends the run at once."""
    with (
        MqttPeer(connack_reason=0x87) as broker,
        _run_log(stderr) as run_log,
        pytest.raises(BrokerRefused),
    ):
        _connect(run_log, registered(broker.port))


def test_optional_broker_is_not_waited_for(stderr: StderrLines) -> None:
    """With an optional broker the run goes on at once."""
    given = invoked(flush_timeout=WINDOW, registration_timeout=PATIENCE)
    with _run_log(stderr, declared(broker="optional"), given) as run_log:
        start = time.monotonic()
        _connect(run_log, registered(closed_port()))
        assert time.monotonic() - start < PATIENCE / 2
        run_log.log.info("m")
        run_log.close(Outcome())
    assert [record["message"] for record in stderr.records] == ["m"]
    assert "1 records were not acknowledged by the broker (Connection refused)" in stderr.text


@pytest.mark.parametrize(
    ("document", "kind"),
    [({}, SettingsError), ({"broker.host": "10.0.0.1", "broker.port": "1"}, UnsafeBroker)],
)
def test_unusable_address_is_refused(
    stderr: StderrLines, document: dict[str, str], kind: type[Exception]
) -> None:
    """Settings that name no broker on loopback end the run."""
    with _run_log(stderr) as run_log, pytest.raises(kind):
        _connect(run_log, registered(1)._replace(settings=document))


def test_failure_is_the_last_record(broker: MqttPeer, stderr: StderrLines) -> None:
    """A non-zero outcome is told to the agent too, with code, name and reason."""
    with _run_log(stderr) as run_log:
        _connect(run_log, registered(broker.port))
        outcome = Outcome(3, error="the disk is full")
        assert run_log.close(outcome) == outcome
    last = _records(broker)[-1]
    assert last["message"] == "task_failed"
    assert last["properties"] == {
        "exitCode": 3,
        "exitName": "the author's own",
        "reason": "the disk is full",
    }


def test_crash_of_a_thread_makes_the_outcome_worse(broker: MqttPeer, stderr: StderrLines) -> None:
    """A handler that returned, but lost a thread to an exception, has crashed."""
    with _run_log(stderr) as run_log:
        _connect(run_log, registered(broker.port))
        thread = threading.Thread(target=lambda: {"a": 1}["gone"], name="worker")
        thread.start()
        thread.join()
        outcome = run_log.close(Outcome(stdout=b"{}\n"))
    assert (outcome.exit_code, outcome.stdout) == (70, b"")
    assert "'worker'" in outcome.error


def test_crash_of_a_thread_does_not_hide_another_failure(
    broker: MqttPeer, stderr: StderrLines
) -> None:
    """The handler's own exit code wins."""
    with _run_log(stderr) as run_log:
        _connect(run_log, registered(broker.port))
        thread = threading.Thread(target=lambda: {"a": 1}["gone"])
        thread.start()
        thread.join()
        assert run_log.close(Outcome(3)).exit_code == 3


@pytest.mark.parametrize(("strict", "code"), [(True, 74), (False, 0)])
def test_strict_logs_count(stderr: StderrLines, *, strict: bool, code: int) -> None:
    """Only with strict logs an unacknowledged record is a failure."""
    declaration = declared(broker="optional", strict_logs=strict)
    with _run_log(stderr, declaration, invoked(flush_timeout=0.0)) as run_log:
        _connect(run_log, registered(closed_port()))
        run_log.log.info("m")
        assert run_log.close(Outcome()).exit_code == code


def test_forced_close_is_short() -> None:
    """A handler that was ended by force gets one second of flush at most."""
    stderr = StderrLines()
    with (
        MqttPeer(no_puback=True) as broker,
        _run_log(stderr, invocation=invoked(flush_timeout=PATIENCE)) as run_log,
    ):
        _connect(run_log, registered(broker.port))
        run_log.log.info("m")
        start = time.monotonic()
        run_log.close_by_force(Outcome(125, error="it was ended"))
        assert time.monotonic() - start < PATIENCE / 2
        assert stderr.lines[-1] == b"epm_task: exit 125 (FORCED): it was ended\n"
        assert [record["message"] for record in stderr.records] == ["task_failed", "m"]


def test_crash_and_deadline_are_records(broker: MqttPeer, stderr: StderrLines) -> None:
    """Both say where the handler was, and stand on stderr before anything else happens."""
    with _run_log(stderr) as run_log:
        _connect(run_log, registered(broker.port))
        run_log.crashed(ValueError("bad"))
        run_log.deadline_reached("MainThread:\n  here")
        assert [record["message"] for record in stderr.records] == [
            "task_crashed",
            "deadline_reached",
        ]
    crash, deadline = stderr.records
    assert (crash["level"], crash["properties"]["exceptionType"]) == ("Critical", "ValueError")
    assert deadline["properties"] == {"stacks": "MainThread:\n  here"}


class Hurried(StderrLines):
    """Notes of each record whether it may still wait for its reader."""

    def __init__(self) -> None:
        """Let records wait."""
        super().__init__()
        self.end = float("inf")
        self.may_wait: list[bool] = []

    def end_by(self, moment: float) -> None:
        """Take the moment until which writes may wait."""
        self.end = moment

    def write_stderr(self, line: bytes, *, record: bool = False, keep: bool = True) -> bool:
        """Keep a line."""
        self.may_wait += [self.end > time.monotonic()] * record
        return super().write_stderr(line, record=record, keep=keep)


def test_the_last_records_wait_for_no_reader(broker: MqttPeer) -> None:
    """Each would wait for a second, and the flush for its own time after that."""
    stderr = Hurried()
    with _run_log(stderr) as run_log:
        _connect(run_log, registered(broker.port))
        run_log.log.error("m")
        run_log.crashed(ValueError("bad"))
        run_log.close(Outcome(70, error="bad"))
    assert [record["message"] for record in stderr.records] == ["m", "task_crashed", "task_failed"]
    assert stderr.may_wait == [True, False, False]


def test_mirror_off_writes_nothing_twice(broker: MqttPeer, stderr: StderrLines) -> None:
    """With `mirror="off"` even an error stands at the broker only."""
    with _run_log(stderr, declared(mirror="off")) as run_log:
        _connect(run_log, registered(broker.port))
        run_log.log.error("m")
        run_log.close(Outcome())
    assert (len(broker.payloads), stderr.lines) == (1, [])


def test_logging_is_left_as_it_was(stderr: StderrLines) -> None:
    """After the end of a run nothing of it listens any more."""
    root = logging.getLogger()
    before = list(root.handlers), root.level, threading.excepthook
    with _run_log(stderr, invocation=invoked(job_id=None)) as run_log:
        assert (list(root.handlers), root.level, threading.excepthook) != before
        run_log.close(Outcome())
        assert (list(root.handlers), root.level, threading.excepthook) == before
