"""A handler that fails ends its run with its own exit code and sentence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from peers.mqtt_peer import MqttPeer
from peers.task_process import agent_with, run_task

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def broker() -> Iterator[MqttPeer]:
    """Run a broker."""
    with MqttPeer() as running:
        yield running


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
        (["--code='x'"], 70, "sys.exit(str)"),
        (["--code=3"], 3, "sys.exit"),
        (["--code=256"], 70, "sys.exit(256)"),
        (["--code=-1"], 70, "sys.exit(-1)"),
        (["--code=64"], 70, "sys.exit(64)"),
        (["--code=2**40"], 70, "TaskFailed"),
        (["--code=[1]"], 70, "sys.exit(list)"),
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
