"""A handler that fails ends its run with its own exit code and sentence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from peers.task_process import agent_with, run_task

if TYPE_CHECKING:
    from peers.mqtt_peer import MqttPeer


def _records(broker: MqttPeer) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in broker.payloads]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--way=raise"], 70, "the handler raised RuntimeError at "),
        (["--way=memory"], 70, "raised MemoryError"),
        (["--way=recursion"], 70, "raised RecursionError"),
        (["--way=generator"], 70, "raised GeneratorExit"),
        (["--way=odd"], 70, "raised _Odd"),
        (["--way=fail"], 3, "(the author's own): the disk is full; free some space"),
        (["--way=later"], 75, "another run holds the lock"),
        (["--way=interrupt"], 130, "SIGINT"),
        (["--way=thread"], 70, "thread 'worker' let an exception escape"),
        (["--code='licence-4711'"], 1, "(FAILED): licence-4711"),
        (["--way=group"], 3, "(the author's own): the disk is full; free some space"),
        (["--way=star"], 3, "(the author's own): the disk is full; free some space"),
        (["--way=thread-fail"], 3, "(the author's own): the disk is full; free some space"),
        (["--way=thread-text"], 1, "(FAILED): the thread says no"),
        (["--code=3"], 3, "sys.exit"),
        (["--code=256"], 70, "sys.exit(256)"),
        (["--code=-1"], 70, "sys.exit(-1)"),
        (["--code=64"], 70, "sys.exit(64)"),
        (["--code=2**40"], 70, "TaskFailed"),
        (["--code=[1]"], 1, "[1]"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_handler_that_fails_has_its_exit_code(
    broker: MqttPeer, arguments: list[str], code: int, words: str
) -> None:
    """Each way of failing has its code and its sentence; nothing stands on stdout."""
    with agent_with(broker.port) as agent:
        ended = run_task("crash.py", *arguments, agent=agent.base_url)
    assert (ended.exit_code, ended.stdout) == (code, b"")
    assert ended.last_line.startswith(f"epm_task: exit {code} (")
    assert words in ended.last_line
    assert any(record["message"] == "started" for record in _records(broker))


@pytest.mark.parametrize("arguments", [["--code=0"], ["--code=None"], ["--way=thread-exit"]])
def test_handler_that_leaves_early_without_a_code_is_fine(
    broker: MqttPeer, arguments: list[str]
) -> None:
    """`sys.exit(0)`, `sys.exit(None)` and the exit of a thread are no failures."""
    with agent_with(broker.port) as agent:
        ended = run_task("crash.py", *arguments, agent=agent.base_url)
    assert (ended.exit_code, ended.stderr) == (0, b"")


@pytest.mark.parametrize("way", ["raise", "thread"])
def test_traceback_has_no_locals(broker: MqttPeer, way: str) -> None:
    """A crash is one record with its traceback, on both ways, and no local variable in it."""
    with agent_with(broker.port) as agent:
        ended = run_task("crash.py", f"--way={way}", agent=agent.base_url)
    name = {"raise": "task_crashed", "thread": "thread_crashed"}[way]
    (record,) = ended.messages(name)
    assert record in _records(broker)
    assert "crash.py" in record["properties"]["exception"]
    assert record["properties"]["exceptionType"] == "RuntimeError"
    assert b"hunter2" not in ended.stderr + b"".join(broker.payloads)


def test_hard_exit_keeps_its_code(broker: MqttPeer) -> None:
    """`os._exit(9)` is 9, at once, and stdout stays empty."""
    with agent_with(broker.port) as agent:
        ended = run_task("crash.py", "--way=os-exit", agent=agent.base_url)
    assert (ended.exit_code, ended.stdout) == (9, b"")


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("cause", ["FileNotFoundError", "licence-4711.txt", "direct cause", "TaskFailed"]),
        ("context", ["FileNotFoundError", "During handling", "SystemExit"]),
        ("note", ["TaskFailed", "look there"]),
        ("group", ["ExceptionGroup", "TaskFailed"]),
    ],
)
@pytest.mark.parametrize("topics", [True, False])
def test_failure_is_told_with_its_cause(
    broker: MqttPeer, way: str, words: list[str], *, topics: bool
) -> None:
    """What the author's exception came from is in the run's last record, on whatever way."""
    job_id = "key-scanner" if topics else None
    with agent_with(broker.port) as agent:
        ended = run_task("crash.py", f"--way={way}", agent=agent.base_url, job_id=job_id)
    found = _records(broker) if topics else ended.records
    record = next(record for record in found if record["message"] == "task_failed")
    assert all(word in record["properties"]["exception"] for word in words), record
    assert record["properties"]["exitCode"] == ended.exit_code


def test_failure_without_a_cause_is_its_sentence(broker: MqttPeer) -> None:
    """An expected failure needs no traceback."""
    with agent_with(broker.port) as agent:
        ended = run_task("crash.py", "--way=fail", agent=agent.base_url)
    record = next(r for r in _records(broker) if r["message"] == "task_failed")
    assert record["properties"].keys() == {"exitCode", "exitName", "reason"}
    assert ended.exit_code == 3
