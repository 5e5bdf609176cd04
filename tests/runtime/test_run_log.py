"""A run log connects the records of one run with the broker, and closes in order."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from peers.mqtt_peer import MqttPeer
from peers.task_process import closed_port
from pydantic import SecretStr
from runtime.run_parts import declared, invoked, registered
from runtime.stderr_lines import StderrLines

from epm_task.errors import BrokerRefused, BrokerUnreachable, SettingsError, UnsafeBroker
from epm_task.runtime.outcome import Outcome
from epm_task.runtime.run_log import RunLog
from epm_task.runtime.tls import client_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.runtime.agent import Registration
    from epm_task.runtime.declaration import Declaration
    from epm_task.runtime.invocation import Invocation


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
    run_log.connect(registration, settings, client_context(None))


def _records(broker: MqttPeer) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in broker.payloads]


@pytest.fixture
def stderr() -> StderrLines:
    """Take the place of stderr."""
    return StderrLines()


@pytest.fixture
def broker() -> Iterator[MqttPeer]:
    """Run a broker."""
    with MqttPeer() as running:
        yield running


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
        assert time.monotonic() - start < 0.6


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
    given = invoked(flush_timeout=0.1)
    with _run_log(stderr, declared(broker="optional"), given) as run_log:
        start = time.monotonic()
        _connect(run_log, registered(closed_port()))
        assert time.monotonic() - start < 0.3
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
        thread = threading.Thread(target=lambda: {}["gone"], name="worker")
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
        thread = threading.Thread(target=lambda: {}["gone"])
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
        _run_log(stderr, invocation=invoked(flush_timeout=30.0)) as run_log,
    ):
        _connect(run_log, registered(broker.port))
        run_log.log.info("m")
        start = time.monotonic()
        run_log.close_by_force(Outcome(125, error="it was ended"))
        assert time.monotonic() - start < 1.6
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


def test_mirror_off_writes_nothing_twice(broker: MqttPeer, stderr: StderrLines) -> None:
    """With `mirror="off"` even an error stands at the broker only."""
    with _run_log(stderr, declared(mirror="off")) as run_log:
        _connect(run_log, registered(broker.port))
        run_log.log.error("m")
        run_log.close(Outcome())
    assert (len(broker.payloads), stderr.lines) == (1, [])
