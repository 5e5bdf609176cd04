"""A program that a handler starts: its output, its end, and the end of all that it has started."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers.patience import BUSY, PATIENCE
from peers.task_process import PROGRAMS, poll

from epm_task import TaskFailed
from epm_task.job.task_file import read_task_file
from epm_task.runtime.child import (
    Child,
    ChildFailed,
    Surroundings,
    find_program,
    search_folders,
)
from epm_task.testing import Agent, HandlerContext, make_context

TASKS: dict[str, Any] = dict(read_task_file(PROGRAMS / "parent.py").tasks)


@pytest.fixture
def ctx() -> HandlerContext:
    """A context without an agent."""
    return make_context()


def python(code: str) -> list[str]:
    """Return the words that run this code."""
    return [sys.executable, "-c", code]


def test_each_line_is_a_record(ctx: HandlerContext) -> None:
    """With the program as source, and the level of its stream."""
    code = (
        "import sys; print('one\\n\\ntwo'); print('oh', file=sys.stderr); sys.stdout.write('end')"
    )
    assert ctx.run(python(code)) == (0, "", "", 0)
    found = sorted((one.level, one.message, one.properties["stream"]) for one in ctx.records)
    assert found == [
        ("Information", "end", "stdout"),
        ("Information", "one", "stdout"),
        ("Information", "two", "stdout"),
        ("Warning", "oh", "stderr"),
    ]
    assert {one.source for one in ctx.records} == {Path(sys.executable).name}


def test_records_come_while_it_runs(box: Agent, tmp_path: Path) -> None:
    """Not when it has ended."""
    seen = threading.Event()
    code = (
        "import os, sys, time; print('first', flush=True)\n"
        f"while not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.01)"
    )
    started = box.start(
        TASKS["parent"],
        parameters={"code": code},
        on_record=lambda record: seen.set() if record.message == "first" else None,
    )
    assert seen.wait(PATIENCE)
    (tmp_path / "go").touch()
    assert started.wait().exit_code == 0


class _SlowSink:
    """Takes records as slowly as a broker that has much to do."""

    def __init__(self) -> None:
        self.lines: list[object] = []

    def write(self, _number: int, message: object, *_: object, **__: object) -> None:
        """Take one."""
        time.sleep(0.002)
        self.lines.append(message)


def test_what_was_written_last_is_read_to_its_end(ctx: HandlerContext) -> None:
    """Also when the program has ended long before."""
    sink: Any = _SlowSink()
    words = python("for number in range(1000): print(number)")
    child = Child(words, Surroundings(ctx.log, sink, {}), capture=False, given=None, env=None)
    assert child.finish(None, check=True).exit_code == 0
    assert sink.lines == [str(number) for number in range(1000)]


def test_output_can_be_captured(ctx: HandlerContext) -> None:
    """Then it makes no records."""
    code = "import sys; print('a\\nb'); print('c', file=sys.stderr)"
    found = ctx.run(python(code), capture=True)
    assert (found.stdout, found.stderr) == ("a\nb\n", "c\n")
    assert ctx.records == []


def test_a_failure_is_told_with_the_last_lines(ctx: HandlerContext) -> None:
    """As TaskFailed, unless the caller wants to look himself."""
    code = "import sys; print('what went wrong', file=sys.stderr); sys.exit(3)"
    with pytest.raises(TaskFailed, match=r"ended with exit code 3: what went wrong") as failed:
        ctx.run(python(code))
    assert isinstance(failed.value, ChildFailed)
    assert failed.value.exit_code == 1
    assert failed.value.result is not None
    assert failed.value.result.exit_code == 3
    assert ctx.run(python(code), check=False).exit_code == 3


@pytest.mark.posix("Windows has no signals")
def test_a_signal_is_named(ctx: HandlerContext) -> None:
    """With its number."""
    with pytest.raises(TaskFailed, match="was ended by signal 9"):
        ctx.run(python("import os; os.kill(os.getpid(), 9)"))


def test_time_is_bounded(ctx: HandlerContext) -> None:
    """Also for one that does not end when it is asked to."""
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('ready', flush=True); time.sleep(600)"
    )
    began = time.monotonic()
    with pytest.raises(TaskFailed, match=r"took longer than 0\.5 s, and was ended"):
        ctx.run(python(code), timeout=0.5)
    assert time.monotonic() - began < 2 + BUSY


def _gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


#: Starts a process that would live on, with the pipe in hand, and tells its PID.
GRANDCHILD = """
import subprocess, sys
process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(process.pid, flush=True)
"""


def test_its_tree_ends_with_it(ctx: HandlerContext) -> None:
    """A grandchild that holds the pipe keeps nobody waiting."""
    began = time.monotonic()
    found = ctx.run(python(GRANDCHILD), capture=True)
    assert time.monotonic() - began < 5 + BUSY
    poll(lambda: _gone(int(found.stdout)))


@pytest.mark.parametrize("task", ["parent", "in-a-coroutine"])
@pytest.mark.wine_differs("it sends no CTRL_BREAK")
def test_it_ends_with_a_stop_of_the_run(box: Agent, tmp_path: Path, task: str) -> None:
    """With its whole tree, and the run ends as any other that is stopped."""
    told = tmp_path / "pid"
    code = f"{GRANDCHILD}\nopen({str(told)!r}, 'w').write(str(process.pid)); process.wait()"
    started = box.start(TASKS[task], parameters={"code": code})
    poll(lambda: told.exists() and told.read_text("utf-8"))
    started.terminate()
    assert started.wait().exit_code in {143, 149}
    poll(lambda: _gone(int(told.read_text("utf-8"))))


def test_it_ends_with_the_run_whose_handler_has_left_it(box: Agent, tmp_path: Path) -> None:
    """A thread that outlives the handler keeps no program."""
    told = tmp_path / "pid"
    code = f"{GRANDCHILD}\nopen({str(told)!r}, 'w').write(str(process.pid)); process.wait()"
    run = box.run(TASKS["in-a-thread"], parameters={"code": code, "mark": told})
    assert run.exit_code == 0
    poll(lambda: _gone(int(told.read_text("utf-8"))))


def test_input_larger_than_the_pipe(ctx: HandlerContext) -> None:
    """It is written while the output is read."""
    code = (
        "import sys; data = sys.stdin.buffer.read(); print(len(data)); "
        "sys.stdout.write('x' * 300000)"
    )
    found = ctx.run(python(code), input=b"y" * 1_000_000, capture=True)
    assert found.stdout == f"1000000\n{'x' * 300_000}"
    assert ctx.run(python("pass"), input="ä" * 1_000_000).exit_code == 0  # it reads nothing
    code = "import sys; print(sys.stdin.buffer.read().decode() == chr(228))"
    assert ctx.run(python(code), input="ä", capture=True).stdout == "True\n"


def test_without_input_stdin_is_empty(ctx: HandlerContext) -> None:
    """Nobody waits for a person."""
    code = "import sys; print(repr(sys.stdin.read()))"
    assert ctx.run(python(code), capture=True).stdout == "''\n"


def test_endless_lines_are_cut(ctx: HandlerContext) -> None:
    """One record each, which says how much is missing."""
    ctx.run(python("print('x' * 100_000); print('short')"))
    long, short = ctx.records
    assert len(long.message) == 16 * 1024
    assert long.properties["truncated"] == 100_000 + len(os.linesep) - 16 * 1024
    assert short.message == "short"


@pytest.mark.parametrize("capture", [False, True])
def test_output_is_bounded(ctx: HandlerContext, *, capture: bool) -> None:
    """Of 100 MB the first 8 MiB are kept; the rest is read, counted, and told."""
    code = "import sys\nfor _ in range(100): sys.stdout.write('x' * 999_999 + chr(10))"
    found = ctx.run(python(code), capture=capture)
    total = 100_000_000 + (100 if os.linesep == "\r\n" else 0)
    assert found.dropped_bytes == total - 8 * 1024 * 1024
    assert len(found.stdout) == (8 * 1024 * 1024 if capture else 0) or os.linesep != "\n"
    last = ctx.records[-1]
    assert (last.message, last.level) == ("child_output_dropped", "Warning")
    assert last.properties["bytes"] == found.dropped_bytes


def test_binary_output_makes_records_all_the_same(ctx: HandlerContext) -> None:
    """What is not text is replaced, and nothing of it can forge a record."""
    code = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 4)"
    assert ctx.run(python(code)).exit_code == 0
    assert ctx.records


def test_what_closes_its_output_and_lives_on_is_waited_for(ctx: HandlerContext) -> None:
    """Its end is that of the process, not of the pipe."""
    code = (
        "import os, sys, time; sys.stdout.write('said'); sys.stdout.flush(); "
        "os.close(1); os.close(2); time.sleep(0.5); os._exit(4)"
    )
    found = ctx.run(python(code), capture=True, check=False)
    assert (found.exit_code, found.stdout) == (4, "said")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["no-such-program-here"], "was not found"),
        ([os.path.abspath("no-such-program-here")], "cannot be started"),  # noqa: PTH100
        (["./relative"], "depends on the working folder"),
        ([sys.executable, "-c", "a\0b"], "null"),
        ([str(Path(__file__).parent)], "cannot be started"),
        ([__file__], "cannot be started"),
        pytest.param(
            [sys.executable, "x" * 5_000_000],
            "cannot be started",
            marks=pytest.mark.wine_differs("its command lines have no longest one"),
        ),
    ],
)
def test_what_cannot_be_started_is_told(ctx: HandlerContext, words: list[str], why: str) -> None:
    """As a failure of the task, with the reason."""
    with pytest.raises(TaskFailed, match=why) as failed:
        ctx.run(words)
    assert isinstance(failed.value, ChildFailed)
    assert failed.value.result is None


@pytest.mark.parametrize("words", ["ls -l", b"ls", [], ()])
def test_a_line_for_a_shell_is_refused(ctx: HandlerContext, words: Any) -> None:
    """With what to write."""
    with pytest.raises(TypeError, match=r'ctx\.run\(\["du"'):
        ctx.run(words)


def test_the_environment_is_clean(ctx: HandlerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """No loader's variables, no proxies, no secrets; a trace, and what the caller gives."""
    for name in ("LD_PRELOAD", "PYTHONPATH", "HTTPS_PROXY", "KEEPER_JOB_ID", "API_TOKEN", "ENV"):
        monkeypatch.setenv(name, "/nothing")
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    text = ctx.run(python(code), capture=True, env={"GIVEN": "1"}).stdout
    assert "/nothing" not in text
    assert '"GIVEN": "1"' in text
    assert ctx.records == []
    assert '"TRACEPARENT": "00-' in text


def test_only_the_systems_folders_are_searched_for_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """For another user also those of PATH, without relative ones."""
    monkeypatch.setenv("PATH", os.pathsep.join(["relative", "", os.path.abspath("mine")]))  # noqa: PTH100
    folders = search_folders()
    assert all(Path(folder).is_absolute() for folder in folders)
    if hasattr(os, "geteuid"):
        assert (folders[0].endswith("mine")) is (os.geteuid() != 0)
    assert find_program(sys.executable, []) == sys.executable


@pytest.mark.skipif(sys.platform != "win32", reason="Windows only")
def test_arguments_of_a_batch_file_are_no_commands(ctx: HandlerContext, tmp_path: Path) -> None:
    """cmd.exe would read them again."""
    batch = tmp_path / "echo.cmd"
    batch.write_text("@echo %1\n", "utf-8")
    with pytest.raises(TaskFailed, match=r"cmd\.exe"):
        ctx.run([batch, '"&calc.exe'])


def test_secrets_of_the_run_are_masked(ctx: HandlerContext) -> None:
    """In the records of a child as in all others."""
    ctx.mask("hunter2-secret")
    ctx.run(python("print('the password is hunter2-secret')"))
    assert [one.message for one in ctx.records] == ["the password is ********"]


def test_other_coroutines_go_on(ctx: HandlerContext) -> None:
    """Two children run at the same time."""

    async def both() -> list[str]:
        """Start both."""
        code = "import time; print(time.time()); time.sleep(0.3); print(time.time())"
        runs = [ctx.run_async(python(code), capture=True) for _ in range(2)]
        return [one.stdout for one in await asyncio.gather(*runs)]

    (a, b), (c, d) = (map(float, text.split()) for text in asyncio.run(both()))
    assert max(a, c) < min(b, d) or max(a, c) - min(a, c) > 0.2  # a busy machine


def test_a_cancelled_coroutine_ends_its_child(ctx: HandlerContext, tmp_path: Path) -> None:
    """At once."""
    told = tmp_path / "pid"
    code = f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(600)"

    async def cancel() -> None:
        """Cancel it when it runs."""
        running = asyncio.create_task(ctx.run_async(python(code)))
        await asyncio.to_thread(poll, lambda: told.exists() and told.read_text("utf-8"))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancel())
    poll(lambda: _gone(int(told.read_text("utf-8"))))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_arguments_arrive_as_they_are(arguments: list[str]) -> None:
    """There is no shell between."""
    code = "import json, sys; print(json.dumps(sys.argv[1:]))"
    found = make_context().run([*python(code), *arguments], capture=True)

    assert json.loads(found.stdout) == arguments
