"""Tests of the task process, with real processes."""

from __future__ import annotations

import ast
import os
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from peers.patience import PATIENCE
from simulator.started_process import KILLED, python, until_there, with_process

from epm_task.simulator.processes.process import MARKER, TAIL_BYTES, Capture, TaskProcess
from epm_task.simulator.processes.tree import birth, lives

if TYPE_CHECKING:
    from pathlib import Path


posix_sessions = pytest.mark.posix("the process leaves its group or session")

#: A process that leaves group or session, with an empty environment; it stays at SIGTERM.
_SCRUBBED = (
    "import os, signal, sys, time\n"
    "if os.fork() == 0:\n"
    "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "    getattr(os, sys.argv[1])(*[0, 0][: 2 * (sys.argv[1] == 'setpgid')])\n"
    "    os.execve('/bin/sleep', ['sleep', '60'], {})\n"
    "time.sleep(float(sys.argv[2]))\n"
)

#: A process that leaves the group and its parents, as a daemon does, and closes its outputs.
_DAEMON = (
    "import os, sys, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        os.closerange(0, 3); time.sleep(60)\n"
    "    os._exit(0)\n"
    "os.wait(); time.sleep(float(sys.argv[1]))\n"
)


def test_outputs_exit_code_and_surroundings(tmp_path: Path) -> None:
    """Both streams are captured; stdin is empty; the folder and the marker are as asked."""

    async def body(process: TaskProcess) -> None:
        assert await process.exited() == 7
        assert os.getpid() != process.pid

    script = (
        "print(os.getcwd() + sys.stdin.read())\n"
        f"print(os.environ['{MARKER}'], file=sys.stderr)\n"
        "sys.exit(7)"
    )
    out, err = with_process(python(script), body, tmp_path)
    assert out.data.decode().splitlines() == [str(tmp_path)]
    assert err.data.decode().startswith(tmp_path.name)


def test_arguments_of_every_character(tmp_path: Path) -> None:
    """They arrive as they were given, though Windows passes them as one line."""
    tricky = ["", " ", '"', "\\", 'a\\"b\\\\" c', "C:\\My Data\\", "%PATH%", "^&|<>!", "--x='y z'"]
    given = [*tricky, "".join(map(chr, range(1, 0x300))), "\u6f22\u2028\U0001f600\ufeff"]

    async def body(process: TaskProcess) -> None:
        assert await process.exited() == 0

    script = "sys.stdout.write(ascii(sys.argv[1:]))"
    out, _ = with_process([*python(script), *given], body, tmp_path)
    assert ast.literal_eval(out.data.decode()) == given


@posix_sessions
def test_process_leads_a_group_of_its_own(tmp_path: Path) -> None:
    """A Ctrl-C at the terminal does not reach it, and its PID is known to be its own."""

    async def body(process: TaskProcess) -> None:
        assert os.getpgid(process.pid) == process.pid == os.getsid(process.pid)
        assert process.birth == birth(process.pid) != birth(os.getpid())

    with_process(["/bin/sleep", "30"], body, tmp_path)


@pytest.mark.wine_differs("it sends no CTRL_BREAK")
def test_end_asks_first(tmp_path: Path) -> None:
    """A process that listens to SIGTERM, or CTRL_BREAK, chooses its own exit code."""

    async def body(process: TaskProcess) -> None:
        await until_there(tmp_path / "ready")
        started = time.monotonic()
        await process.end(PATIENCE)
        assert await process.exited() == 9
        assert time.monotonic() - started < PATIENCE / 2

    script = (
        "number = getattr(signal, 'SIGBREAK', signal.SIGTERM)\n"
        "signal.signal(number, lambda *_: (os.write(1, b'bye'), os._exit(9)))\n"
        "pathlib.Path('ready').touch()\n"
        "while True: time.sleep(0.02)"
    )
    out, _ = with_process(python(script), body, tmp_path)
    assert out.data == b"bye"


def test_end_kills_what_ignores_sigterm(tmp_path: Path) -> None:
    """After the grace the whole group is killed, children that ignore SIGTERM included."""

    async def body(process: TaskProcess) -> None:
        await until_there(tmp_path / "ready")
        assert len(await process.members()) >= 2
        await process.end(0.2)
        assert await process.exited() == KILLED

    script = (
        "signal.signal(getattr(signal, 'SIGBREAK', signal.SIGTERM), signal.SIG_IGN)\n"
        "if len(sys.argv) == 1: subprocess.Popen([*sys.orig_argv, 'child'])\n"
        "else: pathlib.Path('ready').touch()\n"
        "while True: time.sleep(1)"
    )
    with_process(python(script), body, tmp_path)


@posix_sessions
@pytest.mark.parametrize("lives_on", ["0", "30"])
def test_descendant_that_left_the_group_is_found(tmp_path: Path, lives_on: str) -> None:
    """A daemon with other parents, another session and closed outputs still belongs to the run."""

    async def body(process: TaskProcess) -> None:
        deadline = time.monotonic() + PATIENCE
        daemons: list[psutil.Process] = []
        while not daemons and time.monotonic() < deadline:
            daemons = [p for p in await process.members() if _session(p.pid) != process.pid]
        assert daemons, "no process left the group"
        await process.end(0.5)
        assert not [daemon for daemon in daemons if lives(daemon)]

    with_process([sys.executable, "-c", _DAEMON, lives_on], body, tmp_path)


@posix_sessions
@pytest.mark.parametrize(
    ("leaves", "parent_lives"), [("setpgid", "30"), ("setpgid", "0"), ("setsid", "30")]
)
def test_descendant_without_the_marker_is_found(
    tmp_path: Path, leaves: str, parent_lives: str
) -> None:
    """By its session, or by its parents as long as there are any; then it is not forgotten."""

    async def body(process: TaskProcess) -> None:
        deadline = time.monotonic() + PATIENCE
        found: list[psutil.Process] = []
        while not found and time.monotonic() < deadline:
            found = [p for p in await process.members() if p.pid != process.pid and _sleeps(p)]
        assert found, "no process left the group"
        await process.end(0.5)
        assert not [one for one in found if lives(one)]

    command = [sys.executable, "-c", _SCRUBBED, leaves, parent_lives]
    with_process(command, body, tmp_path)


def _sleeps(process: psutil.Process) -> bool:
    try:
        return bool(process.name() == "sleep" and not process.environ())
    except psutil.Error:
        return False


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def test_closed_outputs_are_not_the_end(tmp_path: Path) -> None:
    """A process that closes its outputs runs on, and its exit code counts."""

    async def body(process: TaskProcess) -> None:
        await until_there(tmp_path / "closed")
        assert process.exit_code is None
        (tmp_path / "go").touch()
        assert await process.exited() == 4

    script = (
        "os.close(1), os.close(2)\n"
        "pathlib.Path('closed').touch()\n"
        "while not os.path.exists('go'): time.sleep(0.02)\n"
        "os._exit(4)"
    )
    with_process(python(script), body, tmp_path)


def test_gigabyte_of_output_is_counted_not_kept(tmp_path: Path) -> None:
    """The agent's memory does not grow with what a task writes."""

    async def body(process: TaskProcess) -> None:
        assert await process.exited() == 0

    before = psutil.Process().memory_info().rss
    script = "for _ in range(1024): os.write(1, bytes(1 << 20))"
    out, _ = with_process(python(script), body, tmp_path)
    assert len(out.data) + out.dropped == 1 << 30
    assert len(out.data) == 1 << 20
    assert psutil.Process().memory_info().rss - before < 64 << 20


@pytest.mark.parametrize(
    ("argv", "error"), [(["/nonexistent/program"], OSError), ([sys.executable, "a\0b"], ValueError)]
)
def test_program_that_cannot_start(tmp_path: Path, argv: list[str], error: type[Exception]) -> None:
    """The caller gets the operating system's own error."""

    async def body(process: TaskProcess) -> None:
        raise AssertionError(process)

    with pytest.raises(error):
        with_process(argv, body, tmp_path)


def test_cap_keeps_the_start_and_counts_the_rest() -> None:
    """The first bytes are kept; what is beyond the cap is a number."""
    capture = Capture(limit=4)
    for chunk in (b"abc", b"def", b"g"):
        capture.feed(chunk)
    assert capture.data == b"abcd"
    assert capture.dropped == 3


@pytest.mark.parametrize("size", [0, 3, 16_383, 16_384, 16_385, 20_000, 70_000])
@pytest.mark.parametrize("limit", [4, 16_384, 50_000])
def test_the_end_of_a_stream_is_kept_too(size: int, limit: int) -> None:
    """Whatever is dropped between both ends, and however the bytes come."""
    data = bytes(number % 251 for number in range(size))
    capture = Capture(limit=limit)
    for start in range(0, size, 7_777):
        capture.feed(data[start : start + 7_777])
    assert capture.tail == data[-TAIL_BYTES:]
    assert capture.tail_is_cut is (size > TAIL_BYTES)
    assert (capture.data, capture.dropped) == (data[:limit], max(0, size - limit))


def test_lines_are_reported_when_whole() -> None:
    """A line may come in pieces, and the last one may lack its end."""
    lines: list[bytes] = []
    capture = Capture(lines.append)
    for chunk in (b"a", b"b\r\nc\n\nd", b"e"):
        capture.feed(chunk)
    assert lines == [b"ab", b"c", b""]
    capture.finish()
    capture.finish()
    assert lines == [b"ab", b"c", b"", b"de"]


def test_past_the_cap_only_records_are_reported() -> None:
    """A flood of plain lines is not followed, a line that may be a record is."""
    lines: list[bytes] = []
    capture = Capture(lines.append, limit=2)
    for chunk in (b"xx\n", b"plain\n", b'plain\n{"a"', b":1}\nplain\n"):
        capture.feed(chunk)
    assert lines == [b"xx", b'{"a":1}']


def test_endless_line_is_reported_in_pieces() -> None:
    """A line without an end does not grow in memory."""
    lines: list[bytes] = []
    capture = Capture(lines.append, limit=1 << 22)
    for _ in range(5):
        capture.feed(b"x" * (1 << 19))
    assert [len(line) for line in lines] == [1 << 20, 1 << 20]


def test_past_the_cap_a_brace_inside_a_line_starts_no_record() -> None:
    """Where a chunk begins says nothing about where a line begins."""
    lines: list[bytes] = []
    capture = Capture(lines.append, limit=1)
    for chunk in (b"x\n", b"plain ", b"{no}\n", b"a\nb", b"{no}"):
        capture.feed(chunk)
    capture.finish()
    assert lines == [b"x"]
