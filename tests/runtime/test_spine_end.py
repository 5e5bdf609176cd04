"""How a run ends: what stopped the handler becomes an outcome, and records are accounted for."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import structlog
from peers.mqtt_peer import MqttPeer
from peers.patience import BUSY, PATIENCE, STARTING
from peers.task_process import STOP, Ended, agent_with, poll, run_task, send_signal
from runtime.run_parts import declared, invoked
from runtime.stderr_lines import StderrLines

from epm_task.errors import TaskFailed
from epm_task.runtime.log.pipe import RunLog
from epm_task.runtime.outcome import Outcome
from epm_task.runtime.spine import ending
from epm_task.runtime.stop import Stopped

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """
import atexit, os, sys, threading, time
from epm_task import TaskContext, task
"""


def _run(folder: Path, code: str, *arguments: str) -> tuple[Ended, list[bytes]]:
    """Run a task program; return its end, and what the broker has."""
    program = folder / "program.py"
    program.write_text(HEAD + code + '\nif __name__ == "__main__":\n    program.main()\n')
    with MqttPeer() as broker, agent_with(broker.port) as agent:
        return run_task(program, *arguments, agent=agent.base_url), broker.payloads


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TaskFailed("no", exit_code=4), 4),
        (SystemExit(5), 5),
        (SystemExit("x"), 1),
        (ExceptionGroup("g", [TaskFailed("no", exit_code=4)]), 4),
        (SystemExit(None), 0),
        (KeyboardInterrupt(), 130),
        (Stopped(), 0),
        (ValueError("bad"), 70),
        (GeneratorExit(), 70),
    ],
)
def test_error_has_its_exit_code(
    capfd: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    """Without a log a crash is printed as Python prints it; nothing else is."""
    assert ending(error, None, began=True).exit_code == code
    crashed = isinstance(error, ValueError | GeneratorExit)
    assert (type(error).__name__ in capfd.readouterr().err) == crashed


def test_crash_is_a_record() -> None:
    """With a log the crash is one record, and the sentence holds no text of the exception."""
    stderr = StderrLines()
    run_log = RunLog(declared(), invoked(), stderr)
    outcome = ending(ValueError("hunter2"), run_log, began=True)
    run_log.close(Outcome())
    structlog.reset_defaults()
    assert [record["message"] for record in stderr.records] == ["task_crashed"]
    assert "hunter2" not in outcome.error


def test_exit_functions_run_and_may_log(tmp_path: Path) -> None:
    """What `atexit` holds runs before the flush, so that its records are delivered."""
    ended, payloads = _run(
        tmp_path,
        """
@task(job_id="key-scanner")
def program(ctx: TaskContext) -> None:
    atexit.register(ctx.log.info, "at_exit")
""",
    )
    assert ended.exit_code == 0
    assert [b"at_exit" in payload for payload in payloads] == [True]


def test_thread_of_the_handler_is_waited_for(tmp_path: Path) -> None:
    """A thread that ends soon may finish, and its records are delivered."""
    ended, payloads = _run(
        tmp_path,
        """
@task(job_id="key-scanner")
def program(ctx: TaskContext) -> None:
    def work():
        time.sleep(0.3)
        ctx.log.info("thread_done")
    threading.Thread(target=work).start()
""",
    )
    assert (ended.exit_code, len(payloads)) == (0, 1)
    assert b"thread_done" in payloads[0]


def test_blocked_thread_does_not_keep_the_process(tmp_path: Path) -> None:
    """A thread that never ends is named in a warning, and the process ends in time."""
    ended, _ = _run(
        tmp_path,
        """
@task(job_id="key-scanner")
def program(ctx: TaskContext) -> dict[str, int]:
    threading.Thread(target=threading.Event().wait, name="blocked").start()
    print("handler-ended", time.monotonic(), flush=True)
    return {"a": 1}
""",
        "--flush-timeout=0.5",
    )
    assert (ended.exit_code, ended.stdout) == (0, b'{"a":1}\n')
    (record,) = ended.messages("threads_left_running")
    assert record["properties"]["names"] == ["blocked"]
    assert ended.ended_at - ended.mark("handler-ended") < 0.5 + BUSY


def test_deadline_ends_an_exit_function_that_hangs(tmp_path: Path) -> None:
    """An exit function that never returns is ended by the deadline, and nothing is lost."""
    ended, payloads = _run(
        tmp_path,
        """
@task(job_id="key-scanner")
def program(ctx: TaskContext) -> None:
    ctx.log.info("done")
    atexit.register(time.sleep, 60)
""",
        f"--deadline={STARTING}",
    )
    assert ended.exit_code in {124, 125}
    assert ended.seconds < STARTING + 1.5 + 1.0 + BUSY
    assert b"done" in payloads[0]


def test_crash_before_there_is_a_log_is_printed(tmp_path: Path) -> None:
    """An error of our own in the first steps is shown with its traceback, and is 70."""
    code = """
import sys
import time
from epm_task import task
from epm_task.runtime import spine
@task
def program() -> None: ...
spine.read_invocation = None
program.main()
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (70, b"")
    assert b"TypeError" in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(b"epm_task: exit 70 (SOFTWARE): ")


def test_idle_workers_do_not_delay_the_end(tmp_path: Path) -> None:
    """An executor that the handler left open is told to end, as Python itself would do."""
    ended, _ = _run(
        tmp_path,
        """
from concurrent.futures import ThreadPoolExecutor
kept = []
@task(job_id="key-scanner")
def program(ctx: TaskContext) -> None:
    kept.append(ThreadPoolExecutor())
    kept[0].submit(int).result()
    print("handler-ended", time.monotonic(), flush=True)
""",
        f"--flush-timeout={PATIENCE}",
    )
    assert ended.exit_code == 0
    assert ended.messages("threads_left_running") == []
    assert ended.ended_at - ended.mark("handler-ended") < PATIENCE / 2


def test_half_a_line_does_not_change_the_end(tmp_path: Path) -> None:
    """Text that still waits for its line end is written, and a dead stderr is no failure."""
    program = tmp_path / "program.py"
    program.write_text(
        HEAD
        + """
@task
def program() -> None:
    print("half a line", end="")
program.main()
"""
    )
    with MqttPeer() as broker, agent_with(broker.port) as agent:
        ended = run_task(program, agent=agent.base_url)
        assert (ended.exit_code, ended.stderr) == (0, b"half a line")
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as stderr:
            base = f"--keeper-api-base={agent.base_url}"
            command = [sys.executable, str(program), base]
            environment = {**os.environ, "KEEPER_JOB_ID": "key-scanner"}
            last = subprocess.run(
                command, stderr=stderr, env=environment, timeout=PATIENCE, check=False
            )
            assert last.returncode == 0


def test_print_that_nobody_reads_cannot_keep_the_process(tmp_path: Path) -> None:
    """A handler that hangs in `print`, because stderr is full, is ended all the same.

    Without a broker the record of the deadline has no other way. (A busy machine may start the
    program so late that it prints nothing.)
    """
    program = tmp_path / "program.py"
    program.write_text(
        HEAD
        + """
@task
def program() -> None:
    while True:
        print("x" * 1000)
program.main()
"""
    )
    reader, writer = os.pipe()
    with (
        MqttPeer() as broker,
        agent_with(broker.port) as agent,
        os.fdopen(reader, "rb"),
        os.fdopen(writer, "wb") as stderr,
    ):
        command = [sys.executable, str(program), f"--keeper-api-base={agent.base_url}"]
        command += ["--deadline=1"]
        ended = subprocess.run(command, stderr=stderr, timeout=PATIENCE, check=False)
    assert ended.returncode in {74, 124, 125}


@pytest.mark.parametrize("ends", ["returns", "is asked to stop"])
def test_stderr_that_nobody_reads_cannot_keep_the_process(tmp_path: Path, ends: str) -> None:
    """A run ends that has filled it, whose last line nobody takes or which is asked to stop."""
    program, begun = tmp_path / "program.py", tmp_path / "begun"
    program.write_text(
        HEAD
        + f"""
def fill():
    while True:
        os.write(2, b"x" * 1000)
@task
def program() -> None:
    threading.Thread(target=fill, daemon=True).start()
    time.sleep(0.2)
    open({str(begun)!r}, "w").close()
    if {ends != "returns"}:
        fill()
    sys.exit(3)
program.main()
"""
    )
    reader, writer = os.pipe()
    with MqttPeer() as broker, agent_with(broker.port) as agent, os.fdopen(writer, "wb") as stderr:
        base = f"--keeper-api-base={agent.base_url}"
        command = [sys.executable, str(program), base, "--flush-timeout=0.5"]
        with subprocess.Popen(command, stderr=stderr) as process:
            try:
                poll(begun.exists)
                if ends != "returns":
                    send_signal(process, STOP)
                assert process.wait(PATIENCE) in {3, 74, 125, 128 + STOP}
            finally:
                process.kill()
    os.close(reader)
