"""Tests of debuggers in a task to which nobody lends a terminal, and of what the agent sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peers.mqtt_peer import MqttPeer
from peers.patience import BUSY
from peers.task_process import PROGRAMS, Ended, TaskProcess, agent_with, assert_failed

from epm_task.runtime import debugger
from epm_task.testing import Agent

if TYPE_CHECKING:
    from pathlib import Path

FORGOTTEN = PROGRAMS / "breakpoint.py"


def ended(*words: str, **environment: str) -> Ended:
    """Run the task under an agent that leaves stdin open; nobody writes to it."""
    with (
        MqttPeer() as broker,
        agent_with(broker.port) as agent,
        TaskProcess(FORGOTTEN, *words, agent=agent.base_url, environment=environment) as process,
    ):
        return process.end()


def test_a_forgotten_breakpoint_fails_at_once() -> None:
    """Where an agent runs the task, it says where the call is, and does not wait for an answer."""
    line = FORGOTTEN.read_text().splitlines().index("    breakpoint()  # noqa: T100") + 1
    failed = ended()
    assert_failed(failed, 70, f"breakpoint.py:{line} has no terminal", "nobody would answer")
    assert failed.seconds < BUSY
    (record,) = failed.messages("task_failed")
    assert record["level"] == "Error"


def test_no_terminal_under_the_fixture() -> None:
    """A test of the author's does not hang either."""
    with Agent() as agent:
        run = agent.run(FORGOTTEN)
    assert run.exit_code == 70
    assert b"has no terminal for a debugger" in run.stderr


def test_it_can_be_switched_off() -> None:
    """`PYTHONBREAKPOINT=0` passes over the call, as everywhere."""
    passed = ended(PYTHONBREAKPOINT="0")
    assert (passed.exit_code, passed.stdout) == (0, b'{"a":1}\n')


def test_a_debugger_that_is_called_by_name() -> None:
    """`pdb.set_trace()` asks nobody; the end of its stdin is no crash of the handler."""
    with Agent() as agent:
        run = agent.run(FORGOTTEN, parameters={"direct": True})
    assert run.exit_code == 70
    last = run.stderr.decode().splitlines()[-1]
    assert "the debugger was left" in last
    assert "write breakpoint()" in last
    assert [record.message for record in run.records] == ["task_failed"]


def test_a_terminal_that_cannot_be_opened(tmp_path: Path) -> None:
    """As after `su`, when it belongs to the user before: the sentence has the reason."""
    with Agent() as agent:
        env = debugger.lend(tmp_path / "terminal", str(tmp_path / "none"))
        run = agent.run(FORGOTTEN, env=env)
    assert run.exit_code == 70
    assert b"No such file" in run.stderr
    assert not debugger.begun(env)


def test_the_agent_waits_for_a_debugger(tmp_path: Path) -> None:
    """Once one has begun, the agent's time-out does not end the run; before, it does."""
    program = tmp_path / "slow.py"
    program.write_text("import time\ntime.sleep(1)\n")
    with Agent() as agent:
        env = debugger.lend(tmp_path / "terminal", "")
        assert agent.run(program, timeout=0.2, env=env).timed_out
        (tmp_path / "terminal.taken").touch()
        run = agent.run(program, timeout=0.2, env=env)
    assert (run.exit_code, run.timed_out) == (0, False)
    assert debugger.begun(env)
    assert not debugger.begun(debugger.lend(tmp_path / "terminal", ""))  # in the next run


def test_time_outs_and_ctrl_c_after_it_has_begun(tmp_path: Path) -> None:
    """A deadline that comes later is none; SIGINT interrupts the code, and SIGTERM still stops."""
    program = tmp_path / "debugged.py"
    program.write_text(
        "import signal\n"
        "from epm_task import TaskContext, task\n"
        "breakpoint()\n"
        "@task(timeout_seconds=9)\n"
        "def debugged(ctx: TaskContext):\n"
        "    try:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    except KeyboardInterrupt:\n"
        "        endless = ctx.remaining() == float('inf')\n"
        "        assert endless and not ctx.stopping.is_set()\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "        ctx.stopping.wait()\n"
        "debugged.main()\n"
    )
    (tmp_path / "mine.py").write_text("def stop(): pass\n")
    env = {**debugger.lend(tmp_path / "terminal", ""), "PYTHONBREAKPOINT": "mine.stop"}
    with (
        MqttPeer() as broker,
        agent_with(broker.port) as agent,
        TaskProcess(program, agent=agent.base_url, environment=env) as process,
    ):
        stopped = process.end()
    assert debugger.begun(env)
    assert_failed(stopped, 143)
