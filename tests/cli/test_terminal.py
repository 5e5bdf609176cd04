"""Tests of `epm-task run` at a real terminal and without one: `breakpoint()`, and the console."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from cli.command import HELLO, MARK, environment, epm_task, kill_marked, line, task_file, wait_until
from cli.screen import screen
from peers.patience import BUSY, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.platform != "win32":
    import fcntl
    import termios

pytestmark = pytest.mark.posix("it has no pseudo-terminals")

TASK = '''
from epm_task import TaskContext, task

@task(timeout_seconds=20)
def stopping(ctx: TaskContext) -> dict[str, object]:
    """Ask for a debugger, and loop until that says so."""
    seen = []
    breakpoint()
    while not seen:
        pass
    return {"seen": seen, "endless": ctx.remaining() == float("inf")}

if __name__ == "__main__":
    stopping.main()
'''
PROMPT = "(Pdb) "
OK = b'{"seen":["typed"],"endless":true}\n'


class Console:
    """A person at a terminal whose foreground process is `epm-task run`."""

    def __init__(self, file: Path, *words: object, kind: str = "dumb") -> None:
        """Start the command; its stdout is a pipe, all else the terminal, of this kind."""
        self.end, other = os.openpty()
        self.modes = termios.tcgetattr(other)
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            line("run", file, *words),
            stdin=other,
            stdout=subprocess.PIPE,
            stderr=other,
            env=environment({"TERM": kind, "NO_COLOR": "1", MARK: self.mark}),
            # The terminal becomes that of its session, as in a shell.
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )
        self._other = other  # kept open: the terminal outlives the command
        self._seen = self.before = ""

    def read_until(self, text: str) -> str:
        """Return what is shown up to *text*, and forget it."""
        assert self.shows(text, PATIENCE), self._seen
        shown, _, self._seen = self._seen.partition(text)
        return shown

    def shows(self, text: str, seconds: float) -> bool:
        """Return whether *text* is shown within that time."""
        until = time.monotonic() + seconds
        while text not in self._seen and time.monotonic() < until:
            if select.select([self.end], [], [], 0.5)[0]:
                self._seen += os.read(self.end, 65_536).decode()
        return text in self._seen

    def type(self, text: str) -> None:
        """Type *text* as it is."""
        os.write(self.end, text.encode())

    def ask(self, text: str) -> str:
        """Type a line, and return what is shown up to the next prompt."""
        self.type(f"{text}\n")
        return self.read_until(PROMPT)

    def result(self) -> tuple[int, bytes]:
        """Return exit code and stdout of the command."""
        out, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out


@contextmanager
def console(
    folder: Path, *words: object, task: str = TASK, kind: str = "dumb", until: str = PROMPT
) -> Iterator[Console]:
    """Start the task in a terminal, and wait until this is shown: its first prompt."""
    made = Console(task_file(folder, task), *words, kind=kind)
    try:
        made.before = made.read_until(until) + until
        yield made
    finally:
        made.process.kill()
        kill_marked(made.mark)  # a task whose debugger has no terminal left would go on
        made.process.wait()
        if made.process.stdout:
            made.process.stdout.close()
        os.close(made.end)
        os.close(made._other)


def test_a_prompt(tmp_path: Path) -> None:
    """The debugger stops in the handler, knows its names, and leaves stdout to the result."""
    with console(tmp_path) as person:
        assert "-> while not seen:" in person.ask("where")
        assert "42" in person.ask("print(len(seen) + 42)")
        person.ask("seen.append('typed')")
        person.type("continue\n")
        person.read_until("exit 0 (OK)")
        assert person.result() == (0, OK)


def test_a_change_waits_for_the_debugger(tmp_path: Path) -> None:
    """With `--watch` it ends none; the next run has its own, and Ctrl-Z works again afterwards."""
    with console(tmp_path, "--watch") as person:
        task_file(tmp_path, f"{TASK}\n", "new").replace(tmp_path / "my_task.py")
        person.ask("import time; time.sleep(1)")
        person.type("seen.append('typed');; continue\n")
        person.read_until("my_task.py changed")
        person.read_until(PROMPT)
        if sys.platform == "linux":
            wait_until(lambda: ignores_ctrl_z(person))
        person.type("seen.append('typed');; continue\n")
        person.read_until("waiting")
        if sys.platform == "linux":
            assert not ignores_ctrl_z(person)
        person.type("\x03")
        assert person.result() == (130, OK + OK)


def ignores_ctrl_z(person: Console) -> bool:
    """Return whether the command ignores the signal that Ctrl-Z is."""
    status = Path(f"/proc/{person.process.pid}/status").read_text()
    (mask,) = re.findall(r"SigIgn:\s+(\w+)", status)
    return bool(int(mask, 16) >> (signal.SIGTSTP - 1) & 1)


@pytest.mark.slow
def test_no_time_out_ends_it(tmp_path: Path) -> None:
    """Neither the agent's, nor the task's own, nor the last resort against a task that hangs."""
    with console(tmp_path, "--timeout", BUSY) as person:
        person.ask(f"import time; time.sleep({BUSY + 13})")
        person.type("seen.append('typed');; continue\n")
        assert person.result() == (0, OK)


def test_ctrl_c_is_the_debuggers(tmp_path: Path) -> None:
    """At the prompt it drops the line; while the handler runs it asks for another prompt."""
    with console(tmp_path) as person:
        person.type("half a li\x03")
        assert "KeyboardInterrupt" in person.read_until(PROMPT)
        person.type("continue\n")
        person.read_until("continue\r\n")
        # The first one may come before the handler runs again; a second one too many ends the run.
        for _ in range(5):
            person.type("\x03")
            if person.shows("Program interrupted", PATIENCE / 6):
                break
        assert "Program interrupted" in person.read_until(PROMPT)
        person.type("seen.append('typed');; continue\n")
        assert person.result() == (0, OK)


def test_the_debugger_is_left(tmp_path: Path) -> None:
    """`quit` ends the run with a sentence, and no crash of the handler."""
    with console(tmp_path) as person:
        person.type("quit\n")
        assert "the debugger was left" in person.read_until("exit 70 (SOFTWARE)\r\n")
        assert person.result() == (70, b"")


def test_a_killed_debugger(tmp_path: Path) -> None:
    """It ends at the prompt, where it reads single characters; the terminal is as it was before."""
    with console(tmp_path) as person:
        found = re.search(r"pid (\d+)", person.ask("print('pid', __import__('os').getpid())"))
        assert found
        os.kill(int(found[1]), signal.SIGKILL)
        person.read_until("exit -9")
        assert person.result() == (137, b"")
        assert termios.tcgetattr(person._other) == person.modes


LOOP = '''
import time
from pathlib import Path
from epm_task import TaskContext, task

@task
def looping(ctx: TaskContext, *, go: Path) -> None:
    """Ask for a debugger while progress is shown, and go on for more than a second."""
    until = None
    for _ in ctx.track(range(100_000), "scanning"):
        time.sleep(0.01)
        if not until and go.exists():
            breakpoint()
            until = time.monotonic() + 1.5
        if until and time.monotonic() > until:
            break

if __name__ == "__main__":
    looping.main()
'''


def test_progress_makes_room_for_the_prompt(tmp_path: Path) -> None:
    """What was drawn is gone before the debugger writes, and nothing is drawn afterwards."""
    go = tmp_path / "go"
    words = ("--", "--go", go)
    with console(tmp_path, *words, task=LOOP, kind="xterm", until="100k") as person:
        go.touch()
        shown = screen(person.before + person.read_until("-> until ="), 80)
        assert shown[0].startswith("> ")
        assert "scanning" not in "".join(shown)
        person.type("continue\n")
        assert "░" not in person.read_until("exit 0 (OK)")
        assert person.result() == (0, b"")


def test_no_terminal(tmp_path: Path) -> None:
    """One sentence says what, why, and what to do; there is no wait, and no result."""
    ended = epm_task("run", task_file(tmp_path, TASK), stdin=subprocess.DEVNULL)
    assert (ended.code, ended.out) == (70, "")
    (sentence,) = [text for text in ended.err if text.startswith("epm_task: exit 70")]
    assert (
        "my_task.py:8 has no terminal for a debugger: `epm-task run` was not started in one"
        in sentence
    )
    assert "docs/debugging.md" in sentence


HOOK = """
import sys
def stop(seen):
    seen.append(sys._getframe(1).f_code.co_name)
"""


def test_another_debugger(tmp_path: Path) -> None:
    """It needs no terminal, finds the frame that asked for it, and has no time-outs."""
    task_file(tmp_path, HOOK, "my_hook.py")
    text = TASK.replace("breakpoint()", "breakpoint(seen)").replace("while not seen", "while False")
    file = task_file(tmp_path, text)
    own = {"PYTHONBREAKPOINT": "my_hook.stop"}
    ended = epm_task("run", file, env=own, stdin=subprocess.DEVNULL)
    assert (ended.code, ended.out) == (0, '{"seen":["stopping"],"endless":true}\n'), ended.err
    none = epm_task("run", file, env={"PYTHONBREAKPOINT": "0"}, stdin=subprocess.DEVNULL)
    assert (none.code, none.out) == (0, '{"seen":[],"endless":false}\n'), none.err


def test_an_editor_that_debugs(tmp_path: Path) -> None:
    """Debugpy is loaded before the task, and needs no `breakpoint()`: there are no time-outs."""
    loaded = "import sys, types\nsys.modules['pydevd'] = types.ModuleType('pydevd')\n"
    text = TASK.replace("breakpoint()", "pass").replace("while not seen", "while False")
    ended = epm_task("run", task_file(tmp_path, loaded + text))
    assert (ended.code, ended.out) == (0, '{"seen":[],"endless":true}\n'), ended.err


def test_console_of_a_run_stays_at_a_terminal(tmp_path: Path) -> None:
    """The page of a run can be looked at until Ctrl-C, and the exit code is the task's own."""
    made = Console(HELLO, "--console")
    try:
        made.read_until("console: ")
        address = made.read_until("\r\n")
        made.read_until("the console stays until Ctrl-C")
        with httpx.Client(trust_env=False, timeout=PATIENCE, follow_redirects=True) as client:
            page = client.get(address)
            state = client.get(f"{page.url.copy_with(query=None)}console/api/state").json()
        assert [(run["jobId"], run["exitCode"]) for run in state["runs"]] == [("hello", 0)]
        made.type("\x03")
        assert made.result() == (0, b'{"greeting":"Hello world"}\n')
    finally:
        made.process.kill()
        os.close(made.end)
        os.close(made._other)


def test_console_of_a_run_ends_with_it_elsewhere(tmp_path: Path) -> None:
    """A script that asks for the console gets its address, and is not kept waiting."""
    ended = epm_task("run", HELLO, "--console", "--json")
    assert ended.code == 0
    assert [line.startswith("console: http://127.0.0.1:") for line in ended.err] == [True]
    assert json.loads(ended.out)["result"] == {"greeting": "Hello world"}
