"""Many records, and many runs of one job: nothing is lost, and memory is bounded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from peers.mqtt_peer import MqttPeer
from peers.patience import BUSY, PATIENCE
from peers.task_process import PROGRAMS, Ended, TaskProcess, agent_with, poll

from epm_task.runtime.log.outbox import LIMIT_BYTES
from epm_task.testing import Agent, Record

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.posix("limits and descriptors of POSIX")

COUNT = 1000
_FLUSH = PATIENCE / 2


def _run(broker: MqttPeer, count: int, stderr: Path) -> Ended:
    how = (f"--count={count}", f"--flush-timeout={_FLUSH}")
    with (
        agent_with(broker.port) as agent,
        TaskProcess("many_records.py", *how, agent=agent.base_url, stderr=stderr) as process,
    ):
        ended = process.end(10 * PATIENCE)
    assert ended.exit_code == 0, ended.stderr[-1000:]
    assert ended.ended_at - ended.mark("handler-ended") < _FLUSH + BUSY
    return ended


def _missing(broker: MqttPeer, ended: Ended, count: int) -> set[int]:
    """Return the numbers of the records that stand nowhere."""
    numbers = {json.loads(payload)["seq"] for payload in broker.payloads}
    return set(range(1, count + 1)) - numbers - {record["seq"] for record in ended.records}


@pytest.mark.slow
def test_burst_of_80_000_records_loses_nothing(tmp_path: Path) -> None:
    """More than the packet ids of MQTT, as fast as a handler can write them."""
    with MqttPeer() as broker:
        ended = _run(broker, 80_000, tmp_path / "stderr")
    assert _missing(broker, ended, 80_000) == set()
    assert broker.violations == []


def test_broker_that_goes_away_before_the_first_record_loses_nothing() -> None:
    """The handler began with a connection, and none of its records finds a broker."""
    how = (f"--count={COUNT}", "--wait-at=0", "--flush-timeout=0.5")
    with (
        MqttPeer() as broker,
        agent_with(broker.port) as agent,
        TaskProcess("records.py", *how, agent=agent.base_url) as process,
    ):
        process.await_stderr(b"waiting")
        broker.kill()
        process.go_on()
        ended = process.end()
    assert (ended.exit_code, broker.payloads) == (0, [])
    assert {record["seq"] for record in ended.messages("record")} == set(range(1, COUNT + 1))
    assert f"{COUNT} records were not acknowledged by the broker" in str(ended.stderr)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "ack_delay"),
    [pytest.param(1_000_000, 0.0, id="million"), pytest.param(100_000, 0.01, id="slow broker")],
)
def test_memory_does_not_grow_with_the_records(
    tmp_path: Path, count: int, ack_delay: float
) -> None:
    """What waits for its acknowledgement is bounded, and nothing is kept of what has it."""
    with MqttPeer() as broker:
        few = json.loads(_run(broker, 10, tmp_path / "few").stdout)["peak"]
    with MqttPeer(ack_delay_seconds=ack_delay) as broker:
        ended = _run(broker, count, tmp_path / "stderr")
    assert json.loads(ended.stdout)["peak"] < few + 2 * LIMIT_BYTES
    assert _missing(broker, ended, count) == set()


@pytest.mark.parametrize(
    "shared", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["own ids", "one id"]
)
def test_runs_of_one_job_at_the_same_time(*, shared: bool) -> None:
    """They have client ids of their own; runs that share one end each other's connections.

    Nothing is lost then either: a connection that was taken over is made again.
    """
    arguments = [f"--count={COUNT}", "--end=sleep", f"--flush-timeout={1 if shared else _FLUSH}"]
    arguments += ["--client-id-template={job_id}_same"] if shared else []
    with Agent() as agent:
        started = [
            agent.start(PROGRAMS / "records.py", arguments=arguments, job={"id": "key-scanner"})
            for _ in range(3)
        ]

        def taken_over() -> int:
            return sum("connected again" in event.reason for event in agent.trace)

        def all_written() -> bool:
            return sum(seq == COUNT for _, seq in _delivered(agent)) == len(started)

        poll(lambda: all_written() and (taken_over() >= 10 or not shared))
        for each in started:
            each.terminate()
        runs = [each.wait(PATIENCE) for each in started]
    assert bool(taken_over()) == shared
    for run in runs:
        assert run.exit_code == 143, run.stderr[-1000:]
        records = [record for record in run.records if record.message == "record"]
        assert {record.seq for record in records} == set(range(1, COUNT + 1))
        assert shared or {record.source_channel for record in records} == {"broker"}


def _delivered(agent: Agent) -> set[tuple[str, int | None]]:
    lines = agent.log.read_bytes().splitlines()
    return {(record.run_id, record.seq) for record in map(Record.from_payload, lines)}
