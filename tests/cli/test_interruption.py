"""Tests of signals to `epm-task run`: the task ends in good order, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from admin.admin_files import add_binary, job_document, options_of
from cli.command import (
    ASKED,
    HELLO,
    KILLED,
    SLEEPER,
    STUBBORN,
    Running,
    running,
    task_file,
    wait_until,
)
from peers.patience import PATIENCE
from peers.task_process import STOP

from epm_task.cli.interruption import Interruption, stop_signals, stop_signals_to
from epm_task.simulator.embedded import Agent

if TYPE_CHECKING:
    from pathlib import Path

#: What a command ends with that does not take the signal yet; Wine makes it 0.
DEFAULT_ENDS = (0, 0xC000013A) if os.name == "nt" else (-STOP,)
posix_signal = pytest.mark.posix("Windows has no such signal")


@pytest.mark.parametrize(
    "name",
    [
        signal.Signals(STOP).name,
        "SIGINT",
        pytest.param("SIGHUP", marks=posix_signal),
        pytest.param("SIGQUIT", marks=posix_signal),
    ],
)
def test_a_signal_ends_task_and_agent(tmp_path: Path, name: str) -> None:
    """The exit code is that of the signal; no process and no file stays, not even a grandchild."""
    number = getattr(signal, name)
    with running("run", task_file(tmp_path, SLEEPER), scratch=tmp_path) as command:
        command.read_until("asleep")
        command.signal(number)
        ended = command.end()
        assert ended.code == 128 + number
        assert ASKED in ended.err[-1]
        assert command.leftovers() == []


@pytest.mark.wine_differs("it sends no CTRL_BREAK, so the first one kills")
def test_second_signal_kills(tmp_path: Path) -> None:
    """A task that does not listen is killed by the second Ctrl-C, without waiting for a grace."""
    with running("run", task_file(tmp_path, STUBBORN), scratch=tmp_path) as command:
        command.read_until("stubborn")
        command.signal(signal.SIGINT)
        time.sleep(0.3)
        assert command.process.poll() is None
        command.signal(signal.SIGINT)
        ended = command.end()
        assert (ended.code, ended.out) == (130, "")
        assert KILLED in ended.err[-1]
        assert command.leftovers() == []


@pytest.mark.parametrize("delay", [0.27, 0.31, 0.36, 0.41])
def test_a_signal_at_any_moment_leaves_nothing(tmp_path: Path, delay: float) -> None:
    """Also while the agent starts or the task is being started: no file, no process, no hang."""
    with running("run", task_file(tmp_path, SLEEPER), scratch=tmp_path) as command:
        time.sleep(delay)
        command.signal(STOP)
        ended = command.end()
        assert ended.code in {128 + STOP, *DEFAULT_ENDS}
        assert "Traceback" not in "\n".join(ended.err)
        assert command.leftovers() == []


def test_import_that_hangs_can_be_stopped(tmp_path: Path) -> None:
    """A file that waits when it is imported does not keep the command from ending."""
    text = "import sys, time\nimport epm_task\nprint('waits', file=sys.stderr)\ntime.sleep(60)\n"
    with running("run", task_file(tmp_path, text), scratch=tmp_path) as command:
        command.read_until("waits")
        command.signal(signal.SIGINT)
        ended = command.end()
        assert ended.code == 130
        assert "Traceback" not in "\n".join(ended.err)
        assert command.leftovers() == []


def hear_ctrl_c() -> None:
    """Take Ctrl-C, which a script that starts the tests with `&` has ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


HEARING: dict[str, Any] = {"preexec_fn": hear_ctrl_c} if os.name == "posix" else {}


def ctrl_c(command: Running, word: str) -> None:
    """Press it when *word* has come; it ends with 130, without a traceback, and nothing is left."""
    command.read_until(word)
    command.signal(signal.SIGINT)
    ended = command.end()
    assert (ended.code, "Traceback" in "\n".join(ended.err)) == (130, False), ended
    assert command.leftovers() == []


@pytest.mark.parametrize("module", ["typer", "cryptography"])
def test_ctrl_c_while_the_command_is_imported(tmp_path: Path, module: str) -> None:
    """No verb has begun."""
    text = "import sys, time\nprint('imports', file=sys.stderr, flush=True)\ntime.sleep(60)\n"
    task_file(tmp_path, text, f"{module}.py")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    more: dict[str, Any] = {"env": {"PYTHONPATH": path}, **HEARING}
    with running("run", HELLO, scratch=tmp_path, **more) as command:
        ctrl_c(command, "imports")


@pytest.mark.posix("Windows has no pseudo-terminal")
def test_ctrl_c_at_a_prompt(tmp_path: Path) -> None:
    """Nothing is made."""
    ours, theirs = os.openpty()
    more: dict[str, Any] = {"stdin": theirs, **HEARING}
    with running("new", "job", "-o", tmp_path / "made", scratch=tmp_path, **more) as command:
        os.write(ours, b"Do it.\n")
        ctrl_c(command, "every 60 minutes")  # the next question has begun
    assert not (tmp_path / "made").exists()
    for end in (ours, theirs):
        os.close(end)


@pytest.mark.posix("the program is a script")
def test_ctrl_c_while_a_program_is_verified(tmp_path: Path) -> None:
    """Program and agent are ended."""
    program, note = tmp_path / "Probe", tmp_path / "pid"
    noting = f"import os\nopen({str(note)!r}, 'w').write(f'{{os.getpid()}} ')\n"
    program.write_text(f"#!{sys.executable}\n{noting}{STUBBORN}")
    program.chmod(0o755)
    with running("verify", program, scratch=tmp_path) as command:
        wait_until(lambda: note.exists() and note.read_text().endswith(" "))
        command.signal(signal.SIGINT)
        assert command.end().code == 130
        assert command.leftovers() == []
    assert not psutil.pid_exists(int(note.read_text()))


def test_ctrl_c_while_a_run_is_followed(tmp_path: Path) -> None:
    """The run goes on."""
    with Agent(tmp_path / "agent") as agent:
        add_binary(agent, script="import time\ntime.sleep(60)\n")
        agent.jobs.add(job_document())
        words = ("jobs", "trigger", "probe", "--wait", "--agent-root", agent.root)
        more: dict[str, Any] = {"scratch": tmp_path, **HEARING}
        with running(*words, *options_of(agent), **more) as command:
            ctrl_c(command, "probe: started")
        assert agent.jobs.ended() == []


def test_killed_reader_of_stderr_does_not_stop_the_run(tmp_path: Path) -> None:
    """After `2>&1 | head -1` the task goes on to its end, and its exit code counts."""
    text = (
        "import os, sys, time\nos.write(2, b'first\\n')\nsys.stdin.read()\ntime.sleep(0.3)\n"
        "for _ in range(2000): os.write(2, b'more' * 100 + b'\\n')\nsys.exit(7)\n"
    )
    with running("run", task_file(tmp_path, text), scratch=tmp_path) as command:
        command.read_until("first")
        assert command.process.stderr
        command.process.stderr.close()
        assert command.process.wait(timeout=PATIENCE) == 7
        assert command.leftovers() == []


def test_handlers_come_back() -> None:
    """Inside the block signals are counted and never raise; outside it has no effect."""
    before = {number: signal.getsignal(number) for number in stop_signals()}
    interruption = Interruption()
    with stop_signals_to(interruption.take):
        assert interruption.exit_code is None
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert (interruption.count, interruption.exit_code or 0) == (2, 143)
    assert {number: signal.getsignal(number) for number in stop_signals()} == before


@posix_signal
@pytest.mark.parametrize("name", ["SIGHUP", "SIGQUIT"])
def test_what_is_ignored_stays_ignored(name: str) -> None:
    """`nohup epm-task run …` goes on when the terminal is closed, and `… &` when it is quit."""
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        assert number not in stop_signals()
    finally:
        signal.signal(number, before)
    assert number in stop_signals()
