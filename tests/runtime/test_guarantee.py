"""Every accepted record is acknowledged by the broker or stands on stderr, in bounded time."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from peers.accounting import Account, account
from peers.mqtt_packet import V3
from peers.mqtt_peer import MqttPeer
from peers.patience import BUSY, PATIENCE
from peers.task_process import STOP, Ended, TaskProcess, agent_with, run_task
from peers.wine import WINE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Wine's pipes are slow: fewer records, and more time for them to reach stderr, in seconds.
COUNT, FLUSH = (1_000, 5.0) if WINE else (10_000, 0.5)
CODES = {"return": 0, "raise": 70, "exit": 3, "fail": 3, "signal": 128 + STOP}


def _run(
    broker: MqttPeer,
    *arguments: str,
    program: str = "records.py",
    end: str = "return",
    fault: Callable[[], object] | None = None,
    flush: float = FLUSH,
) -> Ended:
    """Run a program; cause the fault while the handler waits in the middle."""
    how = [f"--flush-timeout={flush}", *arguments]
    how += [f"--wait-at={COUNT // 2}"] if fault else []
    how += [f"--end={'sleep' if end == 'signal' else end}"] if program == "records.py" else []
    with (
        agent_with(broker.port) as agent,
        TaskProcess(program, *how, agent=agent.base_url) as process,
    ):
        if fault:
            process.await_stderr(b"waiting")
            fault()
            process.go_on()
        if end == "signal":
            process.await_stderr(b"handler-ended")
            process.signal()
        return process.end()


def _numbers(records: list[dict[str, Any]]) -> list[int]:
    return [record["properties"]["n"] for record in records if record["message"] == "record"]


def _account(broker: MqttPeer, ended: Ended, count: int = COUNT) -> Account:
    """Return the account of a run, in which nothing is missing."""
    delivered = [json.loads(payload) for payload in broker.payloads]
    assert set(_numbers(delivered) + _numbers(ended.records)) == set(range(count))
    last = max(record["seq"] for record in delivered + ended.records)
    found = account(range(1, last + 1), broker.payloads, ended.stderr)
    assert found.complete, found
    return found


def _delay(ended: Ended) -> float:
    return ended.ended_at - ended.mark("handler-ended")


@pytest.mark.parametrize("end", CODES)
def test_healthy_broker_gets_every_record(end: str) -> None:
    """However the handler ends, all are acknowledged, each one once on one connection."""
    with MqttPeer() as broker:
        ended = _run(broker, f"--count={COUNT}", end=end, flush=PATIENCE)
    assert ended.exit_code == CODES[end]
    found = _account(broker, ended)
    assert found.repeated == 0 or len(broker.connects) > 1  # a stall of two seconds
    assert len(found.acknowledged) >= COUNT
    assert b"not acknowledged" not in ended.stderr


@pytest.mark.parametrize("end", CODES)
def test_healthy_close_is_quick(end: str) -> None:
    """When all records are acknowledged nobody waits for the rest of the flush."""
    with MqttPeer() as broker:
        ended = _run(broker, "--count=300", end=end, flush=PATIENCE)
    assert _delay(ended) < PATIENCE / 2
    _account(broker, ended, 300)


@pytest.mark.parametrize("end", CODES)
def test_broker_killed_during_the_handler_loses_nothing(end: str) -> None:
    """What the killed broker has not acknowledged stands on stderr, however the handler ends."""
    with MqttPeer() as broker:
        ended = _run(broker, f"--count={COUNT}", end=end, fault=broker.kill)
    assert ended.exit_code == CODES[end]
    found = _account(broker, ended)
    assert len(found.on_stderr) >= COUNT // 2
    assert _delay(ended) < FLUSH + BUSY
    assert f"epm_task: {len(found.on_stderr)} records were not acknowledged" in str(ended.stderr)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"connack_reason": 0x87}, id="refuses"),
        pytest.param({"no_connack": True}, id="never answers CONNECT"),
        pytest.param({"transport": "black-hole"}, id="never answers TLS", marks=pytest.mark.slow),
        pytest.param({"transport": "plaintext"}, id="no TLS", marks=pytest.mark.slow),
        pytest.param({"no_puback": True}, id="never acknowledges"),
        pytest.param(
            {"no_puback": True, "versions": frozenset({V3})},
            id="3.1.1, never acks",
            marks=pytest.mark.slow,
        ),
        pytest.param({"ack_delay_seconds": 0.05}, id="slow acknowledgements"),
        pytest.param({"puback_reasons": {"KeeperLogger": 0x87}}, id="denies the topic"),
        pytest.param({"receive_maximum": 1}, id="one at a time", marks=pytest.mark.slow),
        pytest.param({"disconnect_after": 150}, id="hangs up again and again"),
        pytest.param({"maximum_packet_size": 200}, id="tiny packet limit"),
        pytest.param(
            {"packet_limit": 200}, id="tiny packet limit, not announced", marks=pytest.mark.slow
        ),
    ],
)
def test_faulty_broker_loses_nothing(options: dict[str, Any]) -> None:
    """Whatever is wrong with the broker from the start, each record is in one of the places."""
    with MqttPeer(**options) as broker:
        ended = _run(broker, f"--count={COUNT}", program="optional_records.py")
    assert ended.exit_code == 0
    _account(broker, ended)
    assert _delay(ended) < FLUSH + BUSY


def test_absent_broker_loses_nothing() -> None:
    """Without any broker all records stand on stderr, and one line says why."""
    broker = MqttPeer()
    with broker:
        broker.kill()
        ended = _run(broker, f"--count={COUNT}", program="optional_records.py")
    assert len(_account(broker, ended).on_stderr) == COUNT
    assert _delay(ended) < FLUSH + BUSY
    assert f"{COUNT} records were not acknowledged by the broker (Conn" in str(ended.stderr)


def test_stopped_broker_loses_nothing() -> None:
    """A broker that is halted in the middle costs the flush, and no record."""
    with MqttPeer() as broker:
        ended = _run(broker, f"--count={COUNT}", fault=broker.stop_reading)
    assert _account(broker, ended).on_stderr
    assert _delay(ended) < FLUSH + BUSY


def test_broker_killed_at_close_loses_nothing() -> None:
    """A broker that goes away while the process flushes costs no record."""
    with MqttPeer(ack_delay_seconds=0.02) as broker, agent_with(broker.port) as agent:
        how = (f"--count={COUNT}", f"--flush-timeout={FLUSH}")
        with TaskProcess("records.py", *how, agent=agent.base_url) as process:
            process.await_stderr(b"handler-ended")
            broker.kill()
            ended = process.end()
    found = _account(broker, ended)
    assert found.on_stderr
    assert _delay(ended) < FLUSH + BUSY


def test_broker_that_is_back_in_time_gets_every_record() -> None:
    """After half a second of absence all is delivered, and nothing stands on stderr."""
    with MqttPeer() as broker:

        def restart() -> None:
            broker.kill()
            threading.Timer(0.5, broker.restart).start()

        ended = _run(broker, f"--count={COUNT}", fault=restart, flush=10)
    found = _account(broker, ended)
    assert len(found.acknowledged) >= COUNT
    assert found.repeated <= 100
    assert b"not acknowledged" not in ended.stderr


def test_poison_record_alone_is_given_up() -> None:
    """A record that the broker cannot take stands on stderr; the others are acknowledged."""
    with MqttPeer(packet_limit=20_000) as broker:
        ended = _run(broker, "--count=3", "--size=30000")
        assert len(_account(broker, ended, 3).on_stderr) == 3
        assert len({json.loads(payload)["seq"] for payload in broker.payloads}) == 0
        broker.packet_limit = None
        broker.maximum_packet_size = 20_000
        ended = _run(broker, "--count=3", "--size=30000", flush=PATIENCE)
    assert len(ended.messages("record")) == 3
    assert b"larger than the broker's 20000 bytes" in ended.stderr
    assert _delay(ended) < PATIENCE / 2


def test_denied_topic_is_said_once_with_the_line_to_add() -> None:
    """MQTT 5 shows the denial: one sentence with the fix, all records on stderr, no delay."""
    with MqttPeer(puback_reasons={"KeeperLogger": 0x87}) as broker:
        ended = _run(broker, "--count=1000", flush=PATIENCE)
    assert ended.stderr.count(b"refused the topic") == 1
    assert b'0x87 Not authorized); add "KeeperLogger" to mqttTopics.allowed' in ended.stderr
    assert len(_account(broker, ended, 1000).on_stderr) == 1000
    assert _delay(ended) < PATIENCE / 2


@pytest.mark.parametrize(("count", "size"), [(COUNT // 25, 100_000), (3, 10_000_000)])
def test_large_records_are_bounded_in_memory(count: int, size: int) -> None:
    """Megabytes of records against a halted broker go to stderr, cut to 128 KiB each."""
    with MqttPeer(no_puback=True) as broker:
        ended = _run(broker, f"--count={count}", f"--size={size}")
    found = account(range(1, count + 1), broker.payloads, ended.stderr)
    assert not found.missing
    assert not found.torn
    assert max(map(len, ended.stderr.splitlines())) <= 128 * 1024
    assert _delay(ended) < FLUSH + BUSY


def test_strict_logs_change_the_exit_code() -> None:
    """With `strict_logs` an unacknowledged record makes the exit code 74, else it stays 0."""
    with MqttPeer() as broker, agent_with(broker.port) as agent:
        assert run_task("strict_records.py", agent=agent.base_url).exit_code == 0
        broker.kill()
        how = ("--flush-timeout=0.2",)
        ended = run_task("strict_records.py", *how, agent=agent.base_url)
    assert (ended.exit_code, ended.stdout) == (74, b"")
    assert "10 records were not acknowledged by the broker" in ended.last_line


def test_records_of_a_thread_that_outlives_the_handler_are_accounted_for(
    tmp_path: Path,
) -> None:
    """A daemon thread may log until the very end: no call raises, and nothing is lost."""
    with MqttPeer() as broker, agent_with(broker.port) as agent:
        how = ("--flush-timeout=3",)
        ended = run_task("late_thread.py", *how, agent=agent.base_url, stderr=tmp_path / "stderr")
    accepted = {int(n) for n in ended.stderr.split(b"accepted ")[1:] for n in [n.split()[0]]}
    records = [*map(json.loads, broker.payloads), *ended.records]
    assert accepted <= {record["properties"]["n"] for record in records}
    assert ended.exit_code == 0
    assert b"raised" not in ended.stderr
